"""What sets the kinds of tasks apart when one is made: rows, config, and what to expect of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.tasks import Task

# In every kind: a toy task needs few steps, and a look at dev costs next to nothing.
STEPS = {"training.eval_frequency": "20", "training.patience": "100"}


@dataclass(frozen=True)
class Kind:
    """A kind of task.

    what: What it learns.
    row: Form of a row of its data.
    config: Name of the config to start from. values, without: See scripts.task_config.
    score: Of dev, in the saved pipeline. After `few` steps it is above `least`, which guessing, or
        a network of one step, is not.
    """

    what: str
    row: str
    config: str
    values: Mapping[str, str]
    score: str
    few: int
    least: float = 0.9
    without: tuple[str, ...] = ()


KINDS: dict[Task, Kind] = {
    "textcat": Kind(
        what="labels of a text",
        row='{"text": "…", "labels": ["…"]}',
        config="cnn",
        values={"training.max_steps": "100", "training.max_epochs": "0"},
        without=(
            "pretraining",
            "corpora.pretrain",
            "paths.raw_text",
            "paths.init_tok2vec",
            "initialize.init_tok2vec",
        ),
        score="cats_macro_auc",
        few=40,
    ),
    "entities": Kind(
        what="entities in a text",
        row='{"text": "…", "spans": [{"start": 0, "end": 1, "label": "…"}]}',
        config="ner_crf",
        values={"training.max_steps": "100"},
        score="ents_f",
        few=40,
    ),
    "tokens": Kind(
        what="a label for each word",
        row='{"tokens": ["…"], "labels": ["…"]}',
        config="references",
        values={"training.max_steps": "100"},
        score="tags_micro_f",
        few=40,
    ),
    "pairs": Kind(
        what="a text to write for a text",
        row='{"source": "…", "target": "…"}',
        config="seq2seq",
        values={
            "training.max_steps": "200",
            "training.max_epochs": "0",
            "components.seq2seq.tags": '"none"',
            "initialize.components.seq2seq.min_freq": "2",
        },
        score="pair_exact",
        few=60,
    ),
}
