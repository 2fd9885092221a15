"""Text classifier that pools token vectors in several ways and ends in a loss of your choice."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import (
    Dropout,
    Linear,
    Model,
    ParametricAttention,
    chain,
    concatenate,
    list2ragged,
    reduce_max,
    reduce_mean,
    reduce_sum,
    resizable,
)
from thinc.layers.resizable import resize_linear_weighted, resize_model
from thinc.types import Floats2d, Ragged

Pooling = Literal["mean", "max", "attention"]


@registry.architectures("goemotions.PooledTextcat.v1")
def build_pooled_textcat(
    tok2vec: Model[list[Doc], list[Floats2d]],
    output_layer: Model[Floats2d, Floats2d],
    pooling: list[Pooling],
    nO: int | None = None,
) -> Model[list[Doc], Floats2d]:
    """Build a multilabel classifier: token vectors, pools side by side, linear layer, output.

    tok2vec: Encoder of the tokens, or a listener to a shared one.
    output_layer: Turns logits into scores and decides the loss, e.g. goemotions.CrossEntropy.v1.
    pooling: Which pools to concatenate: mean, max, attention. Each adds one token width.
    nO: Number of labels; inferred from the data when None.
    RETURNS ([docs, labels]): Scores in 0 to 1. A text without tokens scores 0 on every label,
        whatever else is in the batch, and teaches nothing.
    RAISES ValueError: pooling is empty or names a pool twice.
    """
    if not pooling or len(set(pooling)) != len(pooling):
        raise ValueError(
            f"pooling {pooling}. Expected one or more of mean, max, attention, once each."
        )
    width = tok2vec.maybe_get_dim("nO")
    linear: Model[Floats2d, Floats2d] = resizable(
        Linear(nO=nO, nI=width and width * len(pooling)),
        resize_layer=partial(resize_linear_weighted, fill_defaults={"b": 0, "W": 0}),
    )
    logits = chain(
        tok2vec,
        list2ragged(),
        concatenate(*[_build_pool(name, width) for name in pooling]),
        Dropout(0.0),  # spaCy sets the rate from training.dropout at every update
        linear,
    )
    model = with_nonempty(chain(logits, output_layer), linear)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", linear.layers[0])
    model.attrs["multi_label"] = True
    model.attrs["resize_output"] = partial(_resize_output, linear=linear)
    if nO is not None:
        model.set_dim("nO", nO)
    return model


def with_nonempty(inner: Model, linear: Model) -> Model[list[Doc], Floats2d]:
    """Wrap a model of docs so that it never sees a doc without tokens; those get rows of zeros.

    inner: Model from docs to [docs, labels].
    linear: Its layer that knows the number of labels.
    """
    return Model(
        f"with_nonempty({inner.name})",
        _forward,
        init=_init,
        layers=[inner],
        dims={"nO": None},
        refs={"linear": linear},
    )


def _build_pool(name: Pooling, width: int | None) -> Model[Ragged, Floats2d]:
    if name == "attention":
        return chain(ParametricAttention(width), reduce_sum())
    return {"mean": reduce_mean, "max": reduce_max}[name]()


def _init(model: Model, X: list[Doc] | None = None, Y: Floats2d | None = None) -> None:
    inner = model.layers[0]
    if X is not None and Y is not None:
        keep = [i for i, doc in enumerate(X) if len(doc)]
        X, Y = ([X[i] for i in keep], Y[keep]) if keep else (None, None)
    elif X is not None:
        X = [doc for doc in X if len(doc)] or None
    if model.has_dim("nO"):
        model.get_ref("linear").set_dim("nO", model.get_dim("nO"))
    inner.initialize(X=X, Y=Y)
    if model.has_dim("nO") is None:
        model.set_dim("nO", model.get_ref("output_layer").get_dim("nO"))


def _forward(model: Model, docs: list[Doc], is_train: bool) -> tuple[Floats2d, Callable]:
    keep = [i for i, doc in enumerate(docs) if len(doc)]
    if len(keep) == len(docs) and docs:
        return model.layers[0](docs, is_train)
    Y = model.ops.alloc2f(len(docs), model.get_dim("nO"))
    if not keep:
        return Y, lambda dY: []
    Y_keep, backprop_keep = model.layers[0]([docs[i] for i in keep], is_train)
    Y[keep] = Y_keep

    def backprop(dY: Floats2d) -> list[Doc]:
        return backprop_keep(dY[keep])

    return Y, backprop


def _resize_output(model: Model, new_nO: int, linear: Model) -> Model:
    resized = resize_model(linear, new_nO)
    model.set_ref("output_layer", resized.layers[0])
    model.set_dim("nO", new_nO, force=True)
    return model
