"""Co-registered layers of one place, cut into patches as a joint model sees them; never mirrored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform as reproject

from engine.modalities.base import Encoder, Statistics, sample_boxes
from engine.modalities.cells import Patch, centred_patches, covering_patches
from engine.modalities.encoders import encoder
from engine.modalities.vectors import date_vector, position_vector
from engine.models.joint_schema import Group
from engine.tiling.lattice import Box

Values = NDArray[np.float32]
Pixels = tuple[Values, NDArray[np.bool_]]
Cutting = Literal["covering", "centred"]
_CUTS: Mapping[Cutting, Callable[[int, int, int], list[Patch]]] = {
    "covering": covering_patches,
    "centred": centred_patches,
}


class Layer(Protocol):
    """The bands of one group on its own grid.

    Attributes:
        height, width: Pixels of the group.
        ready: Whether the values are in the model's range already, as those of thumbnails are.
    """

    height: int
    width: int
    ready: bool

    def read(self, box: Box) -> Pixels:
        """(C, h, w) float32 in the units of the group's encoder, and (h, w) where valid; False outside."""


@dataclass(frozen=True)
class ArrayLayer:
    """A layer in memory."""

    values: Values
    valid: NDArray[np.bool_]
    ready: bool = False

    @property
    def height(self) -> int:
        """Pixels along a column."""
        return self.values.shape[1]

    @property
    def width(self) -> int:
        """Pixels along a row."""
        return self.values.shape[2]

    def read(self, box: Box) -> Pixels:
        """See ``Layer``."""
        return padded(box, (self.height, self.width), lambda part: self._part(part), len(self.values))

    def _part(self, box: Box) -> Pixels:
        return self.values[(slice(None), *box.slices)], self.valid[box.slices]


@dataclass(frozen=True)
class Scene:
    """Layers of one place at one time.

    Attributes:
        name: ``<location>`` or ``<location>.<scene>``: letters, digits, ``_`` and ``-`` beside that dot.
        height, width: Of the finest grid (px).
        layers: By group; those that are missing here are left out.
        crs: Of the grid; None: without georeference.
        transform: Of the finest grid.
        day: When it was seen.
        first: Number of its first patch.
    """

    name: str
    height: int
    width: int
    layers: Mapping[str, Layer]
    crs: CRS | None = None
    transform: Affine = field(default_factory=Affine.identity)
    day: date | None = None
    first: int = 0


@dataclass(frozen=True)
class Prepared:
    """A patch in the model's range.

    Attributes:
        key: Of the sample, ``<scene>_<number>``.
        images: Group -> (C, h, w) float32.
        vectors: Group -> (1, 1, 3) float32.
        metadata: Where and when: crs, transform of the finest grid, size, date, number.
    """

    key: str
    images: Mapping[str, Values]
    vectors: Mapping[str, Values]
    metadata: Mapping[str, str]


def patches(
    scene: Scene,
    groups: Sequence[Group],
    window_px: int,
    cutting: Cutting = "covering",
    least_valid: float = 0.95,
    wanted: Callable[[str], bool] = lambda key: True,
) -> Iterator[Prepared]:
    """Patches of a scene that have at least one image.

    Args:
        scene: Its layers.
        groups: Those of the model.
        window_px: Side of a patch on the finest grid.
        cutting: Whether patches cover the scene, the last ones overlapping, or stand in its middle.
        least_valid: A group is left out of a patch where a smaller share of its pixels is valid.
        wanted: Tells by its key whether a patch is needed.

    Raises:
        InputError: The scene is smaller than a patch, or a class code is unknown.
    """
    present = [group for group in groups if group.name in scene.layers]
    encoders = {group.name: encoder(group) for group in present if not scene.layers[group.name].ready}
    statistics: dict[str, Statistics] = {}
    for patch in _CUTS[cutting](scene.height, scene.width, window_px):
        key = f"{scene.name}_{scene.first + patch.index}"
        if not wanted(key):
            continue
        if not statistics:
            statistics = {name: _statistics(scene.layers[name], made) for name, made in encoders.items()}
        images = {}
        for group in present:
            image = _image(group, scene.layers[group.name], patch.box, encoders, statistics, least_valid)
            if image is not None:
                images[group.name] = image
        if images:
            yield Prepared(key, images, _vectors(scene, groups, patch.box), _metadata(scene, patch))


def padded(box: Box, shape: tuple[int, int], read: Callable[[Box], Pixels], channels: int) -> Pixels:
    """A box of which a part may lie outside of a raster of ``shape``; invalid zeros there."""
    values = np.zeros((channels, box.height, box.width), np.float32)
    valid = np.zeros((box.height, box.width), bool)
    inside = box.intersection(Box(0, 0, *shape))
    if inside is not None:
        rows, cols = inside.within(box).slices
        values[:, rows, cols], valid[rows, cols] = read(inside)
    return values, valid


def _image(
    group: Group,
    layer: Layer,
    box: Box,
    encoders: Mapping[str, Encoder],
    statistics: Mapping[str, Statistics],
    least_valid: float,
) -> Values | None:
    made = encoders.get(group.name)
    margin = made.margin_px if made else 0
    pixel = group.pixel
    own = Box(box.row // pixel, box.col // pixel, box.height // pixel, box.width // pixel)
    values, valid = layer.read(own.grown(margin))
    if valid[margin : margin + own.height, margin : margin + own.width].mean() < least_valid:
        return None
    return values if made is None else made.encode(values, valid, statistics[group.name])


def _statistics(layer: Layer, made: Encoder) -> Statistics:
    if not made.needs_statistics:
        return {}
    boxes = sample_boxes(layer.height, layer.width)
    return made.statistics(layer.read(box.grown(made.margin_px)) for box in boxes)


def _vectors(scene: Scene, groups: Sequence[Group], box: Box) -> dict[str, Values]:
    found = {}
    for group in groups:
        if group.encoding.kind == "position" and scene.crs is not None:
            found[group.name] = position_vector(*_centre(scene, box)).reshape(1, 1, 3)
        if group.encoding.kind == "date" and scene.day is not None:
            found[group.name] = date_vector(scene.day).reshape(1, 1, 3)
    return found


def _centre(scene: Scene, box: Box) -> tuple[float, float]:
    """Latitude and longitude of the middle of a box."""
    x, y = scene.transform * (box.col + box.width / 2, box.row + box.height / 2)
    (lon,), (lat,) = reproject(scene.crs, CRS.from_epsg(4326), [x], [y])
    return lat, lon


def _metadata(scene: Scene, patch: Patch) -> dict[str, str]:
    box = patch.box
    corner = scene.transform * Affine.translation(box.col, box.row)
    return {
        "scene": scene.name,
        "crs": scene.crs.to_string() if scene.crs else "",
        "transform": " ".join(f"{value:.12g}" for value in corner[:6]),
        "pixels": str(box.width),
        "date": scene.day.isoformat() if scene.day else "",
        "row": str(patch.row),
        "col": str(patch.col),
    }
