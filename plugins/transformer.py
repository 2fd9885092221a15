"""Pretrained transformer that fine-tunes fast on CPUs and says what is wrong with its name."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from spacy.tokens import Doc, Span
from spacy.util import registry
from thinc.api import Model
from thinc.layers.pytorchwrapper import forward as forward_torch


@registry.architectures("goemotions.TransformerModel.v1")
def build_transformer(
    name: str,
    get_spans: Callable[[list[Doc]], list[list[Span]]],
    freeze_embeddings: bool = False,
    cpu_bf16: Literal["auto", "on", "off"] = "auto",
    mixed_precision: bool = False,
) -> Model:
    """Build spacy-transformers' TransformerModel with two savings for training on a CPU.

    name: Folder of a pretrained model, relative to where training runs, or its name on the hub.
        The saved pipeline holds the weights and the tokenizer and needs neither.
    get_spans: Cuts long docs, e.g. spacy-transformers.strided_spans.v1.
    freeze_embeddings: Leave the vectors of the wordpieces as they were pretrained; in small
        models they are half of the weights, and half of the optimizer's work.
    cpu_bf16: Train in bfloat16 on a CPU: "auto" where the processor has instructions for it;
        without them it is many times slower. Prediction stays in float32, so that scores do not
        depend on the processor.
    mixed_precision: Train in half precision on a GPU.
    RETURNS: Model from docs to a FullTransformerBatch, for the factory `transformer`.
    RAISES ValueError: At initialization, when there is no such folder and no such name.
    """
    # Imported late: it takes seconds, which pipelines without a transformer need not spend.
    from spacy_transformers.layers import TransformerModel
    from transformers.utils import cached_file

    model = TransformerModel(name, get_spans, {"use_fast": True}, {}, mixed_precision, {})
    initialize_pretrained, transform = model.init, model._func
    if cpu_bf16 == "on" or (cpu_bf16 == "auto" and has_bf16()):
        model.layers[0] = with_cpu_bf16(model.layers[0])

    def init(model: Model, X: Any = None, Y: Any = None) -> None:
        if model.attrs["has_transformer"]:
            return
        try:
            cached_file(name, "config.json")  # one request: without a network each costs 20 s
            initialize_pretrained(model, X, Y)
        except (OSError, ValueError) as error:
            raise ValueError(_cannot_load(name, error)) from error

    def forward(model: Model, docs: list[Doc], is_train: bool) -> tuple[Any, Callable]:
        if is_train and freeze_embeddings:  # here, so that it holds for a loaded model too
            model.transformer.get_input_embeddings().requires_grad_(False)
        return transform(model, docs, is_train)

    model.init, model._func = init, forward
    return model


def has_bf16() -> bool:
    """Say whether this processor multiplies matrices of bfloat16 in hardware."""
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def with_cpu_bf16(hf: Model) -> Model:
    """Return the layer with updates computed in bfloat16; weights and output stay float32."""
    convert_outputs = hf.attrs["convert_outputs"]

    def forward(model: Model, X: Any, is_train: bool) -> tuple[Any, Callable]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_train):
            return forward_torch(model, X, is_train)

    def convert(model: Model, XY: tuple, is_train: bool) -> tuple[Any, Callable]:
        X, Y = XY
        for key, value in Y.items():
            Y[key] = value.float()  # numpy has no bfloat16
        return convert_outputs(model, (X, Y), is_train)

    attrs = {**hf.attrs, "convert_outputs": convert}
    return Model(hf.name, forward, attrs=attrs, shims=hf.shims, dims={"nI": None, "nO": None})


def _cannot_load(name: str, error: Exception) -> str:
    return (
        f"transformer {name!r} cannot be loaded. Expected a folder with the files of a pretrained "
        "model (python -m scripts.models minilm makes assets/models/minilm), or a name on the "
        f"model hub and a network: {str(error).splitlines()[0]}"
    )
