"""What all translators share: batches of one fixed size, and what is said when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError, OutOfMemoryError
from engine.models.item import ModelItem

if TYPE_CHECKING:
    from engine.translators.base import Translator

# Beyond this many pixels at once a GPU is busy anyhow, and a cancel would wait for the batch to end.
_BATCH_PIXELS = 8 << 20
_LARGEST_BATCH = 64
# The rest is left to the desktop, and to what the libraries take beside the windows.
_USABLE_SHARE = 0.7
_MEMORY_WORDS = (
    "failed to allocate memory",
    "out of memory",
    "bad_alloc",
    "cuda_error_out_of_memory",
    "can't allocate memory",
    "not enough memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)


def padded(array: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """(B, C, H, W) with B <= batch -> (batch, C, H, W): the last window is repeated."""
    missing = batch - array.shape[0]
    return np.concatenate([array, array[-1:].repeat(missing, axis=0)]) if missing > 0 else array


def fitting_batch(window_px: int, window_bytes: int, free_bytes: int) -> int:
    """A power of two, >= 1: how many windows are run at once.

    Args:
        window_px: Side of a window.
        window_bytes: Memory that one window takes while it runs.
        free_bytes: Memory of the device that nothing else uses.
    """
    largest = min(
        _LARGEST_BATCH, _BATCH_PIXELS // window_px**2, int(free_bytes * _USABLE_SHARE) // max(1, window_bytes)
    )
    # A power of two changes seldom when a little more or less memory is free; so do the result's last bits.
    return 1 << max(0, largest.bit_length() - 1)


def measured_batch(item: ModelItem, translator: Translator, free_bytes: Callable[[], int]) -> int:
    """How many windows a device has room for, from what one window of zeros takes.

    Args:
        item: The model.
        translator: Of this model, not used yet, with a batch of 1.
        free_bytes: Memory of the device that nothing uses, now.
    """
    side, before = item.tiling.window_px, free_bytes()
    channels = {entry.tensor: entry.channels for entry in item.inputs}
    if item.noise:
        channels[item.noise.tensor] = len(item.noise.cells_px)
    try:
        translator.translate({name: np.zeros((1, c, side, side), np.float32) for name, c in channels.items()})
        return fitting_batch(side, before - free_bytes(), before)
    except OutOfMemoryError:
        return 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library's error says that memory ran out."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in _MEMORY_WORDS)


def out_of_memory(item: ModelItem, device: str, shape: tuple[int, ...]) -> OutOfMemoryError:
    """The error for windows of ``shape`` (B, C, H, W)."""
    return OutOfMemoryError(
        f"The device {device} has too little memory for the model {item.id} on a "
        f"window of {shape[3]} x {shape[2]} pixels; close other programs that use it, or run on the CPU."
    )


def check_precision(item: ModelItem, precision: str) -> None:
    """Refuses a precision that the model's author did not allow.

    Raises:
        InputError: What is allowed.
    """
    if precision in item.precisions:
        return
    allowed = " or ".join(item.precisions)
    if item.network is None:
        raise InputError(
            f"The model {item.id} is an ONNX graph, which runs in the precision it was exported in, and "
            f"{precision} was asked for; leave precision at float32."
        )
    raise InputError(
        f"The model {item.id} may be run in {allowed}, and {precision} was asked for; set another precision."
    )
