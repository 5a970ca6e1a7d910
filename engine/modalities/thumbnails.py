"""Encoders of COP-GEN-Beta's 8-bit thumbnails, after Major TOM's renderer; results are display values.

A picture of levels 0 to 255 is x = level / 127.5 - 1 to the model. Stretches are those of a whole scene, so
that neighbouring windows have one scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from engine.modalities.base import Piece, Statistics, Valid, Values
from engine.modalities.physical import valid_values
from engine.models.joint_schema import Group
from engine.models.schema import Output, OutputBand

_GAIN, _GAMMA = 1.3, 0.6
_DN_A_UNIT = 10_000
_LIGHT = (-0.5, 0.5, math.sqrt(0.5))  # east, north, up: the sun in the north-west at 45 degrees
_FLAT_SCENE = 1e-6  # a smaller range of light is not stretched
_COLORS = ("red", "green", "blue")


class Sentinel2ThumbnailEncoder:
    """True colour: level = 255 clip(1.3 (DN / 10000)^0.6), cut to whole levels. Invalid pixels are black."""

    units = "DN"
    margin_px = 0
    needs_statistics = False

    def __init__(self, group: Group) -> None:
        self.output = _display_output(group, tuple(band.name for band in group.bands))

    def statistics(self, pieces: Iterable[Piece]) -> dict[str, tuple[float, ...]]:
        """None are needed."""
        return {}

    def encode(self, values: Values, valid: Valid, statistics: Statistics) -> Values:
        """See ``Encoder.encode``."""
        numbers = np.where(valid & np.isfinite(values), np.maximum(values, 0), 0).astype(np.float64)
        return from_levels(255 * np.clip(_GAIN * (numbers / _DN_A_UNIT) ** _GAMMA, 0, 1))

    def decode(self, x: Values) -> Values:
        """Display values 0 to 255."""
        return to_levels(x)


class Sentinel1ThumbnailEncoder:
    """False colour of VV and VH in dB: red VV, blue VH, green their sum, each stretched over the scene.

    Power that is not positive (-inf dB) is the darkest level, invalid pixels are black.
    """

    units = "dB"
    margin_px = 0
    needs_statistics = True

    def __init__(self, group: Group) -> None:
        self._group = group.name
        first, second = (band.name for band in group.bands)
        self.output = _display_output(group, (first, f"{first} plus {second}", second))

    def statistics(self, pieces: Iterable[Piece]) -> dict[str, tuple[float, ...]]:
        """``low`` and ``high`` of both bands (dB), and the largest ``sum`` of their levels."""
        pieces = list(pieces)
        bands = valid_values(pieces, self._group)
        ends = {
            "low": tuple(float(band.min()) for band in bands),
            "high": tuple(float(band.max()) for band in bands),
        }
        largest = max(self._stretched(*piece, ends).sum(axis=0).max() for piece in pieces)
        return {**ends, "sum": (float(largest),)}

    def encode(self, values: Values, valid: Valid, statistics: Statistics) -> Values:
        """See ``Encoder.encode``."""
        first, second = self._stretched(values, valid, statistics)
        green = (first + second) * (255 / (statistics["sum"][0] or 1.0))
        return from_levels(np.stack([first, np.clip(green, 0, 255), second]))

    def decode(self, x: Values) -> Values:
        """Display values 0 to 255."""
        return to_levels(x)

    @staticmethod
    def _stretched(values: Values, valid: Valid, statistics: Statistics) -> NDArray[np.float64]:
        low = np.array(statistics["low"])[:, None, None]
        width = np.array(statistics["high"])[:, None, None] - low
        usable = valid & np.isfinite(values)
        levels = 255 * (np.where(usable, values, low) - low) / np.where(width > 0, width, 1)
        return np.clip(levels, 0, 255)


class HillshadeThumbnailEncoder:
    """Hillshade of heights, the same in three channels; back as one band.

    Light comes from the north-west at 45 degrees, and heights count as pixels: slopes are exaggerated, as
    the authors' are. The light is stretched over the scene unless it is flat. Slopes are central differences
    over ``spacing_px`` pixels on each side, one-sided where one of these is invalid. Invalid pixels are flat.
    """

    units = "m"
    needs_statistics = True

    def __init__(self, group: Group) -> None:
        self._group = group.name
        self.margin_px = group.encoding.spacing_px
        self.output = _display_output(group, ("hillshade",))

    def statistics(self, pieces: Iterable[Piece]) -> dict[str, tuple[float, ...]]:
        """``low`` and ``high`` of the light, before the stretch."""
        inner = slice(self.margin_px, -self.margin_px)
        shaded = [
            (self._light(values, valid)[None].astype(np.float32), valid[inner, inner])
            for values, valid in pieces
        ]
        (light,) = valid_values(shaded, self._group)
        return {"low": (float(light.min()),), "high": (float(light.max()),)}

    def encode(self, values: Values, valid: Valid, statistics: Statistics) -> Values:
        """See ``Encoder.encode``."""
        light = self._light(values, valid)
        low, high = statistics["low"][0], statistics["high"][0]
        if high - low > _FLAT_SCENE:
            light = (light - low) / (high - low)
        grey = 255 * np.clip(light, 0, 1)
        return from_levels(np.broadcast_to(grey, (3, *grey.shape)))

    def decode(self, x: Values) -> Values:
        """Display values 0 to 255, one band."""
        return to_levels(x.mean(axis=0, keepdims=True))

    def _light(self, values: Values, valid: Valid) -> NDArray[np.float64]:
        """Cosine between the sun and the ground's normal, of the box without its margin."""
        usable = valid & np.isfinite(values[0])
        heights = np.where(usable, values[0], 0).astype(np.float64)
        south = _slope(heights, usable, self.margin_px)
        east = _slope(heights.T, usable.T, self.margin_px).T
        return (-_LIGHT[0] * east + _LIGHT[1] * south + _LIGHT[2]) / np.sqrt(1 + east**2 + south**2)


def from_levels(levels: NDArray[np.floating]) -> Values:
    """Levels 0 to 255, cut to whole ones, to [-1, 1]."""
    return (np.floor(levels) / 127.5 - 1).astype(np.float32)


def to_levels(x: Values) -> Values:
    """The model's values to whole levels 0 to 255."""
    return np.floor(255 * np.clip((x + np.float32(1)) / np.float32(2), 0, 1) + np.float32(0.5))


def _slope(heights: NDArray[np.float64], usable: Valid, spacing: int) -> NDArray[np.float64]:
    """Rise along the rows per ``spacing`` pixels, of what lies ``spacing`` inside; 0 where it is unknown."""
    inner = slice(spacing, -spacing)
    size = heights.shape[0] - 2 * spacing
    ahead, here, behind = (slice(start, start + size) for start in (2 * spacing, spacing, 0))
    rises, known = [], []
    for upper, lower in ((ahead, here), (here, behind)):
        known.append((usable[upper] & usable[lower])[:, inner])
        rises.append(np.where(known[-1], (heights[upper] - heights[lower])[:, inner], 0))
    return (rises[0] + rises[1]) / np.maximum(known[0].astype(int) + known[1], 1)


def _display_output(group: Group, names: tuple[str, ...]) -> Output:
    colors = _COLORS if len(names) == len(_COLORS) else ("gray",)
    bands = tuple(
        OutputBand(name=f"{name} display value", color=color)
        for name, color in zip(names, colors, strict=True)
    )
    return Output(
        modality=group.modality,
        tensor=group.name,
        bands=bands,
        range=(0.0, 255.0),
        dtype="uint8",
        nodata=0.0,
        units="display value",
        display=(0.0, 255.0),
    )
