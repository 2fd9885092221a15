"""Vectors: converting files of every kind, training own ones, coverage, and each error."""

import gzip
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin
from spacy.training.initialize import load_vectors_into_model
from spacy.vocab import Vocab

from plugins.tokenizer import create_tokenizer
from scripts.coverage import coverage
from scripts.files import hash_of
from scripts.init_vectors import MAX_LINE, init_vectors
from scripts.train_vectors import read_docs, train_vectors
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

TABLE = "3 2\nso 1 0\ngood 0.5 -2\n[NAME] 3 4\n"
FLORET = "4 2 2 3 1 7 < >\n0 1 0\n1 0 1\n2 1 1\n3 2 2\n"


def vectors_file(folder: Path, name: str, text: str | bytes = TABLE) -> Path:
    """Write a file of vectors, packed as its name says."""
    path, data = folder / name, text.encode() if isinstance(text, str) else text
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.vec", data)
    else:
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def corpus_file(path: Path, *docs: list[str]) -> Path:
    """Write a corpus of docs of these words."""
    vocab = spacy.blank("en").vocab
    DocBin(attrs=["ORTH"], docs=[Doc(vocab, words=words) for words in docs]).to_disk(path)
    return path


def vocab_of(pipeline: Path) -> Vocab:
    """Read what a pipeline knows of words, without the rest."""
    return Vocab().from_disk(pipeline / "vocab")


def run(module: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run a script as a user does."""
    command = [sys.executable, "-m", f"scripts.{module}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def vectors(tmp_path) -> Path:
    """A pipeline with vectors of so, good and [NAME]."""
    init_vectors(vectors_file(tmp_path, "tiny.vec"), tmp_path / "vectors")
    return tmp_path / "vectors"


# Converting


@pytest.mark.parametrize("name", ["a.vec", "b.txt", "a.vec.gz", "b.txt.gz", "a.vec.zip", "b.zip"])
def test_every_kind_of_file_gives_the_same_vectors(tmp_path, name):
    # Half of them without a header.
    text = TABLE if name.startswith("a") else TABLE.split("\n", 1)[1]
    facts = init_vectors(vectors_file(tmp_path, name, text), tmp_path / "out")
    vocab = vocab_of(tmp_path / "out")
    assert facts == {"rows": 3, "width": 2, "keys": 3}
    assert {w: vocab[w].vector.tolist() for w in ("so", "good", "[NAME]", "bad")} == {
        "so": [1, 0],
        "good": [0.5, -2],
        "[NAME]": [3, 4],
        "bad": [0, 0],
    }


def test_a_floret_table_gives_every_word_a_vector(tmp_path):
    source = vectors_file(tmp_path, "a.floret", FLORET)
    assert init_vectors(source, tmp_path / "out", mode="floret")["keys"] == -1
    table = vocab_of(tmp_path / "out").vectors
    assert (table.shape, table.minn, table.maxn, table.hash_seed) == ((4, 2), 2, 3, 7)
    assert table["anything"].any()


@pytest.mark.parametrize(("mode", "text"), [("default", TABLE), ("floret", FLORET)])
def test_vectors_of_lower_cased_words_serve_the_others_even_when_saved_again(tmp_path, mode, text):
    init_vectors(vectors_file(tmp_path, "a.vec", text), tmp_path / "out", mode=mode, lower=True)
    again = spacy.blank("en")
    load_vectors_into_model(again, tmp_path / "out")
    again.to_disk(tmp_path / "again")  # where a table of words forgets its attribute
    vectors = [token.vector.tolist() for token in spacy.load(tmp_path / "again")("good Good GOOD")]
    assert vectors[0] == vectors[1] == vectors[2] != [0, 0]


def test_a_form_with_a_vector_of_its_own_keeps_it(tmp_path):
    source = vectors_file(tmp_path, "a.vec", "us 1 0\nUS 0 1\n")
    init_vectors(source, tmp_path / "out", lower=True)
    nlp = spacy.load(tmp_path / "out")
    assert [t.vector.tolist() for t in nlp("us Us US")] == [[1, 0], [1, 0], [0, 1]]


def test_truncate_reads_the_top_and_never_pads(tmp_path):
    source = vectors_file(tmp_path, "a.vec")
    for truncate, rows in ((2, 2), (9, 3)):
        facts = init_vectors(source, tmp_path / "out", truncate=truncate)
        assert (facts["rows"], facts["keys"]) == (rows, rows)


def test_pruned_words_share_the_nearest_vector(tmp_path):
    source = vectors_file(tmp_path, "a.vec", "3 2\nup 1 0\nleft 0 1\nhigh 0.9 0.1\n")
    assert init_vectors(source, tmp_path / "out", prune=2) == {"rows": 2, "width": 2, "keys": 3}
    vocab = vocab_of(tmp_path / "out")
    assert vocab["high"].vector.tolist() == vocab["up"].vector.tolist() == [1, 0]


def test_the_first_words_are_kept_even_if_some_vectors_are_the_same(tmp_path):
    table = "4 2\nthe 9 0\nof 1 8\nzzz -5 0\nyyy -5 0\n"
    init_vectors(vectors_file(tmp_path, "a.vec", table), tmp_path / "out", prune=1)
    vocab = vocab_of(tmp_path / "out")
    assert vocab["the"].vector.tolist() == [9, 0]
    assert len(vocab.lookups) == len(spacy.blank("en").vocab.lookups)


def test_an_unknown_language_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Language 'english' cannot be used"):
        init_vectors(vectors_file(tmp_path, "a.vec"), tmp_path / "out", lang="english")
    with pytest.raises(ValueError, match="Language 'english' cannot be used"):
        train_vectors(raw_files(tmp_path), tmp_path / "own", lang="english")


def test_training_texts_inside_the_output_are_not_replaced(tmp_path):
    inside = tmp_path / "own"
    inside.mkdir()
    (inside / "meta.json").write_text("{}")
    (inside / "raw.txt").write_text("so good\n" * 9)
    with pytest.raises(ValueError, match="would replace the input"):
        train_vectors([inside / "raw.txt"], inside)


def test_the_vectors_are_named_after_the_folder_or_as_asked(tmp_path):
    source = vectors_file(tmp_path, "a.vec")
    for name, expected in ((None, "out"), ("mine", "mine")):
        init_vectors(source, tmp_path / "out", name=name)
        assert srsly.read_json(tmp_path / "out" / "meta.json")["vectors"]["name"] == expected


def test_a_word_may_contain_blanks(tmp_path):
    init_vectors(vectors_file(tmp_path, "a.vec", "1 2\n. at me 1 0\n"), tmp_path / "out")
    assert vocab_of(tmp_path / "out")[". at me"].vector.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.vec", "2 2\nso 1 0\ngood 1 2 3\n", r"a\.vec, line 3: 3 numbers.*Expected 2, as line 1"),
        ("a.vec.gz", "so 1 0\ngood 1\n", r"a\.vec\.gz, line 2: 1 numbers.*Expected 2, as line 1"),
        ("a.vec", "so 1 0\ngood  1 2\n", "line 2: 3 numbers.*Expected 2"),
        ("a.vec.zip", "1 2\nso 1 x7\n", r"a\.vec\.zip, line 2: 'x7'\. Expected a number"),
        ("a.vec", "2 2\nso 1 0\n", r"a\.vec: 1 vectors\. Expected 2"),
        ("a.vec", "1 2\nso 1 0\nup 0 1\n", r"a\.vec, line 3: one more than the header's 1"),
        ("a.vec", "", r"a\.vec: 0 vectors\. Expected at least 1"),
        ("a.vec", "so\n", "line 1: 'so'. Expected rows and width, or a word"),
        ("a.vec", "0 2\n", "line 1: '0 2'. Expected rows and width"),
        ("a.vec", "1 2 5\nso 1 2\n", "Expected a header of 2 numbers"),
        ("a.vec", FLORET, "Expected a header of 2.*a floret table wants --mode floret"),
        ("a.vec", "2 1\nso 1\nup nan\n", "1 vectors with nan or inf"),
        ("a.vec", b"1 1\n\xff 1\n", r"a\.vec, line 2: not UTF-8 at byte 0"),
        ("a.vec", b"x" * (MAX_LINE + 5), "line 1: over 1048576 bytes"),
        ("a.vec.zip", "big 1 0\n" * 200_000, "times its size. Expected at most 100"),
        ("a.bin", "binary", r"Expected a name in \.vec.*a binary \.bin"),
        ("a.tar.gz", "tar", r"Expected a name in \.vec"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path, name, text, message):
    source = vectors_file(tmp_path, name, text)
    with pytest.raises(ValueError, match=message):
        init_vectors(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["../a.vec"], "holds '../a.vec'. Expected a plain file name"),
        (["/a.vec"], "holds '/a.vec'. Expected a plain"),
        (["..\\a.vec"], "Expected a plain file name"),
        (["a.vec", "b.vec"], "holds a.vec, b.vec. Expected one file"),
        (["folder/"], "holds folder/. Expected one file"),
        ([], "holds nothing. Expected one file"),
    ],
)
def test_a_zip_must_hold_one_plain_file(tmp_path, members, message):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in members:
            archive.writestr(name, "" if name.endswith("/") else TABLE)
    with pytest.raises(ValueError, match=message):
        init_vectors(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("name", ["a.vec.gz", "a.vec.zip"])
def test_a_damaged_file_is_refused(tmp_path, name):
    source = vectors_file(tmp_path, name)
    source.write_bytes(source.read_bytes()[:-12])
    with pytest.raises(ValueError, match="damaged or cut off"):
        init_vectors(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "floret"}, "Expected floret's header of 8 fields"),
        ({"mode": "floret", "prune": 5}, "do not apply to --mode floret"),
        ({"mode": "floret", "truncate": 5}, "do not apply to --mode floret"),
        ({"prune": 0}, "prune 0, truncate 0. Expected counts"),
        ({"truncate": -1}, "prune -1, truncate -1"),
    ],
)
def test_bad_options_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        init_vectors(vectors_file(tmp_path, "a.vec"), tmp_path / "out", **arguments)


def test_only_a_pipeline_is_replaced(tmp_path):
    source = vectors_file(tmp_path, "a.vec")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    with pytest.raises(ValueError, match=r"no pipeline\. Expected a new folder"):
        init_vectors(source, tmp_path / "mine")
    with pytest.raises(ValueError, match="would replace the input"):
        init_vectors(source, tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        init_vectors(tmp_path / "missing.vec", tmp_path / "out")
    assert source.read_text() == TABLE


def test_the_command_says_what_it_wrote_and_fails_with_a_sentence(tmp_path):
    done = run("init_vectors", vectors_file(tmp_path, "a.vec.gz"), tmp_path / "out")
    assert (done.returncode, "3 vectors of width 2 for 3 words" in done.stdout) == (0, True)
    failed = run("init_vectors", tmp_path / "nowhere.vec", tmp_path / "out")
    assert failed.returncode == 1
    assert "nowhere.vec: no such file" in " ".join(failed.stdout.split())
    assert "Traceback" not in failed.stderr


# Training


def raw_files(folder: Path) -> list[Path]:
    """Write the same few words as a corpus and as every kind of raw text."""
    rows = ["So good [NAME]", "so GOOD so bad"] * 10
    plain = folder / "raw.txt"
    plain.write_text("\n".join(rows) + "\n")
    tabbed = folder / "raw.tsv.gz"
    tabbed.write_bytes(gzip.compress("".join(f"{row}\t3\tid\n" for row in rows).encode()))
    lines = folder / "raw.jsonl"
    srsly.write_jsonl(lines, [{"text": row} for row in rows])
    nlp = spacy.blank("en")
    nlp.tokenizer = create_tokenizer(["[NAME]"])(nlp)
    corpus = corpus_file(folder / "train.spacy", *[[t.text for t in nlp(row)] for row in rows])
    return [corpus, plain, tabbed, lines]


def test_every_source_gives_the_same_tokens(tmp_path):
    nlp = spacy.blank("en")
    nlp.tokenizer = create_tokenizer(["[NAME]", "[RELIGION]"])(nlp)
    for source in raw_files(tmp_path):
        words = [[token.text for token in doc] for doc in read_docs(nlp, source)]
        assert words == [["So", "good", "[NAME]"], ["so", "GOOD", "so", "bad"]] * 10, source


@pytest.mark.parametrize("mode", ["default", "floret"])
def test_trained_vectors_are_the_same_each_time_and_serve_all_cases(tmp_path, mode):
    hashes = []
    for name in ("one", "two"):
        facts = train_vectors(
            raw_files(tmp_path), tmp_path / name / "own", mode=mode, width=6, buckets=50
        )
        hashes.append(hash_of(tmp_path / name / "own" / "vocab" / "vectors"))
        assert [path.name for path in (tmp_path / name).iterdir()] == ["own"]
    assert hashes[0] == hashes[1]
    assert (facts["docs"], facts["tokens"], facts["width"]) == (80, 280, 6)
    nlp = spacy.load(tmp_path / "one" / "own")
    first, second, other = (token.vector for token in nlp("good GOOD bad"))
    assert first.any() and first.tolist() == second.tolist() != other.tolist()
    assert srsly.read_json(tmp_path / "one" / "own" / "vectors.json")["tokens"] == 280


def test_floret_gets_the_numbers_that_were_given_and_one_thread_by_default(tmp_path, monkeypatch):
    given = {}

    def stop(text, **arguments):
        given.update(arguments)
        raise ValueError("Enough.")

    monkeypatch.setattr("scripts.train_vectors.floret.train_unsupervised", stop)
    for changes, expected in (({}, (100, 5, 3, 1)), ({"epochs": 2, "threads": 4}, (100, 2, 3, 4))):
        with pytest.raises(ValueError, match="Enough"):
            train_vectors(raw_files(tmp_path), tmp_path / "own", **changes)
        assert tuple(given[key] for key in ("dim", "epoch", "minCount", "thread")) == expected
    assert not list(tmp_path.glob(".own*"))


def test_only_frequent_words_have_vectors_in_a_table_and_cased_ones_their_own(tmp_path):
    train_vectors(raw_files(tmp_path), tmp_path / "own", lower=False, width=4, min_count=41)
    vocab = vocab_of(tmp_path / "own")
    found = {word for word in ("So", "so", "good", "GOOD") if vocab.has_vector(word)}
    assert found == {"so"}  # 80 times; the others 40


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dev.spacy", "", "a split to judge on"),
        ("test.tsv", "a", "a split to judge on"),
        ("test.jsonl.gz", "a", "a split to judge on"),
        ("raw.csv", "a", r"raw\.csv: Expected a name in \.spacy"),
        ("raw.spacy.gz", "a", "Expected a name in"),
        ("raw.jsonl", '{"text": "a"}\n{"txt": 1}\n', r"raw\.jsonl, line 2: .*with \"text\""),
        ("raw.jsonl", "[\n", r"raw\.jsonl, line 1: .* Expected JSON"),
        ("raw.txt", "one two\n", r"raw\.txt: .*Expected some word at least 3 times"),
    ],
)
def test_bad_sources_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        train_vectors([tmp_path / name], tmp_path / "own")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_missing_sources_folders_and_long_texts_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none\.txt: no such file"):
        train_vectors([tmp_path / "none.txt"], tmp_path / "own")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(ValueError, match=r"folder\.txt: a folder"):
        train_vectors([tmp_path / "folder.txt"], tmp_path / "own")
    (tmp_path / "long.txt").write_text("a " * 500_010)
    with pytest.raises(ValueError, match=r"long\.txt, line 1: 1000020 characters"):
        train_vectors([tmp_path / "long.txt"], tmp_path / "own")
    (tmp_path / "folder.txt" / "notes").write_text("kept")
    with pytest.raises(ValueError, match=r"no pipeline\. Expected a new folder"):
        train_vectors([tmp_path / "long.txt"], tmp_path / "folder.txt")


# Coverage


def test_coverage_counts_tokens_and_words_of_each_split(tmp_path, vectors):
    train = corpus_file(tmp_path / "train.spacy", ["so", "so", "bad"], ["good", "bad", "sad", "So"])
    dev = corpus_file(tmp_path / "dev.spacy", ["[NAME]", "so"])
    report = coverage(str(vectors), [train, dev], top=1)
    expected = {"pipeline": str(vectors), "rows": 3, "width": 2, "mode": "default", "attr": "ORTH"}
    assert report["vectors"] == expected
    assert report["splits"]["train"] == {
        "tokens": 7,
        "tokens_with_vector": 3,
        "token_share": 0.4286,
        "words": 5,
        "words_with_vector": 2,
        "word_share": 0.4,
        "missing": [["bad", 2]],
    }
    assert report["splits"]["dev"]["token_share"] == report["splits"]["dev"]["word_share"] == 1
    assert report["splits"]["dev"]["missing"] == []


def test_coverage_looks_up_what_the_vectors_are_of(tmp_path):
    train = corpus_file(tmp_path / "train.spacy", ["So", "SO", "bad"])
    init_vectors(vectors_file(tmp_path, "a.vec"), tmp_path / "lower", lower=True)
    found = coverage(str(tmp_path / "lower"), [train])["splits"]["train"]
    assert (found["words"], found["words_with_vector"]) == (3, 2)
    source = vectors_file(tmp_path, "a.floret", FLORET)
    init_vectors(source, tmp_path / "floret", mode="floret", lower=True)
    report = coverage(str(tmp_path / "floret"), [train])
    assert (report["vectors"]["attr"], report["splits"]["train"]["words"]) == ("LOWER", 2)
    assert report["splits"]["train"]["token_share"] == 1


def test_coverage_reads_a_split_in_parts(tmp_path, vectors):
    (tmp_path / "train.spacy").mkdir()
    for part in ("0", "1"):
        corpus_file(tmp_path / "train.spacy" / f"{part}.spacy", ["so", "bad"])
    assert coverage(str(vectors), [tmp_path / "train.spacy"])["splits"]["train"]["tokens"] == 4


def test_coverage_refuses_what_it_cannot_measure(tmp_path, vectors):
    train = corpus_file(tmp_path / "train.spacy", ["so"])
    spacy.blank("en").to_disk(tmp_path / "blank")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("blank", "a pipeline without vectors"),
        ("empty", "cannot be loaded"),
        ("no_such_package", "no such pipeline"),
    ):
        with pytest.raises(ValueError, match=message):
            coverage(str(tmp_path / name), [train])
    with pytest.raises(ValueError, match=r"nowhere\.spacy: no such corpus"):
        coverage(str(vectors), [tmp_path / "nowhere.spacy"])
    with pytest.raises(ValueError, match="Expected files of different names"):
        coverage(str(vectors), [train, train])
    with pytest.raises(ValueError, match="no tokens"):
        coverage(str(vectors), [corpus_file(tmp_path / "none.spacy", [])])


def test_the_command_prints_a_table_and_writes_json(tmp_path, vectors):
    train = corpus_file(tmp_path / "train.spacy", ["so", "bad"])
    done = run("coverage", vectors, train, "--output", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    assert "train, missing most often: 'bad' (1)" in done.stdout
    assert srsly.read_json(tmp_path / "report.json") == coverage(str(vectors), [train])
    assert numpy.isclose(coverage(str(vectors), [train])["splits"]["train"]["token_share"], 0.5)
    failed = run("coverage", tmp_path, train)
    assert failed.returncode == 1
    assert "cannot be loaded" in " ".join(failed.stdout.split())
