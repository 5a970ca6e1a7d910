"""What radar values mean: linear power, decibel, or a display stretch of decibel."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Units = Literal["linear", "db", "relative"]
FLOOR_DB = -50.0

_WORDS: dict[Units, re.Pattern[str]] = {
    "db": re.compile(r"(?<![a-z])(db|decibels?)(?![a-z])", re.IGNORECASE),
    "linear": re.compile(r"(?<![a-z])(linear|power|intensity|natural)(?![a-z])", re.IGNORECASE),
}
_MAX_SAMPLES = 200_000


@dataclass(frozen=True)
class Reading:
    """What the values are taken for, whether there is doubt, and why."""

    units: Units
    certain: bool
    reason: str


def tell_units(values: NDArray[Any], texts: Iterable[str] = ()) -> Reading:
    """Tells what radar values mean.

    Backscatter of land and sea lies between about -35 and +5 dB, so decibels are mostly negative. Linear
    power is never below zero (but for a little noise subtraction) and strongly skewed: its mean lies far
    above its median. A display stretch is 0..255 or 0..1 and about symmetric.

    Args:
        values: 1-D, valid samples as stored (after the file's scale and offset).
        texts: Band descriptions, units and tags of the file.
    """
    stated = _stated(texts)
    if len(values) == 0:
        return Reading(stated or "db", False, "no valid value was found in the sample")
    measured = _measured(values[:: max(len(values) // _MAX_SAMPLES, 1)])
    if stated is None or stated == measured.units:
        return (
            measured
            if stated is None
            else Reading(stated, True, f"the file says {stated} and {measured.reason}")
        )
    if not measured.certain:
        return Reading(stated, True, f"the file says {stated}")
    return Reading(measured.units, False, f"the file says {stated}, but {measured.reason}")


def to_db(values: NDArray[np.float32], units: Units) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values in dB (or relative dB) and where they can be: linear power must be above zero.

    ``10 log10(max(x, 10^(FLOOR_DB / 10)))`` for linear power; decibel and display stretches stay as they are.
    """
    if units != "linear":
        return values, np.True_
    with np.errstate(invalid="ignore"):
        positive = values > 0
        floor = np.float32(10 ** (FLOOR_DB / 10))
        return 10 * np.log10(np.maximum(np.where(positive, values, 1), floor)), positive


def _stated(texts: Iterable[str]) -> Units | None:
    joined = " ; ".join(texts)
    found: list[Units] = [units for units, word in _WORDS.items() if word.search(joined)]
    return found[0] if len(found) == 1 else None


def _measured(values: NDArray[Any]) -> Reading:
    x = values.astype(np.float64)
    low, median, high = np.percentile(x, [1, 50, 99])
    negative = float((x < 0).mean())
    spread = f"98 % of the values lie from {low:.4g} to {high:.4g}"
    if negative > 0.5:
        return Reading("db", bool(low > -80 and high < 40), f"{spread}, mostly negative")
    if negative > 0.02:
        return Reading("db", False, f"{spread}, {negative:.0%} of them negative")
    return _measured_positive(x, float(median), float(high), spread)


def _measured_positive(x: NDArray[np.float64], median: float, high: float, spread: str) -> Reading:
    whole = bool(np.all(x == np.rint(x)))
    skew = (float(x.mean()) - median) / max(float(x.std()), 1e-12)
    if whole and x.max() <= 255:
        # Integers of a byte carry no radar power: nothing below 1 could be told apart.
        return Reading("relative", bool(x.max() > 8), f"{spread}, whole numbers up to 255")
    if whole:
        return Reading("linear", False, f"{spread}, whole numbers, as of an uncalibrated product")
    if high <= 1.001 and median > 0.25 and abs(skew) < 0.15:
        return Reading("relative", False, f"{spread}, evenly spread in 0..1")
    if median < 2:
        return Reading("linear", True, f"{spread}, none negative and most far below 1")
    if high <= 255.5 and median > 20 and abs(skew) < 0.3:
        return Reading("relative", False, f"{spread}, evenly spread in 0..255")
    return Reading("linear", False, f"{spread}, none negative")
