"""Wheels: what goes in, what they need, and that they work alone."""

import json
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import spacy
from numpy.testing import assert_allclose
from spacy.util import get_minor_version_range

from scripts.front_matter import read_front_matter, with_front_matter
from scripts.package import (
    PLUGINS,
    _read_card,
    _requirements,
    check_alone,
    check_name,
    check_release,
    find_modules,
    is_tuned,
    package,
)
from tests.conftest import LABELS, ROOT

TEXTS = ["Thanks, this made my day!", "", "[NAME] is late again", " \n", "😀 damn thieves"]

# Runs where only the wheel and the installed packages exist, never the project.
LOAD = """
import json, sys
for name in ("plugins", "scripts"):
    sys.modules[name] = None  # importing it now fails
import spacy
nlp = spacy.load("en_goemotions_cnn")
texts = json.loads(sys.argv[1])
docs = list(nlp.pipe(texts))
print(json.dumps([[dict(doc.cats), doc._.emotions, [t.text for t in doc]] for doc in docs]))
"""

KILLED = """
import os, signal, sys
from pathlib import Path
import scripts.package as module
build = module._build
def build_and_die(source):
    wheel = build(source)
    wheel.write_bytes(wheel.read_bytes()[:1000])
    os.kill(os.getpid(), signal.SIGKILL)
module._build = build_and_die
module.package(Path(sys.argv[1]), Path(sys.argv[2]), name="goemotions_cnn", release="0.1.0")
"""


@pytest.fixture(scope="module")
def pipeline(files, tmp_path_factory):
    """A trained pipeline with thresholds, on disk."""
    nlp = spacy.load(files["model"])
    nlp.add_pipe("decide").set(dict.fromkeys(LABELS, 0.3), 0.3)
    folder = tmp_path_factory.mktemp("package") / "pipeline"
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def wheel(pipeline, tmp_path_factory):
    """The wheel of that pipeline."""
    return package(
        pipeline, tmp_path_factory.mktemp("wheel"), name="goemotions_cnn", release="0.1.0"
    )


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """A model card of that package."""
    head = {"license": "mit", "author": "Jo", "description": "Reads posts"}
    index = [{"name": "en_goemotions_cnn", "results": []}]
    path = tmp_path_factory.mktemp("card") / "card.md"
    path.write_text(with_front_matter({**head, "model-index": index}, "# en_goemotions_cnn\n"))
    return path


def config_of(**components):
    return {"nlp": {"lang": "en"}, "components": components}


@pytest.mark.slow
def test_installed_wheel_predicts_what_the_pipeline_predicts(pipeline, wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env").glob("lib/*/site-packages"))
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target"]
    subprocess.run([*install, site, wheel], check=True, capture_output=True)
    # spaCy itself comes from this environment: a test has no network.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    run = [python, "-I", "-c", LOAD, json.dumps(TEXTS)]
    found = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    expected = list(spacy.load(pipeline).pipe(TEXTS))
    for (cats, emotions, tokens), doc in zip(json.loads(found.stdout), expected, strict=True):
        assert list(cats) == LABELS
        assert_allclose(list(cats.values()), list(doc.cats.values()), atol=1e-6)
        assert emotions == doc._.emotions
        assert tokens == [token.text for token in doc]
    assert expected[2][0].text == "[NAME]"
    assert expected[0]._.emotions


@pytest.mark.slow
def test_wheel_holds_only_the_plugins_it_needs(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    modules = {Path(name).name for name in names if name.endswith(".py")}
    needed = {"attention.py", "decide.py", "losses.py", "textcat.py", "tokenizer.py"}
    assert modules == needed | {"__init__.py"}  # and neither blas.py nor embed.py
    metadata = next(name for name in names if name.endswith("METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    needs = [line for line in text.splitlines() if line.startswith("Requires-Dist")]
    assert len(needs) == 1
    assert needs[0].startswith("Requires-Dist: spacy<")


@pytest.mark.slow
def test_equal_pipelines_make_equal_wheels_quietly(pipeline, wheel, tmp_path, capfd):
    again = package(pipeline, tmp_path, name="goemotions_cnn", release="0.1.0")
    assert again.read_bytes() == wheel.read_bytes()
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == [wheel.name]


@pytest.mark.slow
def test_the_card_is_the_readme_and_fills_the_meta(pipeline, card, tmp_path):
    made = package(pipeline, tmp_path, name="goemotions_cnn", release="0.1.0", card=card)
    folder = "en_goemotions_cnn/en_goemotions_cnn-0.1.0"
    files = zipfile.ZipFile(made)
    assert files.read(f"{folder}/README.md") == card.read_bytes()
    for name in ("en_goemotions_cnn/meta.json", f"{folder}/meta.json"):
        meta = json.loads(files.read(name))
        known = (meta["license"], meta["author"], meta["description"])
        assert known == ("mit", "Jo", "Reads posts")
    metadata = next(name for name in files.namelist() if name.endswith("METADATA"))
    text = files.read(metadata).decode()
    assert "Author: Jo\n" in text and "License: mit\n" in text and "Summary: Reads posts" in text
    assert text.endswith(card.read_text())
    again = package(pipeline, tmp_path / "b", name="goemotions_cnn", release="0.1.0", card=card)
    assert again.read_bytes() == made.read_bytes()


def test_what_the_meta_knows_stays_and_what_nobody_knows_stays_empty(card, tmp_path):
    assert _read_card(card, "en_goemotions_cnn", {"license": "GPL", "author": ""}) == {
        "author": "Jo",
        "description": "Reads posts",
    }
    fields, body = read_front_matter(card)
    other = tmp_path / "card.md"
    other.write_text(with_front_matter({**fields, "license": "unknown"}, body))
    assert set(_read_card(other, "en_goemotions_cnn", {})) == {"author", "description"}


def test_a_card_of_another_package_is_refused(pipeline, card, tmp_path):
    with pytest.raises(ValueError, match=r"a card of en_goemotions_cnn\. Expected one of en_x"):
        package(pipeline, tmp_path / "wheel", name="x", release="0.1.0", card=card)
    for text, message in (("# No head", "no fields"), ("---\n[\n---\n", "Expected YAML")):
        other = tmp_path / "other.md"
        other.write_text(text)
        with pytest.raises(ValueError, match=message):
            package(pipeline, tmp_path / "wheel", name="x", release="0.1.0", card=other)
    with pytest.raises(ValueError, match=r"no\.md: no such file.*run scripts\.card"):
        package(pipeline, tmp_path / "wheel", name="x", release="0.1.0", card=tmp_path / "no.md")
    assert not (tmp_path / "wheel").exists()


@pytest.mark.slow
def test_killed_run_leaves_the_previous_wheel_and_the_next_completes(pipeline, wheel, tmp_path):
    old = tmp_path / wheel.name
    old.write_bytes(b"the previous wheel")
    run = subprocess.run([sys.executable, "-c", KILLED, pipeline, tmp_path], cwd=ROOT)
    assert run.returncode == -signal.SIGKILL
    assert old.read_bytes() == b"the previous wheel"
    assert list(tmp_path.glob("*.whl")) == [old]
    package(pipeline, tmp_path, name="goemotions_cnn", release="0.1.0")
    assert old.read_bytes() == wheel.read_bytes()
    assert list(tmp_path.iterdir()) == [old]


def test_modules_are_found_by_what_the_config_names():
    textcat = {"factory": "textcat", "model": {"@architectures": "goemotions.PooledTextcat.v1"}}
    found = find_modules(config_of(textcat=textcat, decide={"factory": "decide"}))
    assert found == [PLUGINS / "decide.py", PLUGINS / "textcat.py"]
    assert find_modules(config_of(textcat={"factory": "textcat"})) == []
    assert find_modules({**config_of(), "training": {"@architectures": "goemotions.X.v1"}}) == []


@pytest.mark.slow
def test_parts_that_a_package_registers_when_imported_are_found():
    # In a process that has imported no transformer: span getters are not there from the start.
    find = (
        "from spacy.util import load_config; from scripts.package import find_modules; "
        "print(*(path.name for path in find_modules(load_config('configs/bert.cfg'))))"
    )
    done = subprocess.run([sys.executable, "-c", find], cwd=ROOT, capture_output=True, text=True)
    assert {"textcat.py", "transformer.py"} <= set(done.stdout.split()), done.stderr


def test_unknown_registered_function_is_named():
    model = {"@architectures": "goemotions.Nowhere.v1"}
    with pytest.raises(ValueError, match=r"architectures has no 'goemotions\.Nowhere\.v1'"):
        find_modules(config_of(textcat={"factory": "textcat", "model": model}))


def test_requirements_are_the_imports_that_spacy_does_not_bring(tmp_path):
    (tmp_path / "a.py").write_text("import json\nimport numpy\ndef f():\n    import sklearn.svm\n")
    (tmp_path / "b.py").write_text("from thinc.api import Model\nfrom sklearn import metrics\n")
    found = _requirements({"requirements": ["scipy>=1"]}, [tmp_path / "a.py", tmp_path / "b.py"])
    assert found == ["scipy>=1", f"scikit-learn{get_minor_version_range(version('scikit-learn'))}"]


def test_every_plugin_stands_alone_as_in_a_wheel():
    check_alone(sorted({*PLUGINS.glob("*.py")} - {PLUGINS / "__init__.py"}))
    with pytest.raises(ValueError, match=r"__init__\.py: imports plugins\. Expected"):
        check_alone([PLUGINS / "__init__.py"])


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("from plugins.blas import x", "plugins"),
        ("def f():\n    import scripts.files", "scripts"),
        ("from .blas import x", "a module beside it"),
        ("from . import blas", "a module beside it"),
        ("import json, my_helpers, plugins", "my_helpers, plugins"),
    ],
)
def test_a_plugin_that_needs_the_project_is_refused_before_a_wheel_is_built(
    pipeline, tmp_path, monkeypatch, line, named
):
    module = tmp_path / "mine.py"
    module.write_text(f"import thinc\n{line}\n")
    monkeypatch.setattr("scripts.package.find_modules", lambda *_: [module])
    with pytest.raises(ValueError, match=rf"mine\.py: imports {named}\. Expected"):
        package(pipeline, tmp_path / "packages", name="goemotions_cnn", release="0.1.0")
    assert list(tmp_path.iterdir()) == [module]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("goemotions_cnn-seed1", "goemotions_cnn_seed1"),
        ("goemotions__cnn", "goemotions_cnn"),
        ("GoEmotions", "goemotions"),
        ("en_goemotions", "goemotions"),
        ("../x", "x"),
        ("_x_", "x"),
        ("28_labels", "goemotions_cnn"),
        ("", "goemotions_cnn"),
    ],
)
def test_bad_names_are_refused_with_a_good_one(name, hint):
    with pytest.raises(ValueError, match=rf"Name '{name}'.* for example {hint}\."):
        check_name(name, "en")
    assert check_name(hint, "en") is None


@pytest.mark.parametrize("release", ["", "one", "0.1.0-beta", "v1.0", "1.0 ", "../1"])
def test_bad_versions_are_refused(release):
    with pytest.raises(ValueError, match=r"Version '.*Expected, for example, [01]\.[01]"):
        check_release(release)
    assert check_release("0.1.0") is None


def test_folder_without_a_pipeline_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no meta\.json\. Expected a pipeline"):
        package(tmp_path, tmp_path / "wheel", name="x", release="0.1.0")
    assert not (tmp_path / "wheel").exists()


@pytest.mark.slow
def test_pipeline_knows_whether_it_was_tuned(pipeline, files):
    assert is_tuned(pipeline)
    assert not is_tuned(files["model"])


def test_a_pipeline_without_a_text_classifier_has_nothing_to_tune(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler")
    nlp.to_disk(tmp_path)
    assert is_tuned(tmp_path)
