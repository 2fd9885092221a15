"""One table over experiments, and who is better by a bootstrap that pairs their docs."""

import numpy
import pytest
import srsly
import typer
from sklearn.metrics import f1_score
from typer.testing import CliRunner

from scripts.bootstrap import pack, resample_macro_f1, unpack
from scripts.compare import as_markdown, compare, differences, main, repeated
from scripts.experiment import run_name
from tests.conftest import ROOT

METRICS = [
    path
    for path in sorted((ROOT / "metrics" / "goemotions").glob("*.json"))
    if "documents" in srsly.read_json(path)
]
TRUTH = numpy.random.default_rng(7).random((400, 3)) < 0.3


def write_metrics(folder, **macro):
    for name, value in macro.items():
        result = {
            "macro_f1": value,
            "micro_f1": 0.5,
            "views": {"ekman": {"macro_f1": 0.6}},
            "docs_per_second": 1234.4,
            "conditions": {"training": {"seconds": 90}},
        }
        srsly.write_json(folder / f"{name.replace('_', '-')}.json", result)


def test_seeds_become_one_row_with_mean_and_deviation_best_first(tmp_path):
    write_metrics(tmp_path, cnn_seed0=0.4, cnn_seed1=0.5, cnn_seed12=0.6, bert=0.7)
    write_metrics(tmp_path, **{"cnn_seed0.test": 0.1})
    srsly.write_json(tmp_path / "benchmark_speed.json", {"results": {}})
    rows = compare(tmp_path, "dev")
    assert list(rows) == ["bert", "cnn"]
    assert rows["cnn"]["seeds"] == "3"
    assert rows["cnn"]["macro-F1"] == "0.500 ± 0.100"
    assert rows["bert"]["macro-F1"] == "0.700"
    assert rows["cnn"]["Ekman-7"] == "0.600 ± 0.000"
    assert rows["cnn"]["mAP"] == ""
    assert (rows["cnn"]["minutes"], rows["cnn"]["posts/s"], rows["cnn"]["MB"]) == (
        "1.5",
        "1,234",
        "",
    )
    assert compare(tmp_path, "test")["cnn"]["macro-F1"] == "0.100"


def test_markdown_has_a_header_and_a_line_per_experiment():
    rows = {"cnn": {"seeds": "1", "macro-F1": "0.500"}}
    assert as_markdown(rows) == (
        "| config | seeds | macro-F1 |\n| --- | --- | --- |\n| cnn | 1 | 0.500 |"
    )


def test_a_folder_without_metrics_is_named(tmp_path):
    with pytest.raises(ValueError, match="no metrics of test"):
        compare(tmp_path, "test")


def with_errors(rate, seed):
    """Return decisions of which a share is wrong."""
    return TRUTH ^ (numpy.random.default_rng(seed).random(TRUTH.shape) < rate)


def write_runs(folder, corpus="a" * 64, truth=TRUTH, **picked):
    """Write test metrics of runs, given by their decisions; None leaves them out."""
    for name, cells in picked.items():
        known = truth if cells is None else cells
        result = {
            "docs": len(truth),
            "macro_f1": f1_score(truth, known, average="macro", zero_division=0),
            "micro_f1": 0.5,
            "per_label": {f"label {number}": {} for number in range(truth.shape[1])},
            "conditions": {"corpus_sha256": corpus},
        }
        if cells is not None:
            result["documents"] = {"truth": pack(truth), "picked": pack(cells)}
        srsly.write_json(folder / f"{name.replace('_', '-')}.test.json", result)


def run_main(*arguments):
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (8, 28)])
def test_packed_decisions_come_back(shape):
    cells = numpy.random.default_rng(0).random(shape) < 0.5
    assert (unpack(pack(cells), *shape) == cells).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [("!", "cannot be read"), ("AAAA", "cannot be read"), (pack(TRUTH[:9]), "of 4 bytes.* 400")],
)
def test_damaged_decisions_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        unpack(text, 400, 3)


def test_resamples_score_what_scikit_learn_scores_with_weights():
    never = numpy.zeros((400, 1), dtype=bool)
    truth, picked = (numpy.hstack([cells, never]) for cells in (TRUTH, with_errors(0.2, 0)))
    found = resample_macro_f1(truth, picked, resamples=3, seed=5)
    rng = numpy.random.default_rng(5)
    weights = [numpy.ones(400)]
    weights += [numpy.bincount(rng.integers(400, size=400), minlength=400) for _ in range(3)]
    expected = [
        f1_score(truth, picked, average="macro", zero_division=0, sample_weight=weight)
        for weight in weights
    ]
    assert found == pytest.approx(expected)


def test_a_long_corpus_is_resampled_in_parts_with_the_same_result(monkeypatch):
    whole = resample_macro_f1(TRUTH, with_errors(0.2, 0), resamples=11)
    monkeypatch.setattr("scripts.bootstrap.BLOCK", 1200)
    assert (resample_macro_f1(TRUTH, with_errors(0.2, 0), resamples=11) == whole).all()


def test_a_case_of_two_docs_is_as_computed_by_hand(tmp_path):
    # Half the resamples hold both docs (1 - 2/3), a quarter twice the first (1 - 1), a quarter
    # twice the second (1 - 0): the difference is above 0 in three quarters and 0 in one.
    truth = numpy.array([[True], [True]])
    write_runs(tmp_path, truth=truth, all=truth, half=numpy.array([[True], [False]]))
    row = differences(tmp_path, resamples=20_000)["all"]
    assert row["versus"] == "half" and row["seeds"] == "1 against 1"
    assert row["difference in macro-F1"] == "+0.333"
    assert row["95 % interval"] == "+0.000 to +1.000"
    assert float(row["P(better)"]) == pytest.approx(0.875, abs=0.01)
    assert row["verdict"] == "not told apart"


def test_identical_systems_differ_by_0_and_neither_is_better(tmp_path):
    same = with_errors(0.2, 0)
    write_runs(tmp_path, one=same, two=same)
    (row,) = differences(tmp_path).values()
    assert row["difference in macro-F1"] == "+0.000"
    assert row["95 % interval"] == "+0.000 to +0.000"
    assert (row["P(better)"], row["verdict"]) == ("0.500", "not told apart")


def test_a_clear_gap_is_better_one_way_and_worse_the_other(tmp_path):
    write_runs(tmp_path, good=with_errors(0.1, 0), bad=with_errors(0.25, 1), mid=None)
    write_runs(tmp_path, mid=with_errors(0.17, 2))
    rows = differences(tmp_path)
    assert [(name, row["versus"], row["verdict"]) for name, row in rows.items()] == [
        ("good", "mid", "better"),
        ("mid", "bad", "better"),
    ]
    low, high = map(float, rows["good"]["95 % interval"].split(" to "))
    assert 0 < low < float(rows["good"]["difference in macro-F1"]) < high
    rows = differences(tmp_path, reference="mid")
    assert [(name, row["verdict"]) for name, row in rows.items()] == [
        ("good", "better"),
        ("bad", "worse"),
    ]
    assert rows["bad"]["P(better)"] == "0.000"


def test_pairing_tells_apart_what_unpaired_docs_would_not(tmp_path):
    first = with_errors(0.2, 0)
    second = first.copy()
    wrong = numpy.argwhere(first != TRUTH)[:8]
    second[tuple(wrong.T)] ^= True
    write_runs(tmp_path, first=first, second=second)
    rows = differences(tmp_path)
    assert rows["second"]["verdict"] == "better"
    drawn = resample_macro_f1(TRUTH, first), resample_macro_f1(TRUTH, second, seed=1)
    assert numpy.percentile(drawn[1] - drawn[0], 2.5) < 0


def test_seeds_are_averaged_within_each_resample(tmp_path):
    cells = [with_errors(0.1, 0), with_errors(0.3, 1), with_errors(0.25, 2)]
    write_runs(tmp_path, a_seed0=cells[0], a_seed1=cells[1], b=cells[2])
    row = differences(tmp_path, reference="b", seed=3)["a"]
    drawn = [resample_macro_f1(TRUTH, picked, seed=3) for picked in cells]
    gap = (drawn[0] + drawn[1]) / 2 - drawn[2]
    low, high = numpy.percentile(gap[1:], [2.5, 97.5])
    assert row["seeds"] == "2 against 1"
    assert row["difference in macro-F1"] == f"{gap[0]:+.3f}"
    assert row["95 % interval"] == f"{low:+.3f} to {high:+.3f}"


def test_a_gap_within_chance_is_not_told_apart(tmp_path):
    write_runs(tmp_path, one=with_errors(0.2, 0), two=with_errors(0.2, 1))
    (row,) = differences(tmp_path).values()
    low, high = map(float, row["95 % interval"].split(" to "))
    assert low < 0 < float(row["difference in macro-F1"]) < high
    assert row["verdict"] == "not told apart"


def test_the_same_seed_gives_the_same_rows(tmp_path):
    write_runs(tmp_path, one=with_errors(0.2, 0), two=with_errors(0.2, 1))
    assert differences(tmp_path) == differences(tmp_path)
    assert differences(tmp_path) != differences(tmp_path, seed=1)


def test_runs_on_different_corpora_are_refused(tmp_path):
    write_runs(tmp_path, one=with_errors(0.1, 0))
    write_runs(tmp_path, corpus="b" * 64, two=with_errors(0.3, 1))
    message = r"two\.test\.json is of corpus bbbb.*one\.test\.json of aaaa.*on one corpus"
    with pytest.raises(ValueError, match=message):
        differences(tmp_path)
    write_runs(tmp_path, truth=TRUTH[:, :2], two=with_errors(0.3, 1)[:, :2])
    with pytest.raises(ValueError, match=r"400 docs and 2 labels.* with 400 and 3"):
        differences(tmp_path)


def test_a_run_without_decisions_is_named_and_not_compared(tmp_path):
    write_runs(tmp_path, one_seed0=with_errors(0.1, 0), one_seed1=None, two=with_errors(0.3, 0))
    row = differences(tmp_path)["one"]
    assert row["verdict"] == "not compared: no decisions in one-seed1.test.json"
    assert row["difference in macro-F1"] == ""


def test_damaged_metrics_and_an_unknown_reference_are_named(tmp_path):
    write_runs(tmp_path, one=with_errors(0.1, 0), two=with_errors(0.3, 0))
    with pytest.raises(ValueError, match=r"--reference three\. Expected one of one, two"):
        differences(tmp_path, reference="three")
    damaged = srsly.read_json(tmp_path / "two.test.json")
    damaged["documents"]["picked"] = "AAAA"
    srsly.write_json(tmp_path / "two.test.json", damaged)
    with pytest.raises(ValueError, match=r"two\.test\.json: Decisions cannot be read"):
        differences(tmp_path)


def test_command_prints_both_tables_or_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "metrics" / "tiny"
    folder.mkdir(parents=True)
    write_runs(folder, one=with_errors(0.1, 0), two=with_errors(0.3, 0))
    printed = run_main("tiny", "--markdown").stdout
    rows = compare(folder), differences(folder)
    assert printed == "\n\n".join(map(as_markdown, rows)) + "\n\n"
    assert "better" in run_main("tiny").stdout
    refused = run_main("tiny", "--reference", "three")
    assert refused.exit_code == 1 and "Expected one of one, two" in refused.stdout


def test_there_are_committed_decisions():
    assert len(METRICS) >= 8


@pytest.mark.parametrize("path", METRICS, ids=lambda path: path.name)
def test_committed_decisions_give_the_committed_score(path):
    result = srsly.read_json(path)
    shape = result["docs"], len(result["per_label"])
    truth, picked = (unpack(result["documents"][key], *shape) for key in ("truth", "picked"))
    assert resample_macro_f1(truth, picked, resamples=0) == pytest.approx(result["macro_f1"])
    assert truth.sum(axis=0).tolist() == [row["support"] for row in result["per_label"].values()]


def test_seeds_are_grouped_wherever_the_name_has_them(tmp_path):
    names = {}
    for seed, score in ((0, 0.4), (1, 0.6)):
        name = run_name("cnn", {"system.seed": seed, "training.dropout": 0.2})
        names[name] = score
        result = {"macro_f1": score, "micro_f1": 0.5}
        srsly.write_json(tmp_path / f"{name}.json", result)
    assert list(names) == ["cnn-seed0-dropout0.2", "cnn-seed1-dropout0.2"]
    rows = compare(tmp_path, "dev")
    assert list(rows) == ["cnn-dropout0.2"]
    assert rows["cnn-dropout0.2"]["macro-F1"] == "0.500 ± 0.141"


def test_a_seed_counts_once(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "metrics" / "x"
    folder.mkdir(parents=True)
    for name, seed, score in (("cnn", 0, 0.4), ("cnn-seed0", 0, 0.4), ("cnn-seed1", 1, 0.6)):
        result = {"macro_f1": score, "micro_f1": 0.5, "conditions": {"seed": seed}}
        srsly.write_json(folder / f"{name}.json", result)
    assert compare(folder, "dev")["cnn"]["seeds"] == "2"
    assert repeated(folder, "dev") == {folder / "cnn.json": folder / "cnn-seed0.json"}
    monkeypatch.chdir(tmp_path)
    main("x", split="dev")
    assert "cnn.json is left out" in " ".join(capsys.readouterr().out.split())
