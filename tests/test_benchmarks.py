"""The benchmarks measure what they say; no test asserts a time."""

import shutil
import time
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
import torch
from spacy.tokens import DocBin

from benchmarks import entities as entities_module
from benchmarks import pairs as pairs_module
from benchmarks import prediction as prediction_module
from benchmarks.averaging import average, averaging, measure
from benchmarks.baseline import baseline
from benchmarks.conditions import alone, conditions
from benchmarks.finetune import time_plain, time_project
from benchmarks.memory import peak_of, write_data
from benchmarks.parallel import time_workers
from benchmarks.preprocess import straightforward, with_checks
from benchmarks.pretraining import ARMS, time_epoch
from benchmarks.scale import as_table
from benchmarks.serve import compare, service, soak
from benchmarks.thresholds import cross_validated
from benchmarks.training import arms_of, time_steps
from plugins.decoders import decode_greedy
from plugins.seq2seq import Seq2Seq
from tests.conftest import LABELS, ROOT, ROWS, make_examples
from tests.test_evaluate_pairs import save_corpus, save_pair_model
from tests.test_transformer import make_nlp as make_transformer
from tests.tiny_transformer import save_tiny_transformer

pytest_plugins = ["tests.small_recipes"]

SAMPLE = ROOT / "assets" / "sample"


def docs_of(path: Path) -> list[tuple]:
    docs = DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)
    return [([token.text for token in doc], doc.cats) for doc in docs]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with the corpus of the sample, made by the straightforward script."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "corpus").mkdir()
    straightforward(SAMPLE, folder / "corpus" / "sample")
    with_checks(SAMPLE, folder / "corpus" / "checked", 1)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_both_ways_to_preprocess_make_the_same_corpus(project, split):
    one, two = (docs_of(project / f"corpus/{name}/{split}.spacy") for name in ("sample", "checked"))
    assert len(one) > 400
    assert one == two


@pytest.mark.slow
def test_baseline_writes_metrics_and_what_it_chose(project, monkeypatch):
    monkeypatch.chdir(project)
    result = baseline("checked", test=True, min_df=[5])
    assert sorted(path.name for path in Path("metrics/checked").iterdir()) == [
        "tfidf.json",
        "tfidf.test.json",
    ]
    assert result["test"]["conditions"]["settings"]["min_df"] == 5
    assert 0.1 < result["test"]["macro_f1"] < 0.6


def test_arms_differ_in_what_their_names_say():
    arms = arms_of(Path("configs/cnn.cfg"))
    assert list(arms) == ["cnn", "cnn, BLIS", "spaCy's default"]
    assert arms["cnn"] == {}
    model = arms["spaCy's default"]["components", "textcat_multilabel", "model"]
    assert model["@architectures"] == "spacy.TextCatEnsemble.v2"


@pytest.mark.slow
def test_every_arm_trains(project, monkeypatch):
    monkeypatch.chdir(project)
    for changes in arms_of(ROOT / "configs" / "cnn.cfg").values():
        found = time_steps(ROOT / "configs" / "cnn.cfg", "checked", 2, changes)
        assert found["words_per_second"] > found["steps_per_second"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("with_vectors", [False, True])
def test_both_recognisers_are_timed_on_the_same_batches(
    with_vectors, entities, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    for name in ("ner", "ner_crf"):
        text = (ROOT / "configs" / f"{name}.cfg").read_text(encoding="utf8")
        assert "size = 500" in text
        Path(f"configs/{name}.cfg").write_text(text.replace("size = 500", "size = 20"))
    Path("corpus/tiny").mkdir(parents=True)
    for name in ("train.spacy", "dev.spacy"):
        shutil.copy(entities["paths.train"], f"corpus/tiny/{name}")
    shutil.copy(entities["paths.labels"], "corpus/tiny")
    nlp = spacy.blank("en")
    nlp.vocab.set_vector("Oslo", numpy.ones(5, dtype="f"))
    nlp.to_disk("vectors")
    vectors = Path("vectors") if with_vectors else None
    made, seen, init_nlp = [], [], entities_module.init_nlp

    def noting(config):
        nlp, batches = init_nlp(config), []
        update = nlp.update
        nlp.update = lambda batch, **rest: batches.append(list(batch)) or update(batch, **rest)
        made.append(nlp)
        seen.append(batches)
        return nlp

    monkeypatch.setattr(entities_module, "alone", lambda work, *arguments: work(*arguments))
    monkeypatch.setattr(entities_module, "init_nlp", noting)
    entities_module.main("tiny", 30, 2, vectors)  # two epochs and a half
    layers = [{layer.name for layer in nlp.pipeline[0][1].model.walk()} for nlp in made]
    assert ["static_vectors" in names for names in layers] == [with_vectors] * 4
    assert [nlp.pipe_names for nlp in made] == [["ner_crf"], ["ner"]] * 2
    end = "_vectors" if with_vectors else ""
    written = srsly.read_json(f"metrics/tiny/benchmark_entities{end}.json")
    assert list(written["results"]) == ["ner_crf", "ner"]
    crf, spacys = written["results"].values()
    texts = [[[x.text for x in batch] for batch in batches] for batches in seen]
    assert texts == [texts[0]] * 4 and len(texts[0]) == 33 and len(texts[0][0]) > 1
    words = sum(len(example) for batch in seen[0][3:] for example in batch)
    assert crf["words"] == spacys["words"] == words
    assert min(*crf.values(), *spacys.values()) > 0
    assert (written["steps"], written["repeats"]) == (30, 2)
    assert written["vectors"] == ("vectors" if with_vectors else None)
    for key, bar in (("update_seconds", 1.5), ("docs_per_second", 0.5)):
        ratio = written["ratios"][key]
        assert ratio["bar"] == bar and len(ratio["turns"]) == 2
        assert ratio["ratio"] == pytest.approx(sum(ratio["turns"]) / 2)
    assert "≤ 1.5" in (said := capsys.readouterr().out) and "≥ 0.5" in said
    with pytest.raises(ValueError, match=r"corpus/none/train\.spacy: no such file"):
        entities_module.entities("none", 10, 1)
    with pytest.raises(ValueError, match="nowhere: no pipeline here"):
        entities_module.entities("tiny", 10, 1, Path("nowhere"))


def test_ratios_of_recognisers_are_medians_over_turns_of_crf_to_spacys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "dev"):
        Path("corpus/tiny").mkdir(parents=True, exist_ok=True)
        Path(f"corpus/tiny/{split}.spacy").touch()
    seconds = iter([3.0, 2.0, 8.0, 2.0, 5.0, 4.0])  # in turns: CRF, spaCy's

    def timed(work, name, *rest):
        return {"words": 7, "update_seconds": next(seconds), "docs_per_second": len(name)}

    monkeypatch.setattr(entities_module, "alone", timed)
    results, ratios = entities_module.entities("tiny", 10, 3)
    assert results["ner_crf"] == {"words": 7, "update_seconds": 5.0, "docs_per_second": 7}
    assert results["ner"] == {"words": 7, "update_seconds": 2.0, "docs_per_second": 3}
    assert ratios == {
        "update_seconds": {"ratio": 1.5, "turns": [1.5, 4.0, 1.25], "bar": 1.5},
        "docs_per_second": {"ratio": 2.333, "turns": [2.333] * 3, "bar": 0.5},
    }


@pytest.fixture
def writer(tmp_path, monkeypatch) -> Path:
    """A pipeline for pairs in a folder with a corpus of three."""
    monkeypatch.chdir(tmp_path)
    Path("corpus/tiny").mkdir(parents=True)
    pipeline = save_pair_model(Path("pipeline"))
    save_corpus(Path("corpus/tiny/dev.spacy"))
    return pipeline


def test_text_to_text_is_timed_in_batches_alone_and_with_a_beam(writer, monkeypatch, capsys):
    seen, predict = [], Seq2Seq.predict

    def noting(self, docs):
        decoder = "greedy" if self.decoder is decode_greedy else self.decoder.keywords["width"]
        seen.append((decoder, len(docs)))
        return predict(self, docs)

    monkeypatch.setattr(Seq2Seq, "predict", noting)
    monkeypatch.setattr(pairs_module, "WARM_UP", 2)
    threads = torch.get_num_threads()
    pairs_module.main(writer, "tiny", None, 0, 2)
    turn = [("greedy", 2), ("greedy", 3), *[("greedy", 1)] * (2 + 3), (4, 2), (4, 3)]
    assert seen == turn * 2
    written = srsly.read_json("metrics/tiny/benchmark_pairs.json")
    assert list(written["results"]) == ["greedy", "greedy, one at a time", "beam of 4"]
    for found in written["results"].values():
        assert len(found["turns"]) == 2 and min(found["turns"]) > 0
        assert found["sentences_per_second"] == pytest.approx(sum(found["turns"]) / 2)
    assert (written["sentences"], written["symbols"], written["repeats"]) == (3, 9, 2)
    assert written["threads"] == written["conditions"]["hardware"]["cores"]
    assert (written["pipeline"], written["corpus"]) == ("pipeline", "corpus/tiny/dev.spacy")
    assert written["conditions"]["command"].startswith("python -m benchmarks.pairs")
    assert "≥ 500" in capsys.readouterr().out
    torch.set_num_threads(threads)


def test_greedy_in_batches_has_to_reach_the_bar_by_the_median(writer, monkeypatch):
    monkeypatch.setattr(pairs_module, "WARM_UP", 0)
    for rates, reached in (([900.0, 501.0, 400.0], True), ([900.0, 499.0, 498.0], False)):
        given = iter(rates)

        def timed(nlp, texts, batched, given=given):
            is_greedy = nlp.get_pipe("seq2seq").decoder is decode_greedy
            return next(given) if texts and batched and is_greedy else 7.0

        monkeypatch.setattr(pairs_module, "_sentences_per_second", timed)
        found = pairs_module.pairs(writer, Path("corpus/tiny/dev.spacy"), 2, 3)
        assert found["results"]["greedy"]["turns"] == rates
        assert found["results"]["beam of 4"]["sentences_per_second"] == 7
        assert found["bar"] == {"greedy": 500, "reached": reached}
        assert found["sentences"] == 2


def test_text_to_text_that_cannot_be_timed_is_named(writer):
    with pytest.raises(ValueError, match="nowhere: no pipeline here"):
        pairs_module.pairs(Path("nowhere"), Path("corpus/tiny/dev.spacy"), 0, 1)
    with pytest.raises(ValueError, match=r"gone\.spacy: no such corpus"):
        pairs_module.pairs(writer, Path("gone.spacy"), 0, 1)


@pytest.mark.slow
def test_parallel_times_one_worker_and_two(project, monkeypatch):
    monkeypatch.chdir(project)
    for workers in (1, 2):
        found = time_workers(ROOT / "configs" / "cnn.cfg", "checked", workers, 8 * workers, 5)
        assert found["posts_per_second"] > 0
        assert (found["exchange_ms"] > 0) == (workers == 2)


@pytest.mark.slow
def test_the_service_is_timed_and_loaded_with_all_texts(decided):
    texts = [f"{text} {number}" for number, (text, _) in enumerate(ROWS * 5)]
    found = compare(decided, texts, 16, 2, 1)
    assert found["in_process"] > 0 and found["service"] > 0
    assert found["ratios"] == [found["ratio"]]
    found = soak(decided, texts, 3, 2, 0.02)
    assert found["requests"] > 2 and found["failures"] == 0
    assert found["texts"] == 3 * found["requests"]
    assert found["memory_mb"]["most"] >= found["memory_mb"]["start"] > 50
    with (
        pytest.raises(ValueError, match=r"(?s)nowhere: no pipeline.*Expected it to listen"),
        service(Path("nowhere")),
    ):
        pass


def test_the_costs_are_worked_out_from_the_speeds():
    table = as_table({"step": 1000.0, "slow step": 10.0}).splitlines()
    assert table[2:] == [
        "| step | 1,000 | 0.28 | 278 | 1 |",
        "| slow step | 10 | 27.78 | 27,778 | 73 |",
    ]


@pytest.mark.slow
def test_both_ways_to_fine_tune_update_the_same_posts(project, monkeypatch):
    monkeypatch.chdir(project)
    save_tiny_transformer(project / "assets" / "models" / "minilm")
    for way in (time_project, time_plain):
        found = way(ROOT / "configs" / "bert.cfg", "checked", 10)
        assert found["posts_per_second"] > 0
        assert found["peak_mb"] > 100


@pytest.fixture(scope="module")
def transformers(tmp_path_factory, decided) -> dict[str, Path]:
    """A pipeline of a tiny transformer, a copy with 5 more steps and other thresholds, the tiny."""
    folder = tmp_path_factory.mktemp("transformers")
    nlp = make_transformer(save_tiny_transformer(folder / "plain"), steps=5)
    nlp.add_pipe("decide").set(dict.fromkeys(LABELS, 0.3), 0.3)
    nlp.to_disk(folder / "bert")
    nlp.get_pipe("decide").set(dict.fromkeys(LABELS, 1.0), 0.3)
    examples = make_examples(nlp)
    for _ in range(5):
        nlp.update(examples, sgd=nlp.create_optimizer())
    nlp.to_disk(folder / "fast")
    return {"cnn": decided, **{name: folder / name for name in ("bert", "fast", "plain")}}


def test_arms_predict_the_same_texts_and_ratios_are_medians_over_turns(
    transformers, files, tmp_path, monkeypatch
):
    corpus = tmp_path / "corpus" / "tiny"
    corpus.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        shutil.copyfile(files["dev.spacy"], corpus / f"{split}.spacy")
    monkeypatch.chdir(tmp_path)
    seconds, seen = iter([8.0, 2.0, *[4.0] * 4, 4.0, 2.0, *[4.0] * 4]), []

    def timing(docs: int, _: float) -> dict[str, float]:
        return {"docs_per_second": docs / next(seconds), "peak_memory_mb": 10.0}

    def alone(work, *arguments):
        found = work(*arguments)
        if isinstance(found, dict):
            seen.append((work.__name__, found["scores"].shape))
        return found

    monkeypatch.setattr(prediction_module, "_timing", timing)
    monkeypatch.setattr(prediction_module, "alone", alone)
    found = prediction_module.prediction(**transformers, data="tiny", docs=8, repeats=2)
    assert [shape for _, shape in seen[:5]] == [(8, len(LABELS))] * 5 and len(seen) == 12
    # Seconds of cnn are 8 and 4, of the default settings 2: the ratios are 1 : 4 and 1 : 2.
    assert found["results"]["cnn"]["turns"] == [1.0, 2.0]
    assert found["ratios"]["cnn : cnn, default settings"] == 0.375
    differences = found["largest_difference_of_scores"]
    assert differences["cnn : cnn, default settings"] == 0
    assert differences["bert, bfloat16 : bert"] > 0.01
    on_dev = found["macro_f1_on_dev"]
    assert on_dev["bert"] > 0.3 and on_dev["bert, bfloat16"] == 0


def test_predictions_that_cannot_be_timed_are_named(transformers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"train\.spacy: no such file\. Run preprocess first"):
        prediction_module.prediction(**transformers, data="tiny", docs=8, repeats=1)


def threads_of(*_) -> dict:
    return {"results": {}, "torch": alone(torch.get_num_threads)}


def test_each_process_has_one_thread_unless_more_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr(prediction_module, "prediction", threads_of)
    prediction_module.main(*[tmp_path] * 3)
    found = srsly.read_json(tmp_path / "metrics" / "goemotions" / "benchmark_prediction.json")
    assert (found["torch"], found["threads"]) == (1, 1)


@pytest.mark.slow
def test_every_arm_pretrains_on_the_same_words(tmp_path):
    text, nlp = tmp_path / "raw.jsonl", spacy.blank("en")
    lines = (SAMPLE / "train.tsv").read_text(encoding="utf8").splitlines()[:120]
    srsly.write_jsonl(text, [{"text": line.split("\t")[0]} for line in lines])
    for number, word in enumerate(["the", "a", "I", "you"]):
        nlp.vocab.set_vector(word, numpy.eye(4, dtype="f")[number])
    nlp.to_disk(tmp_path / "vectors")
    config, vectors = ROOT / "configs" / "cnn.cfg", str(tmp_path / "vectors")
    found = [time_epoch(config, vectors, text, 110, *arm) for arm in ARMS.values()]
    assert found[0]["words"] > 1000
    assert len({result["words"] for result in found}) == 1
    assert all(result["words_per_second"] > 0 for result in found)


def test_conditions_name_hardware_versions_and_command():
    found = conditions("speed", 3)
    assert found["command"].startswith("python -m benchmarks.speed")
    assert found["seed"] == 3
    assert found["hardware"]["cores"] >= 1
    assert found["versions"]["spacy"] == spacy.__version__


def hold(megabytes: int, words: str) -> None:
    """Hold memory for a second; fail without words."""
    held = numpy.ones(megabytes * 1_000_000, dtype="uint8")
    time.sleep(1)
    if not words or not held.all():
        raise SystemExit(1)


@pytest.mark.slow
def test_the_most_memory_of_a_process_is_seen_and_a_failure_is_said():
    small, large = (peak_of(hold, megabytes, "fine") for megabytes in (1, 200))
    assert 190 < large - small < 260
    with pytest.raises(ValueError, match="hold of  posts failed"):
        peak_of(hold, 1, "")


def test_the_posts_to_measure_with_are_the_same_in_both_formats(tmp_path):
    (tmp_path / "tsv").mkdir()
    for name, row in (("0", "Bada ki.\t0\tg0\n"), ("1", "Ko.\t1,0\tg1\n")):
        (tmp_path / "tsv" / f"{name}.tsv").write_text(row)
    write_data(tmp_path / "data", 100_000, ["joy", "anger"])
    assert (tmp_path / "data/train.tsv").read_text() == "Bada ki.\t0\tg0\nKo.\t1,0\tg1\n"
    assert (tmp_path / "data/dev.tsv").read_text() == "Ko.\t1,0\tg1\n"
    rows = [list(srsly.read_gzip_jsonl(path)) for path in
            sorted((tmp_path / "data/stream").iterdir())]  # fmt: skip
    assert rows == [
        [{"text": "Bada ki.", "labels": ["joy"]}],
        [{"text": "Ko.", "labels": ["anger", "joy"]}],
    ]


def weights_of(nlp) -> dict[str, numpy.ndarray]:
    found = {}
    for name, component in nlp.pipeline:
        for number, node in enumerate(component.model.walk()):
            for key in node.param_names:
                found[f"{name} {number} {key}"] = node.get_param(key).copy()
            for shim in node.shims:
                found |= {
                    key: value.numpy().copy() for key, value in shim._model.state_dict().items()
                }
    return found


def test_averaged_weights_are_the_means_of_all_layers_torch_ones_too(tmp_path):
    tiny = save_tiny_transformer(tmp_path / "tiny")
    one, two = make_transformer(tiny, steps=2), make_transformer(tiny, steps=4)
    first, second = weights_of(one), weights_of(two)
    average(one, [two])
    found = weights_of(one)
    assert len(found) > 20 and any("encoder.layer" in key for key in found)
    for key, value in found.items():
        numpy.testing.assert_allclose(value, (first[key] + second[key]) / 2, atol=1e-6)
        numpy.testing.assert_array_equal(weights_of(two)[key], second[key])
    moved = [key for key in found if abs(found[key] - first[key]).max() > 1e-4]
    assert any("encoder.layer" in key for key in moved) and any(" W" in key for key in moved)


def test_ways_to_tune_are_scored_on_docs_they_were_not_tuned_on():
    rng = numpy.random.default_rng(0)
    truth = (rng.random((400, 2)) < [0.3, 0.05]).astype(float)
    noise = rng.random((400, 2))
    found = cross_validated(noise, truth, 2)
    assert list(found) == ["bootstrap", "expected", "exact", "one for all labels"]
    # Tuned and scored on the same docs, noise would look better than the share of positives.
    assert all(0.2 < macro < 0.29 for ways in found.values() for macro, _ in ways)
    sure = cross_validated(0.6 * truth + 0.3 * noise, truth, 1)
    assert all(way == [(1.0, 1.0)] for way in sure.values())


def test_scores_of_an_ensemble_are_measured_at_their_own_thresholds():
    truth = numpy.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 10, dtype=float)
    assert measure(truth * 0.2 + 0.1, truth) == dict.fromkeys(
        ("macro_f1", "micro_f1", "mean_average_precision", "macro_auc"), 1.0
    )
    with pytest.raises(ValueError, match=r"none: 0 checkpoints in trained/top\. Expected two"):
        averaging([Path("none")], Path("dev.spacy"))
