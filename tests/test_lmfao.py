"""From predicted vectors back to words: exact and by graph, and the pipeline that does both."""

import numpy
import pytest
import spacy
import srsly
from spacy.tokens import Doc

from plugins.lmfao import NearestWords
from scripts.language_model import language_model
from scripts.pretrain import pretrain
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

MODEL = "components.textcat_multilabel.model.tok2vec"


@pytest.fixture
def nlp():
    """500 words with random vectors; "same" shares its row with word7, "none" has zeros."""
    nlp = spacy.blank("en")
    numbers = numpy.random.RandomState(0)
    for number in range(500):
        nlp.vocab.set_vector(f"word{number}", numbers.normal(size=20).astype("f"))
    nlp.vocab.set_vector("none", numpy.zeros(20, "f"))
    nlp.vocab.vectors.add("same", row=nlp.vocab.vectors.find(key="word7"))
    return nlp


def doc_with(nlp, tensor):
    doc = Doc(nlp.vocab, words=["x"] * len(tensor))
    doc.tensor = numpy.asarray(tensor, "f")
    return doc


@pytest.mark.parametrize("index", ["hnsw", "exact"])
def test_a_words_own_vector_at_any_length_finds_the_word(nlp, index):
    lmfao = NearestWords(nlp.vocab, k=2, index=index)
    vectors = [nlp.vocab.get_vector(f"word{n}") for n in (3, 499, 7)]
    doc = lmfao(doc_with(nlp, [3 * vectors[0], 0.1 * vectors[1], vectors[2]]))
    found = doc._.nearest_words
    assert [pairs[0][0] for pairs in found] == ["word3", "word499", "word7"]
    assert [len(pairs) for pairs in found] == [2, 2, 2]
    for pairs in found:
        assert pairs[0][1] == pytest.approx(1, abs=1e-5) and pairs[1][1] < pairs[0][1]


def test_the_cosines_are_those_of_all_words(nlp):
    V = numpy.array([nlp.vocab.get_vector(f"word{n}") for n in range(500)])
    query = numpy.random.RandomState(1).normal(size=(1, 20)).astype("f")
    cosines = (V / numpy.linalg.norm(V, axis=1, keepdims=True)) @ query[0]
    cosines /= numpy.linalg.norm(query)
    best = numpy.argsort(-cosines)[:5]
    lmfao = NearestWords(nlp.vocab, k=5, index="exact")
    pairs = lmfao(doc_with(nlp, query))._.nearest_words[0]
    assert [word for word, _ in pairs] == [f"word{n}" for n in best]
    numpy.testing.assert_allclose([c for _, c in pairs], cosines[best], atol=1e-5)


def test_the_graph_finds_nearly_all_that_comparing_with_every_vector_finds(nlp):
    queries = numpy.random.RandomState(1).normal(size=(300, 20)).astype("f")
    exact, _ = NearestWords(nlp.vocab, k=10, index="exact").search(queries)
    graph, _ = NearestWords(nlp.vocab, k=10).search(queries)
    poor, _ = NearestWords(nlp.vocab, k=10, links=2, effort=10).search(queries)
    recall = [
        numpy.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)])
        for found in (graph, poor)
    ]
    assert recall[0] > 0.98 > recall[1]


def test_many_docs_get_what_each_alone_gets_and_empty_ones_nothing(nlp):
    lmfao = NearestWords(nlp.vocab, k=3, index="exact")
    numbers = numpy.random.RandomState(2)
    tensors = [numbers.normal(size=(n, 20)) for n in (2, 0, 1)]
    together = [doc._.nearest_words for doc in lmfao.pipe(doc_with(nlp, t) for t in tensors)]
    assert [len(found) for found in together] == [2, 0, 1]
    for found, tensor in zip(together, tensors, strict=True):
        alone = lmfao(doc_with(nlp, tensor))._.nearest_words
        assert [[w for w, _ in row] for row in alone] == [[w for w, _ in row] for row in found]
    assert list(lmfao.pipe([])) == []


def test_what_does_not_fit_is_refused(nlp):
    with pytest.raises(ValueError, match=r"shape \(1, 8\)\. Expected \(1, 20\)"):
        NearestWords(nlp.vocab)(doc_with(nlp, numpy.ones((1, 8))))
    with pytest.raises(ValueError, match="k 0"):
        NearestWords(nlp.vocab, k=0)
    with pytest.raises(ValueError, match="Expected at most 500, the words"):
        NearestWords(nlp.vocab, k=501, effort=501)(doc_with(nlp, numpy.ones((1, 20))))
    with pytest.raises(ValueError, match="0 words"):
        NearestWords(spacy.blank("en").vocab)(doc_with(nlp, numpy.ones((1, 0))))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A small encoder, pretrained for two epochs on the sample."""
    folder = tmp_path_factory.mktemp("pretrained")
    lines = (ROOT / "assets" / "sample" / "train.tsv").read_text(encoding="utf8").splitlines()
    srsly.write_jsonl(folder / "raw.jsonl", [{"text": x.split("\t")[0]} for x in lines[:300]])
    nlp, numbers = spacy.blank("en"), numpy.random.RandomState(0)
    for row in srsly.read_jsonl(folder / "raw.jsonl"):
        for token in nlp(row["text"]):
            nlp.vocab.set_vector(token.text, numbers.normal(size=8).astype("f"))
    nlp.to_disk(folder / "vectors")
    settings = {
        "paths.raw_text": str(folder / "raw.jsonl"),
        "paths.vectors": str(folder / "vectors"),
        f"{MODEL}.encode.width": 16,
        f"{MODEL}.encode.depth": 1,
        f"{MODEL}.embed.rows": [500, 50],
        "pretraining.objective.hidden_size": 16,
        "pretraining.objective.loss": "cosine",
        "pretraining.objective.mask_prob": 0.0,  # words are seen, so that they can be found
        "pretraining.optimizer.learn_rate": 0.01,
        "pretraining.batcher.size": 300,
        "pretraining.max_epochs": 6,
    }
    pretrain(ROOT / "configs" / "cnn.cfg", folder / "out", overrides=settings)
    return folder / "out"


def test_a_pretrained_encoder_finds_the_words_it_sees_and_survives_a_save(pretrained, tmp_path):
    nlp = language_model(pretrained, k=3, index="exact")
    docs = list(nlp.pipe(["the train is late and I am so angry", "thank you for the help"]))
    hits = [
        token.text in [word for word, _ in pairs]
        for doc in docs
        for token, pairs in zip(doc, doc._.nearest_words, strict=True)
    ]
    assert sum(hits) > len(hits) / 2
    nlp.to_disk(tmp_path / "lm")
    assert [token.text for token in nlp("so [MASK].")] == ["so", "[MASK]", "."]
    again = spacy.load(tmp_path / "lm")("thank you for the help")
    for found, before in zip(again._.nearest_words, docs[1]._.nearest_words, strict=True):
        assert [word for word, _ in found] == [word for word, _ in before]


def test_other_vectors_than_those_learned_are_refused(pretrained, tmp_path):
    for path in pretrained.glob("*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    facts = srsly.read_json(pretrained / "manifest.json")
    srsly.write_json(tmp_path / "manifest.json", {**facts, "vectors_sha256": "0"})
    with pytest.raises(ValueError, match="learned to predict are not at"):
        language_model(tmp_path)


def test_an_objective_without_a_vector_per_word_is_refused(pretrained, tmp_path):
    for name in ("model-best.bin", "objective-best.bin"):
        (tmp_path / name).write_bytes((pretrained / name).read_bytes())
    facts = srsly.read_json(pretrained / "manifest.json")
    facts["objective"]["target"] = "trigram"
    srsly.write_json(tmp_path / "manifest.json", facts)
    with pytest.raises(ValueError, match=r"trigram.*Expected goemotions\.PretrainLMAO\.v1"):
        language_model(tmp_path)
    facts["objective"]["target"], facts["config"] = "word", "configs/gone.cfg"
    srsly.write_json(tmp_path / "manifest.json", facts)
    with pytest.raises(ValueError, match=r"its config configs/gone\.cfg is not here"):
        language_model(tmp_path)
    with pytest.raises(ValueError, match=r"no manifest\.json"):
        language_model(tmp_path / "nowhere")
