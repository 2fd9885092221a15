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
    convolutions = [_build_convolution(size, width) for size in kernel_sizes]
    layer: Model[Ragged, Ragged] = chain(
        concatenate(*convolutions) if len(convolutions) > 1 else convolutions[0],
        with_array(chain(Dropout(0.0), Linear(width, width * len(kernel_sizes)), LayerNorm(width))),
    )
    if residual:
        layer = thinc.api.residual(layer)
    project: Model[Ragged, Ragged] = with_array(Linear(width))
    model = chain(list2ragged(), project, clone(layer, depth), ragged2list())
    model.set_dim("nO", width)
    return model


def _build_convolution(size: int, width: int) -> Model[Ragged, Ragged]:
    """Build the convolution of one kernel: a window of tokens, a linear layer, a ReLU."""
    return chain(window_of(size, width), with_array(Relu(width, size * width)))


def window_of(size: int, width: int) -> Model[Ragged, Ragged]:
    """Put the vectors of `size` neighbours side by side; zeros beyond the doc."""
    expand: Model[Ragged, Ragged] = expand_window(size // 2)
    return expand if size % 2 else chain(expand, _without_first(width))


def _without_first(width: int) -> Model[Ragged, Ragged]:
    """Leave out the first `width` columns."""

    def forward(model: Model, X: Ragged, is_train: bool) -> tuple[Ragged, Callable]:
        def backprop(dY: Ragged) -> Ragged:
            dX = model.ops.alloc2f(*X.dataXd.shape)
            dX[:, width:] = dY.dataXd
            return Ragged(dX, X.lengths)

        return Ragged(X.dataXd[:, width:], X.lengths), backprop

    return Model("without_first", forward)
