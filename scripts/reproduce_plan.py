"""Plan the way from assets to the metrics of a data set: commands, each after what it needs."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.asset_list import ASSETS
from scripts.compare import SEED
from scripts.compose import compose
from scripts.files import hash_of

FILE = re.compile(r"(?<![\w/.-])(?:assets|corpus|training)/[\w./+-]+")
NAME = r"([\w.+-]+)"
# What no JSON of metrics/ tells: the raw texts, which are the user's own file, and these.
TEACHERS = "teacher-seed*.json"
RAW_TEXTS = 160_000
POSTS = 43_410  # of train, for an estimate of minutes
LABELLED_PER_MINUTE = 17_000  # by a teacher, as scripts.soft_labels said of the committed students
MINUTES = {"assets": 0.5, "preprocess": 0.5, "models": 1, "raw_text": 0.5, "faster": 0.2}
MINUTES |= {"train_vectors": 5}


@dataclass(frozen=True)
class Step:
    """A command.

    output: File or folder that it writes. minutes: About how long. lacks: Option that the user
    must give before it can run. note: What else is to be known.
    """

    name: str
    command: tuple[str, ...]
    output: str
    minutes: float
    lacks: str = ""
    note: str = ""


@dataclass(frozen=True)
class Sources:
    """What a plan starts from, beside the network: folders of the data set's files and of wheels,
    a file of raw texts."""

    mirror: Path | None = None
    wheels: Path | None = None
    raw: Path | None = None


def plan(runs: list[str], metrics: Path, sources: Sources | None = None) -> list[Step]:
    """Return the steps to the metrics of some runs, each after what it needs.

    runs: Names of JSONs without .json and .test.json.
    metrics: metrics/<data>, whose JSONs say the commands.
    RAISES ValueError: A JSON without a command, or a file that nothing here makes.
    """
    maker = _Maker(metrics, sources or Sources())
    for run in runs:
        maker.run(run)
    return list(maker.steps.values())


def chosen(names: list[str], metrics: Path) -> list[str]:
    """Return the runs with test metrics that are named, with or without their seeds; all if none.

    RAISES ValueError: There are no such runs.
    """
    runs = [path.name.removesuffix(".test.json") for path in sorted(metrics.glob("*.test.json"))]
    known = {name for run in runs for name in (run, SEED.sub("", run))}
    odd = [name for name in names if name not in known]
    if odd or not runs:
        expected = ", ".join(sorted(known)) or "some in the folder"
        raise ValueError(f"{metrics}: no test metrics of {', '.join(odd)}. Expected {expected}.")
    return [run for run in runs if not names or {run, SEED.sub("", run)} & set(names)]


class _Maker:
    """Collects steps; what a command names is made before it."""

    def __init__(self, metrics: Path, sources: Sources) -> None:
        self.metrics = metrics
        self.data = metrics.name
        self.sources = sources
        self.steps: dict[str, Step] = {}
        self.open: set[str] = set()
        own = re.escape(self.data)
        self.rules = (
            (rf"corpus/raw/{own}\.jsonl\.gz", self._raw_text),
            (rf"corpus/{own}-soft(?:/.*)?", self._soft_labels),
            (rf"corpus/{own}(?:/.*)?", self._corpus),
            (rf"assets/models/{NAME}", self._model),
            (rf"assets/vectors/{own}", self._vectors),
            (rf"assets/{own}(?:/.*)?", self._assets),
            (rf"training/{own}/{NAME}/pretrained(?:/.*)?", self._pretrained),
            (rf"training/{own}/{NAME}/pipeline", self.run),
            (rf"training/{own}/{NAME}/fast", self._fast),
        )

    def run(self, name: str) -> None:
        """Add the command of a run."""
        files = [self.metrics / f"{name}{suffix}" for suffix in (".test.json", ".json")]
        path = next((path for path in files if path.exists()), None)
        if path is None:
            raise ValueError(f"{files[1]}: no such metrics. Expected them: {name} is needed.")
        result = json.loads(path.read_text(encoding="utf8"))
        facts, conditions = result.get("experiment", {}), result["conditions"]
        command = shlex.split(facts.get("command", conditions.get("command", "")))
        if not command:
            raise ValueError(f"{path}: no command. Expected a run of scripts.experiment.")
        needs = [f"corpus/{self.data}", *_files_of(facts)]
        force = ["--force"] if facts else []
        output = f"metrics/{self.data}/{path.name}"
        note = _changed(facts, conditions.get("training", {}))
        self._add(name, [*command, *force], output, _minutes(result), needs=needs, note=note)

    def _add(
        self,
        name: str,
        command: list[str],
        output: str,
        minutes: float,
        *,
        needs: list[str] | None = None,
        lacks: str = "",
        note: str = "",
    ) -> None:
        if name in self.steps:
            return
        if name in self.open:
            raise ValueError(f"{name} needs itself. Expected commands in an order.")
        self.open.add(name)
        for file in [*(needs or []), *FILE.findall(" ".join(command))]:
            if not f"{file}/".startswith(f"{output}/") and not output.startswith(f"{file}/"):
                self._need(file)
        self.steps[name] = Step(name, tuple(command), output, minutes, lacks, note)

    def _need(self, file: str) -> None:
        for pattern, make in self.rules:
            if found := re.fullmatch(pattern, file):
                make(*found.groups())
                return
        raise ValueError(f"{file}: nothing here makes it. Expected another file, or a rule for it.")

    def _by(self, script: str, *arguments: str, output: str, what: str = "", **more: Any) -> None:
        command = ["python", "-m", f"scripts.{script}", *arguments]
        minutes = more.pop("minutes", MINUTES.get(script, 0))
        self._add(f"{script} {what or self.data}", command, output, minutes, **more)

    def _assets(self) -> None:
        if self.data in ASSETS:  # others are in the project, or the user's own
            mirror = ["--mirror", str(self.sources.mirror.resolve())] if self.sources.mirror else []
            output = f"assets/{self.data}"
            self._by("assets", self.data, *mirror, output=output)

    def _corpus(self) -> None:
        folders = f"assets/{self.data}", f"corpus/{self.data}"
        self._by("preprocess", *folders, output=folders[1])

    def _model(self, name: str) -> None:
        wheels = ["--mirror", str(self.sources.wheels.resolve())] if self.sources.wheels else []
        self._by("models", name, *wheels, output=f"assets/models/{name}", what=name)

    def _vectors(self) -> None:
        output = f"assets/vectors/{self.data}"
        self._by("train_vectors", f"corpus/{self.data}/train.spacy", output, output=output)

    def _raw(self) -> tuple[str, str]:
        raw = self.sources.raw
        return (str(raw.resolve()), "") if raw else ("RAW", "--raw")

    def _raw_text(self) -> None:
        raw, lacks = self._raw()
        output = f"corpus/raw/{self.data}.jsonl.gz"
        texts = f"assets/{self.data}/train.tsv"
        self._by("raw_text", texts, raw, output, output=output, lacks=lacks)

    def _pretrained(self, name: str) -> None:
        path = self.metrics / f"pretraining_{name}.json"
        if not path.exists():
            raise ValueError(f"{path}: no such file. Expected how {name} was pretrained.")
        result = json.loads(path.read_text(encoding="utf8"))
        output = f"training/{self.data}/{name}/pretrained"
        options = [
            word
            for key, value in result["overrides"].items()
            for word in (f"--{key}", _text(value))
        ]
        minutes = sum(epoch["seconds"] for epoch in result["epochs"]) / 60
        what = {"output": output, "what": name, "minutes": minutes}
        self._by("pretrain", result["config"], output, *options, **what)

    def _fast(self, name: str) -> None:
        folder = f"training/{self.data}/{name}"
        self._by(
            "faster", f"{folder}/pipeline", f"{folder}/fast", output=f"{folder}/fast", what=name
        )

    def _soft_labels(self) -> None:
        files = [p for p in sorted(self.metrics.glob(TEACHERS)) if ".test." not in p.name]
        if not files:
            raise ValueError(f"{self.metrics}: no {TEACHERS}. Expected the teachers' metrics.")
        raw, lacks = self._raw()
        fast = [f"training/{self.data}/{path.stem}/fast" for path in files]
        output = f"corpus/{self.data}-soft"
        minutes = len(files) * (POSTS + RAW_TEXTS) / LABELLED_PER_MINUTE
        options = ["--corpus", f"corpus/{self.data}", "--raw", raw, "--limit", str(RAW_TEXTS)]
        what = {"output": f"{output}/soft.jsonl.gz", "lacks": lacks, "minutes": minutes}
        self._by("soft_labels", output, *fast, *options, **what)


def _files_of(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the files that an experiment's config and parts name, but for those of the corpus."""
    if not facts:
        return
    groups = [part.partition("=") for part in facts.get("parts", [])]
    options = [(group, option) for group, _, found in groups for option in found.split(",")]
    files = [Path("configs/groups") / group / f"{option}.cfg" for group, option in options]
    for line in "\n".join(
        file.read_text() for file in [Path(facts["config"]), *files]
    ).splitlines():
        if line.startswith("soft = "):
            yield f"corpus/{facts['data']}-soft"  # wherever the part itself says
        elif not re.match(r"#|(train|dev|labels) = ", line):
            yield from FILE.findall(line)


def _changed(facts: dict[str, Any], training: dict[str, Any]) -> str:
    """Return a word on a config, or its parts, that are not those that were trained."""
    before = training.get("config_file_sha256")
    config = Path(facts.get("config", training.get("config", "")))
    if before is None or config.parts[:1] != ("configs",) or not config.exists():
        return ""
    if parts := facts.get("parts", []):
        text = compose([f"model={config.stem}", f"data={facts['data']}", *parts])
        now = hashlib.sha256(text.encode("utf8")).hexdigest()
    else:
        now = hash_of(config)
    return "" if now == before else f"{' '.join([str(config), *parts])} has changed since"


def _minutes(result: dict[str, Any]) -> float:
    """Return about how long a run takes: training, three predictions, intervals."""
    seconds = result["conditions"].get("training", {}).get("seconds", 0)
    return (seconds + 3 * result["docs"] / result["docs_per_second"]) / 60 + 1


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
