"""The summary says what the metrics file says and warns about the sample."""

import pytest
import spacy

from scripts.evaluate import evaluate
from scripts.summary import SENTENCES, summarise
from tests.conftest import LABELS


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    """A pipeline with thresholds and its metrics."""
    folder = tmp_path_factory.mktemp("sample")
    nlp = spacy.load(files["model"])
    nlp.add_pipe("decide").set(dict.fromkeys(LABELS, 0.3), 0.3)
    nlp.to_disk(folder / "pipeline")
    (folder / "dev.spacy").write_bytes(files["dev.spacy"].read_bytes())
    result = evaluate(folder / "pipeline", folder / "dev.spacy", folder / "m.json", resamples=10)
    return folder, result


@pytest.mark.slow
def test_summary_gives_scores_places_and_three_readings(finished):
    folder, result = finished
    text = summarise(folder / "pipeline", folder / "m.json")
    assert text.startswith(f"macro-F1 {result['macro_f1']:.3f} (95 % interval ")
    assert f"metrics:  {folder / 'm.json'}" in text
    assert [text.count(sentence) for sentence in SENTENCES] == [1, 1, 1]


def test_summary_without_metrics_says_what_to_run(finished, tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.json: no such file\. Run `make run`"):
        summarise(finished[0] / "pipeline", tmp_path / "nothing.json")


@pytest.mark.slow
def test_summary_ends_with_the_report(finished):
    folder, _ = finished
    text = summarise(folder / "pipeline", folder / "m.json", folder / "index.html")
    assert text.endswith(f"report, to open in a browser: {folder / 'index.html'}")
