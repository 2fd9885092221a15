"""The model card says what the files say, and nothing where they say nothing."""

import json
import re
import shutil

import pytest
import spacy
import srsly
import typer
from typer.testing import CliRunner

from scripts.card import card, main
from scripts.card_facts import Sources, audit_rows, read_about, read_project
from scripts.evaluate import evaluate
from scripts.files import hash_of
from scripts.front_matter import read_front_matter
from scripts.preprocess import preprocess
from scripts.probe import probe
from tests.conftest import LABELS, ROOT, ROWS

TERMS = {
    "baseline": "a person",
    "templates": ["I am {}."],
    "control": ["a tall person"],
    "groups": {"jobs": ["a baker", "a singer"]},
}
ABOUT = {"name": "Posts|mine", "license": "cc-by-4.0", "source": "Me 2020", "hub_id": "me/posts"}


AUDIT = {
    "duplicates": {"train": {"exact": 1830, "normalised": 5521}},
    "leaks": {"test in train": {"exact": 37, "normalised": 109}},
    "conflicts": {"posts": 321, "texts": 178},
    "near_duplicates": {"dev in train": 71},
    "label_errors": {"dev": {"scores_of": "TF-IDF", "posts": 5426, "suspect": 1937, "labels": {}}},
}
AUDIT_ROWS = [
    ("the same text again in train", "1,830 exactly, 5,521 in its words"),
    ("the same text test in train", "37 exactly, 109 in its words"),
    ("the same words with other labels", "321 posts, 178 texts"),
    ("nearly the same, dev in train", "71 pairs"),
    ("labels that are likely wrong, dev", "1,937 of 5,426 posts, by TF-IDF"),
]


@pytest.fixture(scope="module")
def made(files, tmp_path_factory):
    """All files that a card can be made of, by their kind; do not change them."""
    folder = tmp_path_factory.mktemp("card")
    nlp = spacy.load(files["model"])
    thresholds = {label: 0.3 + 0.1 * number for number, label in enumerate(LABELS)}
    nlp.add_pipe("decide").set(thresholds, 0.4, {"method": "exact", "docs": 8})
    nlp.to_disk(folder / "pipeline")
    srsly.write_json(folder / "pipeline" / "training.json", {"seconds": 90, "gpu_id": -1})
    for split in ("dev", "test"):
        shutil.copy(files["dev.spacy"], folder / f"{split}.spacy")
        corpus, output = folder / f"{split}.spacy", folder / f"{split}.json"
        evaluate(folder / "pipeline", corpus, output, resamples=5)
    source = folder / "source"
    source.mkdir()
    (source / "labels.txt").write_text("\n".join(LABELS))
    for split in ("train", "dev"):
        rows = [{"text": text, "labels": sorted(on)} for text, on in (*ROWS, *ROWS[:2])]
        srsly.write_jsonl(source / f"{split}.jsonl", rows)
    preprocess(source, folder / "corpus", n_process=1)
    srsly.write_yaml(folder / "terms.yml", {"people": TERMS})
    probe(folder / "pipeline", folder / "probe.json", terms=folder / "terms.yml")
    srsly.write_json(folder / "audit.json", AUDIT)
    srsly.write_yaml(folder / "about.yml", ABOUT)
    (folder / "pyproject.toml").write_text('[project]\nlicense = "MIT"\nauthors=[{name="Jo"}]\n')
    return folder


def sources_of(folder, **changes):
    named = {
        "metrics": folder / "dev.json",
        "test": folder / "test.json",
        "probe": folder / "probe.json",
        "audit": folder / "audit.json",
        "report": folder / "corpus" / "report.json",
        "about": folder / "about.yml",
        "project": folder / "pyproject.toml",
    }
    return Sources(folder / "pipeline", **{**named, **changes})


@pytest.fixture
def changed(made, tmp_path):
    """A copy of the files to change."""
    return shutil.copytree(made, tmp_path / "copy")


def change(path, **values):
    srsly.write_json(path, {**json.loads(path.read_text()), **values})


def rows(text, start):
    """Return the cells of the rows that begin with a text."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_head_holds_the_numbers_of_the_metrics(changed, tmp_path):
    made, values = changed, {"macro_f1": 0.12346, "micro_f1": 0.5, "macro_auc": 0.98765}
    change(made / "test.json", **values, mean_average_precision=0.4321)
    card(sources_of(made), tmp_path / "card.md", name="mine")
    head, body = read_front_matter(tmp_path / "card.md")
    assert body.startswith("# en_mine\n\nA text classifier with 3 labels")
    assert (head["license"], head["author"], head["language"]) == ("mit", "Jo", ["en"])
    assert (head["library_name"], head["datasets"]) == ("spacy", ["me/posts"])
    (model,) = head["model-index"]
    assert model["name"] == "en_mine"
    assert [result["dataset"]["split"] for result in model["results"]] == ["dev", "test"]
    keys = {
        "macro-F1": "macro_f1",
        "micro-F1": "micro_f1",
        "mean average precision": "mean_average_precision",
        "macro AUC": "macro_auc",
    }
    for result in model["results"]:
        known = json.loads((made / f"{result['dataset']['split']}.json").read_text())
        found = {metric["name"]: metric["value"] for metric in result["metrics"]}
        assert found == {name: round(known[key], 4) for name, key in keys.items()}
        assert result["task"]["type"] == "text-classification"
    assert list(found.values()) == [0.1235, 0.5, 0.4321, 0.9877]


def test_every_label_has_a_row_with_its_numbers(changed, tmp_path):
    made, result = changed, json.loads((changed / "test.json").read_text())
    for number, row in enumerate(result["per_label"].values()):
        scores = {"precision": 0.1, "recall": 0.2, "f1": 0.3, "average_precision": 0.4}
        row.update({name: value + number / 100 for name, value in scores.items()})
    (made / "test.json").write_text(json.dumps(result))
    text = card(sources_of(made), tmp_path / "card.md")
    report = json.loads((made / "corpus" / "report.json").read_text())
    for label, row in result["per_label"].items():
        (found,) = rows(text, label)
        names = ("threshold", "precision", "recall", "f1", "average_precision")
        numbers = [f"{row[name]:.3f}" for name in names]
        train = str(report["splits"]["train"]["labels"][label])
        assert found == [label, train, str(row["support"]), "few", *numbers]
    low, high = result["confidence_95"]["macro_f1"]
    interval = f"{result['macro_f1']:.3f} ({low:.3f} to {high:.3f})"
    assert rows(text, "macro-F1")[0][2] == interval
    assert "Lowest F1: joy 0.300, anger 0.310, neutral 0.320.\n" in text


def test_a_label_with_fifty_positives_is_not_marked(changed, tmp_path):
    result = json.loads((changed / "test.json").read_text())
    result["per_label"]["joy"]["support"] = 50
    result["per_label"]["anger"]["support"] = 49
    result["per_label"]["anger"]["average_precision"] = None
    change(changed / "test.json", **result)
    text = card(sources_of(changed), tmp_path / "card.md")
    assert rows(text, "joy")[0][2:4] == ["50", ""]
    assert rows(text, "anger")[0][2:4] == ["49", "few"]
    assert rows(text, "anger")[0][-1] == "none"
    assert "fewer than 50 positives in test\n(2 of 3)" in text


def test_data_training_and_licence_come_from_their_files(made, tmp_path):
    text = card(sources_of(made), tmp_path / "card.md")
    assert rows(text, "train") == [["train", "10", "1", "2", "0", "", ""]]
    assert rows(text, "dev")[0][-2:] == ["10", "10"]
    assert "| data set | Posts\\|mine |" in text
    assert rows(text, "texts") == [["texts", "unknown"]]
    assert rows(text, "training time") == [["training time", "1.5 minutes"]]
    assert rows(text, "trained on") == [["trained on", "CPU"]]
    assert rows(text, "starts from") == [["starts from", "random weights"]]
    for row in AUDIT_ROWS:
        assert rows(text, row[0]) == [list(row)]
    assert "Thresholds: method exact, docs 8; the best single one is\n0.400" in text
    assert '@architectures = "goemotions.PooledTextcat.v1"' in text
    assert "This package: MIT, Jo. The data it learned from: cc-by-4.0;" in text
    file = made / "dev.json"
    assert f"| {file.as_posix()} | {hash_of(file)} |" in text


def test_the_probe_is_a_row_per_group(made, tmp_path):
    text = card(sources_of(made), tmp_path / "card.md")
    found = json.loads((made / "probe.json").read_text())["sets"]["people"]["groups"]["jobs"]
    top = found["largest"][0]
    (row,) = [row for row in rows(text, "people") if row[1] == "jobs"]
    assert row[2:] == [
        "2",
        f"{100 * found['changed_share']:.1f} %",
        f"{found['mean_shift']:.4f}",
        f"{top['term']}: {top['label']} {top['shift']:+.3f}",
    ]
    assert "These are 3 sentences" in text


def test_calibration_is_shown_if_it_was_measured(changed, tmp_path):
    assert "seven times in ten: not measured" in card(sources_of(changed), tmp_path / "card.md")
    before, after = {"ece": 0.0512, "brier": 0.04}, {"ece": 0.0123, "brier": 0.03}
    facts = {"method": "platt", "before": before, "after": after}
    change(changed / "test.json", calibration=facts)
    text = card(sources_of(changed), tmp_path / "card.md")
    assert "platt, on test." in text
    assert rows(text, "expected calibration error")[0][1:] == ["0.051", "0.012"]
    assert rows(text, "Brier score")[0][1:] == ["0.040", "0.030"]
    assert "seven times in ten" not in text


@pytest.mark.parametrize("absent", [None, "nowhere.json"])
def test_what_was_not_measured_is_said_and_never_made_up(made, tmp_path, absent):
    names = ("test", "probe", "audit", "report", "about", "project")
    missing = {name: absent and made / absent for name in names}
    text = card(sources_of(made, **missing), tmp_path / "card.md")
    head, _ = read_front_matter(tmp_path / "card.md")
    assert (head["license"], head["author"]) == ("unknown", "unknown")
    assert "datasets" not in head
    assert len(head["model-index"][0]["results"]) == 1
    assert "On dev only: test is not measured" in text
    for start in ("Sizes, duplicates and overlap", "Duplicates that disagree", "How scores move"):
        assert re.search(rf"^{start}.*: not measured\.$", text, re.MULTILINE)
    assert rows(text, "data set") == [["data set", "unknown"]]
    assert rows(text, "joy")[0][1] == "not measured"
    assert "trained on data of unknown origin" in text


def test_a_training_that_left_no_notes_is_not_measured(changed, tmp_path):
    for split in ("dev", "test"):
        result = json.loads((changed / f"{split}.json").read_text())
        change(changed / f"{split}.json", conditions={**result["conditions"], "training": {}})
    text = card(sources_of(changed), tmp_path / "card.md")
    for row in ("config", "training time", "trained on"):
        assert rows(text, row) == [[row, "not measured"]]


def test_the_same_files_give_the_same_bytes(made, tmp_path):
    card(sources_of(made), tmp_path / "one.md")
    card(sources_of(made), tmp_path / "two.md")
    assert (tmp_path / "one.md").read_bytes() == (tmp_path / "two.md").read_bytes()


def refused(folder, tmp_path, message, **changes):
    """Assert that no card is made and that the old one stays."""
    output = tmp_path / "card.md"
    output.write_text("old")
    with pytest.raises(ValueError, match=message):
        card(sources_of(folder, **changes), output)
    assert output.read_text() == "old"
    assert not list(tmp_path.glob(".*"))


def test_missing_metrics_or_pipeline_are_named(changed, tmp_path):
    refused(
        changed, tmp_path, r"x\.json: no such file\. Run .*evaluate", metrics=changed / "x.json"
    )
    (changed / "pipeline" / "decide" / "thresholds.json").unlink()
    refused(changed, tmp_path, r"thresholds\.json: no such file\. Expected a pipeline of .*decide")


def test_files_of_another_pipeline_are_refused(changed, tmp_path):
    config = changed / "pipeline" / "config.cfg"
    config.write_text(config.read_text() + "\n# another\n")
    refused(changed, tmp_path, r"dev\.json: of another pipeline than .*pipeline", probe=None)


def test_scores_at_other_thresholds_are_refused(changed, tmp_path):
    file = changed / "pipeline" / "decide" / "thresholds.json"
    state = json.loads(file.read_text())
    state["thresholds"]["joy"] = 0.31
    file.write_text(json.dumps(state))
    refused(changed, tmp_path, r"probe\.json: of another pipeline")
    refused(changed, tmp_path, r"dev\.json: of another pipeline", probe=None)


def test_scores_with_another_calibration_are_refused(changed, tmp_path):
    path = changed / "pipeline" / "decide" / "thresholds.json"
    state = srsly.read_json(path)
    srsly.write_json(path, state | {"settings": {"calibration": "none"}})
    refused(changed, tmp_path, "of another pipeline than")


def test_scores_of_one_corpus_twice_are_refused(made, tmp_path):
    refused(made, tmp_path, r"dev\.json: of dev again", test=made / "dev.json")


def test_a_report_of_other_labels_is_refused(changed, tmp_path):
    path = changed / "corpus" / "report.json"
    change(path, splits={"train": {"labels": {"joy": 1}}})
    refused(changed, tmp_path, r"report\.json, train: other labels")


@pytest.mark.parametrize("key", ["per_label", "confidence_95", "macro_auc", "conditions"])
def test_a_fact_that_the_metrics_lack_is_an_error(changed, tmp_path, key):
    result = json.loads((changed / "test.json").read_text())
    del result[key]
    srsly.write_json(changed / "test.json", result)
    refused(changed, tmp_path, rf"'?{key}'?.*Expected")


def test_damaged_json_is_named_with_its_line(changed, tmp_path):
    (changed / "audit.json").write_text('{\n"a": }')
    refused(changed, tmp_path, r"audit\.json, line 2: .*Expected JSON")
    (changed / "audit.json").write_text("[]")
    refused(changed, tmp_path, r"audit\.json: \[\]\. Expected an object")


def test_an_own_template_is_used_and_an_unknown_name_in_it_is_an_error(made, tmp_path):
    template = tmp_path / "own.jinja"
    template.write_text("{{ name }}: {{ results.test.docs }}")
    text = card(sources_of(made), tmp_path / "card.md", name="x", template=template)
    assert text.endswith("---\n\nen_x: 8")
    template.write_text("{{ nobody }}")
    with pytest.raises(ValueError, match=r"own\.jinja: 'nobody' is undefined"):
        card(sources_of(made), tmp_path / "card.md", template=template)
    with pytest.raises(ValueError, match="would replace an input"):
        card(sources_of(made), made / "dev.json")


def test_an_audit_of_something_else_is_refused(made):
    assert audit_rows(made / "audit.json", AUDIT) == AUDIT_ROWS
    with pytest.raises(ValueError, match=r"audit\.json: 'leaks'\. Expected the JSON of scripts"):
        audit_rows(made / "audit.json", {"duplicates": {}})


def test_an_unknown_field_about_a_data_set_is_refused(tmp_path):
    (tmp_path / "a.yml").write_text("name: x\nlicence: y\n")
    with pytest.raises(ValueError, match=r"a\.yml: \['licence'\]\. Expected fields out of name,"):
        read_about(tmp_path / "a.yml")


def test_a_project_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "p.toml").write_text("[")
    with pytest.raises(ValueError, match=r"p\.toml: .*Expected \[project\]"):
        read_project(tmp_path / "p.toml")
    (tmp_path / "p.toml").write_text("")
    assert read_project(tmp_path / "p.toml") == {"license": "unknown", "authors": "unknown"}


def test_what_the_project_says_about_itself_and_its_data():
    assert read_project(ROOT / "pyproject.toml")["license"] == "MIT"
    assert read_about(ROOT / "configs" / "about" / "goemotions.yml")["license"] == "cc-by-4.0"
    assert "nothing else" in read_about(ROOT / "configs" / "about" / "sample.yml")["warning"]


def test_the_command_warns_of_missing_files_and_fails_on_bad_ones(made, tmp_path):
    app = typer.Typer()
    app.command()(main)
    output = tmp_path / "card.md"
    arguments = [str(made / "pipeline"), str(made / "dev.json"), str(output), "--test"]
    found = CliRunner().invoke(app, [*arguments, "no.json"])
    assert found.exit_code == 0 and "no.json: no such file" in found.output
    assert output.exists()
    found = CliRunner().invoke(app, [*arguments, str(made / "dev.json")])
    assert found.exit_code == 1 and "No card was written" in found.output


def test_an_empty_field_is_unknown_and_a_licence_may_be_a_table(tmp_path):
    (tmp_path / "a.yml").write_text("name: x\nhub_id:\n")
    assert read_about(tmp_path / "a.yml")["hub_id"] == "unknown"
    (tmp_path / "p.toml").write_text('[project]\nlicense = {text = "MIT"}\n')
    assert read_project(tmp_path / "p.toml")["license"] == "MIT"
