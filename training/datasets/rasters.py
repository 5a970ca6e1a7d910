"""Any co-registered rasters as a data set: every layer warped to the optical image's grid."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioIOError
from rasterio.vrt import WarpedVRT

from engine.errors import InputError
from training.datasets.pairs import NO_CLASS, SAR_BANDS, Pair, band_statistics
from training.datasets.pseudo_labels import pseudo_label

COLUMNS = ("optical", "sar", "dem", "mask", "location")


def load(index: Path, optical_scale: float = 1e-4, optical_bands: Sequence[int] = (1, 2, 3)) -> list[Pair]:
    """Pairs listed in a CSV file: columns ``optical``, ``location``, any of ``sar``, ``dem``, ``mask``.

    Paths are relative to the CSV file. The SAR raster holds VV, then (optional) VH, in dB or linear in dB.
    The mask holds indices into ``training.datasets.pairs.CLASSES``; without one, pseudo-labels are computed.

    Args:
        index: The CSV file.
        optical_scale: Reflectance per stored unit.
        optical_bands: Numbers (from 1) of B11, B8, B3 (or of whatever three bands are to be made).

    Raises:
        InputError: The file, a column, or a raster cannot be read.
    """
    try:
        with open(index, newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"The data set index {index} cannot be read: {error.strerror}.") from error
    missing = {"optical", "location"} - set(rows[0] if rows else ())
    if missing:
        raise InputError(f"The data set index {index} lacks the column {', '.join(sorted(missing))}.")
    return [_from_row(index.parent, row, optical_scale, optical_bands) for row in rows]


def _from_row(folder: Path, row: dict[str, str], scale: float, bands: Sequence[int]) -> Pair:
    def layer(column: str, **options: object) -> NDArray[np.float32] | None:
        return on_grid(folder / row[column], reference, **options) if row.get(column) else None

    reference = folder / row["optical"]
    sar = layer("sar")
    dem = layer("dem", bands=(1,))
    mask = layer("mask", bands=(1,), resampling=Resampling.nearest)
    return assemble(
        name=row["optical"],
        location=row["location"],
        optical=on_grid(reference, reference, bands=bands) * np.float32(scale),
        sar=sar,
        elevation=None if dem is None else dem[0],
        mask=None if mask is None else np.nan_to_num(mask[0], nan=NO_CLASS).astype(np.uint8),
    )


def assemble(
    name: str,
    location: str,
    optical: NDArray[np.float32],
    sar: NDArray[np.float32] | None = None,
    elevation: NDArray[np.float32] | None = None,
    mask: NDArray[np.uint8] | None = None,
) -> Pair:
    """Pair from arrays on one grid; SAR bands are VV, then VH; the mask defaults to pseudo-labels."""
    named = {} if sar is None else dict(zip(SAR_BANDS, sar, strict=False))
    statistics = (band_statistics(named),) if named else ()
    labels = pseudo_label(optical) if mask is None else mask
    return Pair(name, location, np.clip(optical, 0, 1), named, statistics, elevation, labels)


def on_grid(
    path: Path,
    reference: Path,
    bands: Sequence[int] | None = None,
    resampling: Resampling = Resampling.bilinear,
) -> NDArray[np.float32]:
    """Bands of ``path`` on the grid of ``reference``: (B, H, W) float32, NaN where nodata or outside.

    Raises:
        InputError: One of the two is not a raster, or a band is missing.
    """
    try:
        with rasterio.open(reference) as grid, rasterio.open(path) as source:
            options = {
                "crs": grid.crs,
                "transform": grid.transform,
                "width": grid.width,
                "height": grid.height,
            }
            if source.crs is None:
                data = source.read(bands, masked=True)
            else:
                with WarpedVRT(source, resampling=resampling, add_alpha=False, **options) as warped:
                    data = warped.read(list(bands or source.indexes), masked=True)
    except (RasterioIOError, IndexError) as error:
        raise InputError(
            f"The raster {path} cannot be read on the grid of {reference.name}: {error}."
        ) from error
    return np.ma.filled(data.astype(np.float32), np.nan)
