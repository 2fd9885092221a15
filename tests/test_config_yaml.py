"""Configs as YAML and back: the same values of the same types, and what no .cfg can hold."""

import json
from pathlib import Path
from typing import Any

import pytest
import srsly
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.util import load_config
from typer import Typer
from typer.testing import CliRunner

from scripts.config_yaml import as_cfg, config_yaml, main
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))
AWKWARD = r"""
[paths]

[system]
seed = 0
rate = 1e-4
tiny = 1e-05
whole = 1.0
huge = 1e300
on = true
off = false
none = null

[words]
rate = "1e-4"
none = "null"
tilde = "~"
truth = "true"
yes = "yes"
zero = "007"
time = "1:30"
day = "2020-01-01"
empty = ""
blank = "  lead"
hash = "a # b"
colon = "a: b"
place = "[NAME]"
lines = "a\nb\tc"
umlaut = "ä 😀"
money = "5$$ or $$10"
bare = no quotes at all

[refs]
seed = ${system.seed}
inside = "run-${system.seed}-a"
section = ${words}
listed = ["${system.seed}", 1]

[deep]
nested = [1, [2.0, "3"], {"a": null}, []]
table = {"x.y": 1.0, "z": {}}

[deep.*]

[deep.*.first]
@readers = "some.Reader.v1"
"""


def typed(config: dict[str, Any]) -> str:
    """Return a text in which 1, 1.0, true and "1" are not alike."""
    return json.dumps(config, sort_keys=True)


def there_and_back(path: Path, folder: Path) -> Path:
    (folder / "x.yml").write_text(config_yaml(path), encoding="utf8")
    (folder / "x.cfg").write_text(config_yaml(folder / "x.yml"), encoding="utf8")
    return folder / "x.cfg"


def test_there_are_configs():
    assert len(CONFIGS) >= 8


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_survives_the_way_there_and_back(path, tmp_path):
    back = load_config(there_and_back(path, tmp_path))
    assert typed(back) == typed(load_config(path))
    found = srsly.read_yaml(tmp_path / "x.yml")
    assert found["paths"] == load_config(path)["paths"]
    assert list(found) == list(load_config(path))
    is_section = [isinstance(value, dict) for value in found["nlp"].values()]
    assert is_section == sorted(is_section)  # single values first


def test_awkward_values_survive_the_way_there_and_back(tmp_path):
    (tmp_path / "awkward.cfg").write_text(AWKWARD, encoding="utf8")
    back = there_and_back(tmp_path / "awkward.cfg", tmp_path)
    for interpolate in (False, True):
        one = load_config(tmp_path / "awkward.cfg", interpolate=interpolate)
        assert typed(load_config(back, interpolate=interpolate)) == typed(one)
    found = srsly.read_yaml(tmp_path / "x.yml")
    assert found["system"]["rate"] == pytest.approx(0.0001)
    assert found["words"]["rate"] == "1e-4"
    assert found["words"]["money"] == "5$ or $10"
    assert found["words"]["bare"] == "no quotes at all"
    assert found["refs"]["seed"] == "${system.seed}"
    assert found["deep"]["table"] == {"x.y": 1.0, "z": {}}
    assert load_config(back, interpolate=True)["refs"]["inside"] == "run-0-a"


PRINTED = st.characters(exclude_categories=["C", "Z"])
MARKS = ["1e-4", "null", "~", "$", "${a.b}", "$$x", "'", "["]
TEXTS = st.text(PRINTED | st.sampled_from(" \n\t"), max_size=6) | st.sampled_from(MARKS)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
VALUES = PLAIN | st.lists(PLAIN | st.lists(PLAIN, max_size=2), max_size=3)
KEYS = st.text("abcXYZ_@019", min_size=1, max_size=6)
SECTIONS = st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=3), max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, SECTIONS, min_size=1, max_size=3))
def test_what_can_be_converted_is_what_was_written(tmp_path_factory, values):
    folder = tmp_path_factory.getbasetemp()
    srsly.write_yaml(folder / "values.yml", values)
    try:
        text = config_yaml(folder / "values.yml")
    except ValueError as error:
        assert "values.yml: no .cfg can hold" in str(error)
        return
    (folder / "values.cfg").write_text(text, encoding="utf8")
    assert typed(srsly.yaml_loads(config_yaml(folder / "values.cfg"))) == typed(values)
    if "${" not in text:
        assert typed(load_config(folder / "values.cfg", interpolate=True)) == typed(values)


def test_a_character_that_the_yaml_writer_would_change_is_refused(tmp_path):
    (tmp_path / "a.cfg").write_text('[a]\nb = 1\nc = "x\\u0085y"\n')
    with pytest.raises(ValueError, match=r"a\.cfg: no YAML can hold a\.c = "):
        config_yaml(tmp_path / "a.cfg")


def test_numbers_that_a_person_writes_are_numbers(tmp_path):
    (tmp_path / "a.yml").write_text("a:\n  lr: 1e-4\n  L2: 5E-2\n  n: 1_000\n  s: '1e-4'\n")
    (tmp_path / "a.cfg").write_text(config_yaml(tmp_path / "a.yml"))
    found = load_config(tmp_path / "a.cfg")["a"]
    assert found == {"lr": 0.0001, "L2": 0.05, "n": 1000, "s": "1e-4"}


def test_sections_stand_in_the_order_of_the_yaml_and_beside_their_parts(tmp_path):
    (tmp_path / "a.yml").write_text("b:\n  c:\n    d: 1\n  x: 2\na:\n  e: {}\n")
    text = config_yaml(tmp_path / "a.yml")
    assert [line for line in text.splitlines() if line] == [
        *("[b]", "x = 2", "[b.c]", "d = 1", "[a]", "[a.e]"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n  b: [1\n", "a.yml, line 2: expected ',' or ']'|a.yml, line 3: expected ',' or ']'"),
        ("a:\n  b: 1\n  b: 2\n", 'a.yml, line 3: found duplicate key "b"'),
        ("a:\n\tb: 1\n", r"a.yml, line 2: found character '\\t'"),
        ("a: {b: ${x.y}}\n", "a.yml, line 1: "),
        ("a:\n  b: !!python/object:os.system x\n", "a.yml, line 2: could not determine"),
        ("a:\n  b: 1\n---\nc:\n", "a.yml, line 3: but found another document"),
        ("", "a.yml: found nothing. Expected sections"),
        ("- 1\n", "a.yml: found a list. Expected sections"),
        ("seed: 3\n", "a.yml: seed is a int. Expected a section"),
        ("a:\n", "a.yml: a is nothing. Expected a section"),
        ("a:\n  day: 2020-01-01\n", "a.yml: no .cfg can hold this: .*date"),
        ("a:\n  1: x\n", "a.yml: no .cfg can hold this: the key 1 is no text"),
        ("a:\n  b:\n    '#x': 1\n", "a.yml: no .cfg can hold a.b.#x = 1"),
        ("a: &x\n  b: *x\n", "a.yml: no .cfg can hold this: "),
        ("a.b:\n  c: 1\n", "a.yml: no .cfg can hold this: "),
        ("a:\n  b: ['${']\n", r"a.yml: no .cfg can hold this: '\$\{' has a \$ that begins"),
        ("a:\n  b: '${x.y}$'\n", "a.yml: no .cfg can hold this: .* begins no"),
    ],
)
def test_bad_yaml_is_named_with_file_and_line(text, message, tmp_path):
    (tmp_path / "a.yml").write_text(text)
    with pytest.raises(ValueError, match=message):
        config_yaml(tmp_path / "a.yml")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.cfg").write_text("[a]\nb = 1\nc\n")
    with pytest.raises(ValueError, match=r"a\.cfg: .*line 3\]"):
        config_yaml(tmp_path / "a.cfg")
    (tmp_path / "b.yml").write_bytes("a:\n  b: ä\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"b\.yml: .*utf-8"):
        config_yaml(tmp_path / "b.yml")
    with pytest.raises(ValueError, match=r"c\.json: found \.json\. Expected \.cfg"):
        config_yaml(tmp_path / "c.json")


def test_errors_of_the_copy_name_the_yaml(tmp_path):
    (tmp_path / "a.yml").write_text("a:\n  b: 1\n")
    with (
        pytest.raises(ValueError, match=f"^{tmp_path}/a.yml: bad$"),
        as_cfg(tmp_path / "a.yml") as x,
    ):
        assert load_config(x) == {"a": {"b": 1}}
        raise ValueError(f"{x}: bad")
    assert not x.exists()
    with as_cfg(CONFIGS[0]) as same:
        assert same == CONFIGS[0]


def test_the_command_writes_prints_and_says_what_is_wrong(tmp_path):
    app = Typer()
    app.command()(main)
    run = CliRunner().invoke
    output = tmp_path / "cnn.yml"
    found = run(app, [str(ROOT / "configs" / "cnn.cfg"), "-o", str(output)])
    assert found.exit_code == 0 and "without comments" in found.stdout
    printed = run(app, [str(output)])
    assert printed.stdout == config_yaml(output)
    bad = run(app, [str(output), "-o", str(tmp_path / "again.yml")])
    assert bad.exit_code == 1 and "expected a name in .cfg" in bad.stdout
    assert not (tmp_path / "again.yml").exists()
