"""What was planted in a corpus is found, and nothing in a clean one."""

import json
import random
import re
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from scripts.audit_data import audit_data, main
from tests.conftest import ROOT

LABELS = ["joy", "anger", "fear"]
# Each label has words of its own; rows are texts with labels.
WORDS = {
    label: [f"{label}{letter}" for letter in "bcdfghklmnprstvwxz"] for label in (*LABELS, "any")
}
Row = tuple[str, list[str]]
CLEAN = {
    "train": [
        ("A fine day", ["joy"]),
        ("Go away now", ["anger"]),
        ("Dark cellar stairs", ["fear"]),
    ],
    "dev": [("My sister called", ["joy"])],
    "test": [("They broke it", ["anger"])],
}


def write_corpus(folder: Path, **splits: list[Row]) -> Path:
    """Write rows as a corpus."""
    nlp = spacy.blank("en")
    folder.mkdir(exist_ok=True)
    for split, rows in splits.items():
        docs = []
        for text, on in rows:
            docs.append(nlp.make_doc(text))
            docs[-1].cats = {label: float(label in on) for label in LABELS}
        DocBin(attrs=["ORTH"], docs=docs).to_disk(folder / f"{split}.spacy")
    return folder


def audit(corpus: Path, **settings) -> tuple[dict, list[dict]]:
    """Return counts and findings, without cross-validation unless asked for."""
    output, findings = corpus / "audit.json", corpus / "audit.jsonl"
    result = audit_data(corpus, output, findings, **{"folds": 0, **settings})
    assert json.loads(output.read_text()) == result
    return result, list(srsly.read_jsonl(findings))


def random_rows(n: int, seed: int) -> list[Row]:
    """Return different posts; the words say the one or two labels."""
    source, rows = random.Random(seed), {}
    while len(rows) < n:
        on = sorted(source.sample(LABELS, source.choice([1, 1, 2])))
        words = source.sample(WORDS["any"], 4) + [w for x in on for w in source.sample(WORDS[x], 4)]
        source.shuffle(words)
        rows[" ".join(words)] = on
    return list(rows.items())


def test_a_clean_corpus_has_no_findings(tmp_path):
    result, findings = audit(write_corpus(tmp_path, **CLEAN))
    assert findings == []
    none = {"exact": 0, "normalised": 0}
    assert result["posts"] == {"train": 3, "dev": 1, "test": 1}
    assert result["duplicates"] == dict.fromkeys(("train", "dev", "test"), none)
    assert result["leaks"] == dict.fromkeys(("dev in train", "test in train", "test in dev"), none)
    assert result["conflicts"] == {"posts": 0, "texts": 0}
    assert result["near_duplicates"] == {}
    assert result["label_errors"] == {}


def test_planted_duplicates_leaks_and_conflicts_are_found_with_where_they_are(tmp_path):
    corpus = write_corpus(
        tmp_path,
        train=[*CLEAN["train"], ("A fine day", ["joy"]), ("a fine  day!", ["fear"])],
        dev=[*CLEAN["dev"], ("Go away now", ["anger"]), ("GO away, now", ["anger"])],
        test=[*CLEAN["test"], ("my sister called...", ["joy"]), ("A fine day", ["anger", "joy"])],
    )
    result, findings = audit(corpus)
    assert result["duplicates"] == {
        "train": {"exact": 1, "normalised": 2},
        "dev": {"exact": 0, "normalised": 1},
        "test": {"exact": 0, "normalised": 0},
    }
    assert result["leaks"] == {
        "dev in train": {"exact": 1, "normalised": 2},
        "test in train": {"exact": 1, "normalised": 1},
        "test in dev": {"exact": 0, "normalised": 1},
    }
    assert result["conflicts"] == {"posts": 2, "texts": 1}
    found = [
        tuple(row[key] for key in ("kind", "match", "split", "doc", "other_split", "other_doc"))
        for row in findings
    ]
    assert found == [
        ("duplicate", "exact", "train", 3, "train", 0),
        ("duplicate", "normalised", "train", 4, "train", 0),
        ("duplicate", "normalised", "dev", 2, "dev", 1),
        ("leak", "exact", "dev", 1, "train", 1),
        ("leak", "normalised", "dev", 2, "train", 1),
        ("leak", "exact", "test", 2, "train", 0),
        ("leak", "normalised", "test", 1, "dev", 0),
        ("conflict", "normalised", "train", 4, "train", 0),
        ("conflict", "exact", "test", 2, "train", 0),
    ]
    assert findings[-1]["text"] == findings[-1]["other_text"] == "A fine day"
    assert (findings[-1]["labels"], findings[-1]["other_labels"]) == (["joy", "anger"], ["joy"])


def test_near_duplicates_are_pairs_above_the_cosine_and_never_the_same_text_again(tmp_path):
    text = "The neighbours painted their whole garden fence in a terrible shade of green"
    corpus = write_corpus(
        tmp_path,
        train=[(text, ["joy"]), (text.upper(), ["joy"]), ("Nothing like the other one", ["joy"])],
        test=[(f"{text} too", ["joy"]), (text[:30], ["joy"])],
    )
    result, findings = audit(corpus)
    assert result["near_duplicates"] == {"test in train": 1}
    row = next(row for row in findings if row["kind"] == "near-duplicate")
    assert (row["split"], row["doc"], row["other_split"], row["other_doc"]) == (
        "test",
        0,
        "train",
        0,
    )
    assert 0.9 <= row["score"] < 1
    assert audit(corpus, near=0.3)[0]["near_duplicates"] == {"test in train": 2, "test": 1}
    assert "near_duplicates" not in audit(corpus, near=0)[0]


def test_planted_label_errors_are_found_by_cross_validation(tmp_path):
    rows = random_rows(400, seed=1)
    planted = set(random.Random(2).sample(range(len(rows)), 20))
    wrong = [
        (text, [x for x in LABELS if x not in on] if number in planted else on)
        for number, (text, on) in enumerate(rows)
    ]
    result, findings = audit(write_corpus(tmp_path, train=wrong), folds=4, near=0)
    found = {row["doc"] for row in findings if row["kind"] == "label-error"}
    assert len(found & planted) / len(planted) >= 0.9
    assert len(found & planted) / len(found) >= 0.9
    mended = {row["doc"]: sorted(row["suggested"]) for row in findings if row["doc"] in planted}
    assert sum(mended[doc] == rows[doc][1] for doc in mended) / len(planted) >= 0.6
    errors = result["label_errors"]["train"]
    assert (errors["posts"], errors["suspect"]) == (400, len(found))
    changes = [len(set(row["suggested"]) ^ set(row["labels"])) for row in findings]
    counts = errors["labels"].values()
    assert sum(row["likely_wrong"] + row["likely_missing"] for row in counts) == sum(changes)


def test_a_clean_corpus_has_no_label_errors_and_scores_do_not_depend_on_the_run(tmp_path):
    corpus = write_corpus(tmp_path, train=random_rows(400, seed=1))
    result, findings = audit(corpus, folds=4, near=0)
    assert findings == []
    assert result["label_errors"]["train"]["suspect"] == 0
    assert audit(corpus, folds=4, near=0) == (result, findings)


def test_a_corpus_of_dev_alone_is_enough(tmp_path):
    corpus = write_corpus(tmp_path, dev=[*random_rows(60, 3), ("A fine day", ["joy"])] * 2)
    result, _ = audit(corpus, folds=2, near=0)
    assert result["posts"] == {"dev": 122}
    assert result["duplicates"] == {"dev": {"exact": 61, "normalised": 61}}
    assert result["leaks"] == {}
    assert list(result["label_errors"]) == ["dev"]


def test_a_pipeline_judges_dev_and_train_is_judged_by_cross_validation(tmp_path, files):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for split in ("train", "dev"):
        (corpus / f"{split}.spacy").write_bytes(files["dev.spacy"].read_bytes())
    result, _ = audit(corpus, model=files["model"], folds=2, near=0)
    errors = result["label_errors"]
    assert errors["train"]["scores_of"].startswith("TF-IDF")
    assert errors["dev"]["scores_of"] == files["model"].as_posix()
    assert errors["dev"]["labels"]["joy"]["given"] == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 1}, "1 folds. Expected 0 or at least 2"),
        ({"folds": 9}, "9 folds, 3 different texts. Expected 2 to 3"),
        ({"folds": 2}, "Nothing to learn from: .*, or 0 folds"),
        ({"near": 1.5}, "Cosine 1.5 of near-duplicates. Expected 0 to 1"),
        ({"gpu_id": 0}, "GPU 0 without a pipeline"),
        ({"model": Path("nowhere")}, "nowhere: no pipeline here"),
    ],
)
def test_a_setting_that_cannot_be_is_named_and_nothing_is_written(tmp_path, settings, message):
    corpus = write_corpus(tmp_path, **CLEAN)
    with pytest.raises(ValueError, match=message):
        audit(corpus, **settings)
    assert not list(tmp_path.glob("*.json*"))


def test_outputs_cannot_be_a_corpus(tmp_path):
    corpus = write_corpus(tmp_path, **CLEAN)
    before = (corpus / "dev.spacy").read_bytes()
    with pytest.raises(ValueError, match=r"dev\.spacy. Expected a name that ends in \.json"):
        audit_data(corpus, corpus / "dev.spacy", tmp_path / "a.jsonl")
    assert (corpus / "dev.spacy").read_bytes() == before


def test_the_command_names_a_missing_corpus_and_keeps_the_earlier_output(tmp_path, capsys):
    output, findings = tmp_path / "audit.json", tmp_path / "audit.jsonl"
    output.write_text("earlier")
    with pytest.raises(SystemExit, match="1"):
        main(tmp_path / "none", output, findings)
    assert "none of train.spacy, dev.spacy, test.spacy" in " ".join(capsys.readouterr().out.split())
    assert output.read_text() == "earlier"


def test_the_command_prints_what_it_found(tmp_path, capsys):
    rows = random_rows(40, seed=1)
    corpus = write_corpus(tmp_path, train=rows, dev=rows[:2], test=CLEAN["test"])
    main(corpus, tmp_path / "audit.json", tmp_path / "audit.jsonl", folds=2)
    printed = " ".join(capsys.readouterr().out.split())
    assert "dev in train 2 2 test in train 0 0" in printed
    assert "train: 0 of 40 posts with likely wrong labels, by TF-IDF, cross-validation" in printed
    assert f"joy {sum('joy' in on for _, on in rows)} 0 0" in printed


def test_the_page_has_the_numbers_of_the_json():
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf8")
    found = json.loads((ROOT / "metrics" / "goemotions" / "audit.json").read_text(encoding="utf8"))
    counts = {f"again in {split}": row for split, row in found["duplicates"].items()}
    for where, row in {**counts, **found["leaks"]}.items():
        assert f"| {where} | {row['exact']} | {row['normalised']} |" in page
    for split, row in found["label_errors"].items():
        assert re.search(rf"\| {split} \| .* \| {row['posts']:,} \| {row['suspect']:,} \|", page)
    labels = found["label_errors"]["train"]["labels"]
    for label in ("approval", "annoyance", "realization", "gratitude"):
        wrong, given = labels[label]["likely_wrong"], labels[label]["given"]
        assert f"{wrong:,} of {given:,}" in " ".join(page.split())
    assert f"{found['conflicts']['posts']} posts have other labels" in page
    near = found["near_duplicates"]
    assert f"{sum(near.values())} pairs of near-duplicates, {near['test in train']} of" in page
