"""Encoders whose results are physical: reflectance, backscatter, metres, classes.

The constants of the published models stand in their packages (``published``); formulas are those of
COP-GEN (arXiv:2603.03239) as its code has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.modalities.base import Piece, Statistics, Valid, Values
from engine.models.joint_schema import Group
from engine.models.schema import Interval, Output, OutputBand

_INFRARED_UM = 0.75
_DN_A_UNIT = 10_000  # Sentinel-2 stores reflectance x 10000
_MAX_DN = 65_535
_ANY_RADAR_DB = (-100.0, 60.0)
_MODEL_RANGE = (-1.0, 1.0)


class _Pointwise:
    """An encoder that looks at one pixel at a time."""

    margin_px = 0
    needs_statistics = False

    def statistics(self, pieces: Iterable[Piece]) -> dict[str, tuple[float, ...]]:
        """None are needed."""
        return {}


def _brightest(group: Group) -> float:
    """DN shown as white: in the infrared, without a red band for true colour, land is brighter."""
    is_true_colour = any(band.common_name == "red" for band in group.bands)
    infrared = any((band.wavelength_um or 0) > _INFRARED_UM for band in group.bands)
    return 5000.0 if infrared and not is_true_colour else 3000.0


class ReflectanceEncoder(_Pointwise):
    """Sentinel-2 numbers: x = gain DN / 10000 - 1, not clipped; back as reflectance, stored as DN.

    An invalid pixel is DN 0, which is Sentinel-2's nodata.
    """

    units = "DN"

    def __init__(self, group: Group) -> None:
        self._gain = group.encoding.gain
        self.output = _output(
            group,
            range=(0.0, _MAX_DN / _DN_A_UNIT),
            dtype="uint16",
            scale=1 / _DN_A_UNIT,
            nodata=0.0,
            units="reflectance",
            display=(1.0, _brightest(group)),
        )

    def encode(self, values: Values, valid: Valid, statistics: Statistics) -> Values:
        """See ``Encoder.encode``."""
        numbers = np.where(_usable(values, valid), values, np.float32(0))
        np.clip(numbers, -_MAX_DN, _MAX_DN, out=numbers)  # a nodata value that nobody declared may be huge
        return numbers * np.float32(self._gain / _DN_A_UNIT) - np.float32(1)

    def decode(self, x: Values) -> Values:
        """Reflectance; what lies outside of the stored type's range is clipped."""
        reflectance = (x + np.float32(1)) / np.float32(self._gain)
        return np.clip(reflectance, 0, np.float32(_MAX_DN / _DN_A_UNIT))


class BackscatterEncoder(_Pointwise):
    """Radar in dB: x = 2 (d - low) / (high - low) - 1, not clipped; back in dB, clipped to [low, high].

    Power that is not positive (-inf dB) and invalid pixels count as ``floor``.
    """

    units = "dB"

    def __init__(self, group: Group) -> None:
        self._encoding = group.encoding
        low, high = group.encoding.db
        self.output = _output(group, range=(low, high), dtype="float32", units="dB", display=(-25.0, 5.0))

    def encode(self, values: Values, valid: Valid, statistics: Statistics) -> Values:
        """See ``Encoder.encode``."""
        floor = np.float32(10 * math.log10(self._encoding.floor))
        decibel = np.where(_usable(values, valid), values, floor)
        np.clip(decibel, *_ANY_RADAR_DB, out=decibel)  # a nodata value that nobody declared may be huge
        return _to_model(decibel, self._encoding.db)

    def decode(self, x: Values) -> Values:
        """Decibel."""
        return _from_model(x, self._encoding.db)


class HeightEncoder(_Pointwise):
    """Metres: x = 2 (log(1 + h) - low) / (high - low) - 1; back in metres.

    Heights not above 0 (sea, polders) and invalid pixels count as ``floor``, so they come back as 0 m.
    """

    units = "m"

    def __init__(self, group: Group) -> None:
        self._encoding = group.encoding
        self.output = _output(group, range=(0.0, math.exp(group.encoding.log[1])), dtype="float32", units="m")

    def encode(self, values: Values, valid: Valid, statistics: Statistics) -> Values:
        """See ``Encoder.encode``."""
        above = _usable(values, valid) & (values > 0)
        heights = np.where(above, values, np.float32(self._encoding.floor))
        return _to_model(np.log1p(heights), self._encoding.log)

    def decode(self, x: Values) -> Values:
        """Metres."""
        heights = np.expm1(_from_model(x, self._encoding.log))
        return np.maximum(heights, np.float32(self._encoding.floor))


class ClassesEncoder(_Pointwise):
    """Class codes as planes of -1 and 1; back as the code of the largest plane.

    An invalid pixel is of the first class, as the published models were trained.
    """

    units = "class"

    def __init__(self, group: Group) -> None:
        self._codes = np.array([entry.value for entry in group.encoding.classes])
        self._names = [entry.name for entry in group.encoding.classes]
        self._group = group.name
        largest = int(self._codes.max())
        dtype, nodata = ("uint8", 255.0) if largest < 255 else ("uint16", 65535.0)
        self.output = _output(group, range=(0.0, float(largest)), dtype=dtype, nodata=nodata, units="class")

    def encode(self, values: Values, valid: Valid, statistics: Statistics) -> Values:
        """See ``Encoder.encode``; raises ``InputError`` where a code has no class."""
        usable = _usable(values, valid)[0]
        codes = np.where(usable, values[0], self._codes[0])
        planes = codes == self._codes[:, None, None]
        known = planes.any(axis=0)
        if not known.all():
            raise InputError(self._unknown_sentence(codes[~known], int(usable.sum())))
        return np.where(planes, np.float32(1), np.float32(-1))

    def decode(self, x: Values) -> Values:
        """Codes (1, H, W); of equal planes the first wins."""
        return self._codes[x.argmax(axis=0)][None].astype(np.float32)

    def _unknown_sentence(self, codes: NDArray[np.float32], pixels: int) -> str:
        found, counts = np.unique(codes, return_counts=True)
        order = np.argsort(-counts)[:10]
        shares = "; ".join(f"{found[i]:g}: {counts[i] / pixels:.1%} of the pixels" for i in order)
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        known = ", ".join(f"{code} {name}" for code, name in zip(self._codes, self._names, strict=True))
        return (
            f"The class raster for {self._group} has codes that the model does not know ({shares}{more}); "
            f"re-code it to the model's classes ({known})."
        )


class LinearEncoder(_Pointwise):
    """x = value * scale + offset, clipped to [-1, 1]; back in the package's units. Invalid pixels are 0."""

    def __init__(self, group: Group) -> None:
        encoding = group.encoding
        self.units = encoding.units
        self._scale, self._offset = encoding.scale, encoding.offset
        ends = sorted((end - encoding.offset) / encoding.scale for end in _MODEL_RANGE)
        self.output = _output(group, range=(ends[0], ends[1]), dtype="float32", units=encoding.units)

    def encode(self, values: Values, valid: Valid, statistics: Statistics) -> Values:
        """See ``Encoder.encode``."""
        x = np.clip(values.astype(np.float64) * self._scale + self._offset, *_MODEL_RANGE)
        return np.where(_usable(values, valid), x, 0).astype(np.float32)

    def decode(self, x: Values) -> Values:
        """In the package's units."""
        return ((np.clip(x.astype(np.float64), *_MODEL_RANGE) - self._offset) / self._scale).astype(
            np.float32
        )


class StandardisedEncoder(_Pointwise):
    """x = (value - scene mean) / scene deviation / deviations, clipped to [-1, 1].

    Back as a relative value, 0 to 1: a generated scene has no mean to give the units back. Invalid pixels
    are 0, the mean.
    """

    needs_statistics = True

    def __init__(self, group: Group) -> None:
        self.units = group.encoding.units
        self._deviations = group.encoding.deviations
        self._group = group.name
        self.output = _output(group, range=(0.0, 1.0), dtype="float32", units="relative", display=(0.0, 1.0))

    def statistics(self, pieces: Iterable[Piece]) -> dict[str, tuple[float, ...]]:
        """``mean`` and ``deviation`` of each band."""
        bands = valid_values(pieces, self._group)
        deviations = tuple(float(band.std()) for band in bands)
        return {"mean": tuple(float(band.mean()) for band in bands), "deviation": deviations}

    def encode(self, values: Values, valid: Valid, statistics: Statistics) -> Values:
        """See ``Encoder.encode``."""
        mean = np.array(statistics["mean"])[:, None, None]
        # A constant band is its mean everywhere.
        deviation = np.array([value or 1.0 for value in statistics["deviation"]])[:, None, None]
        x = np.clip((values - mean) / deviation / self._deviations, *_MODEL_RANGE)
        return np.where(_usable(values, valid), x, 0).astype(np.float32)

    def decode(self, x: Values) -> Values:
        """0 to 1."""
        return np.clip((x + np.float32(1)) / np.float32(2), 0, 1)


def decibels(power: NDArray[np.floating]) -> Values:
    """Linear power in dB; -inf where it is not positive, NaN where it is NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (10 * np.log10(np.where(power <= 0, 0, power))).astype(np.float32)


def valid_values(pieces: Iterable[Piece], group: str) -> list[NDArray[np.float64]]:
    """Finite valid values of each band.

    Raises:
        InputError: A band has none.
    """
    kept = [
        [band[usable].astype(np.float64) for band, usable in zip(values, _usable(values, valid), strict=True)]
        for values, valid in pieces
    ]
    bands = [np.concatenate(parts) for parts in zip(*kept, strict=True)]
    if not bands or not all(len(band) for band in bands):
        raise InputError(
            f"The raster for {group} has no valid pixel where it was sampled; check its nodata value, or "
            "leave it out."
        )
    return bands


def _usable(values: Values, valid: Valid) -> NDArray[np.bool_]:
    return valid & np.isfinite(values)


def _to_model(values: Values, ends: Interval) -> Values:
    """In float32 and this order, as the authors: the exponential multiplies what the last bits differ."""
    low, high = ends
    shares = (values - np.float32(low)) / np.float32(high - low)
    return shares * np.float32(2) - np.float32(1)


def _from_model(x: Values, ends: Interval) -> Values:
    low, high = ends
    return np.clip((x + np.float32(1)) / np.float32(2), 0, 1) * np.float32(high - low) + np.float32(low)


def _output(group: Group, **fields: object) -> Output:
    bands = tuple(
        OutputBand(
            name=band.name,
            common_name=band.common_name,
            wavelength_um=band.wavelength_um,
            color=band.common_name if band.common_name in ("red", "green", "blue") else None,
        )
        for band in group.bands
    )
    return Output(modality=group.modality, tensor=group.name, bands=bands, **fields)
