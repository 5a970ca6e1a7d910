"""One group of bands bound to the rasters that hold it, on a grid of its own pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from engine.conditions import Continuous
from engine.modalities.base import Encoder
from engine.models.joint_schema import Group
from engine.raster.grid import Grid
from engine.raster.source import Source
from engine.tiling.lattice import Box


@dataclass(frozen=True)
class GroupImage:
    """A group bound to the rasters that hold its bands.

    Attributes:
        layer: Grid of the group's pixels.
        parts: One a file; each fills bands of its own.
        to_units: From the files' values to those of the encoder.
        statistics: What the encoder measured over the scene.
    """

    group: Group
    encoder: Encoder
    layer: Grid
    parts: tuple[Continuous, ...]
    to_units: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    statistics: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def physical(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(C, H, W) in the encoder's units, and (H, W) where all bands are valid; a box of ``layer``."""
        values = np.zeros((len(self.group.bands), box.height, box.width), dtype=np.float32)
        valid = np.ones((box.height, box.width), dtype=bool)
        for part in self.parts:
            found, known = part.physical(part.source.read(box))
            values[list(part.places)] = found
            valid &= known.all(axis=0)
        values = self.to_units(values)
        valid &= np.isfinite(values).all(axis=0)
        values[:, ~valid] = 0
        return values, valid

    def read(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(C', h, w) in the model's range and (h, w) validity, over a box of ``layer``."""
        margin = self.encoder.margin_px
        values, valid = self.physical(box.grown(margin))
        image = self.encoder.encode(values, valid, self.statistics)
        inner = slice(margin, -margin or None)
        return image, valid[inner, inner]

    def on(self, twins: dict[int, Source]) -> GroupImage:
        """The same on other handles of its rasters: ``id`` of the source -> its twin."""
        return replace(self, parts=tuple(part.on(twins) for part in self.parts))


def group_layer(layer: Grid, pixel: int) -> Grid:
    """The layer in pixels ``pixel`` times as wide, anchored to the world.

    Pixels that the layer covers in part are left out, unless there are no others: what is read there is the
    mirror image, as everywhere beyond the border.
    """
    if pixel == 1:
        return layer
    box = layer.box.snapped_in(pixel, layer.origin) or layer.box.snapped_out(pixel, layer.origin)
    part = layer.part(box)
    return Grid(
        layer.crs,
        part.transform * Affine.scale(pixel),
        box.width // pixel,
        box.height // pixel,
        (part.origin[0] // pixel, part.origin[1] // pixel),
    )


def coarse_box(box: Box, pixel: int, origin: tuple[int, int], coarse_origin: tuple[int, int]) -> Box:
    """A box of the layer as one of a group's layer."""
    row, col = box.row + origin[0], box.col + origin[1]
    if any(edge % pixel for edge in (row, col, box.height, box.width)):
        raise ValueError(f"the box {box} does not lie on whole pixels {pixel} times as wide")
    return Box(
        row // pixel - coarse_origin[0],
        col // pixel - coarse_origin[1],
        box.height // pixel,
        box.width // pixel,
    )
