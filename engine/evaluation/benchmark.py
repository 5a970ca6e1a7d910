"""Which samples and which pixels COP-GEN's stochastic benchmark compares."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from engine.raster.grid import project_bounds

SEEDS_PER_CELL = 16
FOOTPRINT_PX, FOOTPRINT_GSD_M = 192, 10.0
# From a cell's upper left corner to that of the footprint in its middle.
_INSET_M = 4380.0
_KEY = "copgen-benchmark/v1:"


def chosen_seeds(cell: str, pool: Collection[int], count: int = SEEDS_PER_CELL) -> list[int]:
    """The seeds that count for a cell, ascending: a draw of ``count`` that only the cell's name decides.

    Args:
        cell: Name in the Major TOM grid, as ``106D_246R``.
        pool: All seeds there are; all of them are taken where these are no more than ``count``.
        count: How many.
    """
    digest = hashlib.sha256((_KEY + cell).encode()).digest()
    generator = random.Random(int.from_bytes(digest[:8], "big"))  # nosec B311 - the rule's own
    return sorted(generator.sample(sorted(pool), min(count, len(pool))))


def footprint(corner: tuple[float, float], cell_crs: CRS, transform: Affine, crs: CRS) -> Window:
    """The 192 x 192 px in the middle of a cell, as a window of a raster; it may reach beyond its edge.

    Args:
        corner: x, y of the cell's upper left corner in ``cell_crs`` (m).
        cell_crs: CRS of the cell.
        transform: The raster's, north-up.
        crs: The raster's.
    """
    left, top = corner[0] + _INSET_M, corner[1] - _INSET_M
    side = FOOTPRINT_PX * FOOTPRINT_GSD_M
    left, _, _, top = project_bounds((left, top - side, left + side, top), cell_crs, crs)
    # round() is half to even, as the benchmark's own.
    col = round((left - transform.c) / transform.a)
    row = round((transform.f - top) / -transform.e)
    return Window(col, row, FOOTPRINT_PX, FOOTPRINT_PX)


def cut(pixels: NDArray[Any], window: Window) -> NDArray[Any]:
    """The window of an array (C, H, W); 0 beyond its edge."""
    top, left = int(window.row_off), int(window.col_off)
    made = np.zeros((len(pixels), int(window.height), int(window.width)), dtype=pixels.dtype)
    rows = max(top, 0), min(top + made.shape[1], pixels.shape[1])
    cols = max(left, 0), min(left + made.shape[2], pixels.shape[2])
    if rows[0] < rows[1] and cols[0] < cols[1]:
        inner = made[:, rows[0] - top : rows[1] - top, cols[0] - left : cols[1] - left]
        inner[...] = pixels[:, slice(*rows), slice(*cols)]
    return made
