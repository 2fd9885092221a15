"""Every key of every config is one that is read."""

import pytest

from scripts.check_config import check_config
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))
CNN = ROOT / "configs" / "cnn.cfg"


def test_there_are_configs():
    assert CNN in CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_key_of_every_config_is_read(path):
    check_config(path)


@pytest.mark.parametrize(
    "section,key,near",
    [
        ("training", "max_step = 3", "training.max_steps"),
        ("nlp", "batchsize = 3", "nlp.batch_size"),
        ("initialize", "vector = null", "initialize.vectors"),
        ("system", "sed = 3", "system.seed"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_nearest_name(tmp_path, section, key, near):
    path = tmp_path / "bad.cfg"
    path.write_text(CNN.read_text().replace(f"[{section}]\n", f"[{section}]\n{key}\n"))
    with pytest.raises(ValueError, match=rf"nothing reads {section}\.\w+\. Did you mean {near}\?"):
        check_config(path)


def test_overrides_are_checked_like_keys():
    check_config(CNN, {"training.dropout": 0.3, "components.textcat_multilabel.threshold": 0.4})
    with pytest.raises(ValueError, match=r"nothing reads training\.droput"):
        check_config(CNN, {"training.droput": 0.3})


@pytest.mark.parametrize(
    "key,value,message",
    [
        ("training.dropout", "much", "dropout"),
        ("training.dropout", 0, r"training\.dropout 0\. Expected 0\.0"),
        ("components.textcat_multilabel.model.pooling", ["median"], "pooling"),
        ("components.textcat_multilabel.model.@architectures", "goemotions.No.v1", "No.v1"),
    ],
)
def test_wrong_values_are_refused_before_training(key, value, message):
    with pytest.raises(ValueError, match=message):
        check_config(CNN, {key: value})


def test_pretrained_weights_that_spacy_would_ignore_are_refused():
    with pytest.raises(ValueError, match=r"\[pretraining\] is empty"):
        check_config(
            ROOT / "configs" / "torch_lstm.cfg", {"initialize.init_tok2vec": "weights.bin"}
        )


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "twice.cfg"
    text = (ROOT / "configs" / "cnn.cfg").read_text(encoding="utf8")
    path.write_text(text.replace("[training]", "[training]\ndropout = 0.2", 1), encoding="utf8")
    with pytest.raises(ValueError, match=r"twice\.cfg: .*'dropout' in section 'training'"):
        check_config(path)
