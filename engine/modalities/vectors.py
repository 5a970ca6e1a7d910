"""Position and date as the vectors that COP-GEN takes (arXiv:2603.03239), and back."""

from __future__ import annotations

import calendar
import math
from datetime import date, timedelta

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.models.joint_schema import Group
from engine.models.schema import Output, OutputBand

_FIRST_YEAR, _CENTURY = 1950, 100


def position_vector(lat: float, lon: float) -> NDArray[np.float32]:
    """(3,) unit vector (cos lat cos lon, cos lat sin lon, sin lat) of a place in degrees."""
    phi, theta = math.radians(lat), math.radians(lon)
    x, y = math.cos(phi) * math.cos(theta), math.cos(phi) * math.sin(theta)
    return np.array([x, y, math.sin(phi)], np.float32)


def position_of(vector: ArrayLike, published: bool = False) -> tuple[float, float]:
    """Latitude and longitude (degrees) of a generated (3,) vector, which need not have length 1.

    Args:
        vector: x, y, z.
        published: The authors' rule, which takes the vector for a unit one: lat = asin z.
    """
    x, y, z = (float(value) for value in np.asarray(vector, np.float64))
    lat = math.asin(min(max(z, -1.0), 1.0)) if published else math.atan2(z, math.hypot(x, y))
    return math.degrees(lat), math.degrees(math.atan2(y, x))


def date_vector(day: date) -> NDArray[np.float32]:
    """(3,) vector of a calendar date.

    Sine and cosine of the day of the year, and the year: 1950 is -1, 2050 is 1.
    """
    angle = 2 * math.pi * day.timetuple().tm_yday / _days(day.year)
    year = 2 * (day.year - _FIRST_YEAR) / _CENTURY - 1
    return np.array([math.sin(angle), math.cos(angle), year], np.float32)


def date_of(vector: ArrayLike) -> date:
    """The calendar date of a generated (3,) vector; years that no calendar has become the nearest one."""
    sine, cosine, year = (float(value) for value in np.asarray(vector, np.float64))
    nearest = round(_CENTURY / 2 * (year + 1) + _FIRST_YEAR)
    number = min(max(nearest, date.min.year), date.max.year)
    days = _days(number)
    day = round(math.atan2(sine, cosine) % (2 * math.pi) * days / (2 * math.pi)) % days
    return date(number, 1, 1) + timedelta(days=(day or days) - 1)


def vector_output(group: Group) -> Output:
    """How generated vectors are stored: one value a pixel, from the windows that cover it."""
    names = ("latitude", "longitude") if group.encoding.kind == "position" else ("year", "day of year")
    return Output(
        modality=group.modality,
        tensor=group.name,
        bands=tuple(OutputBand(name=name) for name in names),
        range=(-180.0, 9999.0),
        dtype="float32",
        units="degree" if group.encoding.kind == "position" else "date",
    )


def _days(year: int) -> int:
    return 366 if calendar.isleap(year) else 365


def vector_planes(kind: str, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """What generated vectors mean, pixel by pixel.

    Args:
        kind: ``position`` or ``date``.
        vectors: (3, H, W).

    Returns:
        (2, H, W) float32: latitude and longitude in degrees, or year and day of the year (1 to 366).
    """
    first, second, third = vectors.astype(np.float64)
    if kind == "position":
        latitude = np.degrees(np.arctan2(third, np.hypot(first, second)))
        return np.stack([latitude, np.degrees(np.arctan2(second, first))]).astype(np.float32)
    year = np.rint(_CENTURY / 2 * (third + 1) + _FIRST_YEAR)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days = np.where(leap, 366, 365)
    day = np.rint(np.arctan2(first, second) % (2 * np.pi) * days / (2 * np.pi)) % days
    return np.stack([year, np.where(day == 0, days, day)]).astype(np.float32)
