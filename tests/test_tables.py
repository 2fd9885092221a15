"""The small files that DVC shows."""

import csv
import json

import pytest

from scripts.tables import tables

LABEL = {
    "precision": 0.5,
    "recall": 1.0,
    "f1": 2 / 3,
    "support": 3,
    "average_precision": 0.75,
    "threshold": 0.3,
}
METRICS = {
    "docs": 4,
    "macro_f1": 0.6,
    "micro_f1": 0.7,
    "mean_average_precision": 0.8,
    "macro_auc": 0.9,
    "views": {"ekman": {"macro_f1": 0.65, "f1": {"joy": 0.1}}},
    "per_label": {"joy": LABEL, "grief": {**LABEL, "support": 0, "average_precision": None}},
    "documents": {"truth": "eJw"},
}


def test_tables_hold_the_main_scores_and_a_row_per_label(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(METRICS))
    scores = tables(tmp_path / "m.json", tmp_path / "tables")
    assert scores == {
        "macro_f1": 0.6,
        "micro_f1": 0.7,
        "mean_average_precision": 0.8,
        "macro_auc": 0.9,
        "views": {"ekman": 0.65},
    }
    assert json.loads((tmp_path / "tables" / "scores.json").read_text()) == scores
    with (tmp_path / "tables" / "labels.csv").open(encoding="utf8") as stream:
        joy, grief = csv.DictReader(stream)
    assert joy == {"label": "joy", **{name: str(value) for name, value in LABEL.items()}}
    assert grief["average_precision"] == "" and grief["support"] == "0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting property name"),
        ("[1]", "list indices"),
        (json.dumps({**METRICS, "views": None}), "NoneType"),
        (json.dumps({"macro_f1": 0.5}), "no 'micro_f1'"),
    ],
)
def test_another_file_is_refused_and_the_old_tables_stay(tmp_path, text, said):
    (tmp_path / "m.json").write_text(text)
    output = tmp_path / "tables"
    output.mkdir()
    (output / "scores.json").write_text("old")
    with pytest.raises(ValueError, match=rf"m\.json: .*{said}.*Expected the JSON of evaluate"):
        tables(tmp_path / "m.json", output)
    assert (output / "scores.json").read_text() == "old"


def test_a_folder_of_other_things_is_not_replaced(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(METRICS))
    (tmp_path / "mine" / "thesis").mkdir(parents=True)
    with pytest.raises(ValueError, match="mine: no tables"):
        tables(tmp_path / "m.json", tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis").exists()
