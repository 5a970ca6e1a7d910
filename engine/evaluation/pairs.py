"""Reference and results side by side, part by part, only where all of them are valid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.evaluation.rasters import Raster, match_bands
from engine.evaluation.request import Comparison
from engine.raster.grid import Grid, describe_crs, project_bounds
from engine.tiling.lattice import Box, split

WINDOW_PX = 512
_REFLECTANCE = "reflectance"
_FAR_FACTOR = 20.0  # scales that differ so much are hardly meant


@dataclass(frozen=True)
class Part:
    """Some pixels of all rasters.

    Attributes:
        box: Without the halo, in the reference's pixels.
        halo_px: How much more the arrays hold, on each side.
        reference: (C, H, W) float64, physical; 0 where invalid.
        results: Likewise, one a result.
        valid: (H, W) bool: valid in every band of every raster.
    """

    box: Box
    halo_px: int
    reference: NDArray[np.float64]
    results: tuple[NDArray[np.float64], ...]
    valid: NDArray[np.bool_]

    def inner(self) -> Part:
        """The same without the halo."""
        rows, cols = self.box.within(self.box.grown(self.halo_px)).slices
        results = tuple(result[:, rows, cols] for result in self.results)
        return Part(self.box, 0, self.reference[:, rows, cols], results, self.valid[rows, cols])

    def tiles(self, side: int) -> Iterator[Part]:
        """Squares of the inner part whose pixels are all valid."""
        inner = self.inner()
        for box in split(self.box, side):
            rows, cols = box.within(self.box).slices
            valid = inner.valid[rows, cols]
            if valid.shape == (side, side) and valid.all():
                results = tuple(result[:, rows, cols] for result in inner.results)
                yield Part(box, 0, inner.reference[:, rows, cols], results, valid)


@dataclass
class Pairs:
    """All rasters of a comparison, opened.

    Attributes:
        reference: The truth.
        results: The samples.
        bands: Names of what is compared.
        box: Where, in the reference's pixels.
        notes: What a reader of the numbers should know.
        reflectance: The values are reflectance.
    """

    reference: Raster
    results: list[Raster]
    bands: list[str]
    box: Box
    reflectance: bool
    notes: list[str] = field(default_factory=list)

    @property
    def grid(self) -> Grid:
        """The compared part's grid."""
        return self.reference.grid.part(self.box)

    def parts(self, halo_px: int, window_px: int = WINDOW_PX) -> Iterator[Part]:
        """Everything once, in squares of ``window_px``."""
        for box in split(self.box, window_px):
            yield self.read(box, halo_px)

    def read(self, box: Box, halo_px: int = 0) -> Part:
        """One part; its halo is invalid beyond the compared box."""
        grown = box.grown(halo_px)
        reference, valid = self.reference.read(grown)
        results = []
        for raster in self.results:
            values, known = raster.read(grown)
            results.append(values)
            valid &= known
        there = grown.intersection(self.box)
        inside = np.zeros_like(valid)
        if there is not None:
            inside[there.within(grown).slices] = True
        return Part(box, halo_px, reference, tuple(results), valid & inside)


def open_pairs(comparison: Comparison, stack: ExitStack) -> Pairs:
    """Opens, matches and aligns the rasters.

    Raises:
        InputError: One cannot be read, their bands do not match, or they do not overlap.
    """
    classes = comparison.kind == "classes"
    reference = Raster("reference", comparison.reference, stack)
    results = [Raster("result", spec, stack) for spec in comparison.results]
    notes = []
    if classes:
        _check_one_band(reference)
    elif match_bands(reference, results) == "order" and len(reference.numbers) > 1:
        notes.append("Bands were matched by their order, because their names do not tell.")
    reference.align(reference.grid, classes)
    box = reference.grid.box
    for result in results:
        box = _overlap(reference, result, box)
        if result.align(reference.grid, classes):
            how = "the nearest or most frequent class" if classes else "bilinear or average"
            notes.append(
                f"{result.name} lies on another grid ({result.grid.describe()}) and was resampled to the "
                f"reference's ({how}), which smooths it."
            )
    reflectance = False if classes else _same_units(reference, results, notes)
    return Pairs(reference, results, _titles(reference, results[0]), box, reflectance, notes)


def _titles(reference: Raster, result: Raster) -> list[str]:
    """The reference's names; where it has none, the result's."""
    own, others = reference.titles, result.names
    if any(reference.names) or len(others) != len(own) or "" in others:
        return own
    return others


def _check_one_band(reference: Raster) -> None:
    if len(reference.numbers) != 1:
        raise InputError(
            f"The reference {reference.name} has {len(reference.numbers)} bands, and a class map has one; "
            "say which, as in --bands 1."
        )


def _overlap(reference: Raster, result: Raster, box: Box) -> Box:
    mine, other = reference.grid, result.grid
    if (mine.crs is None) != (other.crs is None):
        without = reference if mine.crs is None else result
        raise InputError(
            f"The {without.what} {without.name} has no CRS and the other raster has one; assign it first."
        )
    common = mine.box_of(project_bounds(other.bounds(), other.crs, mine.crs))
    common = common and common.intersection(box)
    if common is None:
        raise InputError(
            f"The result {result.name} ({describe_crs(other.crs)}) does not overlap the reference "
            f"{reference.name} ({describe_crs(mine.crs)}); give rasters of one place."
        )
    return common


def _same_units(reference: Raster, results: list[Raster], notes: list[str]) -> bool:
    """Brings digital numbers to reflectance where another raster says that it is one."""
    rasters = [reference, *results]
    declared = [raster for raster in rasters if raster.units == {_REFLECTANCE}]
    if declared:
        for raster in rasters:
            if raster not in declared and raster.take_for_digital_numbers():
                notes.append(
                    f"{raster.name} holds whole numbers without a scale and was read as reflectance x 10000."
                )
    typical = [_typical(raster) for raster in rasters]
    for raster, value in zip(results, typical[1:], strict=True):
        low, high = sorted((value, typical[0]))
        if low > 0 and high / low > _FAR_FACTOR:
            notes.append(
                f"Typical values differ {high / low:.0f}-fold between the reference ({typical[0]:.4g}) and "
                f"{raster.name} ({value:.4g}); if one of them needs a factor, give it (--reference-scale, "
                "--result-scale)."
            )
    return bool(declared)


def _typical(raster: Raster) -> float:
    """Median of the values' sizes; 0 without any."""
    sample = np.abs(np.concatenate(raster.sample()))
    return float(np.median(sample)) if sample.size else 0.0
