"""The scene seen from afar first, where absolute level matters: height of a DEM, tone, season, haze.

A window cannot know how high its surroundings lie. So the model first draws the scene in pixels ``factor``
times as wide, where a window reaches ``factor`` times as far, and the result takes the place of the first
stage of the sampling: encoded, blended and with new noise like any other stage's (two-pass pyramid, after the
coarse stage of InfiniteDiffusion, arXiv:2512.08309). Its windows lie on a lattice of their own, so it depends
on the extent as little as they do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.latent_lattice import LatentLattice, hull
from engine.models.joint_schema import Group
from engine.tiling.lattice import Box

if TYPE_CHECKING:
    pass

Array = NDArray[np.float32]


class DistantView:
    """The wide pixels of a job.

    Args:
        lattice: Of the layer.
        wide: Of the layer in wide pixels.
        groups: That are wanted.
        factor: Pixels of the layer that a wide one is across.
        origin: World pixel of the layer's pixel (0, 0).
        wide_origin: The same of the wide layer.
    """

    def __init__(
        self,
        lattice: LatentLattice,
        wide: LatentLattice,
        groups: Sequence[Group],
        factor: int,
        origin: tuple[int, int],
        wide_origin: tuple[int, int],
    ) -> None:
        self._lattice, self.wide, self._groups, self.factor = lattice, wide, list(groups), factor
        self._origin, self._wide_origin = origin, wide_origin

    def box(self, windows: Sequence[Box]) -> Box:
        """Wide pixels that windows of the layer are filled from, and some more to interpolate."""
        world = hull(windows).snapped_out(self.factor, self._origin).shifted(*self._origin)
        row, col = self._wide_origin
        wide = Box(*(edge // self.factor for edge in (world.row, world.col, world.height, world.width)))
        return wide.shifted(-row, -col).grown(2 * max(group.pixel for group in self._groups))

    def images(
        self, windows: Sequence[Box], made: Iterator[dict[str, Array]]
    ) -> Iterator[dict[Box, dict[str, Array]]]:
        """For each draw: window -> group -> (C, h, w) in the model's range, interpolated; vectors (1, 1, 3).

        Args:
            windows: Of the layer.
            made: Draws of ``box(windows)``, as ``LatentWindows.made`` gives them.
        """
        box = self.box(windows)
        for wide in made:
            yield {
                window: {g.name: self._image(g, window, box, wide[g.name]) for g in self._groups}
                for window in windows
            }

    def _image(self, group: Group, window: Box, box: Box, wide: Array) -> Array:
        if group.is_vector:
            middle = window.shifted(*self._origin).shifted(window.height // 2, window.width // 2)
            row, col = (edge // self.factor for edge in (middle.row, middle.col))
            inside = Box(row - self._wide_origin[0], col - self._wide_origin[1], 1, 1).within(box)
            return np.nan_to_num(wide[:, inside.row, inside.col]).reshape(1, 1, -1)
        place, target = self.wide.pixels(group, box), self._lattice.pixels(group, window)
        return enlarged(np.nan_to_num(wide), place, target, self.factor)


def enlarged(image: Array, place: Box, target: Box, factor: int) -> Array:
    """Bilinear interpolation onto a finer grid.

    Args:
        image: (C, h, w) over ``place``.
        place: Box in wide pixels of the world.
        target: Box in fine pixels of the world, inside ``place`` by a wide pixel or more.
        factor: Fine pixels that a wide one is across.

    Returns:
        (C, H, W) float32 over ``target``.
    """
    for axis, start, size, first in (
        (1, target.row, target.height, place.row),
        (2, target.col, target.width, place.col),
    ):
        middle = (np.arange(start, start + size) + 0.5) / factor - 0.5 - first
        low = np.floor(middle).astype(np.intp)
        share = (middle - low).astype(np.float32)
        share = share[:, None] if axis == 1 else share
        image = image.take(low, axis=axis) * (1 - share) + image.take(low + 1, axis=axis) * share
    return image
