"""Small pictures of rasters of any size, averaged while their parts pass by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.tiling.lattice import Box

SIDE_PX = 360


class Overview:
    """Means over square cells of pixels.

    Args:
        box: All that will pass by.
        planes: How many values a pixel has.
    """

    def __init__(self, box: Box, planes: int) -> None:
        self._box = box
        self.step = max(-(-max(box.height, box.width) // SIDE_PX), 1)
        self.shape = -(-box.height // self.step), -(-box.width // self.step)
        self._sums = np.zeros((planes, self.shape[0] * self.shape[1]))
        self._counts = np.zeros(self.shape[0] * self.shape[1])

    def update(self, box: Box, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> None:
        """Adds values (planes, H, W) of a part, where valid (H, W)."""
        within = box.within(self._box)
        rows, cols = (np.arange(*span) // self.step for span in (within.rows, within.cols))
        cells = (rows[:, None] * self.shape[1] + cols)[valid]
        size = len(self._counts)
        self._counts += np.bincount(cells, minlength=size)
        for plane, sums in zip(values, self._sums, strict=True):
            sums += np.bincount(cells, plane[valid], size)

    def means(self) -> NDArray[np.float64]:
        """(planes, h, w); NaN where nothing was valid."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self._sums / self._counts).reshape(-1, *self.shape)
