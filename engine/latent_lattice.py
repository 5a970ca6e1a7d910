"""Where the windows of a joint diffusion model lie, and which of them a part of the result is made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.models.item import ModelItem
from engine.models.joint_schema import Group
from engine.tiling.blend import flank_weights
from engine.tiling.lattice import Box, split
from engine.tiling.plan import Plan

_TILE_CELLS = 32


class LatentLattice:
    """Geometry of a model on a layer.

    Boxes of windows are in pixels of the layer; cells and tiles are counted in the world, in latent cells of
    a group, and ``pixels`` in the world in pixels of a group.

    Args:
        item: The model.
        generate: Names of the groups that are wanted.
        origin: World pixel of the layer's pixel (0, 0).
        alone: A scene whose corner is at world pixel (0, 0) and that needs not join others: no window reaches
            over its upper and left edge, and none begins where the one before covers the rest.
    """

    def __init__(
        self, item: ModelItem, generate: Sequence[str], origin: tuple[int, int], alone: Box | None = None
    ) -> None:
        self._alone = alone
        self._sampler, self._origin = item.sampler, origin
        self._plan = Plan(item.tiling, origin)
        self._wanted = [group for group in item.groups if group.name in generate]

    def windows(self, box: Box) -> tuple[Box, ...]:
        """Windows that touch a box, row-major."""
        windows = tuple(window.box for window in self._plan.windows(box))
        if self._alone is None:
            return windows
        # What lies beyond the scene is made by the nearest window, as context for decoders.
        return tuple(w for w in windows if self._needed(w)) or (self._nearest(box),)

    def levels(self, box: Box, stages: int) -> tuple[tuple[Box, ...], ...]:
        """Windows of each stage, first to last, that have a say in a box; row-major.

        A window sees all that overlap it one stage earlier.
        """
        levels = [self.windows(self._context(box))]
        while len(levels) < stages:
            levels.insert(0, self.windows(hull(levels[0])))
        return tuple(levels)

    def seen(self, box: Box, stages: int) -> Box:
        """All pixels that a box is made from."""
        return hull(self.levels(box, stages)[0])

    def cells(self, group: Group, window: Box) -> Box:
        """The latent cells of a window."""
        cell, world = self._cell(group), window.shifted(*self._origin)
        return Box(world.row // cell, world.col // cell, group.latent.height, group.latent.width)

    def corner(self, group: Group, window: Box) -> tuple[int, int]:
        """World row and column of a window's latent, for the noise; a vector has one place a window."""
        if group.is_vector:
            world, stride = window.shifted(*self._origin), self._sampler.stride_px
            return world.row // stride * group.latent.height, world.col // stride * group.latent.width
        cells = self.cells(group, window)
        return cells.row, cells.col

    def over(self, group: Group, cells: Box) -> tuple[Box, ...]:
        """Windows that touch a box of cells."""
        return self.windows(self._from_cells(group, cells))

    def pixels(self, group: Group, box: Box) -> Box:
        """The pixels of a group that a box touches."""
        world = box.snapped_out(group.pixel, self._origin).shifted(*self._origin)
        return _divided(world, group.pixel)

    def is_local(self, group: Group) -> bool:
        """Whether the group's decoder sees no further than ``decoder_halo`` cells, or it has none."""
        return group.latent.decoder_halo is not None or group.latent.autoencoder is None

    def tiles(self, group: Group, box: Box) -> list[Box]:
        """Squares of cells that cover a box, at fixed places in the world, for a local decoder."""
        side = self._cell(group) * _TILE_CELLS
        world = box.snapped_out(side, self._origin).shifted(*self._origin)
        return list(split(_divided(world, self._cell(group)), _TILE_CELLS))

    def weights(self, side: int) -> NDArray[np.float32]:
        """(side, side) blend weights of a window that is ``side`` cells or pixels wide."""
        return flank_weights(side, self._sampler.stride_px * side // self._sampler.window_px)

    def _needed(self, window: Box) -> bool:
        reach, alone = self._sampler.window_px - self._sampler.stride_px, self._alone
        ends = (window.row, alone.row, alone.rows[1]), (window.col, alone.col, alone.cols[1])
        return all(start == first or first < start < last - reach for start, first, last in ends)

    def _nearest(self, box: Box) -> Box:
        """The window of a lone scene that lies closest to a box outside it."""
        inside = self._plan.windows(self._alone)
        needed = [window.box for window in inside if self._needed(window.box)]
        return min(needed, key=lambda w: abs(w.row - box.row) + abs(w.col - box.col))

    def _context(self, box: Box) -> Box:
        """Where the latents must be known to decode a box."""
        parts = [box]
        for group in self._wanted:
            if group.is_vector:
                continue
            if self.is_local(group):
                halo = group.latent.decoder_halo or 0
                tiles = [tile.grown(halo) for tile in self.tiles(group, box)]
                parts += [self._from_cells(group, tile) for tile in tiles]
            else:
                parts += self.windows(box)
        return hull(parts)

    def _cell(self, group: Group) -> int:
        """Pixels of the layer that a latent cell is wide."""
        return self._sampler.window_px // group.latent.height

    def _from_cells(self, group: Group, cells: Box) -> Box:
        row, col = self._origin
        return cells.scaled(self._cell(group)).shifted(-row, -col)


def hull(boxes: Sequence[Box]) -> Box:
    """The smallest box around others."""
    row, col = min(box.row for box in boxes), min(box.col for box in boxes)
    return Box(row, col, max(box.rows[1] for box in boxes) - row, max(box.cols[1] for box in boxes) - col)


def _divided(world: Box, side: int) -> Box:
    return Box(world.row // side, world.col // side, world.height // side, world.width // side)
