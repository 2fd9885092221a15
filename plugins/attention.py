"""Label-wise attention: every label looks at the tokens that speak for it."""

from collections.abc import Callable

from spacy.util import registry
from thinc.api import Model, glorot_uniform_init, resizable
from thinc.layers.resizable import resize_linear_weighted
from thinc.types import Floats2d, Ragged


@registry.layers("goemotions.LabelAttention.v1")
def build_label_attention(nO: int | None = None) -> Model[Ragged, Floats2d]:
    """Build a head that reads a logit per label from the label's own weighted mean of the tokens.

    nO: Number of labels; inferred from the data when None.
    RETURNS ([docs, labels]): Logits. At the start they are 0, so it only adds what it learns;
        those of labels that are added later are 0, too.
    SOURCE: Mullenbach et al. 2018, Explainable Prediction of Medical Codes from Clinical Text,
        arXiv 1802.05695.
    """
    layer: Model[Ragged, Floats2d] = Model(
        "label_attention",
        _forward,
        init=_init,
        dims={"nO": nO, "nI": None},
        params={"query": None, "value": None, "b": None},
    )
    # It is not linear, but its parameters lie as those of a linear layer: one row per label.
    return resizable(layer, resize_layer=resize_linear_weighted)


def _init(model: Model, X: Ragged | None = None, Y: Floats2d | None = None) -> None:
    if X is not None:
        model.set_dim("nI", X.dataXd.shape[1])
    if Y is not None:
        model.set_dim("nO", Y.shape[1])
    nO, nI = model.get_dim("nO"), model.get_dim("nI")
    model.set_param("query", glorot_uniform_init(model.ops, (nO, nI)))
    model.set_param("value", model.ops.alloc2f(nO, nI))
    model.set_param("b", model.ops.alloc1f(nO))


def _forward(model: Model, X: Ragged, is_train: bool) -> tuple[Floats2d, Callable]:
    ops, lengths, tokens = model.ops, X.lengths, X.dataXd  # [tokens, width]
    query, value = model.get_param("query"), model.get_param("value")  # [labels, width]
    attention = ops.softmax_sequences(ops.gemm(tokens, query, trans2=True), lengths)
    values = ops.gemm(tokens, value, trans2=True)  # [tokens, labels]
    Y = ops.reduce_sum(attention * values, lengths) + model.get_param("b")

    def backprop(dY: Floats2d) -> Ragged:
        dY_tokens = ops.backprop_reduce_sum(dY, lengths)
        d_values = dY_tokens * attention
        d_logits = ops.backprop_softmax_sequences(dY_tokens * values, attention, lengths)
        model.inc_grad("query", ops.gemm(d_logits, tokens, trans1=True))
        model.inc_grad("value", ops.gemm(d_values, tokens, trans1=True))
        model.inc_grad("b", dY.sum(axis=0))
        return Ragged(ops.gemm(d_logits, query) + ops.gemm(d_values, value), lengths)

    return Y, backprop
