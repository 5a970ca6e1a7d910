"""The one form that every data set is read into."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

OPTICAL_BANDS = ("B11", "B8", "B3")
SAR_BANDS = ("VV", "VH")
CLASSES = ("water", "trees", "grass_crops", "shrub_sparse", "built", "bare", "snow")
NO_CLASS = 255

Statistics = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Pair:
    """Co-registered rasters of one place on one grid.

    Attributes:
        name: Unique in its data set.
        location: The place; splits are by location, never by image.
        optical: (3, H, W) float32 reflectance (0..1) of Sentinel-2 B11, B8, B3; NaN where unknown.
        sar: Band name -> (H, W) float32 in dB, or on any scale linear in dB; NaN where invalid.
        statistics: Mean and standard deviation of the SAR bands over the scene; several where several are
            right (over the image itself, over the mosaic that it is cut from). Training draws among them.
        elevation: (H, W) float32, metres, NaN where invalid; None where there is none.
        mask: (H, W) uint8 index into ``CLASSES``, ``NO_CLASS`` where unknown; None where there is none.
    """

    name: str
    location: str
    optical: NDArray[np.float32]
    sar: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    statistics: tuple[Statistics, ...] = ()
    elevation: NDArray[np.float32] | None = None
    mask: NDArray[np.uint8] | None = None


def data_root(given: str | None = None) -> Path:
    """Folder of the training data: the argument, ``EO_DATA``, or ``../shared/data`` beside the checkout.

    Raises:
        InputError: The folder does not exist.
    """
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    root = Path(given or os.environ.get("EO_DATA") or default)
    if not root.is_dir():
        raise InputError(
            f"The training data folder {root} does not exist; set EO_DATA to the folder that holds it."
        )
    return root


def band_statistics(sar: Mapping[str, NDArray[np.float32]]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each band over its valid pixels."""
    return {band: (float(np.nanmean(values)), float(np.nanstd(values))) for band, values in sar.items()}
