"""Brat standoff is read exactly, or refused by file and line."""

from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.util import registry

from plugins.standoff import create_standoff_reader, read_standoff

NLP = spacy.blank("en")
TEXT = "My old sister was furious at the new car park."
ANN = "T1\tPERSON 0 13\tMy old sister\nT2\tPLACE 37 45\tcar park\nA1\tSure T1 yes\n"


def write(folder: Path, ann: str | bytes, text: str | bytes = TEXT, name: str = "a") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for end, content in ((".txt", text), (".ann", ann)):
        data = content if isinstance(content, bytes) else content.encode("utf8")
        (folder / (name + end)).write_bytes(data)
    return folder


def spans(doc, name="entities"):
    return [(span.id_, span.label_, span.text) for span in doc.spans[name]]


def told(path: Path, **options) -> tuple[list, list[tuple[str, str]]]:
    said: list[tuple[str, str]] = []
    docs = list(read_standoff(path, NLP, report=lambda *told: said.append(told), **options))
    return docs, said


def test_all_entities_are_spans_in_file_order_and_the_longest_are_ents(tmp_path):
    ann = (
        "T2\tMOOD 18 25\tfurious\nT1\tCLAUSE 14 25\twas furious\n"
        "T9\tFEELING 18 25\tfurious\nT3\tPLACE 37 45\tcar park\n"
    )
    (doc,) = read_standoff(write(tmp_path, ann), NLP)
    assert spans(doc) == [
        ("T2", "MOOD", "furious"),
        ("T1", "CLAUSE", "was furious"),
        ("T9", "FEELING", "furious"),
        ("T3", "PLACE", "car park"),
    ]
    found = [(ent.label_, ent.text) for ent in doc.ents]
    assert found == [("CLAUSE", "was furious"), ("PLACE", "car park")]


def test_an_empty_ann_is_a_doc_that_is_known_to_have_no_entities(tmp_path):
    (doc,) = read_standoff(write(tmp_path, ""), NLP)
    assert doc.spans["entities"] == [] or len(doc.spans["entities"]) == 0
    assert {token.ent_iob_ for token in doc} == {"O"}


def test_entities_go_where_the_span_setter_says(tmp_path):
    write(tmp_path, ANN)
    (doc,) = read_standoff(tmp_path, NLP, span_setter=["gold", "more"])
    assert spans(doc, "gold") == spans(doc, "more") and len(doc.spans["gold"]) == 2
    assert list(doc.spans) == ["gold", "more"]
    assert {token.ent_iob_ for token in doc} == {""}  # nothing is said about doc.ents


def test_folders_are_read_to_their_depths_in_order_and_a_single_file_alone(tmp_path):
    for name in ("b", "a/z", "a/b", "c.v2", ".hidden/x", ".x"):
        write((tmp_path / name).parent, ANN, f"{TEXT} {name}", Path(name).name)
    docs = list(read_standoff(tmp_path, NLP))
    assert [doc.user_data["standoff"]["file"] for doc in docs] == ["a/b", "a/z", "b", "c.v2"]
    (doc,) = read_standoff(tmp_path / "a" / "z.txt", NLP)
    assert doc.text.endswith("a/z") and doc.user_data["standoff"]["file"] == "z"


def test_offsets_count_characters_of_the_text_as_it_is(tmp_path):
    text = "\ufeffOne 😀 line\r\nthe car\r\npark é"
    ann = "\ufeffT1\tEMOJI 4 5\t😀\r\nT2\tPLACE 16 25\tcar  park\r\n\r\nT3\tLETTER 26 27\té\r\n"
    (doc,) = read_standoff(write(tmp_path, ann, text), NLP)
    assert doc.text == text[1:]
    assert [span.text for span in doc.spans["entities"]] == ["😀", "car\r\npark", "é"]


MALFORMED = {
    "too few columns": ("T1\tX 0 2", "1: 2 columns. Expected 3"),
    "too many columns": ("A1\tX T1\tyes\tx", "1: 4 columns. Expected 2"),
    "start after end": ("T1\tX 2 2\t", r"1: T1 at 2 to 2. Expected the start before the end"),
    "offset beyond the text": ("T1\tX 3 47\tx", "1: T1 ends at 47. Expected at most 46"),
    "offset is no integer": ("T1\tX 0 2.5\tMy", r"1: T1 has the offset '2.5'. Expected a whole"),
    "offset is negative": ("T1\tX -1 2\tMy", "1: T1 has the offset '-1'. Expected a whole number"),
    "no end": ("T1\tX 0\tMy", "1: T1 at '0'. Expected start and end"),
    "another text": ("T1\tX 0 2\tmy", "1: T1 says 'my'. Expected 'My', as in the text"),
    "id again": ("T1\tX 0 2\tMy\n\nT1\tX 3 6\told", "3: id T1 again. Expected it in line 1 alone"),
    "unknown kind": ("T1\tX 0 2\tMy\nX1\tX 0 2\tMy", r"2: unknown kind of line 'X1\\tX 0 2"),
    "attribute of nothing": ("A1\tX T7", "1: refers to T7, which is not there"),
    "relation to nothing": ("T1\tX 0 2\tMy\nR1\tX Arg1:T1 Arg2:T2", "2: refers to T2, which"),
    "note on nothing": ("#1\tAnnotatorNotes T1\tx", "1: refers to T1, which is not there"),
    "event of nothing": ("E1\tX:T1", "1: refers to T1, which is not there"),
    "overlapping fragments": ("T1\tX 0 2;1 6\tMy y old", "1: T1: a fragment starts at 1, one ends"),
    "empty label": ("T1\t 0 2\tMy", "1: T1 has an empty label"),
    "no number": ("T\tX 0 2\tMy", "1: id 'T'. Expected T and a number"),
    "relation with one end": ("T1\tX 0 2\tMy\nR1\tX Arg1:T1", "2: 1 ids. Expected 2 or more"),
    "relation without roles": ("T1\tX 0 2\tMy\nR1\tX T1 T1", "2: arguments 'T1 T1'. Expected role"),
    "not UTF-8": (b"T1\tX 0 2\tMy\n\nT2\tX 3 6\t\xe9", "3: byte 0xe9. Expected UTF-8"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_line_is_refused_by_file_and_line(tmp_path, name):
    ann, message = MALFORMED[name]
    with pytest.raises(ValueError, match=r"a\.ann, line " + message):
        list(read_standoff(write(tmp_path, ann), NLP))


def test_a_text_that_is_not_utf_8_is_refused_by_file_and_line(tmp_path):
    with pytest.raises(ValueError, match=r"a\.txt, line 2: byte 0xe9\. Expected UTF-8"):
        list(read_standoff(write(tmp_path, "", b"x\ncaf\xe9"), NLP))


def test_ten_problems_of_a_file_are_told_in_the_order_of_lines_and_the_rest_counted(tmp_path):
    ann = "#1\tNote T99\tx\n" + "".join(f"T{i}\tX 5 5\tx\n" for i in range(14))
    with pytest.raises(ValueError, match="line 1: refers to T99") as caught:
        list(read_standoff(write(tmp_path, ann), NLP))
    lines = str(caught.value).split("\n")
    assert len(lines) == 11 and "line 10: T8" in lines[9]
    assert lines[10] == f"... and 5 more in {tmp_path / 'a.ann'}"


def test_what_refers_to_a_malformed_line_is_not_a_problem_of_its_own(tmp_path):
    with pytest.raises(ValueError) as caught:
        list(read_standoff(write(tmp_path, "T1\tX 5 5\tx\nA1\tSure T1"), NLP))
    assert str(caught.value).count("line") == 1


def test_every_kind_of_line_is_kept_and_survives_a_docbin(tmp_path):
    ann = (
        "T1\tX 0 2\tMy\nT2\tX 3 6\told\n*\tAlias T1 T2\nE1\tX:T1 Who:T2 Why:E2\nE2\tX:T2\n"
        "R1\tY Arg1:T1 Arg2:E1\t\nM1\tNo E1\n"
        "N1\tReference T1 Wiki:3\tmine\n#1\tAnnotatorNotes R1\ta\tb\n"
    )
    (doc,) = read_standoff(write(tmp_path, ann), NLP)
    packed = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    (again,) = DocBin().from_bytes(packed).get_docs(spacy.blank("en").vocab)
    kept = again.user_data["standoff"]["lines"]
    assert [raw for raw, _, _ in kept] == ann.rstrip("\n").split("\n")
    assert [(start, end) for _, start, end in kept] == [(0, 2), (3, 6)] + [(-1, -1)] * 7
    assert spans(again) == [("T1", "X", "My"), ("T2", "X", "old")]


SISTER = "T1\tX 0 2;7 13\tMy sister\n"


def test_fragments_are_merged_refused_or_left_out(tmp_path):
    write(tmp_path, SISTER)
    (doc,), said = told(tmp_path)
    assert spans(doc) == [("T1", "X", "My old sister")]
    where = f"{tmp_path / 'a.ann'}, line 1: T1 is in 2 fragments"
    assert said == [("discontinuous", f"{where}, taken from 0 to 13")]
    (doc,), said = told(tmp_path, discontinuous="skip")
    assert spans(doc) == [] and said == [("discontinuous", f"{where}, left out")]
    with pytest.raises(ValueError, match=r"line 1: T1 is in 2 fragments\. Expected one"):
        told(tmp_path, discontinuous="refuse")


def test_fragments_may_touch(tmp_path):
    (doc,), _ = told(write(tmp_path, "T1\tX 3 5;5 13\tol d sister\n"))
    assert spans(doc) == [("T1", "X", "old sister")]


@pytest.mark.parametrize(
    "place,covered,taken",
    [
        ("4 8", "ld s", "old sister"),
        ("2 7", " old ", "old"),
        ("20 25", "rious", "furious"),
        ("18 26", "furious ", "furious"),
    ],
)
def test_entities_that_are_not_whole_tokens_are_refused_widened_or_left_out(
    tmp_path, place, covered, taken
):
    write(tmp_path, f"T1\tX {place}\t{covered}\n")
    found = f"T1 {covered!r} at {place.replace(' ', ' to ')} is not the tokens {taken!r}"
    with pytest.raises(ValueError, match=rf"a\.ann, line 1: {found}\. Expected whole ones"):
        told(tmp_path)
    (doc,), said = told(tmp_path, misaligned="expand")
    assert spans(doc) == [("T1", "X", taken)]
    where = f"{tmp_path / 'a.ann'}, line 1: "
    assert said == [("misaligned", f"{where}{found}, taken instead")]
    (doc,), said = told(tmp_path, misaligned="skip")
    assert spans(doc) == [] and len(doc.ents) == 0
    assert said == [("misaligned", f"{where}{found}, left out")]


def test_white_space_at_the_ends_is_not_taken(tmp_path):
    ann = "T1\tX 1 9\t    bcd \n"
    (doc,), _ = told(write(tmp_path, ann, "a  \n bcd e"), misaligned="expand")
    assert spans(doc) == [("T1", "X", "bcd")]


def test_an_entity_of_white_space_alone_has_no_tokens_to_take(tmp_path):
    (doc,), said = told(write(tmp_path, "T1\tX 1 4\t   \n", "a \n b"), misaligned="expand")
    assert spans(doc) == [] and said[0][1].endswith("is not the tokens '', left out")


PARTS = "One sister.\n\nTwo car\n\nparks.\n\n \n\nThree.\n"
PARTS_ANN = (
    "T1\tX 4 10\tsister\nT2\tY 13 28\tTwo car  parks.\nT3\tZ 33 38\tThree\nA1\tSure T3\n"
    "R1\tSame Arg1:T1 Arg2:T3\n#1\tNote A1\tof the third\nE2\tSame:T2 Of:E3\nE3\tSame:T2 Of:E2\n"
    "#2\tNote R1\tof two\n#3\tNote #2\tof that\n"
)


def test_split_cuts_texts_into_parts_with_their_own_offsets_and_lines(tmp_path):
    docs, said = told(write(tmp_path, PARTS_ANN, PARTS), split="\n\n")
    assert [doc.text for doc in docs] == ["One sister.", "Two car\n\nparks.", "Three.\n"]
    assert [spans(doc)[0][1:] for doc in docs] == [
        ("X", "sister"),
        ("Y", "Two car\n\nparks."),
        ("Z", "Three"),
    ]
    origins = [doc.user_data["standoff"] for doc in docs]
    assert [(x["file"], x["start"], x["part"]) for x in origins] == [
        ("a", 0, 1),
        ("a", 13, 2),
        ("a", 33, 3),
    ]
    assert [raw for raw, _, _ in origins[1]["lines"]] == [
        "T2\tY 0 15\tTwo car  parks.",
        "E2\tSame:T2 Of:E3",
        "E3\tSame:T2 Of:E2",
    ]
    assert [raw for raw, _, _ in origins[2]["lines"]] == [
        "T3\tZ 0 5\tThree",
        "A1\tSure T3",
        "#1\tNote A1\tof the third",
    ]
    where = f"{tmp_path / 'a.ann'}, line "
    assert said == [
        ("cut", f"{where}2: T2 goes over the cut at 20 to 22, which is not made"),
        ("reference", f"{where}5: R1 speaks of several parts, left out"),
        ("reference", f"{where}9: #2 speaks of several parts, left out"),
        ("reference", f"{where}10: #3 speaks of several parts, left out"),
    ]


@pytest.mark.parametrize("line", ["T1\tX 0 4\tOne ", "T1\tX 4 8\t two"])
def test_a_cut_that_an_entity_reaches_into_is_not_made(tmp_path, line):
    docs, said = told(write(tmp_path, line, "One\n\ntwo"), split="\n\n", misaligned="expand")
    assert [doc.text for doc in docs] == ["One\n\ntwo"] and said[0][0] == "cut"


@pytest.mark.parametrize(
    "split,message", [("(", "split '\\('.*Expected a regular"), ("x*", "matches nothing")]
)
def test_a_split_that_cannot_be_is_refused(tmp_path, split, message):
    with pytest.raises(ValueError, match=message):
        told(write(tmp_path, ANN), split=split)


def test_skip_empty_leaves_out_parts_without_entities(tmp_path):
    ann = "T1\tZ 33 38\tThree\n"
    docs, _ = told(write(tmp_path, ann, PARTS), split="\n\n", skip_empty=True)
    assert [doc.text for doc in docs] == ["Three.\n"]
    docs, _ = told(tmp_path, split="\n\n")
    assert len(docs) == 4  # but not the blank one


def test_texts_without_ann_are_left_out_and_told(tmp_path):
    write(tmp_path, ANN)
    (tmp_path / "b.txt").write_text("not annotated")
    docs, said = told(tmp_path)
    assert len(docs) == 1
    assert said == [("unannotated", f"{tmp_path / 'b.txt'}: no b.ann beside it, left out")]


def test_an_ann_without_text_and_a_folder_without_pairs_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no documents\. Expected pairs of name\.txt and name"):
        told(tmp_path)
    (tmp_path / "lost.ann").write_text(ANN)
    with pytest.raises(ValueError, match=r"lost\.ann: no text\. Expected lost\.txt beside it"):
        told(tmp_path)


def test_a_config_names_the_reader_which_reads_twice_up_to_its_limit(tmp_path):
    for name in "abc":
        write(tmp_path, ANN, name=name)
    block = {"@readers": "goemotions.Standoff.v1", "path": str(tmp_path), "limit": 2}
    read = registry.resolve({"reader": {**block, "span_setter": ["ents", "sc"]}})["reader"]
    for _ in range(2):
        first, second = read(NLP)
        assert spans(first.reference, "sc") == spans(second.reference, "sc") != []
        assert [ent.text for ent in first.reference.ents] == ["My old sister", "car park"]
        assert len(first.predicted.ents) == 0 and not first.predicted.spans
    with pytest.raises(ValueError, match="misaligned"):
        registry.resolve({"reader": {**block, "misaligned": "guess"}})
    with pytest.raises(ValueError, match=r"limit -1\. Expected 0 or more"):
        create_standoff_reader(tmp_path, limit=-1)


def test_a_recogniser_learns_from_the_reader(tmp_path):
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    examples = list(create_standoff_reader(write(tmp_path, ANN))(nlp))
    sgd = nlp.initialize(lambda: examples)
    losses = [nlp.update(examples, sgd=sgd)["ner"] for _ in range(40)]
    assert losses[-1] < losses[0] / 10
    assert [ent.text for ent in nlp(TEXT).ents] == ["My old sister", "car park"]
