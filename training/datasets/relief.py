"""Elevation without images: a desert with a land-cover map, a mountain range, an island."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from training.datasets.pairs import CLASSES, NO_CLASS
from training.datasets.rasters import on_grid

TILE_PX = 256
# NLCD value -> class
NLCD = {
    11: "water",
    12: "snow",
    21: "grass_crops",
    **dict.fromkeys((22, 23, 24), "built"),
    31: "bare",
    **dict.fromkeys((41, 42, 43, 90), "trees"),
    **dict.fromkeys((51, 52), "shrub_sparse"),
    **dict.fromkeys((71, 81, 82, 95), "grass_crops"),
}
LEAST_RELIEF_M = 10.0


def load(root: Path) -> list[tuple[str, NDArray[np.float32], NDArray[np.uint8] | None]]:
    """Tiles of at most 256 x 256 px: place, elevation (m, NaN where unknown), classes where there are any."""
    zion = root / "zion"
    cover = _classes(on_grid(zion / "nlcd2011.tif", zion / "nlcd2011.tif", (1,))[0])
    height = on_grid(zion / "srtm.tif", zion / "nlcd2011.tif", (1,), Resampling.cubic)[0]
    found = [("zion", height[box], cover[box]) for box in _tiles(height)]
    for path in (
        root / "dem" / "bigtujunga30m_utm11.tif",
        root / "large" / "copernicus_dem30_N00_E006_epsg4326.tif",
    ):
        height = on_grid(path, path, (1,))[0]
        found += [(f"relief/{path.stem}", height[box], None) for box in _tiles(height)]
    return found


def _tiles(height: NDArray[np.float32]) -> list[tuple[slice, slice]]:
    """Tiles that are known throughout and not flat."""
    rows, cols = (range(0, extent - TILE_PX + 1, TILE_PX) for extent in height.shape)
    boxes = [(slice(row, row + TILE_PX), slice(col, col + TILE_PX)) for row in rows for col in cols]
    return [box for box in boxes if np.isfinite(height[box]).all() and height[box].std() > LEAST_RELIEF_M]


def _classes(codes: NDArray[np.float32]) -> NDArray[np.uint8]:
    mask = np.full(codes.shape, NO_CLASS, np.uint8)
    for value, name in NLCD.items():
        mask[codes == value] = CLASSES.index(name)
    return mask
