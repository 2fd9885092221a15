"""Encoder of tokens: convolutions of several widths side by side, added to what came in."""

from collections.abc import Callable

import thinc.api
from spacy.util import registry
from thinc.api import (
    Dropout,
    LayerNorm,
    Linear,
    Model,
    Relu,
    chain,
    clone,
    concatenate,
    expand_window,
    list2ragged,
    ragged2list,
    with_array,
)
from thinc.layers.chain import forward as call_chain
from thinc.layers.chain import init as init_chain
from thinc.types import Floats2d, Ragged


@registry.architectures("goemotions.TextCnnEncoder.v1")
def build_text_cnn_encoder(
    width: int,
    kernel_sizes: list[int],
    depth: int = 1,
    residual: bool = True,
) -> Model[list[Floats2d], list[Floats2d]]:
    """Build an encoder for spacy.Tok2Vec.v2, over embeddings or a listener to a transformer.

    A linear layer brings what comes in to a width. In each layer after it, convolutions of several
    widths look at the tokens; a linear layer makes one vector of what they find, which is
    normalised and added to the token's.

    width: Of the vectors that go out, and of each convolution.
    kernel_sizes (tokens): Of the convolutions; an even one looks one token further ahead than back.
    depth: Layers, one after the other.
    residual: Add the token's vector; without, the layers replace it.
    RETURNS ([tokens, width] per doc): No token is changed by another doc of the batch.
    RAISES ValueError: No kernel size, or one below 1.
    SOURCE: Kim 2014, Convolutional Neural Networks for Sentence Classification, arXiv 1408.5882.
    """
    if not kernel_sizes or min(kernel_sizes) < 1 or depth < 1:
        raise ValueError(
            f"kernel_sizes {kernel_sizes}, depth {depth}. Expected sizes of 1 or more."
        )
    reach = max(kernel_sizes) // 2
    convolutions = [_build_convolution(size, reach, width) for size in kernel_sizes]
    layer: Model[Ragged, Ragged] = chain(
        chain(expand_window(reach), with_array(concatenate(*convolutions))),
        with_array(chain(Dropout(0.0), Linear(width, width * len(kernel_sizes)), LayerNorm(width))),
    )
    if residual:
        layer = thinc.api.residual(layer)
    project: Model[Ragged, Ragged] = with_array(Linear(width))
    layers = [list2ragged(), project, clone(layer, depth), ragged2list()]
    return Model("text_cnn", _forward, init=init_chain, dims={"nO": width}, layers=layers)


def _forward(model: Model, X: list[Floats2d], is_train: bool) -> tuple[list[Floats2d], Callable]:
    """Call one layer after the other, unless all docs are empty: a Ragged forgets their width."""
    if any(map(len, X)):
        return call_chain(model, X, is_train)
    return [model.ops.alloc2f(0, model.get_dim("nO")) for _ in X], lambda dY: X


def _build_convolution(size: int, reach: int, width: int) -> Model[Floats2d, Floats2d]:
    """Build the convolution of one kernel, over tokens with `reach` neighbours on either side."""
    first = reach - (size - 1) // 2
    relu: Model[Floats2d, Floats2d] = Relu(width, size * width)
    if size == 2 * reach + 1:
        return relu
    return chain(_build_columns(first * width, (first + size) * width), relu)


def _build_columns(start: int, end: int) -> Model[Floats2d, Floats2d]:
    """Build a layer that leaves out all columns but some."""

    def forward(model: Model, X: Floats2d, is_train: bool) -> tuple[Floats2d, Callable]:
        def backprop(dY: Floats2d) -> Floats2d:
            dX = model.ops.alloc2f(*X.shape)
            dX[:, start:end] = dY
            return dX

        return model.ops.as_contig(X[:, start:end]), backprop

    return Model("columns", forward)
