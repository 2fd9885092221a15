"""Choose the device, with an error that says what is wrong."""

import spacy


def use_gpu(gpu_id: int) -> None:
    """Switch to a GPU; -1 stays on the CPU.

    RAISES ValueError: There is no such GPU, or it cannot be used.
    """
    if gpu_id < 0:
        return
    try:
        spacy.require_gpu(gpu_id)
    except ValueError as error:
        raise ValueError(f"GPU {gpu_id} cannot be used: {error}") from error
