"""Reads and writes the rasters of the end-to-end tests."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

GRID = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 600000, 0, -10, 5300000)}


def pixels(path: Path) -> np.ndarray:
    with open_raster(path) as file:
        return file.read()


def digest(path: Path) -> str:
    """SHA-256 of the pixels."""
    return hashlib.sha256(pixels(path).tobytes()).hexdigest()


def open_raster(path: Path) -> rasterio.DatasetReader:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)


def write_raster(path: Path, bands: np.ndarray, names: tuple[str, ...] = (), **profile: Any) -> Path:
    """A GeoTIFF of (C, H, W) on the sample scene's grid, unless the profile says otherwise."""
    shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **{**shape, **GRID, **profile}) as file:
            file.write(bands)
            if names:
                file.descriptions = names
    return path


def assert_same_grid(result: Path, source: Path) -> None:
    """The result lies on exactly the source's grid."""
    with open_raster(result) as made, open_raster(source) as given:
        assert made.shape == given.shape
        assert made.transform == given.transform
        assert made.crs == given.crs
