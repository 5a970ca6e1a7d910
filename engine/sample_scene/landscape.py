"""Terrain by landscape evolution: uplift against river incision, then valleys, a river and a reservoir.

The incision law is the stream-power equation dz/dt = U - K A^m S, solved implicitly from the outlet upwards
(Braun and Willett 2013, Geomorphology 180-181, "A very efficient O(n) method"). It is run on a coarse grid.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.sample_scene.fields import Field, enlarge, fractal, smooth, stamp

COARSE = 4
STEPS = 60
AREA_EXPONENT = 0.45
ERODIBILITY = 28_800.0
RIVER_CATCHMENT_KM2 = 900.0
RELIEF_TO_WIDTH = 0.07
VALLEY_FLOOR_M = 212.0
MIN_DROP = 1e-7  # keeps a way down for every cell


@dataclass(frozen=True)
class Landscape:
    """The bare ground. All arrays (size, size) at ``gsd_m``.

    Attributes:
        elevation: Metres.
        slope: Rise over run.
        above_river: Height above the nearest channel downstream (HAND), metres.
        catchment: Upstream area, square kilometres.
        water: River and reservoir.
        river: River alone.
    """

    elevation: Field
    slope: Field
    above_river: Field
    catchment: Field
    water: NDArray[np.bool_]
    river: NDArray[np.bool_]


@dataclass(frozen=True)
class _Drainage:
    receiver: NDArray[np.int64]
    levels: list[NDArray[np.int64]]


def build(rng: np.random.Generator, size: int, gsd_m: float) -> Landscape:
    """Terrain and water of a scene that is ``size`` pixels wide."""
    coarse = -(-size // COARSE)
    height, drainage, catchment, inflow = _erode(rng, coarse, gsd_m * COARSE)
    hand = height - _at_channel(height, drainage, catchment > 1.0)
    floor = hand * hand / (hand + 14.0)  # sediment fills the foot of the slopes
    height = smooth(height - hand + floor, 1.3)
    dammed, level = _reservoir(rng, height, drainage, catchment, gsd_m * COARSE)
    fine = [enlarge(values, COARSE)[:size, :size] for values in (height, floor, np.log(catchment), dammed)]
    elevation, above_river = fine[0], np.maximum(fine[1], 0)
    rough = np.hypot(*np.gradient(elevation, gsd_m))
    elevation = elevation + (0.3 + 9 * rough) * fractal(rng, size, 1.7, 60) * np.clip(
        above_river / 10, 0.05, 1
    )
    river = _river(rng, _trunk(drainage, inflow), coarse, size)
    reservoir = (fine[3] > 0.5) & (elevation < level)
    elevation = (
        np.where(river, smooth(elevation, 4) - 1.5, np.where(reservoir, level, elevation)) + VALLEY_FLOOR_M
    )
    slope = np.hypot(*np.gradient(smooth(elevation, 1), gsd_m))
    return Landscape(
        elevation.astype(np.float32), slope, above_river, np.exp(fine[2]), river | reservoir, river
    )


def _erode(rng: np.random.Generator, n: int, cell_m: float) -> tuple[Field, _Drainage, Field, int]:
    """Elevation (m), drainage, catchment (km2) on the coarse grid, and the cell where the river comes in."""
    height, uplift, outlet, inflow = _before_erosion(rng, n)
    source = np.full(n * n, cell_m**2)
    source[inflow] += RIVER_CATCHMENT_KM2 * 1e6
    erodibility = np.exp(0.3 * fractal(rng, n, 1.4, n / 3)).ravel()
    for _ in range(STEPS):
        drainage = _drain(height, outlet)
        area = _accumulate(source, drainage)
        flat = (height + uplift / STEPS).ravel()
        flat[outlet] = 0
        incision = ERODIBILITY / STEPS * erodibility * (area / 1e6) ** AREA_EXPONENT / n
        for cells in drainage.levels[1:]:
            down = drainage.receiver[cells]
            cut = (flat[cells] + incision[cells] * flat[down]) / (1 + incision[cells])
            flat[cells] = np.maximum(cut, flat[down] + MIN_DROP)
        height = flat.reshape(n, n)
    drainage = _drain(height, outlet)
    catchment = _accumulate(source, drainage).reshape(n, n) / 1e6
    height = height / np.quantile(height, 0.998) * RELIEF_TO_WIDTH * n * cell_m
    return height.astype(np.float32), drainage, catchment.astype(np.float32), inflow


def _before_erosion(rng: np.random.Generator, n: int) -> tuple[NDArray, NDArray, int, int]:
    """Start and uplift (no units): a winding plain from south to north, mountains east of it, hills west."""
    rows, columns = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
    plain = 0.34 + 0.06 * np.sin(5 * rows + rng.uniform(0, 6))
    east, west = np.clip(columns - plain - 0.06, 0, 1), np.clip(plain - 0.17 - columns, 0, 1)
    uplift = 2 * (0.02 + 2.2 * east**1.3 + 0.8 * west) * np.exp(0.5 * fractal(rng, n, 2.2, n / 2))
    height = 0.12 * np.abs(columns - plain) + 0.05 * rows + 0.01 * fractal(rng, n, 1.4, n / 3)
    outlet, inflow = int(plain[0, 0] * n), (n - 1) * n + int(plain[-1, 0] * n)
    return _fill_pits(height, outlet), uplift, outlet, inflow


def _fill_pits(height: NDArray, outlet: int) -> NDArray:
    """Priority flood from the outlet (Barnes et al. 2014): every cell gets a way down."""
    n = height.shape[0]
    level, filled = height.ravel().tolist(), [np.inf] * height.size
    filled[outlet] = level[outlet]
    queue = [(level[outlet], outlet)]
    while queue:
        water, cell = heapq.heappop(queue)
        row, column = divmod(cell, n)
        for r in range(max(row - 1, 0), min(row + 2, n)):
            for neighbour in range(r * n + max(column - 1, 0), r * n + min(column + 2, n)):
                if filled[neighbour] == np.inf:
                    filled[neighbour] = max(level[neighbour], water + MIN_DROP)
                    heapq.heappush(queue, (filled[neighbour], neighbour))
    return np.array(filled).reshape(height.shape)


def _drain(height: NDArray, outlet: int) -> _Drainage:
    """Steepest-descent receivers (D8), and the cells grouped by their number of steps to the outlet."""
    n = height.shape[0]
    padded = np.pad(height, 1, constant_values=np.inf)
    best, receiver = np.zeros((n, n)), np.arange(n * n).reshape(n, n).copy()
    index = receiver.copy()
    for d_row, d_column in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)):
        neighbour = padded[1 + d_row : n + 1 + d_row, 1 + d_column : n + 1 + d_column]
        drop = (height - neighbour) / np.hypot(d_row, d_column)
        steeper = drop > best
        best[steeper] = drop[steeper]
        receiver[steeper] = index[steeper] + d_row * n + d_column
    flat = receiver.ravel()
    flat[outlet] = outlet
    steps, ahead = (flat != np.arange(n * n)).astype(np.int64), flat.copy()
    while np.any(ahead[ahead] != ahead):
        steps, ahead = steps + steps[ahead], ahead[ahead]
    order = np.argsort(steps, kind="stable")
    return _Drainage(flat, np.split(order, np.cumsum(np.bincount(steps))[:-1]))


def _accumulate(source: NDArray, drainage: _Drainage) -> NDArray:
    area = source.copy()
    for cells in reversed(drainage.levels[1:]):
        np.add.at(area, drainage.receiver[cells], area[cells])
    return area


def _at_channel(height: Field, drainage: _Drainage, channel: NDArray[np.bool_]) -> Field:
    """Elevation of the first channel cell downstream of each cell."""
    flat, is_channel = height.ravel().copy(), channel.ravel()
    for cells in drainage.levels[1:]:
        hillslope = cells[~is_channel[cells]]
        flat[hillslope] = flat[drainage.receiver[hillslope]]
    return flat.reshape(height.shape)


def _trunk(drainage: _Drainage, inflow: int) -> list[int]:
    path = [inflow]
    while drainage.receiver[path[-1]] != path[-1]:
        path.append(int(drainage.receiver[path[-1]]))
    return path


def _river(rng: np.random.Generator, path: list[int], coarse: int, size: int) -> NDArray[np.bool_]:
    """The trunk with meanders: the drained path smoothed, then swung sideways by slowly changing waves."""
    nodes = np.array([divmod(cell, coarse) for cell in path], np.float32) * COARSE + COARSE / 2
    at = np.arange(0, len(nodes) - 1, 0.1)
    rows, columns = (
        _smooth_line(np.interp(at, np.arange(len(nodes)), nodes[:, axis]), 60) for axis in (0, 1)
    )
    d_row, d_column = np.gradient(rows), np.gradient(columns)
    length = np.hypot(d_row, d_column)
    along = np.cumsum(length)
    phase = np.cumsum(length * (0.075 + 0.03 * _smooth_line(rng.standard_normal(len(at)), 90) * 10))
    swing = (5 + 4 * np.sin(along / 140 + rng.uniform(0, 6))) * np.sin(phase)
    river = np.zeros((size, size), bool)
    width = 3.2 + 0.8 * np.sin(along / 55) + 0.5 * np.sin(along / 17)
    for radius in np.unique(np.round(width, 1)):
        here = np.round(width, 1) == radius
        stamp(
            river,
            (rows - swing * d_column / length)[here],
            (columns + swing * d_row / length)[here],
            radius,
            True,
        )
    return river


def _smooth_line(values: NDArray, sigma: float) -> NDArray:
    reach = int(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    ramp = np.linspace(values[0], values[-1], len(values))
    padded = np.pad(values - ramp, reach, mode="reflect", reflect_type="odd")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid") + ramp


def _reservoir(
    rng: np.random.Generator, height: Field, drainage: _Drainage, catchment: Field, cell_m: float
) -> tuple[Field, float]:
    """A dam on a tributary: the basin above it (1 inside) and the level it is filled to, metres."""
    scene_km2 = height.size * cell_m**2 / 1e6
    tributary = (catchment > 0.01 * scene_km2) & (catchment < 0.2 * scene_km2)
    suited = np.flatnonzero(tributary & (height > 0.08 * height.max()) & (height < 0.45 * height.max()))
    if suited.size == 0:
        return np.zeros_like(height), -np.inf
    wanted_cells = 0.006 * height.size
    best = (np.inf, np.zeros(height.size, bool), -np.inf)
    for dam in rng.choice(suited, min(24, suited.size), replace=False):
        basin = _upstream(drainage, dam)
        level = float(height.ravel()[dam]) + 0.053 * RELIEF_TO_WIDTH * height.shape[0] * cell_m
        miss = abs(np.count_nonzero(basin & (height.ravel() < level)) - wanted_cells)
        best = min(best, (miss, basin, level), key=lambda candidate: candidate[0])
    return best[1].reshape(height.shape).astype(np.float32), best[2]


def _upstream(drainage: _Drainage, cell: int) -> NDArray[np.bool_]:
    inside = np.zeros(drainage.receiver.size, bool)
    inside[cell] = True
    for cells in drainage.levels[1:]:
        inside[cells] |= inside[drainage.receiver[cells]]
    return inside
