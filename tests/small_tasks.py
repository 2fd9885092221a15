"""Small pipelines of the tasks other than classifying texts, which say what a test wants."""

from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.training import Example

import plugins  # noqa: F401  registers the components

TEXT = "Ada Kent ran to Oslo."
TARGET = "{{PERSON}} Ada Kent{{/PERSON}}  ran to {{PLACE}} Oslo{{/PLACE}} ."
TOK2VEC = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "pretrained_vectors": None,
    "width": 8,
    "depth": 1,
    "embed_size": 50,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": False,
}


def make_entities(steps: int = 0, **settings: Any) -> Language:
    """Return a pipeline with ner_crf; after thirty steps it knows the entities of TEXT."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    crf = {"@layers": "goemotions.Crf.v1", "mode": "joint"}
    model = {"@architectures": "goemotions.NerCrf.v1", "tok2vec": TOK2VEC, "crf": crf}
    nlp.add_pipe("ner_crf", config={"model": model, **settings})
    entities = [(0, 8, "PERSON"), (16, 20, "PLACE")]
    key = settings.get("spans_key")
    truth = {"entities": entities} if key is None else {"spans": {key: entities}}
    return _trained(nlp, Example.from_dict(nlp.make_doc(TEXT), truth), steps)


def make_tokens(steps: int = 0) -> Language:
    """Return a pipeline with token_classifier; after thirty steps it knows the tags of TEXT."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    model = {"@architectures": "goemotions.TokenClassifier.v1", "tok2vec": TOK2VEC}
    nlp.add_pipe("token_classifier", config={"model": model})
    tags = ["who", "who", "does", "does", "where", "where"]
    return _trained(nlp, Example.from_dict(nlp.make_doc(TEXT), {"tags": tags}), steps)


def make_pairs(tags: str = "none", steps: int = 0) -> Language:
    """Return a pipeline with seq2seq; after forty steps it writes TARGET for TEXT."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    model = {"@architectures": "goemotions.Seq2SeqAttention.v1", "tok2vec": TOK2VEC}
    model |= {"hidden_width": 16, "embed_width": 8, "dropout": 0.0, "copying": True}
    nlp.add_pipe("seq2seq", config={"tags": tags, "model": model})
    nlp.config["initialize"]["components"]["seq2seq"] = {"min_freq": 1}
    reference = nlp.make_doc(TEXT)
    reference._.seq2seq = TARGET
    return _trained(nlp, Example(nlp.make_doc(TEXT), reference), steps)


def _trained(nlp: Language, example: Example, steps: int) -> Language:
    optimizer = nlp.initialize(lambda: [example])
    optimizer.learn_rate = 0.02
    for _ in range(steps):
        nlp.update([example], sgd=optimizer)
    return nlp


def save_all(folder: Path) -> dict[str, str]:
    """Save a pipeline of each task as training/small/<task>/pipeline; return their names."""
    made = {
        "entities": make_entities(30),
        "tokens": make_tokens(30),
        "pairs": make_pairs("entities", 40),
    }
    for task, nlp in made.items():
        place = folder / "training" / "small" / task / "pipeline"
        place.parent.mkdir(parents=True)
        nlp.to_disk(place)
    return {task: f"small/{task}" for task in made}
