"""Pretrained transformer that fine-tunes fast on CPUs and says what is wrong with its name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy
import torch
from spacy.tokens import Doc, Span
from spacy.util import registry
from thinc.api import Model
from thinc.layers.pytorchwrapper import forward as forward_torch

GROUP = 32  # texts of like length that are predicted at once


@registry.architectures("goemotions.TransformerModel.v1")
def build_transformer(
    name: str,
    get_spans: Callable[[list[Doc]], list[list[Span]]],
    freeze_embeddings: bool = False,
    cpu_bf16: Literal["auto", "on", "off"] = "auto",
    mixed_precision: bool = False,
    predict_in: Literal["float32", "bfloat16"] = "float32",
) -> Model:
    """Build spacy-transformers' TransformerModel with savings for training and use on a CPU.

    It predicts texts of like length together, whatever batch they come in, so that little of what
    it computes is padding; scores stay the same to some 1e-6.

    name: Folder of a pretrained model, relative to where training runs, or its name on the hub.
        The saved pipeline holds the weights and the tokenizer and needs neither.
    get_spans: Cuts long docs, e.g. spacy-transformers.strided_spans.v1.
    freeze_embeddings: Leave the vectors of the wordpieces as they were pretrained; in small
        models they are half of the weights, and half of the optimizer's work.
    cpu_bf16: Train in bfloat16 on a CPU: "auto" where the processor has instructions for it;
        without them it is many times slower.
    mixed_precision: Train in half precision on a GPU.
    predict_in: Scores in float32 do not depend on the processor. bfloat16 is faster where there are
        instructions for it: python -m scripts.faster makes such a copy of a pipeline.
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
    model.layers[0] = predicting_by_length(model.layers[0], bf16=predict_in == "bfloat16")

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
        if not is_train:
            return forward_torch(model, X, is_train)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return forward_torch(model, X, is_train)

    def convert(model: Model, XY: tuple, is_train: bool) -> tuple[Any, Callable]:
        X, Y = XY
        for key, value in Y.items():
            Y[key] = value.float()  # numpy has no bfloat16
        return convert_outputs(model, (X, Y), is_train)

    attrs = {**hf.attrs, "convert_outputs": convert}
    return Model(hf.name, forward, attrs=attrs, shims=hf.shims, dims={"nI": None, "nO": None})


def predicting_by_length(hf: Model, *, bf16: bool = False) -> Model:
    """Return the layer with predictions in groups of like length; updates stay as they are.

    bf16: Predict in bfloat16 on a CPU; the output is float32 in any case.
    """
    inner = hf._func

    def forward(model: Model, X: Any, is_train: bool) -> tuple[Any, Callable]:
        if is_train:
            return inner(model, X, is_train)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            return _by_length(lambda rows: inner(model, rows, False)[0], X), lambda dY: X

    return Model(hf.name, forward, attrs=hf.attrs, shims=hf.shims, dims={"nI": None, "nO": None})


def _by_length(predict: Callable[[Any], Any], X: Any) -> Any:
    """Predict rows of wordpieces [rows, longest] in groups, and put them together again."""
    longest = X.input_ids.shape[1]
    # Up to the last wordpiece that is none of padding.
    widths = longest - (X.attention_mask[:, ::-1] != 0).argmax(axis=1)
    order = numpy.argsort(widths, kind="stable")
    whole: dict[str, torch.Tensor] = {}
    for start in range(0, len(order), GROUP):
        rows = order[start : start + GROUP]
        width = int(widths[rows].max())
        found = predict(_cut(X, rows, width))
        for key, part in found.items():
            if key not in whole:  # [rows, wordpieces, width], or without wordpieces: the pooler's
                shape = [longest] if part.ndim == 3 else []
                whole[key] = part.new_zeros(len(order), *shape, part.shape[-1], dtype=torch.float32)
            there = whole[key][:, :width] if part.ndim == 3 else whole[key]
            there[torch.from_numpy(rows)] = part.float()
    return type(found)(**whole) if whole else predict(X)


def _cut(X: Any, rows: Any, width: int) -> Any:
    """Return some rows of a batch of wordpieces, without the padding after `width`."""
    types = X.token_type_ids
    return replace(
        X,
        strings=[X.strings[row][:width] for row in rows],
        input_ids=X.input_ids[rows, :width],
        attention_mask=X.attention_mask[rows, :width],
        lengths=[X.lengths[row] for row in rows],
        token_type_ids=None if types is None else types[rows, :width],
    )


def _cannot_load(name: str, error: Exception) -> str:
    return (
        f"transformer {name!r} cannot be loaded. Expected a folder with the files of a pretrained "
        "model (python -m scripts.models minilm makes assets/models/minilm), or a name on the "
        f"model hub and a network: {str(error).splitlines()[0]}"
    )
