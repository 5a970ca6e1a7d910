"""Mean and standard deviation of a whole raster, the same whatever part of it is translated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Statistics = tuple[float, float]
Numbers = tuple[float, ...]
STD_FLOOR = 1e-3


def mean_and_std(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> Statistics:
    """Mean and standard deviation of the valid values, in float64.

    Args:
        values: Any shape, in the model's units.
        valid: Same shape.

    Returns:
        The deviation is at least ``STD_FLOOR``: a constant raster must not divide by zero. (0, 1) without a
        valid value.
    """
    chosen = values[valid].astype(np.float64)
    if chosen.size == 0:
        return 0.0, 1.0
    return float(chosen.mean()), max(float(chosen.std()), STD_FLOOR)


def statistics_text(modality: str, bands: Mapping[str, Numbers]) -> str:
    """``sar=VV:-11.5:3.25,VH:-18.0:3.5``: what ``eo-translate run --statistics`` takes, without rounding."""
    return f"{modality}=" + ",".join(":".join([name, *map(repr, found)]) for name, found in bands.items())


def parse_statistics(text: str) -> dict[str, Numbers] | None:
    """The bands of ``VV:-11.5:3.25,VH:-18.0:3.5``; None if the text has another form."""
    bands: dict[str, Numbers] = {}
    for word in text.split(","):
        name, *numbers = word.split(":")
        try:
            bands[name.strip()] = tuple(map(float, numbers))
        except ValueError:
            return None
        if not numbers:
            return None
    return bands
