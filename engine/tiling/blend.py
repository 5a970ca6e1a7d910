"""Weights of a window's pixels where neighbouring windows overlap.

A pixel's value is ``sum(w * y) / sum(w)`` over the windows that cover it, summed in float32 in row-major
order of the windows: the same numbers in the same order whatever part of the raster is asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.tiling.lattice import Box


def flank_weights(size: int, stride: int) -> NDArray[np.float32]:
    """Trapezoid with raised-cosine flanks over the overlap, positive everywhere.

    ``w(i) = sin^2(pi / 2 * (i + 1/2) / n)`` on the first ``n = min(size - stride, size // 2)`` pixels,
    mirrored on the last ones, 1 between. With ``size - stride <= size // 2`` neighbouring weights sum to 1.

    Args:
        size: Side of a window (px).
        stride: Distance of neighbouring windows (px), at most ``size``.

    Returns:
        (size, size) float32, 0 < w <= 1.
    """
    flank = min(size - stride, size // 2)
    profile = np.ones(size)
    ramp = np.sin(np.pi / 2 * (np.arange(flank) + 0.5) / max(flank, 1)) ** 2
    profile[:flank] = ramp
    profile[size - flank :] = ramp[::-1]
    return np.outer(profile, profile).astype(np.float32)


class Blender:
    """Weighted mean over the windows that are fed to it.

    Args:
        bands: Bands of the result.
        box: Where the result is wanted.
    """

    def __init__(self, bands: int, box: Box) -> None:
        self.box = box
        self._sum = np.zeros((bands, box.height, box.width), dtype=np.float32)
        self._weight = np.zeros((box.height, box.width), dtype=np.float32)

    def feed(self, window: Box, values: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        """Adds a window: values (C, h, w) and weights (h, w), float32."""
        common = window.intersection(self.box)
        if common is None:
            return
        rows, cols = common.within(window).slices
        place = (slice(None), *common.within(self.box).slices)
        self._sum[place] += values[:, rows, cols] * weights[rows, cols]
        self._weight[place[1:]] += weights[rows, cols]

    @property
    def data(self) -> NDArray[np.float32]:
        """(C, H, W) float32; NaN where no window with a weight came."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._sum / self._weight
