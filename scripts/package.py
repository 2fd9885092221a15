"""Build a wheel of a pipeline with the plugin modules that it needs, and no others."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from catalogue import RegistryError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from spacy.cli.package import package as spacy_package
from spacy.util import get_minor_version_range, load_config, registry, walk_dict
from wasabi import msg

import plugins
from scripts.files import remove, replacing
from scripts.front_matter import read_front_matter
from scripts.scores import TEXTCAT_FACTORIES

PLUGINS = Path(plugins.__file__).parent
PROJECT = {"plugins", "scripts"}  # installed or not, they stay behind
# setuptools' own build step: it needs neither pip nor a network, as isolated builds do.
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
# Files in a zip start in 1980; a fixed date makes equal pipelines equal wheels.
EPOCH = "315532800"


def package(
    pipeline: Path,
    output: Path,
    *,
    name: str,
    release: str,
    card: Path | None = None,
    plugin_folder: Path = PLUGINS,
) -> Path:
    """Build a wheel that `pip install` installs and `spacy.load` opens by name.

    pipeline: Folder that spaCy saved.
    output: Folder of the wheel; an earlier wheel of this name stays until the new one is complete.
    name: Package name without the language, which spaCy puts before it.
    release: Version as pip writes it, e.g. 0.1.0.
    card: Model card of scripts.card; becomes README.md, and tells meta.json licence, author and
        description where it has none.
    plugin_folder: Modules to search for what the pipeline is made of.
    RETURNS: Path of the wheel.
    RAISES ValueError: No pipeline, an unknown registered function, a module that does not stand
        alone, a bad name or version, a card of another package.
    """
    meta, config = _read_pipeline(pipeline)
    check_name(name, meta["lang"])
    check_release(release)
    full_name = f"{meta['lang']}_{name}"
    if card is not None:
        meta |= _read_card(card, full_name, meta)
    modules = find_modules(config, plugin_folder)
    check_alone(modules)
    building = output / ".build.tmp"
    remove(building)  # of a killed run
    building.mkdir(parents=True)
    try:
        meta["requirements"] = _requirements(meta, modules)
        srsly.write_json(building / "meta.json", meta)
        spacy_package(
            pipeline,
            building,
            meta_path=building / "meta.json",
            code_paths=modules,
            name=name,
            version=release,
            create_sdist=False,
            require_parent=True,
        )
        source = building / f"{full_name}-{release}"
        if card is not None:
            for folder in (source, source / full_name / source.name):
                shutil.copyfile(card, folder / "README.md")
        built = _build(source)
        with replacing(output / built.name) as temporary:
            built.rename(temporary)
    finally:
        remove(building)
    return output / built.name


def find_modules(config: dict[str, Any], plugin_folder: Path = PLUGINS) -> list[Path]:
    """Find the plugin modules that register what a pipeline is made of.

    config: Of the pipeline; only [nlp] and [components] matter once it is trained.
    RETURNS: Files in `plugin_folder`, sorted.
    RAISES ValueError: Nothing is registered under a name in the config.
    """
    spacy.blank(config["nlp"]["lang"])  # with the first pipeline spaCy registers all factories
    files = {_file_of(kind, name, config["nlp"]["lang"]) for kind, name in _registered(config)}
    return sorted(file for file in files if file and file.parent == plugin_folder.resolve())


def check_alone(modules: list[Path]) -> None:
    """Raise ValueError if a plugin module imports what no wheel holds and no package brings."""
    owners = packages_distributions()
    for module in modules:
        names = _imports(module) - sys.stdlib_module_names
        behind = sorted(name for name in names if name in PROJECT or name not in owners)
        if behind:
            found = ", ".join(name or "a module beside it" for name in behind)
            raise ValueError(
                f"{module}: imports {found}. Expected the standard library and installed packages "
                "alone: a wheel holds each plugin module by itself, nothing else of the project."
            )


def check_name(name: str, lang: str) -> None:
    """Raise ValueError unless spaCy, setuptools and pip all leave a package name as it is."""
    clean = re.sub(r"[^a-z0-9]+", "_", name.lower().removeprefix(f"{lang}_")).strip("_")
    if name != clean or not name[:1].isalpha():
        raise ValueError(
            f"Name {name!r}. Expected a letter, then a-z, 0-9 and single underscores, without the "
            f"language '{lang}_', which spaCy puts before it; for example "
            f"{clean if clean[:1].isalpha() else 'goemotions_cnn'}."
        )


def check_release(release: str) -> None:
    """Raise ValueError unless a version is written the way pip writes it."""
    try:
        normal = str(Version(release))
    except InvalidVersion:
        normal = "0.1.0"
    if release != normal:
        raise ValueError(f"Version {release!r}. Expected, for example, {normal}.")


def _read_pipeline(pipeline: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    for file in ("meta.json", "config.cfg"):
        if not (pipeline / file).is_file():
            raise ValueError(f"{pipeline}: no {file}. Expected a pipeline that spaCy saved.")
    return srsly.read_json(pipeline / "meta.json"), load_config(pipeline / "config.cfg")


def _read_card(card: Path, full_name: str, meta: dict[str, Any]) -> dict[str, str]:
    """Return the fields of meta.json that only the card knows."""
    fields, _ = read_front_matter(card)
    names = [model.get("name") for model in fields.get("model-index", [])]
    if names != [full_name]:
        found = ", ".join(map(str, names)) or "no package"
        raise ValueError(f"{card}: a card of {found}. Expected one of {full_name}.")
    known = {key: fields.get(key, "unknown") for key in ("license", "author", "description")}
    return {key: x for key, x in known.items() if x != "unknown" and not meta.get(key)}


def _registered(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield registry and name of every registered function in [nlp] and [components]."""
    # Factories first: to look one up imports its package, which registers other parts by that.
    for component in config["components"].values():
        if "factory" in component:
            yield "factories", component["factory"]
    for section in ("nlp", "components"):
        for path, value in walk_dict(config.get(section, {})):
            if path[-1].startswith("@"):
                yield path[-1][1:], value


def _file_of(kind: str, name: str, lang: str) -> Path | None:
    for full_name in (f"{lang}.{name}", name):
        try:
            found = registry.find(kind, full_name).get("file")
        except RegistryError:
            continue
        return Path(found).resolve() if found else None
    raise ValueError(
        f"config.cfg: {kind} has no {name!r}. Expected it from spaCy, an installed package or a "
        "module that plugins/__init__.py imports."
    )


def _requirements(meta: dict[str, Any], modules: list[Path]) -> list[str]:
    """Return the packages that the modules import and that spaCy does not bring with it."""
    known = list(meta.get("requirements", []))
    needs = [Requirement(text) for text in (*known, *(requires("spacy") or []))]
    brought = [n.name for n in needs if not n.marker or n.marker.evaluate({"extra": ""})]
    seen = {canonicalize_name(name) for name in ("spacy", *brought)}
    owners = packages_distributions()
    for module in modules:
        for top in sorted(_imports(module) - sys.stdlib_module_names):
            package_name = owners.get(top, [top])[0]
            if canonicalize_name(package_name) not in seen:
                seen.add(canonicalize_name(package_name))
                # 2.13.0+cu128 is a local build that no index can serve.
                public = Version(version(package_name)).public
                known.append(f"{package_name}{get_minor_version_range(public)}")
    return known


def _imports(module: Path) -> set[str]:
    """Return the top-level names that a module imports, wherever it does; "" for one beside it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("" if node.level else node.module.split(".")[0])
    return names


def _build(source: Path) -> Path:
    """Build the wheel of a folder with a setup.py.

    RAISES RuntimeError: The build failed; with what it said last.
    """
    result = subprocess.run(
        [sys.executable, "-c", BUILD, "dist"],
        cwd=source,
        env={"SOURCE_DATE_EPOCH": EPOCH, **os.environ},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"setuptools built no wheel: {result.stderr.strip()[-2000:]}")
    return next((source / "dist").glob("*.whl"))


def is_tuned(pipeline: Path) -> bool:
    """Return whether a saved pipeline decides, or its text classifier only scores."""
    components = load_config(pipeline / "config.cfg")["components"].values()
    files = pipeline.glob("*/thresholds.json")
    scores = any(component.get("factory") in TEXTCAT_FACTORIES for component in components)
    return not scores or any(srsly.read_json(file)["thresholds"] for file in files)


def main(
    pipeline: Annotated[Path, typer.Argument(help="Folder of the pipeline", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder the wheel goes to", file_okay=False)],
    name: Annotated[str, typer.Option(help="Package name without the language")],
    release: Annotated[str, typer.Option("--version", help="Version, e.g. 0.1.0")],
    card: Annotated[
        Path | None, typer.Option(help="Model card of scripts.card, to be README.md")
    ] = None,
) -> None:
    """Build a wheel of a pipeline with the plugin modules that it needs."""
    try:
        wheel = package(pipeline, output, name=name, release=release, card=card)
    except ValueError as error:
        msg.fail("Cannot package", str(error), exits=1)
    if not is_tuned(pipeline):
        msg.warn("No tuned thresholds: this wheel scores, it does not decide (see scripts.decide)")
    load = f'spacy.load("{wheel.name.split("-")[0]}")'
    # Not through wasabi, which would break the command at 80 columns.
    print(f"{wheel} ({wheel.stat().st_size / 1e6:.2f} MB): pip install {wheel}, then {load}")


if __name__ == "__main__":
    typer.run(main)
