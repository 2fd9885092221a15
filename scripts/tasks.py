"""What a pipeline is for, told by its components, and what each text then gets."""

from collections.abc import Mapping
from functools import reduce
from operator import getitem
from typing import Any, Literal, get_args

from spacy.language import Language

from scripts.entity_corpus import FACTORIES as ENTITY_FACTORIES
from scripts.pair_corpus import FACTORY as PAIR_FACTORY
from scripts.scores import TEXTCAT_FACTORIES
from scripts.token_corpus import FACTORY as TOKEN_FACTORY

Task = Literal["textcat", "pairs", "tokens", "entities"]
What = Literal["both", "decisions", "scores"]

# A pipeline with components of several is for the first of them.
FACTORIES: dict[Task, tuple[str, ...]] = {
    "textcat": TEXTCAT_FACTORIES,
    "pairs": (PAIR_FACTORY,),
    "tokens": (TOKEN_FACTORY,),
    "entities": ENTITY_FACTORIES,
}
SAID: dict[Task, str] = {
    "textcat": "labels texts",
    "pairs": "writes texts",
    "tokens": "tags words",
    "entities": "finds entities",
}
MARKED = ("tagged_text", "tokens", "tags")
# Keys that predicting adds.
OWN: dict[Task, tuple[str, ...]] = {
    "textcat": ("emotions", "scores", "probabilities", "explanation"),
    "pairs": ("target", "emotions", "entities", *MARKED),
    "tokens": MARKED,
    "entities": ("entities", *MARKED),
}

# Where the metrics of a task have what is said of them first.
SCORES: dict[Task, dict[str, tuple[str, ...]]] = {
    "textcat": {"macro-F1": ("macro_f1",), "micro-F1": ("micro_f1",)},
    "pairs": {"exact": ("text", "exact"), "token accuracy": ("text", "token_accuracy")},
    "tokens": {"micro-F1": ("micro_f1",), "macro-F1": ("macro_f1",)},
    "entities": {"F": ("exact", "micro", "f"), "token F": ("token", "micro", "f")},
}


def task_of(config: Mapping[str, Any]) -> Task:
    """Return what the pipeline of a saved config is for.

    RAISES ValueError: It has no component that any task asks for.
    """
    names = config["nlp"]["pipeline"]
    made = {config["components"][name].get("factory") for name in names}
    for task, factories in FACTORIES.items():
        if made & set(factories):
            return task
    known = ", ".join(name for factories in FACTORIES.values() for name in factories)
    raise ValueError(f"Pipeline {list(names)}. Expected one of {known}.")


def scores_of(task: Task, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return what is said first of the metrics of a task, by name."""
    return {name: reduce(getitem, path, metrics) for name, path in SCORES[task].items()}


def component_of(nlp: Language, task: Task) -> str:
    """Return the name of the component that does the task.

    RAISES ValueError: There is none, or more than one.
    """
    factories = FACTORIES[task]
    found = [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory in factories]
    if len(found) != 1:
        raise ValueError(
            f"Pipeline {nlp.pipe_names}. Expected exactly one {' or '.join(factories)}."
        )
    return found[0]


def check_settings(
    task: Task, *, what: What = "both", top_k: int = 0, with_words: bool = False
) -> None:
    """Check that a pipeline can do what is asked of it.

    RAISES ValueError: It has no scores of labels to choose from or to explain, or the settings are
        none, or do not go together.
    """
    if what not in get_args(What) or top_k < 0:
        expected = f"what {', '.join(get_args(What))}, and top_k 0 or more"
        raise ValueError(f"what {what!r}, top_k {top_k}. Expected {expected}.")
    if what == "decisions" and top_k:
        raise ValueError(f"top_k {top_k} of scores, and what decisions. Expected one of them.")
    asked = {"what": what != "both", "top_k": top_k != 0, "explain": with_words}
    given = ", ".join(name for name, is_given in asked.items() if is_given)
    if given and task != "textcat":
        found = f"{given} with a pipeline that {SAID[task]}"
        raise ValueError(f"{found}. Expected one that {SAID['textcat']}.")
