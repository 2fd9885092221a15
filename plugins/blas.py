"""Callback that lets a pipeline's layers multiply matrices with numpy's BLAS."""

from collections.abc import Callable

from spacy.language import Language
from spacy.util import registry
from thinc.api import NumpyOps


@registry.callbacks("goemotions.numpy_blas.v1")
def create_numpy_blas() -> Callable[[Language], Language]:
    """Create a callback for `[nlp.after_pipeline_creation]` that switches the layers on the CPU.

    thinc multiplies with BLIS, whose kernels for many of today's processors are generic ones. The
    OpenBLAS that numpy brings made training of configs/cnn.cfg twice as fast where this was
    written (benchmarks/training.py, metrics/goemotions/benchmark_training.json).
    Layers on a GPU, or on a Mac's Accelerate, stay as they are. Scores differ by rounding only.

    RETURNS: A function that changes the pipeline in place and returns it.
    """

    def use_numpy_blas(nlp: Language) -> Language:
        ops = NumpyOps(use_blis=False)
        for _, component in nlp.pipeline:
            for layer in component.model.walk() if hasattr(component, "model") else ():
                if type(layer.ops) is NumpyOps:
                    layer.ops = ops
        return nlp

    return use_numpy_blas
