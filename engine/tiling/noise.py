"""Gaussian noise that depends on (seed, sample, channel, world pixel) alone.

Counter-based: any window, any order and any number of processes draw the same value at the same place. Raw
words of Philox-4x64-10 (Salmon et al., SC11), turned into normals here, since NumPy promises a stable stream
for the bit generator and none for ``Generator.standard_normal`` (NEP 19).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BLOCK_PX = 256
_WORD = 1 << 64
_KEPT_BLOCKS = 96  # neighbouring windows share blocks; 24 MB
_BITS = 53  # of a random word that are used
_TABLE_BITS = 10
_PIECE = 8192
_STEPS = 2.0 * np.pi * np.arange(1 << _TABLE_BITS) / (1 << _TABLE_BITS)
_COSINES, _SINES = np.cos(_STEPS), np.sin(_STEPS)


def gaussian(
    seed: int,
    sample: int,
    channel: int,
    row0: int,
    col0: int,
    height: int,
    width: int,
    cell: int = 1,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """N(0, 1) at world pixels ``[row0, row0 + height) x [col0, col0 + width)``.

    Args:
        seed: 0 <= seed < 2^63.
        sample: Index of the draw, 0 <= sample < 2^32.
        channel: Index of the plane, 0 <= channel < 2^32.
        row0: World row of the window's corner; may be negative.
        col0: World column of it.
        height: Rows of the window.
        width: Columns of the window.
        cell: The noise is constant over cells of ``cell`` x ``cell`` world pixels.
        out: (height, width) float32 to put it into; None: a new array.

    Returns:
        (height, width) float32.
    """
    if out is None:
        out = np.empty((height, width), dtype=np.float32)
    if cell > 1:
        # Cells are counted from the window's first: world pixels may lie beyond 64 bits.
        (top, above), (left, before) = divmod(row0, cell), divmod(col0, cell)
        rows, cols = (above + np.arange(height)) // cell, (before + np.arange(width)) // cell
        coarse = gaussian(seed, sample, channel, top, left, int(rows[-1]) + 1, int(cols[-1]) + 1)
        return np.take(coarse.take(cols, axis=1), rows, axis=0, out=out, mode="clip")  # none is outside
    for by in range(row0 // BLOCK_PX, (row0 + height - 1) // BLOCK_PX + 1):
        for bx in range(col0 // BLOCK_PX, (col0 + width - 1) // BLOCK_PX + 1):
            top, left = by * BLOCK_PX, bx * BLOCK_PX
            r0, r1 = max(row0, top), min(row0 + height, top + BLOCK_PX)
            c0, c1 = max(col0, left), min(col0 + width, left + BLOCK_PX)
            block = _block(seed, sample, channel, by, bx)
            out[r0 - row0 : r1 - row0, c0 - col0 : c1 - col0] = block[
                r0 - top : r1 - top, c0 - left : c1 - left
            ]
    return out


@lru_cache(maxsize=_KEPT_BLOCKS)
def _block(seed: int, sample: int, channel: int, by: int, bx: int) -> NDArray[np.float32]:
    """One (256, 256) block by Box and Muller's transform, in float64."""
    key = np.array([seed, sample << 32 | channel], dtype=np.uint64)
    # The two low words count within the block; negative block indices wrap round to the top of the range.
    counter = np.array([0, 0, by % _WORD, bx % _WORD], dtype=np.uint64)
    words = np.random.Philox(counter=counter, key=key).random_raw(BLOCK_PX * BLOCK_PX)
    words >>= np.uint64(64 - _BITS)
    block = np.empty((2, words.size // 2), dtype=np.float32)
    for start in range(0, words.size // 2, _PIECE):  # pieces stay in the processor's cache
        piece = slice(start, start + _PIECE)
        first, second = words.reshape(2, -1)[:, piece]
        radius = np.sqrt(-2.0 * np.log((first + 1.0) * 2.0**-_BITS))
        for half, values in zip(block, _circle(second), strict=True):
            half[piece] = values * radius
    block = block.reshape(BLOCK_PX, BLOCK_PX)
    block.flags.writeable = False  # shared by every caller of the cache
    return block


def _circle(turns: NDArray[np.uint64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosine and sine of 2 pi ``turns`` / 2^53, to the last bits of float64.

    From a table of whole steps and the series of what is left: a third of the time of NumPy's functions.
    """
    step = (turns >> np.uint64(_BITS - _TABLE_BITS)).astype(np.intp)
    angle = (turns & np.uint64((1 << _BITS - _TABLE_BITS) - 1)).astype(np.float64)
    angle *= 2.0 * np.pi * 2.0**-_BITS
    square = angle * angle
    sine, cosine = np.full_like(angle, -1 / 5040), np.full_like(angle, -1 / 720)
    for term, other in ((1 / 120, 1 / 24), (-1 / 6, -1 / 2), (1.0, 1.0)):
        sine *= square
        sine += term
        cosine *= square
        cosine += other
    sine *= angle
    whole_cosine, whole_sine = _COSINES.take(step), _SINES.take(step)
    return whole_cosine * cosine - whole_sine * sine, whole_sine * cosine + whole_cosine * sine
