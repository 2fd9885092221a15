"""What is read from standoff is written as it was, but for what changed."""

import tempfile
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin, Span

from plugins.standoff import cover, entity_line, read_standoff
from scripts.write_standoff import annotation_of, write_standoff
from tests.conftest import ROOT

NLP = spacy.blank("en")
TEXT = "My old sister was furious at the new car park."
ANN = """\
T1\tPERSON 0 2;7 13\tMy sister
A1\tSure T1 yes
T12\tFEELING 18 25\tfurious
R1\tFeels Arg1:T1 Arg2:T12
#1\tAnnotatorNotes R1\tsays\tso
E1\tMood:T12 Who:T1 Where:T3
T3\tPLACE 37 45\tcar park
*\tAlias T1 T3 T12
N1\tReference T3 Wiki:1\tparking
M1\tLoud E1
"""


def write(folder: Path, ann: str = ANN, text: str = TEXT, name: str = "a") -> Path:
    path = folder / f"{name}.ann"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ann.encode("utf8"))
    path.with_suffix(".txt").write_bytes(text.encode("utf8"))
    return folder


def pack(path: Path, docs) -> Path:
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.suffix in (".txt", ".ann"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_folder_is_written_byte_for_byte_as_it_was_read(tmp_path):
    write(write(write(tmp_path / "in"), "", "", "sub/empty"), "", "One\r\ntwo 😀\n", "sub/b.v2")
    corpus = pack(tmp_path / "x.spacy", read_standoff(tmp_path / "in", NLP))
    counts = write_standoff(corpus, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "in")
    assert counts == {"documents": 3, "entities": 3, "new": 0, "changed": 0, "deleted": 0,
                      "lines_deleted": 0}  # fmt: skip


def test_the_sample_is_written_byte_for_byte_as_it_was_read(tmp_path):
    sample = ROOT / "assets" / "sample-entities"
    for split, pages in (("train", 40), ("dev", 12), ("test", 12)):
        corpus = pack(tmp_path / f"{split}.spacy", read_standoff(sample / split, NLP))
        assert write_standoff(corpus, tmp_path / split)["documents"] == pages
        assert contents(tmp_path / split) == contents(sample / split)


PIECES = st.sampled_from(
    ["a", "B7", " ", "  ", "\n", "\r\n", "\t", ".", "don't", "😀", "é", "[NAME]", "\u2028", "-"]
)


@st.composite
def documents(draw):
    text = "".join(draw(st.lists(PIECES, max_size=20)))
    bounds = st.lists(st.integers(0, len(text)), min_size=2, max_size=6, unique=True)
    lines = []
    for key in draw(st.lists(st.integers(1, 99), max_size=6, unique=True)) if len(text) > 5 else []:
        ends = sorted(draw(bounds))
        places = list(zip(ends[::2], ends[1::2], strict=False))
        lines.append(
            entity_line(f"T{key}", draw(st.sampled_from("XY")), places, cover(text, places))
        )
    return text, "".join(f"{line}\n" for line in lines)


@given(documents(), st.sampled_from(["expand", "skip"]), st.sampled_from(["merge", "skip"]))
@settings(max_examples=150, deadline=None)
def test_any_document_is_written_as_it_was(document, misaligned, discontinuous):
    text, ann = document
    with tempfile.TemporaryDirectory() as name:
        folder = write(Path(name), ann, text)
        options = {"misaligned": misaligned, "discontinuous": discontinuous}
        docs = DocBin(store_user_data=True, docs=read_standoff(folder, NLP, **options))
    (doc,) = docs.get_docs(NLP.vocab)
    lines, changes = annotation_of(doc, list(doc.spans["entities"]))
    assert doc.text == text and "".join(f"{line}\n" for line in lines) == ann
    assert not any(changes[name] for name in ("new", "changed", "deleted", "lines_deleted"))


def changed(tmp_path: Path, ids: list[str]) -> tuple[str, dict]:
    """Return the .ann after entities are left out."""
    (doc,) = read_standoff(write(tmp_path), NLP)
    lines, counts = annotation_of(doc, [x for x in doc.spans["entities"] if x.id_ in ids])
    return "\n".join(lines) + "\n", counts


def test_a_deleted_entity_takes_along_what_is_about_it_alone(tmp_path):
    ann, counts = changed(tmp_path, ["T12", "T3"])
    assert ann == (
        "T12\tFEELING 18 25\tfurious\nE1\tMood:T12 Where:T3\nT3\tPLACE 37 45\tcar park\n"
        "*\tAlias T3 T12\nN1\tReference T3 Wiki:1\tparking\nM1\tLoud E1\n"
    )
    assert (counts["deleted"], counts["lines_deleted"]) == (1, 3)  # A1, R1 and the note on R1


def test_a_deleted_trigger_takes_along_the_event_and_what_is_about_that(tmp_path):
    ann, counts = changed(tmp_path, ["T1"])
    assert ann == "T1\tPERSON 0 2;7 13\tMy sister\nA1\tSure T1 yes\n"
    assert (counts["deleted"], counts["lines_deleted"]) == (2, 6)


def test_changed_entities_keep_their_id_and_place_and_new_ones_get_new_ids(tmp_path):
    (doc,) = read_standoff(write(tmp_path), NLP)
    doc.spans["entities"] = [
        Span(doc, 0, 3, "PERSON", span_id="T1"),
        Span(doc, 4, 5, "MOOD", span_id="T12"),
        Span(doc, 7, 10, "PLACE", span_id="T3"),
        Span(doc, 8, 9, "CAR", span_id="T3"),
        Span(doc, 1, 2, "AGE"),
    ]
    lines, counts = annotation_of(doc, list(doc.spans["entities"]))
    assert lines[0] == "T1\tPERSON 0 2;7 13\tMy sister"
    assert lines[2] == "T12\tMOOD 18 25\tfurious" and lines[6] == "T3\tPLACE 33 45\tnew car park"
    assert lines[10:] == ["T13\tCAR 37 40\tcar", "T14\tAGE 3 6\told"]
    assert (counts["changed"], counts["new"], counts["deleted"]) == (2, 2, 0)


def test_the_id_of_a_deleted_entity_is_not_given_to_a_new_one(tmp_path):
    (doc,) = read_standoff(write(tmp_path), NLP)
    lines, _ = annotation_of(doc, [Span(doc, 1, 2, "AGE")])
    assert lines == ["T13\tAGE 3 6\told"]


def test_predicted_docs_are_numbered_and_their_ents_written_on_one_line_each(tmp_path):
    doc = NLP("Car\nparks please")
    doc.set_ents([Span(doc, 0, 3, "PLACE")])
    corpus = pack(tmp_path / "x.spacy", [NLP("Nothing"), doc])
    with pytest.raises(ValueError, match=r"doc 1: no spans 'entities'\. Expected ents, or of"):
        write_standoff(corpus, tmp_path / "out")
    counts = write_standoff(corpus, tmp_path / "out", spans="ents")
    assert contents(tmp_path / "out") == {
        "doc-00001.txt": b"Nothing",
        "doc-00001.ann": b"",
        "doc-00002.txt": b"Car\nparks please",
        "doc-00002.ann": b"T1\tPLACE 0 9\tCar parks\n",
    }
    assert (counts["documents"], counts["new"]) == (2, 1)


def test_parts_of_a_text_are_files_of_their_own_that_can_be_read_again(tmp_path):
    write(tmp_path / "in", "T1\tX 5 8\ttwo\nA1\tSure T1\n", "one\n\ntwo")
    corpus = pack(tmp_path / "x.spacy", read_standoff(tmp_path / "in", NLP, split="\n\n"))
    write_standoff(corpus, tmp_path / "out")
    assert contents(tmp_path / "out") == {
        "a-1.txt": b"one",
        "a-1.ann": b"",
        "a-2.txt": b"two",
        "a-2.ann": b"T1\tX 0 3\ttwo\nA1\tSure T1\n",
    }
    assert len(list(read_standoff(tmp_path / "out", NLP))) == 2


def test_two_docs_of_one_name_and_names_outside_the_folder_are_refused(tmp_path):
    docs = list(read_standoff(write(tmp_path / "in"), NLP))
    with pytest.raises(ValueError, match=r"doc 2: a\.txt again\. Expected each name once"):
        write_standoff(pack(tmp_path / "x.spacy", docs * 2), tmp_path / "out")
    docs[0].user_data["standoff"]["file"] = "../a"
    with pytest.raises(ValueError, match=r"doc 1: file '\.\./a'\. Expected a name within"):
        write_standoff(pack(tmp_path / "x.spacy", docs), tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "a.txt").exists()


def test_only_what_was_written_here_and_not_changed_since_is_replaced(tmp_path):
    folder = write(tmp_path / "in")
    corpus = pack(tmp_path / "x.spacy", read_standoff(folder, NLP))
    with pytest.raises(ValueError, match="no standoff of this command"):
        write_standoff(corpus, folder)
    write_standoff(corpus, tmp_path / "out")
    write_standoff(corpus, tmp_path / "out")
    (tmp_path / "out" / "a.ann").write_text("T1\tX 0 2\tMy\n")
    with pytest.raises(ValueError, match="was changed since it was written"):
        write_standoff(corpus, tmp_path / "out")
    assert (tmp_path / "out" / "a.ann").read_text() == "T1\tX 0 2\tMy\n"


def test_what_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no docs\. Expected a \.spacy with at least one"):
        write_standoff(pack(tmp_path / "x.spacy", []), tmp_path / "out")
    (tmp_path / "y.spacy").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"y\.spacy: .*Expected a \.spacy"):
        write_standoff(tmp_path / "y.spacy", tmp_path / "out")
