"""One table over entity recognisers, and who is better than a reference on the same docs."""

import re

import numpy
import pytest
import srsly
import typer
from typer.testing import CliRunner

from scripts.compare import as_markdown
from scripts.compare_entities import compare_entities, main
from scripts.evaluate_entities import COUNTS, resample_f

DOCS = 40


def f_of(counts: numpy.ndarray) -> float:
    tp, found, true = counts.sum(axis=0)
    return float(2 * tp / (found + true))


def counts_with(hits: int, seed: int = 0) -> numpy.ndarray:
    """Return counts [docs, 3] of a system that finds one of three entities in so many docs."""
    counts = numpy.tile([0, 3, 3], (DOCS, 1))
    counts[numpy.random.default_rng(seed).permutation(DOCS)[:hits], 0] = 1
    return counts


def write_run(folder, name, counts, *, corpus="a" * 64, split="test", **more):
    """Write metrics of a run by its counts [docs, 3]."""
    tp, found, true = (int(number) for number in counts.sum(axis=0))
    exact = {"p": tp / found, "r": tp / true, "f": f_of(counts)}
    folder.mkdir(parents=True, exist_ok=True)
    result = {
        "docs": len(counts),
        "exact": {"micro": exact},
        "token": {"micro": {"f": 0.25}},
        "overlap": {"micro": {"f": 0.75}},
        "docs_per_second": 1234.4,
        "conditions": {"corpus_sha256": corpus, "training": {"seconds": 90}},
        "documents": dict(zip(COUNTS, (" ".join(map(str, row)) for row in counts.T), strict=True)),
        **more,
    }
    end = ".test" if split == "test" else ""
    srsly.write_json(folder / f"{name}{end}.json", result)


def test_seeds_become_one_row_with_mean_and_deviation_best_first(tmp_path):
    folder = tmp_path / "tiny"
    for seed, hits in enumerate((9, 12, 15)):
        write_run(folder, f"ner_crf-seed{seed}", counts_with(hits), as_trained={"f": 0.125})
    write_run(folder, "ner", counts_with(3))
    write_run(folder, "other", counts_with(30), split="dev")
    srsly.write_json(folder / "benchmark_entities.json", {"results": {}})
    srsly.write_json(folder / "cnn.test.json", {"macro_f1": 0.5})
    rows = compare_entities([folder])
    assert list(rows) == ["tiny: ner_crf", "tiny: ner"]
    row = rows["tiny: ner_crf"]
    assert {column: row[column] for column in list(row)[:9]} == {
        "seeds": "3",
        "P": "0.100 ± 0.025",
        "R": "0.100 ± 0.025",
        "F": "0.100 ± 0.025",
        "F as trained": "0.125 ± 0.000",
        "token F": "0.250 ± 0.000",
        "overlap F": "0.750 ± 0.000",
        "minutes": "1.5",
        "docs/s": "1,234",
    }
    assert rows["tiny: ner"]["F as trained"] == rows["tiny: ner"]["F"] == "0.025"
    assert list(compare_entities([folder], "dev")) == ["tiny: other"]


def test_the_difference_is_that_of_the_means_over_seeds_on_the_same_draws(tmp_path):
    runs = [counts_with(30, 1), counts_with(20, 2), counts_with(18, 3)]
    write_run(tmp_path, "ner_crf-seed0", runs[0])
    write_run(tmp_path, "ner_crf-seed1", runs[1])
    write_run(tmp_path, "ner", runs[2])
    row = compare_entities([tmp_path], resamples=200)[f"{tmp_path.name}: ner_crf"]
    drawn = [resample_f(counts, resamples=200) for counts in runs]
    gap = (drawn[0] + drawn[1]) / 2 - drawn[2]
    low, high = numpy.percentile(gap[1:], [2.5, 97.5])
    assert row["difference in F"] == f"{gap[0]:+.3f}" == f"{25 / 120 - 18 / 120:+.3f}"
    assert row["95 % interval"] == f"{low:+.3f} to {high:+.3f}"


def test_a_gap_is_better_worse_or_not_told_apart(tmp_path):
    middle = counts_with(20)
    same, less = middle.copy(), middle.copy()
    same[[0, 1], 0] = same[[1, 0], 0]
    less[numpy.flatnonzero(middle[:, 0])[:15], 0] = 0
    write_run(tmp_path, "ner", middle)
    write_run(tmp_path, "good", counts_with(DOCS))
    write_run(tmp_path, "bad", less)
    write_run(tmp_path, "same", same)
    rows = compare_entities([tmp_path])
    found = {name.split(": ")[1]: row["verdict"] for name, row in rows.items()}
    assert found == {"good": "better", "ner": "", "same": "not told apart", "bad": "worse"}
    assert rows[f"{tmp_path.name}: ner"]["difference in F"] == ""
    assert rows[f"{tmp_path.name}: bad"]["P(better)"] == "0.000"


@pytest.mark.parametrize(
    ("names", "reference", "base"),
    [
        (["ner", "ner-vectors", "ner_crf"], None, "ner"),
        (["ner-vectors", "ner-long", "ner_crf"], None, "ner-vectors"),  # the better one
        (["ner", "ner-vectors", "ner_crf"], "ner-vectors", "ner-vectors"),
        (["ner", "ner_crf-vectors"], "ner_crf", "ner_crf-vectors"),
        (["ner_crf", "nerve"], None, None),
    ],
)
def test_the_reference_is_found_by_its_name_or_how_that_begins(tmp_path, names, reference, base):
    for number, name in enumerate(names):
        write_run(tmp_path, name, counts_with(30 - number))
    rows = compare_entities([tmp_path], reference=reference, resamples=10)
    compared = {name.split(": ")[1] for name, row in rows.items() if row.get("verdict")}
    assert compared == (set(names) - {base} if base else set())


def test_each_data_set_has_its_own_reference_and_all_rows_the_same_columns(tmp_path):
    write_run(tmp_path / "one", "ner", counts_with(10))
    write_run(tmp_path / "one", "ner_crf", counts_with(11))
    write_run(tmp_path / "two", "ner_crf", counts_with(12), corpus="b" * 64)
    rows = compare_entities([tmp_path / "one", tmp_path / "two"], resamples=10)
    assert list(rows) == ["one: ner_crf", "one: ner", "two: ner_crf"]
    assert len({tuple(row) for row in rows.values()}) == 1
    assert rows["one: ner_crf"]["verdict"] and not rows["two: ner_crf"]["verdict"]


def test_metrics_of_other_docs_no_metrics_and_an_unknown_reference_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no test metrics with exact\.micro\.f\. Run"):
        compare_entities([tmp_path])
    write_run(tmp_path, "ner", counts_with(10))
    with pytest.raises(ValueError, match="no dev metrics with exact"):
        compare_entities([tmp_path], "dev")
    with pytest.raises(ValueError, match=r"--reference nner\. Expected one of ner\."):
        compare_entities([tmp_path], reference="nner")
    write_run(tmp_path, "ner_crf", counts_with(10), corpus="b" * 64)
    with pytest.raises(ValueError, match=r"ner_crf\.test\.json: of corpus b{12}\. Expected a{12}"):
        compare_entities([tmp_path])


def run_main(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_the_command_prints_a_table_markdown_or_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "metrics" / "tiny"
    write_run(folder, "ner", counts_with(3))
    write_run(folder, "ner_crf", counts_with(DOCS))
    rows = compare_entities([folder])
    assert run_main("tiny", "--markdown") == (0, as_markdown(rows) + "\n")
    assert rows["tiny: ner_crf"]["verdict"] == "better"
    table = run_main("tiny", "--resamples", "10")[1]
    (line,) = re.findall(r"tiny: ner_crf .*", table)
    assert "0.333" in line and "better" in line and "+0.308" in line
    for options, message in [
        (("tiny", "--split", "train"), "--split train. Expected dev or test."),
        (("none",), "metrics/none: no test metrics with exact.micro.f"),
        (("tiny", "--reference", "x"), "--reference x. Expected one of ner_crf, ner."),
    ]:
        code, said = run_main(*options)
        assert code == 1 and "Cannot compare" in said
        assert message in " ".join(said.split())
