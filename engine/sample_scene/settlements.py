"""What people add to the ground: a town, villages, roads between them, and field parcels."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.sample_scene.fields import Field, fractal, hashed, smooth, stamp
from engine.sample_scene.landscape import Landscape

ROAD_GRID = 8
STREET_EVERY_M = 90.0
DISTRICT_M = 700.0
VILLAGES = 9


@dataclass(frozen=True)
class Settlements:
    """Arrays (size, size).

    Attributes:
        urban: Inside a town or village.
        building: Pixel dominated by a building.
        street_angle: Direction of the street grid, radians from the column axis.
        road: Country road.
        parcel: Uniform [0, 1) value, constant over a field.
        edge: Border between fields.
    """

    urban: NDArray[np.bool_]
    building: NDArray[np.bool_]
    street_angle: Field
    road: NDArray[np.bool_]
    parcel: Field
    edge: NDArray[np.bool_]


def build(rng: np.random.Generator, land: Landscape, gsd_m: float) -> Settlements:
    """Settles the landscape."""
    centres = _centres(rng, land)
    urban, angle = _urban(rng, land, centres, gsd_m)
    parcel, edge = _parcels(rng, land.elevation.shape[0], gsd_m)
    road = _roads(land, centres) & ~land.water
    return Settlements(urban, urban & _buildings(rng, angle, gsd_m), angle, road, parcel, edge)


def _centres(rng: np.random.Generator, land: Landscape) -> NDArray[np.int64]:
    """Places of the town (first) and the villages: flat, dry, apart from each other."""
    size = land.elevation.shape[0]
    suited = (
        -25 * smooth(land.slope, 10) - 3 * smooth(land.water, 12) + 0.5 * fractal(rng, size, 1.0, size / 6)
    )
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    suited -= 2.5 * (np.hypot(rows - size / 2, columns - size / 2) / size * 2) ** 2
    centres = []
    for rank in range(1 + VILLAGES):
        centres.append(np.unravel_index(np.argmax(suited), suited.shape))
        apart = size / (4.5 if rank == 0 else 8)
        suited -= 5 * np.exp(
            -0.5 * ((rows - centres[-1][0]) ** 2 + (columns - centres[-1][1]) ** 2) / apart**2
        )
    return np.array(centres)


def _urban(
    rng: np.random.Generator, land: Landscape, centres: NDArray[np.int64], gsd_m: float
) -> tuple[NDArray[np.bool_], Field]:
    size = land.elevation.shape[0]
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    ragged = 1 + 0.35 * fractal(rng, size, 1.3, 80)
    urban, angle = np.zeros((size, size), bool), np.zeros((size, size), np.float32)
    for rank, (row, column) in enumerate(centres):
        radius_px = (850 if rank == 0 else rng.uniform(140, 330)) / gsd_m
        turn = rng.uniform(0, np.pi)
        d_row, d_column = rows - row, columns - column
        stretched = np.hypot(
            d_row * np.cos(turn) - d_column * np.sin(turn),
            1.5 * (d_row * np.sin(turn) + d_column * np.cos(turn)),
        )
        inside = (stretched < radius_px * ragged) & ~land.water & (land.slope < 0.25)
        angle[inside & ~urban] = turn
        urban |= inside
    return urban, angle


def _buildings(rng: np.random.Generator, angle: Field, gsd_m: float) -> NDArray[np.bool_]:
    """Blocks between streets of a turned grid; some plots inside a block stay gardens."""
    size = angle.shape[0]
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) * gsd_m
    u = columns * np.cos(angle) + rows * np.sin(angle)
    v = rows * np.cos(angle) - columns * np.sin(angle)
    street = (np.mod(u, STREET_EVERY_M) < 12) | (np.mod(v, 1.6 * STREET_EVERY_M) < 12)
    plot = hashed(np.floor(u / 26), np.floor(v / 26), np.full(angle.shape, rng.integers(2**31)))
    return ~street & (plot < 0.62)


def _roads(land: Landscape, centres: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Cheapest ways from the town to the villages and to the four borders; steep ground and bridges cost."""
    size = land.elevation.shape[0]
    n = size // ROAD_GRID
    blocks = slice(0, n * ROAD_GRID)
    steep = land.slope[blocks, blocks].reshape(n, ROAD_GRID, n, ROAD_GRID).mean((1, 3))
    wet = land.water[blocks, blocks].reshape(n, ROAD_GRID, n, ROAD_GRID).any((1, 3))
    cells = np.minimum(centres // ROAD_GRID, n - 1)
    came_from = _dijkstra(1 + (steep / 0.05) ** 2 + 12 * wet, int(cells[0, 0] * n + cells[0, 1]))
    middle = n // 2
    ends = [row * n + column for row, column in cells[1:]]
    ends += [middle, (n - 1) * n + middle, middle * n, middle * n + n - 1]
    road = np.zeros((size, size), bool)
    for end in ends:
        path = [int(end)]
        while came_from[path[-1]] >= 0:
            path.append(came_from[path[-1]])
        nodes = (np.array([divmod(cell, n) for cell in path], np.float32) + 0.5) * ROAD_GRID
        at = np.linspace(0, len(nodes) - 1, len(nodes) * 2 * ROAD_GRID)
        rows, columns = (np.interp(at, np.arange(len(nodes)), _relax(nodes[:, axis])) for axis in (0, 1))
        stamp(road, rows, columns, 0.75, True)
    return road


def _relax(line: NDArray) -> NDArray:
    """Round the corners of a path, ends kept."""
    line = line.copy()
    for _ in range(6):
        line[1:-1] = (line[:-2] + 2 * line[1:-1] + line[2:]) / 4
    return line


def _dijkstra(cost: NDArray, start: int) -> list[int]:
    """Previous cell on the cheapest way from ``start`` to every cell of a square grid; -1 at the start."""
    n = cost.shape[0]
    price, came_from = [np.inf] * cost.size, [-1] * cost.size
    each = cost.ravel().tolist()
    price[start] = 0.0
    queue = [(0.0, start)]
    while queue:
        paid, cell = heapq.heappop(queue)
        if paid > price[cell]:
            continue
        row, column = divmod(cell, n)
        for r in range(max(row - 1, 0), min(row + 2, n)):
            for c in range(max(column - 1, 0), min(column + 2, n)):
                far = 1.4142 if r != row and c != column else 1.0
                total = paid + far * each[r * n + c]
                if total < price[r * n + c]:
                    price[r * n + c], came_from[r * n + c] = total, cell
                    heapq.heappush(queue, (total, r * n + c))
    return came_from


def _parcels(rng: np.random.Generator, size: int, gsd_m: float) -> tuple[Field, NDArray[np.bool_]]:
    """Districts (a jittered Voronoi mosaic), each cut into strips and fields along its own direction."""
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) * gsd_m
    key = rng.integers(2**31)
    cell_row, cell_column = np.floor(rows / DISTRICT_M), np.floor(columns / DISTRICT_M)
    nearest = np.full((size, size), np.inf, np.float32)
    district = np.zeros((size, size), np.float32)
    for d_row in (-1, 0, 1):
        for d_column in (-1, 0, 1):
            own = (cell_row + d_row, cell_column + d_column)
            at_row = (own[0] + hashed(*own, np.int64(key))) * DISTRICT_M
            at_column = (own[1] + hashed(*own, np.int64(key + 1))) * DISTRICT_M
            distance = np.hypot(rows - at_row, columns - at_column)
            closer = distance < nearest
            nearest[closer] = distance[closer]
            district[closer] = hashed(*own, np.int64(key + 2))[closer]
    number = np.round(district * 2**24)
    turn, width_m = district * np.pi, 60 + 150 * hashed(number, np.int64(3))
    u = columns * np.cos(turn) + rows * np.sin(turn)
    v = rows * np.cos(turn) - columns * np.sin(turn)
    strip = np.floor(u / width_m)
    length_m = width_m * (1.4 + 2.5 * hashed(number, strip, np.int64(5)))
    piece = np.floor(v / length_m + hashed(number, strip, np.int64(7)))
    parcel = hashed(number, strip, piece)
    edge = (parcel != np.roll(parcel, 1, 0)) | (parcel != np.roll(parcel, 1, 1))
    return parcel, edge
