"""Makes small pairs of radar and optical rasters."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from training.datasets.pairs import Pair, band_statistics
from training.datasets.pseudo_labels import pseudo_label


def smooth_field(rng: np.random.Generator, size: int, cell: int) -> np.ndarray:
    coarse = rng.standard_normal((size // cell + 2, size // cell + 2))
    return np.kron(coarse, np.ones((cell, cell)))[:size, :size].astype(np.float32)


def make_pair(seed: int, size: int = 96, location: str = "here", vh: bool = True, dem: bool = True) -> Pair:
    """Fields of a few tones that radar backscatter follows."""
    rng = np.random.default_rng(seed)
    field = smooth_field(rng, size, 12)
    optical = np.clip(0.2 + 0.05 * np.stack([field, -field, 0.3 * field]), 0.01, 1).astype(np.float32)
    vv = -12 + 3 * field + rng.standard_normal((size, size)).astype(np.float32)
    sar = {"VV": vv, "VH": vv - 6} if vh else {"VV": vv}
    elevation = 100 * smooth_field(rng, size, 24) if dem else None
    return Pair(
        f"{location}/{seed}",
        location,
        optical,
        sar,
        (band_statistics(sar),),
        elevation,
        pseudo_label(optical),
    )


def write_raster(path: Path, data: np.ndarray, resolution: float = 10.0, nodata: float | None = None) -> Path:
    options = {
        "driver": "GTiff",
        "count": data.shape[0],
        "height": data.shape[1],
        "width": data.shape[2],
        "dtype": data.dtype,
        "crs": "EPSG:32633",
        "transform": from_origin(500000, 5000000, resolution, resolution),
        "nodata": nodata,
    }
    with rasterio.open(path, "w", **options) as target:
        target.write(data)
    return path


def write_data_set(folder: Path) -> Path:
    """A CSV data set: four places, SAR and DEM on grids of their own."""
    rows = []
    for seed in range(4):
        made = make_pair(seed)
        stored = (made.optical * 10000).astype(np.uint16)
        write_raster(folder / f"{seed}_s2.tif", stored)
        write_raster(folder / f"{seed}_s1.tif", np.stack(list(made.sar.values()))[:, ::2, ::2], 20.0)
        write_raster(folder / f"{seed}_dem.tif", made.elevation[None, ::3, ::3], 30.0)
        names = {"optical": f"{seed}_s2.tif", "sar": f"{seed}_s1.tif", "dem": f"{seed}_dem.tif"}
        rows.append({**names, "mask": "", "location": f"place{seed}"})
    with open(folder / "index.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "index.csv"
