"""Callback that lets a pipeline's layers multiply with numpy's BLAS on a CPU."""

from collections.abc import Callable

from spacy.language import Language
from spacy.util import registry
from thinc.api import NumpyOps

from plugins.by_word import predicting_by_word


@registry.callbacks("goemotions.numpy_blas.v1")
def create_numpy_blas() -> Callable[[Language], Language]:
    """Create a callback for `[nlp.after_pipeline_creation]` that switches the layers on the CPU.

    thinc multiplies with BLIS, whose kernels for many of today's processors are generic ones. The
    OpenBLAS that numpy brings made training of configs/cnn.cfg twice as fast where this was
    written (benchmarks/training.py, metrics/goemotions/benchmark_training.json).
    spaCy's Tok2Vec with a MaxoutWindowEncoder predicts faster, too, see predicting_by_word.
    Layers on a GPU, or on a Mac's Accelerate, stay as they are. Scores differ by rounding only.

    RETURNS: A function that changes the pipeline in place and returns it.
    """

    def use_numpy_blas(nlp: Language) -> Language:
        ops = NumpyOps(use_blis=False)
        for _, component in nlp.pipeline:
            for layer in component.model.walk() if hasattr(component, "model") else ():
                if type(layer.ops) is NumpyOps:
                    layer.ops = ops
                    if len(layer.layers) == 2 and layer.has_ref("encode"):
                        predicting_by_word(layer)
        return nlp

    return use_numpy_blas
