"""Make a pipeline that guesses words, of what pretraining with LMAO has learned."""

from pathlib import Path
from typing import Annotated, Any, Literal

import srsly
import typer
from spacy.attrs import ORTH
from spacy.language import Language
from spacy.training.initialize import load_vectors_into_model
from spacy.util import load_config, load_model_from_config
from thinc.api import Config
from wasabi import msg

import plugins  # noqa: F401  registers what the configs name
from scripts.files import check_output, hash_of, replacing

NEEDED = ("manifest.json", "model-best.bin", "objective-best.bin")


def language_model(
    pretrained: Path, *, k: int = 10, index: Literal["hnsw", "exact"] = "hnsw"
) -> Language:
    """Return a pipeline of encoder, output layer and `lmfao` with the weights of a pretraining.

    pretrained: Folder that `python -m scripts.pretrain` wrote.
    k, index: As for lmfao.
    RAISES ValueError: No such folder, or an objective that does not predict one vector per word.
    """
    missing = [name for name in NEEDED if not (pretrained / name).is_file()]
    if missing:
        raise ValueError(f"{pretrained}: no {missing[0]}. Expected what scripts.pretrain wrote.")
    facts: dict[str, Any] = srsly.read_json(pretrained / "manifest.json")
    objective = facts["objective"]
    is_ours = objective["@architectures"] == "goemotions.PretrainLMAO.v1"
    if not is_ours or objective.get("target", "word") not in ("word", "head"):
        raise ValueError(
            f"{pretrained}: objective {objective}. Expected goemotions.PretrainLMAO.v1 with target "
            "word or head, of which a prediction is the vector of one word."
        )
    if not Path(facts["config"]).is_file():
        raise ValueError(
            f"{pretrained}: its config {facts['config']} is not here. Expected to run where "
            "scripts.pretrain ran."
        )
    whole = load_config(Path(facts["config"]), overrides=facts["overrides"], interpolate=True)
    vectors = Path(facts["vectors"])
    if not (vectors / "vocab").exists() or hash_of(vectors / "vocab") != facts["vectors_sha256"]:
        raise ValueError(
            f"{pretrained}: the vectors it learned to predict are not at {vectors} any more. "
            "Expected the same file."
        )
    encoder = whole["components"][facts["component"]]["model"]
    settings = {**whole["nlp"], "pipeline": []}
    nlp = load_model_from_config(Config({"nlp": settings}), auto_fill=True)
    load_vectors_into_model(nlp, whole["initialize"]["vectors"])
    nlp.tokenizer.add_special_case("[MASK]", [{ORTH: "[MASK]"}])
    model = {
        "@architectures": "goemotions.VectorPredictor.v1",
        "tok2vec": encoder[facts["layer"]] if facts["layer"] else encoder,
        "width": nlp.vocab.vectors_length,
        **{key: objective[key] for key in ("hidden_size", "maxout_pieces")},
    }
    predictor = nlp.add_pipe("tok2vec", config={"model": model}).model
    predictor.initialize(X=[nlp.make_doc("a doc to infer widths from")])
    nlp.add_pipe("lmfao", config={"k": k, "index": index, "effort": max(32, 4 * k)})
    for name, part in (("tok2vec", "model-best.bin"), ("output_layer", "objective-best.bin")):
        predictor.get_ref(name).from_bytes((pretrained / part).read_bytes())
    return nlp


def main(
    pretrained: Annotated[Path, typer.Argument(help="Folder of a pretraining", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder for the pipeline")],
    k: Annotated[int, typer.Option(help="Words per token", min=1)] = 10,
    index: Annotated[str, typer.Option(help="hnsw is fast, exact misses none")] = "hnsw",
) -> None:
    """Save a pipeline whose doc._.nearest_words are guesses for each token, [MASK] included."""
    try:
        if index not in ("hnsw", "exact"):
            raise ValueError(f"--index {index}. Expected hnsw or exact.")
        check_output(output, "pipeline", ["meta.json"], [pretrained])
        nlp = language_model(pretrained, k=k, index=index)
    except ValueError as error:
        msg.fail("No pipeline was made", str(error), exits=1)
    with replacing(output) as temporary:
        nlp.to_disk(temporary)
    use = f'spacy.load("{output}")("so [MASK] to hear that")._.nearest_words'
    msg.good(f"import plugins, spacy; {use}")


if __name__ == "__main__":
    typer.run(main)
