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
    label_attention: Model[Ragged, Floats2d] | None = None,
    nO: int | None = None,
) -> Model[list[Doc], Floats2d]:
    """Build a multilabel classifier: token vectors, pools side by side, linear layer, output.

    tok2vec: Encoder of the tokens, or a listener to a shared one.
    output_layer: Turns logits into scores and decides the loss, e.g. goemotions.CrossEntropy.v1.
    pooling: Which pools to concatenate: mean, max, attention. Each adds one token width.
    label_attention: Resizable head from tokens to logits, which are added to the others, e.g.
        goemotions.LabelAttention.v1.
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
    pooled = chain(
        concatenate(*[_build_pool(name, width) for name in pooling]),
        Dropout(0.0),  # spaCy sets the rate from training.dropout at every update
        linear,
    )
    heads, logits = {"linear": linear}, pooled
    if label_attention is not None:
        heads["label_attention"] = label_attention
        label_attention.layers[0].set_dim("nI", width)
        logits = sum_of_heads(pooled, label_attention)
    model = with_nonempty(chain(tok2vec, nonempty2ragged(), logits, output_layer), heads)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", linear.layers[0])
    model.attrs["multi_label"] = True
    model.attrs["resize_output"] = _resize_output
    if nO is not None:
        model.set_dim("nO", nO)
    return model


def sum_of_heads(
    first: Model[Ragged, Floats2d], second: Model[Ragged, Floats2d]
) -> Model[Ragged, Floats2d]:
    """Add what two models say of the same tokens; thinc's `add` cannot add ragged gradients."""

    def forward(model: Model, X: Ragged, is_train: bool) -> tuple[Floats2d, Callable]:
        Y1, backprop1 = first(X, is_train)
        Y2, backprop2 = second(X, is_train)

        def backprop(dY: Floats2d) -> Ragged:
            return Ragged(backprop1(dY).dataXd + backprop2(dY).dataXd, X.lengths)

        return Y1 + Y2, backprop

    def init(model: Model, X: Ragged | None = None, Y: Floats2d | None = None) -> None:
        for layer in model.layers:
            layer.initialize(X=X, Y=Y)

    return Model("sum_of_heads", forward, init=init, layers=[first, second])


def with_nonempty(inner: Model, heads: dict[str, Model]) -> Model[list[Doc], Floats2d]:
    """Wrap a model that skips docs without tokens, so that those get rows of zeros.

    inner: Model from docs to [docs with tokens, labels].
    heads: Its layers that need to know the number of labels, by the name of their reference.
    """
    return Model(
        f"with_nonempty({inner.name})",
        _forward,
        init=_init,
        layers=[inner],
        dims={"nO": None},
        refs=heads,
    )


def nonempty2ragged() -> Model[list[Floats2d], Ragged]:
    """Concatenate the docs that have tokens; a pool of no tokens has no value."""
    return Model("nonempty2ragged", _concatenate_nonempty)


def _build_pool(name: Pooling, width: int | None) -> Model[Ragged, Floats2d]:
    if name == "attention":
        return chain(ParametricAttention(width), reduce_sum())
    return {"mean": reduce_mean, "max": reduce_max}[name]()


def _init(model: Model, X: list[Doc] | None = None, Y: Floats2d | None = None) -> None:
    if model.has_dim("nO") is None and Y is not None:
        model.set_dim("nO", Y.shape[1])
    for head in _heads(model):
        layer = head.layers[0]
        if layer.has_dim("nO") is None and model.has_dim("nO"):
            layer.set_dim("nO", model.get_dim("nO"))
    # A sample of the docs lets layers infer their widths; the labels are known by now.
    model.layers[0].initialize(X=[doc for doc in X or [] if len(doc)] or None)


def _forward(model: Model, docs: list[Doc], is_train: bool) -> tuple[Floats2d, Callable]:
    keep = [i for i, doc in enumerate(docs) if len(doc)]
    if not keep:
        return model.ops.alloc2f(len(docs), model.get_dim("nO")), lambda dY: []
    # All docs go in: a listener has the vectors of exactly these.
    Y_keep, backprop_keep = model.layers[0](docs, is_train)
    if len(keep) == len(docs):
        return Y_keep, backprop_keep
    Y = model.ops.alloc2f(len(docs), model.get_dim("nO"))
    Y[keep] = Y_keep

    def backprop(dY: Floats2d) -> list[Doc]:
        return backprop_keep(dY[keep])

    return Y, backprop


def _concatenate_nonempty(
    model: Model, Xs: list[Floats2d], is_train: bool
) -> tuple[Ragged, Callable]:
    keep = [X for X in Xs if len(X)]
    lengths = model.ops.asarray1i([len(X) for X in keep])

    def backprop(dY: Ragged) -> list[Floats2d]:
        dX_keep = iter(model.ops.unflatten(dY.dataXd, lengths))
        return [next(dX_keep) if len(X) else model.ops.alloc2f(*X.shape) for X in Xs]

    return Ragged(model.ops.flatten(keep), lengths), backprop


def _heads(model: Model) -> list[Model]:
    names = ("linear", "label_attention")
    return [model.get_ref(name) for name in names if model.has_ref(name)]


def _resize_output(model: Model, new_nO: int) -> Model:
    for head in _heads(model):
        resize_model(head, new_nO)
    model.set_ref("output_layer", model.get_ref("linear").layers[0])
    model.set_dim("nO", new_nO, force=True)
    return model
