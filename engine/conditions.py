"""One input of the model bound to its raster: from stored values to normalised tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models import legends
from engine.models.schema import Constant, ContinuousInput, Linear, OneHotInput, Scene, SceneMean
from engine.raster.source import Pixels, Source
from engine.raster.statistics import Statistics
from engine.raster.units import Units, to_db
from engine.tiling.lattice import Box, split

_SCAN_PX = 2048


class Condition(Protocol):
    """One input of the model, bound to a raster or absent."""

    def read(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """(C, H, W) float32 and the (H, W) bool validity that decides about the output, or None."""

    def on(self, twins: dict[int, Source]) -> Condition:
        """The same condition on other handles of its rasters: ``id`` of the source -> its twin."""


@dataclass(frozen=True)
class Absent:
    """An optional input that was not given: zeros, its validity planes too."""

    channels: int

    def read(self, box: Box) -> tuple[NDArray[np.float32], None]:
        """Zeros."""
        return np.zeros((self.channels, box.height, box.width), dtype=np.float32), None

    def on(self, twins: dict[int, Source]) -> Absent:
        """Itself."""
        return self


@dataclass(frozen=True)
class Continuous:
    """Measured values: to the model's units, normalised, invalid pixels 0.

    Attributes:
        places: Index among the model's bands of each band that is read.
        factors: (scale, offset) of each band that is read, on the stored values.
        units: What radar values are taken for; None for everything else.
        statistics: (mean, standard deviation) of each band that is read.
    """

    entry: ContinuousInput
    source: Source
    places: tuple[int, ...]
    factors: tuple[tuple[float, float], ...]
    units: Units | None = None
    statistics: tuple[Statistics, ...] = ()

    def physical(self, pixels: Pixels) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Stored values to the model's units, and where they are valid."""
        values, valid = pixels.values.astype(np.float32), pixels.valid
        if any(factor != (1.0, 0.0) for factor in self.factors):
            scale, offset = np.array(self.factors, dtype=np.float32).T[:, :, None, None]
            values *= scale
            values += offset
        if self.units is not None:
            values, positive = to_db(values, self.units)
            valid = valid & positive
        return values, valid & np.isfinite(values)

    def read(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Bands, then their validity planes where the model wants them."""
        values, valid = self.physical(self.source.read(box))
        bands = len(self.entry.bands)
        tensor = np.zeros((self.entry.channels, box.height, box.width), dtype=np.float32)
        places = list(self.places)
        self._normalise(values)
        values[~valid] = 0
        tensor[places] = values
        if self.entry.validity_planes:
            tensor[[bands + place for place in places]] = valid
        if not self.entry.required:
            return tensor, None
        deciding = [i for i, place in enumerate(places) if self.entry.bands[place].required]
        return tensor, valid[deciding].all(axis=0)

    def on(self, twins: dict[int, Source]) -> Continuous:
        """See ``Condition.on``."""
        return replace(self, source=twins[id(self.source)])

    def _normalise(self, x: NDArray[np.float32]) -> None:
        """In place: a large scene has no memory to spare."""
        rule, places = self.entry.normalisation, list(self.places)
        if isinstance(rule, Scene):
            mean, std = _columns(self.statistics)
        elif isinstance(rule, SceneMean):
            mean, std = _columns(self.statistics)[0], np.float32(rule.scale)
        elif isinstance(rule, Constant):
            mean, std = _columns([(rule.mean[place], rule.std[place]) for place in places])
        if isinstance(rule, Linear):
            x *= np.float32(rule.scale)
            x += np.float32(rule.offset)
        else:
            x -= mean
            x /= std
        if rule.clip:
            np.clip(x, *rule.clip, out=x)


@dataclass(frozen=True)
class Stacked:
    """Measured values from several files: each fills planes of its own, the others are 0 there."""

    parts: tuple[Continuous, ...]

    def read(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """As of one file with all the bands."""
        tensors, decisions = zip(*(part.read(box) for part in self.parts), strict=True)
        deciding = [decision for decision in decisions if decision is not None]
        return np.add.reduce(tensors), np.logical_and.reduce(deciding) if deciding else None

    def on(self, twins: dict[int, Source]) -> Stacked:
        """See ``Condition.on``."""
        return Stacked(tuple(part.on(twins) for part in self.parts))


@dataclass(frozen=True)
class OneHot:
    """A class mask as one 0/1 plane a class."""

    entry: OneHotInput
    source: Source
    legend: legends.Legend

    def read(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """One plane a class, all 0 where there is none."""
        values, valid = self._values(box)
        index = self.legend.apply(values)
        index[~valid] = legends.NODATA
        planes = index == np.arange(self.entry.channels, dtype=np.uint8)[:, None, None]
        return planes.astype(np.float32), index != legends.NODATA if self.entry.required else None

    def on(self, twins: dict[int, Source]) -> OneHot:
        """See ``Condition.on``."""
        return replace(self, source=twins[id(self.source)])

    def check_classes(self, box: Box, check: Callable[[], None]) -> None:
        """Looks at every pixel that will be used.

        Args:
            box: Where the output is wanted.
            check: Called before each part; raises when the run was cancelled.

        Raises:
            InputError: Values without a class, each with its share of the pixels.
        """
        counts: dict[int, int] = {}
        pixels = 0
        for part in split(box, _SCAN_PX):
            check()
            values, valid = self._values(part)
            pixels += int(valid.sum())
            for value, count in self.legend.unknown(values, valid).items():
                counts[value] = counts.get(value, 0) + count
        if counts:
            name, colors = self.source.dataset.name, len(self.source.bands) == 3
            fitting = [] if colors else legends.fitting(counts, self.entry)
            raise InputError(self.legend.unknown_sentence(counts, pixels, name, colors, fitting))

    def _values(self, box: Box) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        pixels = self.source.read(box)
        valid = pixels.valid.all(axis=0)
        if len(pixels.values) == 3:
            return np.where(pixels.valid, pixels.values, 0).astype(np.uint8), valid
        spec = self.source.spec
        values = np.where(valid, pixels.values[0], 0)
        return (values if (spec.scale, spec.offset) == (1, 0) else values * spec.scale + spec.offset), valid


def _columns(pairs: Sequence[Statistics]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean, std = np.array(pairs, dtype=np.float32).T[:, :, None, None]
    return mean, std
