"""What every encoder does, and where a scene is sampled for its statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.models.schema import Output
from engine.tiling.lattice import Box

Values = NDArray[np.float32]
Valid = NDArray[np.bool_]
Piece = tuple[Values, Valid]
Statistics = Mapping[str, tuple[float, ...]]

SAMPLE_WINDOWS = 16
SAMPLE_PX = 256


class Encoder(Protocol):
    """Physical values of one group to the model's range, about [-1, 1], and back.

    Attributes:
        units: Of the values that ``encode`` takes: ``dB``, ``m``, ``DN`` (reflectance x 10000), ``class`` or
            the package's own.
        margin_px: Context that ``encode`` wants on each side (pixels of the group); its result lacks it.
        needs_statistics: Whether ``encode`` wants ``statistics``.
        output: How ``decode``'s values are stored and called; the tensor has the group's name.
    """

    units: str
    margin_px: int
    needs_statistics: bool
    output: Output

    def statistics(self, pieces: Iterable[Piece]) -> dict[str, tuple[float, ...]]:
        """Numbers of a scene from windows of it; can be stored as JSON.

        Args:
            pieces: (C, H, W) values and (H, W) bool of where they are valid, each with ``margin_px`` around
                it, at the resolution that ``encode`` will see: ``sample_boxes``.

        Raises:
            InputError: No value is valid.
        """

    def encode(self, values: Values, valid: Valid, statistics: Statistics) -> Values:
        """What the model sees.

        Args:
            values: (C, H, W) float32, bands of the group in its order, with ``margin_px`` around them.
            valid: (H, W); values that are not finite count as invalid, too.
            statistics: Of the scene; empty where none are needed.

        Returns:
            (C', H - 2 margin, W - 2 margin) float32, finite everywhere: an invalid pixel holds what the
            authors' renderer puts there.

        Raises:
            InputError: A class code is unknown.
        """

    def decode(self, x: Values) -> Values:
        """The model's (C', H, W) to physical values of ``output``, (C'', H, W) float32, within its range."""


def sample_boxes(height: int, width: int, valid: Valid | None = None) -> list[Box]:
    """Windows that stand for a scene in ``Encoder.statistics``: all of it if it is small enough.

    Extremes and slopes do not survive a decimated read, so a few windows are read in full. Together they
    hold about as many pixels as a Major TOM cell, over which the published models' thumbnails were
    stretched; extremes of a sample of that size match what the models saw, also on larger scenes.

    Args:
        height: Of the scene (px).
        width: Of the scene (px).
        valid: Any coarser (h, w) picture of the scene's valid pixels, so that no window falls into nodata.

    Returns:
        At most ``SAMPLE_WINDOWS`` boxes of at most ``SAMPLE_PX`` a side; they may overlap.
    """
    rows, cols = -(-height // SAMPLE_PX), -(-width // SAMPLE_PX)
    if rows * cols <= SAMPLE_WINDOWS:
        return [
            Box(top, left, min(SAMPLE_PX, height - top), min(SAMPLE_PX, width - left))
            for top in range(0, height, SAMPLE_PX)
            for left in range(0, width, SAMPLE_PX)
        ]
    shown = np.ones((SAMPLE_WINDOWS, SAMPLE_WINDOWS), bool) if valid is None or not valid.any() else valid
    return [_box_at(*_quantile(shown, *point), height, width) for point in _hammersley(SAMPLE_WINDOWS)]


def _box_at(row: float, col: float, height: int, width: int) -> Box:
    """The box around a point given as shares of the scene's height and width."""
    size = min(SAMPLE_PX, height), min(SAMPLE_PX, width)
    top = min(max(int(row * height) - size[0] // 2, 0), height - size[0])
    left = min(max(int(col * width) - size[1] // 2, 0), width - size[1])
    return Box(top, left, *size)


def _hammersley(count: int) -> list[tuple[float, float]]:
    """Evenly spread points of the unit square; ``count`` is a power of two."""
    bits = count.bit_length() - 1
    mirrored = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(count)]
    return [((i + 0.5) / count, (j + 0.5) / count) for i, j in enumerate(mirrored)]


def _quantile(valid: Valid, across_rows: float, across_cols: float) -> tuple[float, float]:
    """Place of the valid pixel at these shares of all valid ones, by row and then along the row."""
    counts = np.cumsum(valid.sum(axis=1))
    row = int(np.searchsorted(counts, across_rows * counts[-1], side="right"))
    cols = np.flatnonzero(valid[row])
    col = cols[int(across_cols * len(cols))]
    return (row + 0.5) / valid.shape[0], (col + 0.5) / valid.shape[1]
