"""Check that every key of a config and every override is one that spaCy will use."""

import configparser
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import SequenceMatcher, get_close_matches
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from spacy.cli._util import parse_config_overrides
from spacy.language import DEFAULT_CONFIG
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc, DocBin
from spacy.training.corpus import walk_corpus
from spacy.training.initialize import load_vectors_into_model
from spacy.training.pretrain import get_tok2vec_ref
from spacy.util import (
    get_package_path,
    is_package,
    load_config,
    load_model_from_config,
    registry,
    walk_dict,
)
from spacy.vocab import Vocab
from thinc.api import Config, Model
from wasabi import msg

import plugins  # noqa: F401  registers what the configs name
from scripts.files import hash_of

SOURCED_KEYS = ("source", "component", "replace_listeners")
PIPELINES = ("source", "emotions", "vectors")  # folders, or names of packages
FREE_SECTIONS = ("paths", "system", "vars")  # keys there only serve ${references}


def check_config(path: Path, overrides: dict[str, Any] | None = None) -> None:
    """Compare a config with what spaCy makes of it; spaCy drops keys it does not know in silence.

    Pipelines that components are taken from need not be there: check_inputs looks for them.

    path: Config file.
    overrides: Values by dotted key, as after `spacy train`.
    RAISES ValueError: A key or an override that nothing reads, a name that is not registered, a
        value of the wrong type, or pretrained weights that spaCy would ignore.
    """
    try:
        config = load_config(path, overrides=overrides or {}, interpolate=False)
    except (ValueError, configparser.Error) as error:  # spaCy's own are ValueErrors
        raise ValueError(f"{path}: {str(error).strip()}") from error
    check_loaded(config, str(path), path.read_text(encoding="utf8"))


def check_loaded(config: Config, path: str, text: str) -> None:
    """Check a config that is in memory; without its interpolation.

    path: What errors call it.
    text: All in which there may be ${references}.
    RAISES ValueError: As check_config does.
    """
    try:
        own = _without_sourced(config)
        filled = load_model_from_config(own, auto_fill=True, validate=True).config
        final = filled.interpolate()
        registry.resolve(final["training"], schema=ConfigSchemaTraining, validate=True)
    except (ValueError, configparser.Error) as error:
        raise ValueError(f"{path}: {str(error).strip()}") from error
    known = [".".join(keys) for keys, _ in walk_dict(filled)]
    known += [f"components.{name}.{key}" for name in _sourced(config) for key in SOURCED_KEYS]
    written = [".".join(keys) for keys, _ in walk_dict(config)]
    unread = _unreferenced(config, text)
    problems = [_describe(key, known) for key in written if key not in known or key in unread]
    if problems:
        raise ValueError("\n".join(f"{path}: {problem}" for problem in problems))
    rate = final["training"]["dropout"]
    if isinstance(rate, int):  # which spaCy takes for a schedule, and fails at the first batch
        raise ValueError(f"{path}: training.dropout {rate}. Expected {float(rate)}, with a point.")
    if final["initialize"]["init_tok2vec"] and not final["pretraining"]:
        raise ValueError(
            f"{path}: initialize.init_tok2vec is set, but [pretraining] is empty. Expected a "
            "[pretraining] block: without one spaCy ignores the weights."
        )


def check_inputs(
    path: Path, overrides: dict[str, Any] | None = None, *, corpus: bool = True
) -> None:
    """Check that every path given is there, with the labels and components that are wanted of it.

    path, overrides: As for check_config.
    corpus: Check the files under [paths] too, and the labels in them.
    RAISES ValueError: A file or pipeline is missing, a pipeline has no component of that name, or
        the labels file has others than the training data, or pretrained weights do not fit.
    """
    config = load_config(path, overrides=overrides or {}, interpolate=True)
    for name in _sourced(config):
        section = config["components"][name]
        source, wanted = str(section["source"]), section.get("component", name)
        meta = srsly.read_json(_folder_of(source, path) / "meta.json")
        there = meta.get("components", meta["pipeline"])
        if wanted not in there:
            raise ValueError(f"{path}: {source} has no {wanted}. Expected one of {there}.")
    vectors = config.get("initialize", {}).get("vectors")
    if vectors:
        _folder_of(str(vectors), path)
    if config.get("initialize", {}).get("init_tok2vec"):
        _check_weights(path, config)
    if not corpus:
        return
    files = config.get("paths", {})
    for key, value in files.items():
        if value and key not in PIPELINES and not Path(str(value)).exists():
            hint = "Expected it before training; preprocess makes what is in corpus/."
            raise ValueError(f"{path}: --paths.{key} {value}: no such file. {hint}")
    _check_labels(Path(str(files.get("train"))), Path(str(files.get("labels"))))


def _check_weights(path: Path, config: Config) -> None:
    """Raise ValueError unless pretrained weights fit the encoder that they are for."""
    weights = Path(config["initialize"]["init_tok2vec"])
    if not weights.is_file():
        raise ValueError(
            f"{path}: no pretrained weights at {weights}. Expected a .bin; python -m "
            "scripts.pretrain writes model-best.bin."
        )
    nlp = load_model_from_config(config, auto_fill=True)
    if config["initialize"].get("vectors"):
        load_vectors_into_model(nlp, config["initialize"]["vectors"])
    settings = {"component": "tok2vec", "layer": "", **config["pretraining"]}  # spaCy's defaults
    where = f"{settings['component']}.{settings['layer']}".rstrip(".")
    try:
        encoder = get_tok2vec_ref(nlp, settings)
        encoder.initialize(X=[nlp.make_doc("a doc to infer widths from")])
        wanted = _settings_of(encoder)
        encoder.from_bytes(weights.read_bytes())
        encoder.predict([nlp.make_doc("a doc to try the weights on")])
        if _settings_of(encoder) != wanted:  # which would replace those of the config
            pairs = zip(_settings_of(encoder), wanted, strict=True)
            there, here = next(pair for pair in pairs if pair[0] != pair[1])
            raise ValueError(f"{there} in the weights, {here} in the config")
        _check_vectors(weights, config, encoder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: the weights of {weights} do not fit {where} ({str(error).strip()[:200]}). "
            "Expected the config and overrides that pretraining had."
        ) from error


def _settings_of(encoder: Model) -> list[tuple[str, str, Any]]:
    """Return the attributes of layers that are saved with the weights: layer, name, value."""
    found = []
    for layer in encoder.walk():
        for name, value in sorted(layer.attrs.items()):
            if name != "dropout_rate":  # which training sets
                with suppress(TypeError):  # functions and the like are not saved
                    found.append((layer.name, name, json.loads(json.dumps(value))))
    return found


def _check_vectors(weights: Path, config: Config, encoder: Model) -> None:
    """Raise ValueError if an encoder that reads static vectors was pretrained with others."""
    manifest = weights.parent / "manifest.json"
    folder = Path(str(config["initialize"].get("vectors"))) / "vocab"
    reads = any(layer.name == "static_vectors" for layer in encoder.walk())
    if reads and manifest.exists() and folder.exists():
        facts = srsly.read_json(manifest)
        if facts.get("vectors_sha256", "") != hash_of(folder):
            raise ValueError(f"pretrained with the vectors of {facts.get('vectors')}")


def _check_labels(corpus: Path, labels: Path) -> None:
    """Raise ValueError if a .json of labels has not those of a .spacy corpus; spaCy would not."""
    files = walk_corpus(corpus, ".spacy") if corpus.suffix == ".spacy" else []
    if not files or labels.suffix != ".json":
        return
    wanted = set(srsly.read_json(labels))
    found, marked = _labels_of(DocBin().from_disk(files[0]).get_docs(Vocab()))
    if marked and not found:
        if unknown := sorted(marked - wanted):
            has = f"{corpus} has label {unknown[0]!r}, {labels} has not"
            raise ValueError(f"{has}. Run preprocess again.")
        return
    differ = sorted(found ^ wanted)
    if differ:
        has, lacks = (corpus, labels) if differ[0] in found else (labels, corpus)
        raise ValueError(f"{has} has label {differ[0]!r}, {lacks} has not. Run preprocess again.")


def _labels_of(docs: Iterator[Doc]) -> tuple[set[str], set[str]]:
    """Return the labels of the first doc that has some, and those of its parts up to there.

    Parts are entities; words with tags, if there are no entities.
    """
    entities: set[str] = set()
    tags: set[str] = set()
    for doc in docs:
        if doc.cats:
            return set(doc.cats), entities or tags
        for span in chain(doc.ents, *doc.spans.values()):
            entities.add(span.label_)
        tags.update(token.tag_ for token in doc)
    return set(), entities or tags - {""}


def _folder_of(source: str, path: Path) -> Path:
    if (Path(source) / "meta.json").exists():
        return Path(source)
    if is_package(source):
        return get_package_path(source)
    hint = "Expected the folder of a pipeline or the name of an installed one."
    if Path(source).parent == Path("assets/models"):
        hint = f"Run python -m scripts.models {Path(source).name} first."
    raise ValueError(f"{path}: no pipeline at {source}. {hint}")


def _sourced(config: Config) -> list[str]:
    """Return the components that come from another pipeline."""
    return [name for name, section in config.get("components", {}).items() if "source" in section]


def _without_sourced(config: Config) -> Config:
    """Return a copy without the components that come from another pipeline."""
    own, sourced = config.copy(), _sourced(config)
    if sourced:
        own["nlp"]["pipeline"] = [x for x in config["nlp"]["pipeline"] if x not in sourced]
        own["components"] = {k: v for k, v in config["components"].items() if k not in sourced}
    return own


def _unreferenced(config: Config, text: str) -> set[str]:
    """Return keys of the free sections that neither spaCy's defaults nor a ${reference} use."""
    default = {".".join(keys) for keys, _ in walk_dict(DEFAULT_CONFIG)}
    used = set(re.findall(r"\$\{([\w.]+)\}", text)) | default
    keys = {f"{section}.{key}" for section in FREE_SECTIONS for key in config.get(section, {})}
    return keys - used


def _describe(key: str, known: list[str]) -> str:
    near = get_close_matches(key, [name for name in known if name != key], n=1, cutoff=0.7)
    hint = f" Did you mean {near[0]}?" if near else ""
    section, beside = key, set[str]()
    while section and not beside:
        section = section.rpartition(".")[0]
        inside = [name for name in known if name.startswith(f"{section}." if section else "")]
        beside = {
            ".".join(name.split(".")[: section.count(".") + 1 + bool(section)]) for name in inside
        }
    expected = ", ".join(nearest_first(key, beside - {key}))
    return f"nothing reads {key}.{hint} Expected one of {expected}."


def nearest_first(word: str, names: Iterable[str]) -> list[str]:
    """Return names, those that are spelt most like a word before others."""
    return sorted(sorted(names), key=lambda name: -SequenceMatcher(None, word, name).ratio())


def main(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Config to check; all of configs/ without", exists=True)
    ] = None,
) -> None:
    """Check configs; further options are overrides to check, e.g. --training.dropout 0.3."""
    try:
        overrides = parse_config_overrides(ctx.args)
        for path in [config] if config else sorted(Path("configs").glob("*.cfg")):
            check_config(path, overrides)
            msg.good(str(path))
    except ValueError as error:
        msg.fail("Bad config", str(error), exits=1)


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
