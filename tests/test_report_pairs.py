"""The report shows what the metrics say, what was written, and where the model looked."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from typer import Typer
from typer.testing import CliRunner

from scripts import report_figures as draw
from scripts.evaluate_pairs import evaluate_pairs
from scripts.report import render
from scripts.report_pairs import TEMPLATE, _short_docs, attention_map, main, report_pairs
from tests.browser import BROWSER, opened
from tests.test_evaluate_pairs import (
    BEAM,
    MARKUP,
    RNN,
    ROWS,
    docs_of,
    rig,
    save_corpus,
    save_pair_model,
)

ODD = "<script>alert(1)</script>"
MORE = ROWS | {ODD: (ODD, ODD.replace("<script>", "2 & 3 "))}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict:
    """A report, and what it is of."""
    folder = tmp_path_factory.mktemp("report")
    model = save_pair_model(folder / "model")
    corpus = save_corpus(folder / "dev.spacy", docs_of(MORE))
    log = folder / "log.csv"
    log.write_text("epoch,step,score,loss\n0,5,0.25,9\n1,10,0.5,4\n")
    places = {"pipeline": model, "corpus": corpus, "metrics": folder / "metrics.json"}
    with pytest.MonkeyPatch.context() as monkeypatch:
        rig(monkeypatch, MORE)
        evaluate_pairs(model, corpus, places["metrics"], resamples=20)
        facts = report_pairs(**places, output=folder / "report", log=log)
    page = (folder / "report" / "index.html").read_text(encoding="utf8")
    return {**places, "output": folder / "report", "facts": facts, "page": page, "log": log}


def test_the_page_holds_the_numbers_the_pictures_and_nothing_from_elsewhere(made):
    page, metrics = made["page"], srsly.read_json(made["metrics"])
    text = metrics["text"]
    low, high = text["confidence_95"]
    assert f'<b>0.250</b>exact match<br><span class="quiet">{low:.3f} to {high:.3f}<' in page
    for name, row in (("written", text), ("source, copied", text["copied"])):
        cells = [row[key] for key in ("exact", "token_accuracy", "token_accuracy_padded")]
        cells += [row["bleu"], row["chrf"]]
        assert f"<td>{name}</td>" + "".join(f"<td>{x:.3f}</td>" for x in cells) in page
    assert text["signatures"]["bleu"] in page and text["signatures"]["chrf"] in page
    assert "<tr><td>0 to 10</td><td>3</td><td>0.333</td></tr>" in page
    assert "<b>0.667</b>F of the entities" in page
    assert "<tr><td>PERSON</td><td>0.500</td><td>0.500</td><td>0.500</td><td>2</td>" in page
    assert "The embeddings did not start from word vectors." in page
    pictures = {path.stem for path in made["output"].glob("*.png")}
    assert pictures == {"lengths", "learning", "attention1", "attention2"}
    assert page.count("<svg ") == 4
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
    assert metrics["conditions"]["corpus_sha256"] in page
    assert "@misc goemotions.GreedyDecoder.v1" in page and "[components.seq2seq.model]" in page
    found = srsly.read_json(made["output"] / "report.json")
    assert found == {"metrics": metrics["conditions"]}


def test_wrong_texts_come_first_with_what_was_missed_and_added(made):
    assert [row["right"] for row in made["facts"]["triples"]] == [False, False, False, True]
    assert "3 of 4 outputs are not the target" in made["page"]
    assert '<td class="text">the <del>bus</del><ins>buses</ins></td><td>-1.00</td>' in made["page"]
    both = "{{PERSON}} Ada<ins>{{/PERSON}} </ins> Kent<del>{{/PERSON}} </del> ran in"
    assert f'<td class="text">{both} {{{{PLACE}}}} Oslo{{{{/PLACE}}}}</td>' in made["page"]


def test_texts_are_shown_as_they_are_and_never_run(made):
    both = "<del>&lt;script&gt;</del><ins>2 &amp; 3 </ins>alert(1)&lt;/script&gt;"
    assert f'<td class="text">{both}</td>' in made["page"]
    assert "<script" not in made["page"]
    facts = made["facts"] | {"misses": {"<i>": {"words": 1, "missing": 1, "first": ["<b>"]}}}
    facts |= {"maps": [], "excuse": "<u>", "metrics_file": "<s>", "config": "<q>"}
    page = render(TEMPLATE, facts, {})
    assert "1 of 1 symbols of the &lt;i&gt; have no word vector to start from: &lt;b&gt;" in page
    assert "Nothing to show. &lt;u&gt;" in page
    assert not re.findall("<[iusq]>", page)


def test_attention_is_drawn_over_the_words_of_source_and_output(made):
    (source, output, weights), other = made["facts"]["maps"]
    assert source[:5] == ["Ada", "Kent", "ran", "in", "Oslo"]  # the end may follow
    assert output == ["{{PERSON}}", "Ada", "{{/PERSON}}", "Kent", "ran", "in", "{{PLACE}}",
                      "Oslo", "{{/PLACE}}"]  # fmt: skip
    assert weights.shape == (9, len(source)) and other[0][:3] == ["<", "script", ">"]
    assert weights.sum(axis=1) == pytest.approx(numpy.ones(9), abs=1e-5)


def test_a_map_has_the_source_across_and_the_output_down(tmp_path):
    weights = numpy.array([[0.9, 0.1, 0.0], [0.2, 0.2, 0.6]])
    figure = attention_map(["Ada", "$an", "Oslo"], ["Bo", "{{P}}"], weights)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Ada", "$an", "Oslo"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Bo", "{{P}}"]
    assert axes.images[0].get_array().tolist() == weights.tolist()
    svg = draw.save(figure, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    ET.fromstring(svg)
    assert "$an" in svg


def test_short_outputs_with_tags_are_looked_at_first():
    nlp, docs = spacy.blank("en"), []
    for text, output in [("a b c d", "a b c d"), ("a b c", "{{P}} a{{/P}}  b c"),
                         ("e f g h", "{{P}} e{{/P}}  f"), ("a b c d", "a b c"),
                         ("i j k l", None), ("m " * 21, "{{P}} m{{/P}}  m")]:  # fmt: skip
        docs.append(nlp.make_doc(text))
        docs[-1]._.seq2seq = output
    found = _short_docs(MARKUP, docs)
    assert [doc[0].text for doc in found] == ["e", "a"] and found[1] is docs[0]


@pytest.mark.slow
def test_a_model_without_attention_says_so(monkeypatch, tmp_path):
    rig(monkeypatch)
    model = save_pair_model(tmp_path / "model", model=RNN)
    places = (model, save_corpus(tmp_path / "dev.spacy"), tmp_path / "m.json")
    evaluate_pairs(*places, resamples=2)
    facts = report_pairs(*places, tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf8")
    assert facts["maps"] == [] and facts["excuse"] and not facts["log"]
    assert f"Nothing to show. {facts['excuse']}" in page
    assert [path.stem for path in (tmp_path / "report").glob("*.png")] == ["lengths"]


@pytest.mark.slow
def test_texts_are_decoded_as_for_the_metrics(made, monkeypatch, tmp_path):
    rig(monkeypatch, MORE)
    metrics = tmp_path / "beam.json"
    evaluate_pairs(made["pipeline"], made["corpus"], metrics, resamples=2, decoder=BEAM)
    facts = report_pairs(made["pipeline"], made["corpus"], metrics, tmp_path / "report")
    assert facts["wrong"] == 0 and all(row["right"] for row in facts["triples"])
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf8")
    assert "goemotions.BeamDecoder.v1, width 3, length_penalty 0.6, n_best 1" in page


def test_labels_and_words_without_a_vector_are_on_the_page(made):
    row = {"p": 0.5, "r": 0.25, "f": 1 / 3, "tp": 1, "positives": 2, "support": 4}
    labels = {"macro_f1": 0.2, "micro_f1": 0.3, "subset_accuracy": 0.4}
    labels |= {"confidence_95": [0.1, 0.3], "per_label": {"joy": row, "fear": row | {"support": 5}}}
    kept = {key: value for key, value in made["facts"]["metrics"].items() if key != "exact"}
    missed = {"words": 1234, "missing": 40, "first": ["zzz", "qqq"]}
    facts = made["facts"] | {"metrics": kept | {"labels": labels}, "misses": {"target": missed}}
    page = render(TEMPLATE, facts, {})
    assert "<b>0.200</b>macro-F1 of the labels" in page and "F of the entities" not in page
    assert page.index("<td>fear</td>") < page.index("<td>joy</td><td>0.500</td><td>0.250</td>")
    assert "40 of 1,234 symbols of the target have no word vector to start from: zzz qqq …" in page


def test_metrics_of_something_else_are_refused_and_the_earlier_report_stays(made, tmp_path):
    found, other = srsly.read_json(made["metrics"]), tmp_path / "other.json"
    places = (made["pipeline"], made["corpus"])
    for key, what in (("config_sha256", "pipeline"), ("corpus_sha256", "corpus")):
        srsly.write_json(other, found | {"conditions": found["conditions"] | {key: "0"}})
        with pytest.raises(ValueError, match=f"of another {what} than .* Run evaluate-pairs again"):
            report_pairs(*places, other, made["output"])
    for text, message in [
        ("{", "line 1: .*Expected JSON"),
        ("[]", r"Expected the JSON of evaluate_pairs"),
        ('{"conditions": {}}', r"no 'config_sha256'\. Expected the JSON of evaluate_pairs"),
    ]:
        other.write_text(text)
        with pytest.raises(ValueError, match=message):
            report_pairs(*places, other, made["output"])
    srsly.write_json(other, {key: value for key, value in found.items() if key != "text"})
    with pytest.raises(ValueError, match=r"no 'text'\. Expected"):
        report_pairs(*places, other, made["output"])
    with pytest.raises(ValueError, match=r"gone\.json: no such file"):
        report_pairs(*places, tmp_path / "gone.json", made["output"])
    with pytest.raises(ValueError, match=r"of another corpus than .*gone\.spacy"):
        report_pairs(places[0], tmp_path / "gone.spacy", made["metrics"], made["output"])
    assert (made["output"] / "index.html").read_text(encoding="utf8") == made["page"]


def test_a_folder_that_is_no_report_is_not_replaced(made, tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(ValueError, match="no report"):
        report_pairs(made["pipeline"], made["corpus"], made["metrics"], tmp_path)


@pytest.mark.slow
def test_the_command_says_where_the_page_is_or_what_is_wrong(made, monkeypatch, tmp_path):
    rig(monkeypatch, MORE)
    app = Typer()
    app.command()(main)
    arguments = [str(made[key]) for key in ("pipeline", "corpus", "metrics")]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "r"), "--log", str(made["log"])])
    assert result.exit_code == 0 and "index.html" in result.output
    assert (tmp_path / "r" / "learning.png").exists()
    made_of_rows = tmp_path / "other.csv"
    made_of_rows.write_text("a,b\n1,2\n")
    more = [str(tmp_path / "r"), "--log", str(made_of_rows)]
    result = CliRunner().invoke(app, [*arguments, *more])
    assert result.exit_code == 1 and "Expected columns step, loss and score" in result.output


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [390, 1100])
def test_a_browser_shows_the_page_within_its_width_and_loads_nothing_else(made, width):
    with opened("about:blank", viewport={"width": width, "height": 800}) as page:
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(Path(made["output"] / "index.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("del").count() == 1 + 3 and page.locator("svg").count() == 4
        # Pictures within SVGs are data and no requests.
        assert [url for url in asked if not url.startswith("data:")] == asked[:1] and not said
