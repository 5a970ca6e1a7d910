"""Scores of generated positions and dates: how far from the truth, and how often near enough."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

EARTH_RADIUS_KM = 6371.0
NEAR_KM = (1, 10, 50, 100, 500)
_PERCENTILES = (90, 95, 99)


def great_circle_km(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distances on a sphere (haversine); both (N, 2) latitude and longitude in degrees."""
    lat1, lon1 = np.radians(first.astype(np.float64)).T
    lat2, lon2 = np.radians(second.astype(np.float64)).T
    h = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def position_scores(predicted: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, float]:
    """Distances in km, and the share of positions within 1, 10, 50, 100 and 500 km."""
    km = great_circle_km(predicted, truth)
    near = {f"within_{limit}km": float((km <= limit).mean()) for limit in NEAR_KM}
    return {**_spread(km, "km"), **near}


def date_scores(predicted: Sequence[date], truth: Sequence[date]) -> dict[str, float]:
    """Absolute differences in days and in calendar months, and the share of right months and years.

    The months' difference does not wrap: December and January are 11 apart.
    """
    pairs = list(zip(predicted, truth, strict=True))
    days = np.array([abs((a - b).days) for a, b in pairs], dtype=np.float64)
    months = np.array([abs(a.month - b.month) for a, b in pairs], dtype=np.float64)
    return {
        **_spread(days, "days"),
        "mean_months": float(months.mean()),
        "median_months": float(np.median(months)),
        "p90_months": float(np.percentile(months, 90)),
        "right_month": float((months == 0).mean()),
        "right_year": float(np.mean([a.year == b.year for a, b in pairs])),
    }


def _spread(errors: NDArray[np.float64], unit: str) -> dict[str, float]:
    """Median, mean, population standard deviation, root mean square and high percentiles."""
    figures = {
        "median": np.median(errors),
        "mean": errors.mean(),
        "std": errors.std(),
        "rmse": np.sqrt((errors**2).mean()),
        **{f"p{share}": np.percentile(errors, share) for share in _PERCENTILES},
    }
    return {f"{name}_{unit}": float(value) for name, value in figures.items()}
