"""Workers: the same corpus with Ray and without, little read ahead, deaths survived."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from scripts import workers
from scripts.files import hash_of
from scripts.preprocess import preprocess
from scripts.workers import mapping, pack, pipeline_of
from tests.conftest import LABELS
from tests.test_preprocess import write_data


def test_pack_tokenizes_and_sets_every_label():
    data, lengths = pack([(1, "So happy, [NAME]!", [0]), (2, "Go away", [0, 1])], LABELS, "en")
    happy, away = DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab)
    assert [token.text for token in happy] == ["So", "happy", ",", "[NAME]", "!"]
    assert happy.cats == {"joy": 1.0, "anger": 0.0, "neutral": 0.0}
    assert away.cats == {"joy": 1.0, "anger": 1.0, "neutral": 0.0}
    assert lengths == [5, 2]


def test_a_full_vocabulary_is_replaced_and_nothing_else_changes(monkeypatch):
    chunks = [[(k, f"word{k} and [NAME]", [0])] for k in range(3)]
    pipeline_of.cache_clear()
    expected = [pack(chunk, LABELS, "en") for chunk in chunks]
    kept = pipeline_of("en")
    assert "word0" in kept.vocab.strings and "word2" in kept.vocab.strings
    monkeypatch.setattr(workers, "WORDS", 1)
    assert [pack(chunk, LABELS, "en") for chunk in chunks] == expected
    assert pipeline_of("en") is not kept
    assert "word2" not in pipeline_of("en").vocab.strings


def test_one_process_and_two_keep_the_order():
    for n_process in (1, 2):
        with mapping(n_process) as run:
            assert list(run(str, iter(range(50)))) == [str(number) for number in range(50)]


def test_without_ray_one_sentence_says_how_to_install_it_and_the_rest_works(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # importing it fails
    folder = write_data(tmp_path / "in")
    with pytest.raises(ValueError, match=r'^Ray is not installed\. .*pip install "ray\[tune\]=='):
        preprocess(folder, tmp_path / "out", address="local")
    assert not (tmp_path / "out").exists()
    preprocess(folder, tmp_path / "out", n_process=1)
    assert (tmp_path / "out" / "train.spacy").exists()


# On Ray


def pack_but_die_once(chunk: list, labels: list[str], lang: str, mark: Path) -> tuple:
    """Pack, but let the first worker that comes to chunk 2 be killed."""
    if chunk[0][0] == 2001 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return pack(chunk, labels, lang)


@pytest.mark.slow
def test_the_corpus_is_the_same_on_ray_even_if_a_worker_is_killed(tmp_path, monkeypatch):
    rows = "".join(f"post number {i} is fine\t{i % 3}\t{i}\n" for i in range(5500))
    folder = write_data(tmp_path / "in", train_tsv=rows)
    options = {"n_process": 2, "shard_size": 2000}
    preprocess(folder, tmp_path / "plain", **options)
    preprocess(folder, tmp_path / "ray", address="local", **options)
    mark = tmp_path / "killed"
    dying = partial(pack_but_die_once, mark=mark)
    monkeypatch.setattr("scripts.preprocess.pack", dying)
    preprocess(folder, tmp_path / "killed_once", address="local", **options)
    assert mark.exists()
    assert len(list((tmp_path / "plain" / "train.spacy").iterdir())) == 3
    assert hash_of(tmp_path / "plain") == hash_of(tmp_path / "ray")
    assert hash_of(tmp_path / "plain") == hash_of(tmp_path / "killed_once")


def fail(number: int) -> None:
    raise KeyError("no such thing")


@pytest.mark.slow
def test_ray_keeps_the_order_reads_little_ahead_and_says_what_failed():
    read = []

    def numbers():
        for number in range(40):
            read.append(number)
            yield number

    with mapping(2, "local") as run:
        found = []
        for result in run(str, numbers()):
            found.append(result)
            assert len(read) <= len(found) + 4
        with pytest.raises(ValueError, match=r"(?s)A worker of Ray failed: .*no such thing"):
            list(run(fail, iter([1])))
    assert found == [str(number) for number in range(40)]
