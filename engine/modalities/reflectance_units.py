"""What the numbers of an optical raster mean: Sentinel-2 DN, with or without its offset, or reflectance."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

Units = Literal["DN", "DN + 1000", "reflectance", "display"]

_DN_A_UNIT = 10_000
_OFFSET = 1000  # added to every DN from processing baseline 04.00 on
_OFFSET_SINCE = "20220125"  # the day of that baseline
_BASELINE = re.compile(r"(?:_N|PROCESSING_BASELINE\s*[=:]\s*)0?(\d)[.]?(\d\d)(?!\d)", re.IGNORECASE)
_STATED_OFFSET = re.compile(r"(?:BOA|RADIO)_ADD_OFFSET\w*\s*[=:]\s*-1000", re.IGNORECASE)
_SENSED = re.compile(r"MSIL[12][AC]_(\d{8})", re.IGNORECASE)
_HARMONISED = re.compile(r"harmoni[sz]ed", re.IGNORECASE)
_DARKEST_WITH_OFFSET = (950, 1400)  # reflectance -0.005 to 0.04
_BRIGHTEST_REFLECTANCE = 3.0
_MAX_SAMPLES = 200_000


@dataclass(frozen=True)
class ReflectanceReading:
    """What the values are taken for, whether that is beyond doubt, and why."""

    units: Units
    certain: bool
    reason: str


def tell_reflectance(
    values: NDArray[Any], texts: Iterable[str] = (), dtype: str | None = None
) -> ReflectanceReading:
    """Tells what the values of a Sentinel-2 raster mean.

    Reflectance lies from 0 to a little above 1, DN are 10000 times as large. From processing baseline 04.00
    on DN hold 1000 more, unless a provider took that off ("harmonized"); then hardly any pixel is below 1000,
    while without the offset shadows, water and vegetation are.

    Args:
        values: 1-D, valid samples of all bands, after the file's scale and offset.
        texts: File names and tags (``KEY=value``) of the raster.
        dtype: Of the file's bands: a dark band of 16 bits is no 8-bit picture.
    """
    x = values[:: max(len(values) // _MAX_SAMPLES, 1)].astype(np.float64)
    x = x[np.isfinite(x)]
    if len(x) == 0:
        return ReflectanceReading("DN", False, "no valid value was found in the sample")
    dark, high = np.percentile(x, [0.1, 99])
    spread = f"99.9 % of the values lie above {dark:.4g} and 99 % below {high:.4g}"
    if dtype in (None, "uint8") and np.all(x == np.rint(x)) and 1 < x.max() <= 255:
        return ReflectanceReading("display", dtype is not None, f"{spread}, whole numbers up to 255")
    if high <= _BRIGHTEST_REFLECTANCE:
        return ReflectanceReading("reflectance", bool(high > 0), spread)
    return _tell_offset(float(dark), spread, " ; ".join(texts))


def to_dn(values: NDArray[np.float32], units: Units) -> NDArray[np.float32]:
    """Values as DN without offset: reflectance x 10000; not clipped.

    Raises:
        InputError: They are display values, in which reflectance cannot be told any more.
    """
    if units == "display":
        raise InputError(
            "The optical raster holds 8-bit display values, and the model needs reflectance; give the bands "
            "of the product instead of a picture."
        )
    if units == "reflectance":
        return values * np.float32(_DN_A_UNIT)
    return values - np.float32(_OFFSET) if units == "DN + 1000" else values


def _tell_offset(dark: float, spread: str, text: str) -> ReflectanceReading:
    could_have = dark >= _DARKEST_WITH_OFFSET[0]
    baseline = _BASELINE.search(text)
    if _HARMONISED.search(text) or not could_have:
        return ReflectanceReading("DN", True, spread)
    if _STATED_OFFSET.search(text):
        return ReflectanceReading("DN + 1000", True, f"the file says so, and {spread}")
    if baseline is not None:
        number = f"{int(baseline[1]):02d}.{baseline[2]}"
        has_offset = int(baseline[1]) >= 4
        return ReflectanceReading(
            "DN + 1000" if has_offset else "DN", True, f"processing baseline {number}, and {spread}"
        )
    sensed = _SENSED.search(text)
    if sensed is not None and sensed[1] < _OFFSET_SINCE:
        return ReflectanceReading(
            "DN", True, f"sensed before processing baseline 04.00, which the name would state, and {spread}"
        )
    looks = dark < _DARKEST_WITH_OFFSET[1]
    return ReflectanceReading(
        "DN + 1000" if looks else "DN", False, f"{spread}, and the file names no processing baseline"
    )
