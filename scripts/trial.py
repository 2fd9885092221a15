"""Train one set of settings of a search, from pretrained weights if the settings say so."""

import gc
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import spacy
from filelock import FileLock
from spacy.language import DEFAULT_CONFIG, Language
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config, registry, resolve_dot_names, set_dot_to_object
from thinc.api import fix_random_seed

import plugins  # noqa: F401  registers what the configs name
from scripts.check_config import check_config, check_inputs
from scripts.files import hash_of
from scripts.gpu import use_gpu
from scripts.pretrain import pretrain
from scripts.space import Plan

LOGGER, READER = "goemotions.search_report.v1", "goemotions.search_corpus.v1"
EPOCHS = "pretraining.max_epochs"
# What the weights of a pretraining depend on. Not on the seed: one serves all seeds of training.
SHAPING = ("pretraining.", "components.", "nlp.", "initialize.", "paths.", "corpora.pretrain.")


def run_trial(
    plan: Plan,
    settings: dict[str, Any],
    report: Callable[[dict[str, Any]], None],
    *,
    pretrained: Path,
    work: Path,
    gpu_id: int = -1,
) -> dict[str, Any]:
    """Train a config with the settings of a trial and report each evaluation.

    settings: Config values by dotted key. Any of pretraining.* makes the trial start from weights
        pretrained with them, for pretraining.max_epochs epochs; 0 starts from none.
    report: Called with score (the best so far), best_step, evaluations, last_score and step.
    pretrained: Folder that keeps pretrained weights for all trials.
    work: Folder for the models of trials, each in one of its own that is deleted at the end.
    RETURNS: score, final_score if the plan wants one, best_step, evaluations.
    RAISES ValueError: A bad key, file or value.
    """
    overrides = overrides_of(plan, settings)
    use_gpu(gpu_id)
    if weights := _pretrained(plan, settings, pretrained, gpu_id):
        overrides["initialize.init_tok2vec"] = str(weights)
    check_config(plan.config, overrides)
    check_inputs(plan.config, overrides)
    best = {"score": 0.0, "best_step": 0, "evaluations": 0}

    def follow(info: dict[str, Any]) -> None:
        found = _metric_of(plan, info["other_scores"])
        best["evaluations"] += 1
        if found > best["score"]:
            best.update(score=found, best_step=info["step"])
        report({**best, "last_score": found, "step": info["step"]})

    with tempfile.TemporaryDirectory(dir=work) as folder:
        config = load_config(plan.config, overrides=overrides, interpolate=False)
        config = DEFAULT_CONFIG.merge(config)  # which completes the reader of dev
        registry.loggers.register(LOGGER, func=lambda: _logger_of(follow))
        config["training"]["logger"] = {"@loggers": LOGGER}
        registry.readers.register(READER, func=_read_once)  # it is evaluated often
        config["corpora"]["dev"] = {"@readers": READER, "reader": config["corpora"]["dev"]}
        nlp = init_nlp(config, use_gpu=gpu_id)
        output = io.StringIO()
        train(nlp, Path(folder), use_gpu=gpu_id, stdout=output, stderr=output)
        if plan.final:
            best["final_score"] = score_again(plan, Path(folder) / "model-best")
    del nlp
    gc.collect()  # cycles keep the docs of a trial, and the next one is in the same process
    return best


def overrides_of(plan: Plan, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what a trial changes in the config, without what only pretraining reads."""
    both = {**plan.overrides, **settings}
    return {key: value for key, value in both.items() if not key.startswith("pretraining.")}


def score_again(plan: Plan, model: Path) -> float:
    """Return the metric of a saved pipeline on the dev corpus as plan.final changes it."""
    config = load_config(model / "config.cfg")
    config["corpora"]["dev"] = config["corpora"]["dev"]["reader"]
    for key, value in plan.final.items():
        set_dot_to_object(config, key, value)
    (corpus,) = resolve_dot_names(config.interpolate(), ["corpora.dev"])
    nlp = spacy.load(model)
    examples = list(corpus(nlp))
    predicted = nlp.pipe(example.predicted for example in examples)
    for example, doc in zip(examples, predicted, strict=True):
        example.predicted = doc
    scores: dict[str, Any] = {}  # as nlp.evaluate, but not of the tokenizer, which takes as long
    for _, component in nlp.pipeline:
        if hasattr(component, "score"):
            scores.update(component.score(examples))
    return _metric_of(plan, scores)


def _metric_of(plan: Plan, scores: dict[str, Any]) -> float:
    if not isinstance(scores.get(plan.metric), int | float):
        known = sorted(key for key, value in scores.items() if isinstance(value, int | float))
        raise ValueError(f"metric {plan.metric!r}. Expected one of {', '.join(known)}.")
    return float(scores[plan.metric])


def _read_once(reader: Callable[[Language], Iterable[Example]]) -> Callable:
    """Return a reader that keeps its examples; spaCy evaluates copies of them."""
    kept: list[Example] = []

    def read(nlp: Language) -> list[Example]:
        kept.extend([] if kept else reader(nlp))
        return kept

    return read


def _logger_of(follow: Callable[[dict[str, Any]], None]) -> Callable:
    """Return a logger of spaCy's that tells a function of each evaluation."""

    def setup(nlp: Language, stdout: Any = None, stderr: Any = None) -> tuple:
        def log(info: dict[str, Any] | None) -> None:
            if info is not None and info["score"] is not None:
                follow(info)

        return log, lambda: None

    return setup


def _pretrained(plan: Plan, settings: dict[str, Any], folder: Path, gpu_id: int) -> Path | None:
    """Return the weights that a trial starts from; they are made once for all trials."""
    both = {**plan.overrides, **settings}
    if not any(key.startswith("pretraining.") for key in both):
        return None
    longest = longest_pretraining(plan)
    epochs = both.get(EPOCHS, longest)
    if not epochs:
        return None
    wanted = {key: both[key] for key in sorted(both) if key.startswith(SHAPING) and key != EPOCHS}
    wanted |= {EPOCHS: longest, "pretraining.n_save_epoch": 1}
    made = folder / pretraining_name(plan, wanted)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{made}.lock"):  # another trial may be at it
        if not (made / "manifest.json").exists():
            fix_random_seed(0)
            pretrain(plan.config, made, gpu_id=gpu_id, overrides=wanted)
    return made / f"model{epochs}.bin"


def longest_pretraining(plan: Plan) -> int:
    """Return for how many epochs to pretrain, so that one run serves the trials with fewer."""
    setting = plan.settings.get(EPOCHS)
    if setting is not None:
        return max(setting.choices() or [setting.range[-1]])
    config = load_config(plan.config, overrides=plan.overrides)
    return int(config["pretraining"]["max_epochs"])


def pretraining_name(plan: Plan, wanted: dict[str, Any]) -> str:
    """Return the name of a folder for weights pretrained with these overrides of this config."""
    config = load_config(plan.config, overrides=wanted, interpolate=True)
    text = Path(config["corpora"]["pretrain"]["path"] or "no text")
    vectors = Path(str(config["initialize"]["vectors"])) / "vocab"
    facts = [wanted, hash_of(plan.config)]
    facts += [hash_of(path) for path in (text, vectors) if path.exists()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf8")).hexdigest()[:12]
