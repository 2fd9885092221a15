"""Run one experiment: train, decide, evaluate, and the commit that keeps its numbers."""

import json
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from click.exceptions import NoSuchOption
from spacy.cli._util import parse_config_overrides
from spacy.tokens import DocBin
from spacy.training.corpus import walk_corpus
from spacy.util import load_config
from spacy.vocab import Vocab
from wasabi import msg

from scripts.annotations import WHERE, is_annotated
from scripts.check_config import check_config, check_inputs
from scripts.compose import compose
from scripts.config_groups import ALONE, FRAGMENTS
from scripts.decide import decide
from scripts.decide_entities import decide_entities
from scripts.decide_pairs import decide_pairs
from scripts.decide_tokens import decide_tokens
from scripts.evaluate import evaluate
from scripts.evaluate_entities import evaluate_entities
from scripts.evaluate_pairs import evaluate_pairs
from scripts.evaluate_tokens import evaluate_tokens
from scripts.files import remove, replacing
from scripts.gpu import use_gpu
from scripts.tasks import Task, scores_of, task_of
from scripts.thresholds import Method
from scripts.train import train, with_dashes

GROUPS = Path(FRAGMENTS)
OWN_PATHS = ("train", "dev", "labels")
TUNE = {
    "textcat": decide,
    "entities": decide_entities,
    "tokens": decide_tokens,
    "pairs": decide_pairs,
}
SCORE = {"entities": evaluate_entities, "tokens": evaluate_tokens, "pairs": evaluate_pairs}


@dataclass
class Run:
    """Where an experiment reads and writes; everything is relative to the project folder."""

    config: Path
    data: str
    name: str
    parts: list[str] = field(default_factory=list)
    thresholds: Method = "bootstrap"

    @property
    def corpus(self) -> Path:
        """Folder of the corpus."""
        return Path("corpus") / self.data

    @property
    def folder(self) -> Path:
        """Folder of the trained pipelines."""
        return Path("training") / self.data / self.name

    def metrics(self, split: str) -> Path:
        """Return the JSON of the scores on dev or test."""
        suffix = "" if split == "dev" else f".{split}"
        return Path("metrics") / self.data / f"{self.name}{suffix}.json"

    @property
    def task(self) -> Task:
        """Return what the config's pipeline is for, one of the keys of TUNE."""
        return task_of(load_config(self.config))

    @property
    def trained(self) -> Path:
        """Config that is trained: the one of configs/, or what is composed of it and the parts."""
        return self.folder.with_name(f"{self.name}.cfg") if self.parts else self.config


def experiment(
    config: str,
    *,
    data: str = "goemotions",
    name: str | None = None,
    gpu_id: int = -1,
    test: bool = False,
    force: bool = False,
    commit: bool = False,
    parts: list[str] | None = None,
    thresholds: Method = "bootstrap",
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a config, tune its thresholds on dev and score it; every check comes before the work.

    config: Name of a file in configs/, without .cfg.
    data: Name of a folder in corpus/.
    name: Of the run; made from the config and the overrides if None.
    test: Score the test set too, after dev.
    force: Delete an earlier run of this name, whole or half-finished, and replace its metrics.
    commit: Commit the config and the metrics, and nothing else.
    parts: Of configs/groups, such as labels=soft, to be merged into the config: docs/compose.md.
    thresholds: How those of a text classifier are tuned, see scripts.thresholds.
    overrides: Config values by dotted key.
    RETURNS: scores on dev by name, said (the same as a sentence), git (commands that commit
        config and metrics), commands (the same as words, without git), run (Run).
    RAISES ValueError: A name, key or file does not exist, or something would be overwritten.
    """
    overrides = dict(sorted((overrides or {}).items()))
    parts = list(parts or [])
    name_of = "-".join([config, *(part.partition("=")[2] for part in parts)])
    run = Run(Path("configs") / f"{config}.cfg", data, name or run_name(name_of, overrides), parts)
    run.thresholds = thresholds
    splits = ["dev", "test"] if test else ["dev"]
    check_run(run, overrides, splits, gpu_id=gpu_id, force=force)
    if commit:
        check_index(run, splits)
    facts = _facts(run, overrides, splits, gpu_id)
    result = _work(run, overrides, splits, gpu_id, facts)
    found = _said(run, splits, f"{name or describe(name_of, overrides)} on {data}", result)
    if commit:
        check_index(run, splits)  # once more: training takes long
        for command in found["commands"]:
            _git(*command)
    return found


def score_test(
    config: str, name: str, *, data: str = "goemotions", gpu_id: int = -1
) -> dict[str, Any]:
    """Score the test set of a run that is there, once its recipe is final.

    config, name, data: Of the run.
    RETURNS: As experiment does, of test.
    RAISES ValueError: The run is not whole, is of another config, or its test set has been scored.
    """
    run = Run(Path("configs") / f"{config}.cfg", data, name)
    _check_names(run)
    dev, test = run.metrics("dev"), run.metrics("test")
    pipeline = run.folder / "pipeline"
    for path in (dev, pipeline, run.corpus / "test.spacy"):
        if not path.exists():
            raise ValueError(f"{path}: not there. Expected a whole run named {name}.")
    if test.exists():
        raise ValueError(f"{test} exists already. The test set is scored once.")
    facts = json.loads(dev.read_text(encoding="utf8"))["experiment"]
    if facts["command"].endswith("--test"):
        raise ValueError(f"{dev}: scored with --test. Expected a run without.")
    if facts["config"] != run.config.as_posix():
        raise ValueError(f"{dev}: of {facts['config']}. Expected {run.config}, as you named it.")
    run.parts = facts.get("parts", [])
    use_gpu(gpu_id)
    result = _score(run, "test", gpu_id, {**facts, "command": f"{facts['command']} --test"})
    return _said(run, ["test"], f"{name} on {data}", result)


def run_name(config: str, overrides: dict[str, Any]) -> str:
    """Return a readable name, e.g. cnn-dropout0.3, the same whatever the order of the overrides."""
    parts = [f"{key}{_slug(value)}" for key, value in _short(overrides).items()]
    return "-".join([config, *parts])


def describe(config: str, overrides: dict[str, Any]) -> str:
    """Return the experiment in words, e.g. "cnn dropout 0.3, seed 1"."""
    words = ", ".join(f"{key} {_text(value)}" for key, value in _short(overrides).items())
    return f"{config} {words}".strip()


def check_run(
    run: Run, overrides: dict[str, Any], splits: list[str], *, gpu_id: int = -1, force: bool = False
) -> None:
    """Check all that an experiment needs before it starts.

    RAISES ValueError: A name, key or file does not exist, or something would be overwritten.
    """
    if not run.config.is_file():
        known = ", ".join(sorted(path.stem for path in run.config.parent.glob("*.cfg")))
        raise ValueError(f"{run.config}: no such config. Expected one of {known or 'none yet'}.")
    _check_names(run)
    if run.thresholds != "bootstrap" and run.task != "textcat":
        expected = "a text classifier"
        raise ValueError(
            f"--thresholds {run.thresholds}: {run.config} is none. Expected {expected}."
        )
    own = [f"--paths.{key}" for key in OWN_PATHS if f"paths.{key}" in overrides]
    if own:
        raise ValueError(f"{own[0]} is set by --data. Expected other keys.")
    if run.parts:
        _compose(run)
    check_config(run.trained, {**overrides, **_paths(run)})
    files = [f"{split}.spacy" for split in ("train", *splits)] + ["labels.json"]
    files += ["views.json"] if run.task == "textcat" else []
    for path in (run.corpus / file for file in files):
        if not path.exists():
            raise ValueError(f"{path}: no such file. Expected it before training; run preprocess.")
    check_inputs(run.trained, {**overrides, **_paths(run)})
    _check_annotated(run, ["train", *splits])
    use_gpu(gpu_id)
    if not force:
        _check_free(run, splits)


def check_index(run: Run, splits: list[str]) -> None:
    """Check that a commit would hold nothing but the config and the metrics of a run.

    RAISES ValueError: This is no git repository, or other files are staged.
    """
    if _commit_id() is None:
        raise ValueError("No git repository with a commit here. Leave out --commit.")
    staged = _git("diff", "--cached", "--name-only", "--relative").splitlines()
    everywhere = _git("diff", "--cached", "--name-only").splitlines()
    own = {path.as_posix() for path in (run.config, *map(run.metrics, splits))}
    other = [path for path in staged if path not in own]
    if other or len(everywhere) > len(staged):
        names = ", ".join(other or everywhere)
        raise ValueError(f"Staged already: {names}. Commit or unstage them, then use --commit.")


def uncommitted(*paths: Path) -> list[str]:
    """Return which files under `paths` differ from the last commit; none outside a repository."""
    if _commit_id() is None:
        return []
    lines = _git("status", "--porcelain", "-uall", "--", *map(str, paths)).splitlines()
    return [line[3:] for line in lines]


def _work(
    run: Run, overrides: dict[str, Any], splits: list[str], gpu_id: int, facts: dict[str, Any]
) -> dict[str, Any]:
    trained, pipeline = run.folder / "trained", run.folder / "pipeline"
    train(run.trained, trained, gpu_id=gpu_id, overrides={**overrides, **_paths(run)})
    for path in run.folder.iterdir():
        if path != trained:  # made from the model that was just replaced
            remove(path)
    settings = {"method": run.thresholds} if run.task == "textcat" else {}
    model, dev = trained / "model-best", run.corpus / "dev.spacy"
    TUNE[run.task](model, dev, pipeline, gpu_id=gpu_id, **settings)
    results = [_score(run, split, gpu_id, facts) for split in splits]
    return results[0]  # of dev


def _score(run: Run, split: str, gpu_id: int, facts: dict[str, Any]) -> dict[str, Any]:
    """Score a split and write its metrics with the facts of the run."""
    # Evaluated beside the pipeline first: metrics/ never holds a file without its facts.
    pipeline, raw = run.folder / "pipeline", run.folder / f"{split}.json"
    corpus, views = run.corpus / f"{split}.spacy", run.corpus / "views.json"
    if run.task == "textcat":
        result = evaluate(pipeline, corpus, raw, views=views, gpu_id=gpu_id)
    else:
        result = SCORE[run.task](pipeline, corpus, raw, gpu_id=gpu_id)
    with replacing(run.metrics(split)) as temporary:
        text = json.dumps({**result, "experiment": facts}, indent=2)
        temporary.write_text(text + "\n", encoding="utf8")
    remove(raw)
    return result


def _compose(run: Run) -> None:
    """Write the config of a run that has parts.

    RAISES ValueError: A part that is none, or chooses another model or data set.
    """
    for part in run.parts:
        if part.partition("=")[0] in ALONE or "." in part.partition("=")[0]:
            raise ValueError(f"--part {part}: expected a group of configs/groups and its option.")
    text = compose([f"model={run.config.stem}", f"data={run.data}", *run.parts])
    with replacing(run.trained) as temporary:
        temporary.write_text(text, encoding="utf8")


def _check_annotated(run: Run, splits: list[str]) -> None:
    """Raise ValueError if a split has nothing that the config learns from."""
    for path in (run.corpus / f"{split}.spacy" for split in splits):
        files = walk_corpus(path, ".spacy")
        docs = DocBin(store_user_data=True).from_disk(files[0]).get_docs(Vocab())
        if not any(is_annotated(doc, run.task) for doc in docs):
            expected = f"what {run.config} learns"
            raise ValueError(f"{path}: nothing in {WHERE[run.task]}. Expected {expected}.")


def _check_names(run: Run) -> None:
    """Raise ValueError unless the names of run and data are plain file names."""
    for name in (run.name, run.data):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", name) or name.endswith(".test"):
            raise ValueError(
                f"Name {name!r}. Expected up to 100 letters, digits, dots, dashes and underscores, "
                "not ending in .test, where test scores go; set it with --name."
            )


def _said(run: Run, splits: list[str], title: str, result: dict[str, Any]) -> dict[str, Any]:
    """Return scores of the first split in numbers and words, and the commit of all."""
    scores = scores_of(run.task, result)
    said = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    commands = _commit_commands(run, splits, f"{title}: {said} ({splits[0]})")
    git = " && ".join(shlex.join(["git", *command]) for command in commands)
    return {"scores": scores, "said": said, "git": git, "run": run, "commands": commands}


def _commit_commands(run: Run, splits: list[str], message: str) -> list[list[str]]:
    paths = [path.as_posix() for path in (run.config, *map(run.metrics, splits))]
    return [["add", "--", *paths], ["commit", "-m", message, "--", *paths]]


def _facts(run: Run, overrides: dict[str, Any], splits: list[str], gpu_id: int) -> dict[str, Any]:
    command = ["python", "-m", "scripts.experiment", run.config.stem, "--data", run.data]
    command += ["--name", run.name, "--gpu-id", str(gpu_id)]
    command += ["--test"] if "test" in splits else []
    for part in run.parts:
        command += ["--part", part]
    if run.thresholds != "bootstrap":
        command += ["--thresholds", run.thresholds]
    for key, value in overrides.items():
        command += [f"--{key}", _text(value)]
    return {
        "run": run.name,
        "config": run.config.as_posix(),
        "data": run.data,
        "parts": run.parts,
        "overrides": overrides,
        "commit": _commit_id(),
        "uncommitted": uncommitted(run.config, GROUPS, Path("plugins"), Path("scripts")),
        "command": shlex.join(command),
    }


def _paths(run: Run) -> dict[str, str]:
    files = {"train": "train.spacy", "dev": "dev.spacy", "labels": "labels.json"}
    return {f"paths.{key}": (run.corpus / files[key]).as_posix() for key in OWN_PATHS}


def _check_free(run: Run, splits: list[str]) -> None:
    """Raise ValueError if a run or its metrics would be overwritten."""
    if run.folder.exists():
        whole = (run.folder / "pipeline").exists() and run.metrics("dev").exists()
        state = "exists already" if whole else "is half-finished"
        raise ValueError(
            f"{run.folder} {state}. Expected none: --name gives a new run, --force replaces it."
        )
    for path in map(run.metrics, splits):
        if path.exists():
            state = "has changes that are not committed" if uncommitted(path) else "exists already"
            raise ValueError(
                f"{path} {state}. Expected none: --name gives a new one, --force replaces it."
            )


def _short(overrides: dict[str, Any]) -> dict[str, Any]:
    """Return the overrides by the last part of their keys, or by all parts if two share it."""
    keys = sorted(overrides)
    last = [key.rsplit(".", 1)[-1] for key in keys]
    names = [key if last.count(end) > 1 else end for key, end in zip(keys, last, strict=True)]
    return {name: overrides[key] for name, key in zip(names, keys, strict=True)}


def _slug(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", _text(value)).strip("_")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _commit_id() -> str | None:
    result = subprocess.run(
        ["git", "rev-parse", "--verify", "HEAD"], capture_output=True, text=True
    )
    return result.stdout.strip() if result.returncode == 0 else None


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if result.returncode:
        said = (result.stderr or result.stdout).strip()
        raise ValueError(f"git {arguments[0]} failed: {said}")
    return result.stdout


def _parse(arguments: list[str]) -> dict[str, Any]:
    try:
        overrides = parse_config_overrides(with_dashes(arguments))
    except NoSuchOption as error:
        option = error.option_name
        raise ValueError(f"No option {option}. Expected keys such as --system.seed 1.") from error
    # spaCy reads 0.3 as 0.30000000000000004, which would end up in names and commits.
    return json.loads(json.dumps(overrides), parse_float=lambda text: float(f"{float(text):.12g}"))


def main(
    ctx: typer.Context,
    config: Annotated[str, typer.Argument(help="Config in configs/, without .cfg")],
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "goemotions",
    name: Annotated[
        str | None, typer.Option(help="Name of the run", show_default="config and overrides")
    ] = None,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
    test: Annotated[
        bool, typer.Option("--test", help="Score the test set too, at the end")
    ] = False,
    only_test: Annotated[
        bool, typer.Option("--only-test", help="Score the test set of a run that is there")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier or half-finished run of this name")
    ] = False,
    commit: Annotated[
        bool, typer.Option("--commit", help="Commit the config and the metrics")
    ] = False,
    thresholds: Annotated[
        Method, typer.Option(help="How those of a text classifier are tuned: scripts.decide")
    ] = "bootstrap",
    part: Annotated[
        list[str] | None,
        typer.Option(help="Part of configs/groups to merge, e.g. labels=soft; may be repeated"),
    ] = None,
) -> None:
    """Train, tune and score a config; further options override it, e.g. --training.dropout 0.3."""
    if only_test:
        _only_test(
            config,
            name,
            data,
            gpu_id,
            given=bool(test or force or commit or part or ctx.args or thresholds != "bootstrap"),
        )
        return
    file = Path("configs") / f"{config}.cfg"
    if uncommitted(file):
        msg.warn(f"{file} has changes that are not committed; commit it with the metrics")
    try:
        result = experiment(
            config,
            data=data,
            name=name,
            gpu_id=gpu_id,
            test=test,
            force=force,
            commit=commit,
            parts=part,
            thresholds=thresholds,
            overrides=_parse(ctx.args),
        )
    except ValueError as error:
        msg.fail("Cannot run the experiment", str(error), exits=1)
    run = result["run"]
    if force and not test and run.metrics("test").exists():
        msg.warn(f"{run.metrics('test')} is of an earlier run; score this one with --test")
    msg.good(f"{result['said']} on dev: {run.metrics('dev')}")
    print("Committed" if commit else f"To keep it:\n{result['git']}")


def _only_test(config: str, name: str | None, data: str, gpu_id: int, *, given: bool) -> None:
    try:
        if given:
            raise ValueError("--only-test and settings of a training. Expected --name and --data.")
        result = score_test(config, name or config, data=data, gpu_id=gpu_id)
    except ValueError as error:
        msg.fail("Cannot score the test set", str(error), exits=1)
    msg.good(f"{result['said']} on test: {result['run'].metrics('test')}")
    print(f"To keep it:\n{result['git']}")


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
