"""A raster to compare: its bands by name, its values in physical units, on the reference's grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.raster.bands import BandList, named_band, plain_name
from engine.raster.grid import Grid
from engine.raster.source import Source, open_raster
from engine.spec import InputRaster
from engine.tiling.lattice import Box

# Digital numbers of Sentinel-2 and Landsat products that are shipped without a scale.
DN_SCALE = 1e-4
_EXACT_PX = 1e-3
_DN_FROM = 2.0  # no reflectance comes near; digital numbers lie far above


class Raster:
    """One file, or several whose bands are stacked.

    Args:
        what: ``reference``, ``result``: for messages.
        spec: Where it is, and what the user says about it.
        stack: Closes the files.

    Attributes:
        numbers: The bands that are compared, from 1; all but alpha until ``take``.
    """

    def __init__(self, what: str, spec: InputRaster, stack: ExitStack) -> None:
        self.what, self.spec = what, spec
        self._datasets = [stack.enter_context(open_raster(path, what)) for path in spec.paths]
        self._stack = stack
        self._bands = BandList(self._datasets)
        self.grid = Grid.of(self._datasets[0])
        asked = spec.bands
        self.numbers = (
            self._bands.measured if asked is None else [named_band(self._bands, b, what) for b in asked]
        )
        self._factors = [self._own_factor(number) for number in self.numbers]
        self._sources: list[Source] = []

    @property
    def name(self) -> str:
        """Where it is."""
        return self._bands.name

    @property
    def titles(self) -> list[str]:
        """What the compared bands are called."""
        return [name or f"band {number}" for name, number in zip(self.names, self.numbers, strict=True)]

    @property
    def names(self) -> list[str]:
        """Descriptions of the compared bands; "" without one."""
        return [band.text for band in self._chosen]

    @property
    def units(self) -> set[str]:
        """Units that the compared bands declare."""
        return {self._datasets[band.file].units[band.number - 1] or "" for band in self._chosen}

    @property
    def _chosen(self) -> list:
        return [self._bands[number] for number in self.numbers]

    def place_of(self, name: str) -> int | None:
        """Which of the compared bands goes by a name; None if none, or several."""
        found = [
            i
            for i, band in enumerate(self._chosen)
            if band.text and plain_name(band.text) == plain_name(name)
        ]
        return found[0] if len(found) == 1 else None

    def take(self, places: Sequence[int]) -> None:
        """Compares only these of the bands, in this order."""
        self.numbers = [self.numbers[place] for place in places]
        self._factors = [self._factors[place] for place in places]

    def align(self, grid: Grid, classes: bool) -> bool:
        """Makes ``read`` answer on a grid; whether that resamples.

        A raster whose pixels coincide with the grid's is only cut or filled up: every value stays.
        """
        resampled = False
        for file, dataset in enumerate(self._datasets):
            inside = [i for i, band in enumerate(self._chosen) if band.file == file]
            if not inside:
                continue
            numbers = [self._chosen[i].number for i in inside]
            source = Source(self.what, self.spec, dataset, numbers, tuple(inside))
            coincides = _coincide(source.grid, grid)
            resampled |= source.align(grid, classes or coincides) and not coincides
            self._sources.append(source)
            self._stack.callback(source.close)
        return resampled

    def read(self, box: Box) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(C, H, W) physical values, 0 where invalid, and (H, W) bool: all bands are valid."""
        values = np.zeros((len(self.numbers), box.height, box.width))
        valid = np.ones((box.height, box.width), dtype=bool)
        for source in self._sources:
            pixels = source.read(box)
            valid &= pixels.valid.all(axis=0)
            for place, band, known in zip(source.places, pixels.values, pixels.valid, strict=True):
                scale, offset = self._factors[place]
                values[place] = np.where(known, band.astype(np.float64) * scale + offset, 0)
        return values, valid

    def sample(self) -> list[NDArray[np.float64]]:
        """Some physical values of every compared band, (N,) each; empty if all are nodata."""
        found = [np.zeros(0)] * len(self.numbers)
        for source in self._sources:
            pixels = source.sample()
            for place, band, known in zip(source.places, pixels.values, pixels.valid, strict=True):
                scale, offset = self._factors[place]
                found[place] = band[known].astype(np.float64) * scale + offset
        return found

    def take_for_digital_numbers(self) -> bool:
        """Scales 16-bit whole numbers without a scale of their own to reflectance; whether it did."""
        unscaled = all(factor == (1.0, 0.0) for factor in self._factors)
        whole = all(band.dtype in ("uint16", "int16") for band in self._chosen)
        sample = np.concatenate(self.sample()) if unscaled and whole else np.zeros(0)
        if not sample.size or np.percentile(sample, 90) < _DN_FROM:
            return False
        self._factors = [(DN_SCALE, 0.0)] * len(self._factors)
        return True

    def _own_factor(self, number: int) -> tuple[float, float]:
        if (self.spec.scale, self.spec.offset) != (1.0, 0.0):
            return self.spec.scale, self.spec.offset
        band = self._bands[number]
        dataset = self._datasets[band.file]
        return dataset.scales[band.number - 1], dataset.offsets[band.number - 1]


def _coincide(one: Grid, other: Grid) -> bool:
    """Whether the pixels of both are the same, wherever the rasters begin and end."""
    step = ~other.transform * one.transform
    shift = step.c, step.f
    same = math.dist((step.a, step.b, step.d, step.e), (1, 0, 0, 1)) * max(one.width, one.height) < _EXACT_PX
    return one.crs == other.crs and same and math.dist(shift, [round(s) for s in shift]) < _EXACT_PX


def match_bands(reference: Raster, results: Sequence[Raster]) -> str:
    """Leaves in every raster the bands that are compared, in the reference's order.

    Returns:
        How they were told: ``name``, or ``order``.

    Raises:
        InputError: Names do not tell, and the numbers of bands differ.
    """
    asked = any(raster.spec.bands is not None for raster in (reference, *results))
    common = [] if asked else _common(reference, results)
    if common:
        for raster, places in zip((reference, *results), zip(*common, strict=True), strict=True):
            raster.take(places)
        return "name"
    for result in results:
        if len(result.numbers) != len(reference.numbers):
            raise InputError(
                f"The reference {reference.name} has the bands {', '.join(reference.titles)} and the result "
                f"{result.name} has {', '.join(result.titles)}; say which belong together, as in --bands "
                "1,2,3 --result-bands 1,2,3."
            )
    return "order"


def _common(reference: Raster, results: Sequence[Raster]) -> list[tuple[int, ...]]:
    """Places (in the reference, in every result) of bands whose names all of them have."""
    found = []
    for place, title in enumerate(reference.titles):
        if reference.place_of(title) is None:
            continue
        others = [result.place_of(title) for result in results]
        if None not in others:
            found.append((place, *others))
    return found
