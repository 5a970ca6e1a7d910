"""Sums over a raster by phase: what crossing a line looks like at each distance from the seams.

The raster is read in cells of at most ``CELL_PX`` a side whose borders are tile borders, so a raster of any
size needs the memory of one cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from engine.seams.lines import Lattice, Lines

CELL_PX = 1024
_MIN_SEGMENT_PX = 64
_MARGIN_PX = 2


@dataclass
class Profile:
    """Sums along one axis; phases are those of ``lines``.

    Attributes:
        lines: The axis's seam lines.
        step2: (C, P) sum over segments of n * (mean signed step) ** 2.
        step_n: (P,) pixels in these segments.
        segments: (P,) how many there are.
        gradient: (C, P) sum of |step|.
        gradient_n: (P,) pixels in it.
        energy: (C, P) sum over cells of n * (mean |second difference| / that of the cell).
        energy_n: (P,) pixels in it.
        contrasts: A cell each, log(energy in the overlap / energy outside it), mean over bands.
    """

    lines: Lines
    bands: int
    step2: NDArray[np.float64] = field(init=False)
    step_n: NDArray[np.float64] = field(init=False)
    segments: NDArray[np.int64] = field(init=False)
    gradient: NDArray[np.float64] = field(init=False)
    gradient_n: NDArray[np.float64] = field(init=False)
    energy: NDArray[np.float64] = field(init=False)
    energy_n: NDArray[np.float64] = field(init=False)
    contrasts: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        period = self.lines.period_px
        self.step2, self.gradient, self.energy = (np.zeros((self.bands, period)) for _ in range(3))
        self.step_n, self.gradient_n, self.energy_n = (np.zeros(period) for _ in range(3))
        self.segments = np.zeros(period, dtype=np.int64)
        self._overlap = np.zeros(period, dtype=bool)
        self._overlap[self.lines.overlap_phases()] = True

    def feed(self, values: NDArray[np.float32], valid: NDArray[np.bool_], first: int) -> None:
        """Takes a cell, its lines along the last axis.

        Args:
            values: (C, n + 2, m + 2), two pixels before the cell on both axes.
            valid: (n + 2, m + 2).
            first: Line (pixel of the raster) of the cell's own first pixel.
        """
        phases = (
            first + np.arange(values.shape[2] - _MARGIN_PX) - self.lines.start_px
        ) % self.lines.period_px
        self._feed_steps(values, valid, phases)
        self._feed_energy(values, valid, phases)

    def _feed_steps(
        self, values: NDArray[np.float32], valid: NDArray[np.bool_], phases: NDArray[np.intp]
    ) -> None:
        both = valid[2:, 2:] & valid[2:, 1:-1]
        steps = np.where(both, values[:, 2:, 2:] - values[:, 2:, 1:-1], 0)
        n = both.sum(axis=0)
        # Shreds of a segment would weigh as much as whole ones and are mostly noise.
        whole = n >= max(8, both.shape[0] // 4)
        mean2 = steps.sum(axis=1, dtype=np.float64) ** 2 / np.maximum(n, 1)
        np.add.at(self.step2, (slice(None), phases), np.where(whole, mean2, 0))
        np.add.at(self.step_n, phases, np.where(whole, n, 0))
        np.add.at(self.segments, phases, whole)
        np.add.at(self.gradient, (slice(None), phases), np.abs(steps).sum(axis=1, dtype=np.float64))
        np.add.at(self.gradient_n, phases, n)

    def _feed_energy(
        self, values: NDArray[np.float32], valid: NDArray[np.bool_], phases: NDArray[np.intp]
    ) -> None:
        # Along the line, so that a step across it does not count.
        all_three = valid[2:, 2:] & valid[1:-1, 2:] & valid[:-2, 2:]
        second = values[:, 2:, 2:] - 2 * values[:, 1:-1, 2:] + values[:, :-2, 2:]
        sums = np.abs(np.where(all_three, second, 0)).sum(axis=1, dtype=np.float64)
        n = all_three.sum(axis=0)
        total = sums.sum(axis=1) / max(n.sum(), 1)
        if not (total > 0).all():
            return
        np.add.at(self.energy, (slice(None), phases), sums / total[:, None])
        np.add.at(self.energy_n, phases, n)
        inside = self._overlap[phases]
        pixels = n[inside].sum(), n[~inside].sum()
        if min(pixels) >= 512:
            shared, alone = sums[:, inside].sum(axis=1) / pixels[0], sums[:, ~inside].sum(axis=1) / pixels[1]
            if (shared > 0).all() and (alone > 0).all():
                self.contrasts.append(float(np.mean(np.log(shared / alone))))


def measure(dataset: rasterio.DatasetReader, lattice: Lattice) -> tuple[Profile, Profile]:
    """Profiles of the lines between rows and between columns."""
    rows, columns = Profile(lattice.rows, dataset.count), Profile(lattice.columns, dataset.count)
    for top, bottom in spans(lattice.rows, dataset.height):
        for left, right in spans(lattice.columns, dataset.width):
            values, valid = _read(dataset, top, bottom, left, right)
            columns.feed(values, valid, left)
            rows.feed(values.transpose(0, 2, 1), valid.T, top)
    return rows, columns


def spans(lines: Lines, size: int) -> Iterator[tuple[int, int]]:
    """[0, size) cut at tile borders, in parts of about 64 to ``CELL_PX`` pixels."""
    period = lines.period_px
    offsets = sorted(lines.offsets_px) if period // len(lines.offsets_px) >= _MIN_SEGMENT_PX else [0]
    borders = {
        start + offset
        for start in range(lines.start_px % period - period, size, period)
        for offset in offsets
        if 0 < start + offset < size
    }
    low = 0
    for border in [*sorted(borders), size]:
        if border - low < _MIN_SEGMENT_PX and border != size:
            continue
        parts = -(-(border - low) // CELL_PX)
        cuts = [low + (border - low) * part // parts for part in range(parts + 1)]
        yield from zip(cuts[:-1], cuts[1:])
        low = border


def _read(
    dataset: rasterio.DatasetReader, top: int, bottom: int, left: int, right: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A cell with two pixels before it on both axes; invalid where the raster does not reach."""
    row, col = max(top - _MARGIN_PX, 0), max(left - _MARGIN_PX, 0)
    window = Window(col, row, right - col, bottom - row)
    stored = dataset.read(window=window)
    seen = (dataset.read_masks(window=window) > 0).all(axis=0) & np.isfinite(stored).all(axis=0)
    pad = ((_MARGIN_PX - (top - row), 0), (_MARGIN_PX - (left - col), 0))
    values = np.where(seen, stored, 0).astype(np.float32)
    return np.pad(values, ((0, 0), *pad)), np.pad(seen, pad)
