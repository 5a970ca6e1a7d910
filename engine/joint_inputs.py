"""The rasters of a job as images in a joint diffusion model's range, group by group, read by window.

Every group is read on a grid of its own pixel size (20 m bands on a 10 m job: 2 pixels), anchored to the
world like the job's, so that all of them cover a window exactly.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.group_image import GroupImage, coarse_box, group_layer
from engine.inputs import (
    Check,
    Log,
    box_of_job,
    check_overlap,
    check_statistics_asked,
    layer_of_sources,
    open_sources,
)
from engine.joint_binding import bind, modality_bands
from engine.modalities.encoders import encoder
from engine.modalities.vectors import date_vector, position_vector
from engine.models.item import ModelItem
from engine.raster.grid import Grid, free_grid
from engine.raster.source import Source
from engine.result_files import wanted_modalities
from engine.spec import InputRaster, Job
from engine.tiling.lattice import Box

_SAME_GSD = 0.01
Vectors = dict[str, NDArray[np.float32] | None]


@dataclass(frozen=True)
class JointContext:
    """What is given over a box of the layer.

    Attributes:
        box: Where, in pixels of the layer.
        images: Group -> (C, h, w) float32 in the model's range, in pixels of the group.
        known: Group -> (h, w) bool: where the image is no filling.
        valid: (H, W) bool in pixels of the layer: every given raster is valid; all of it where none is given.
        distant: The same for the distant view, where the job has one.
    """

    box: Box
    images: dict[str, NDArray[np.float32]]
    known: dict[str, NDArray[np.bool_]]
    valid: NDArray[np.bool_]
    distant: JointContext | None = None


@dataclass
class JointInputs:
    """All that a job gives to a joint diffusion model.

    Attributes:
        layer: The output grid; context beyond the job's extent is read from it.
        box: The job's extent in it.
        images: Group -> the rasters that hold it.
        vectors: Group -> what holds for the whole scene; None: each window's own position.
        statistics: Modality -> name -> numbers that encode it.
        units: Modality -> what its values were taken for.
        distant: The same in wide pixels, where the job has a distant view.
    """

    layer: Grid
    box: Box
    images: dict[str, GroupImage] = field(default_factory=dict)
    vectors: Vectors = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    statistics: dict[str, dict[str, tuple[float, ...]]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    distant: JointInputs | None = None
    twins: list[JointInputs] = field(default_factory=list)

    @property
    def given(self) -> tuple[str, ...]:
        """Groups that are conditions."""
        return (*self.images, *self.vectors)

    def read(self, box: Box) -> JointContext:
        """What is given over a box of the layer, whose edges are whole pixels of every group in the world."""
        valid = np.ones((box.height, box.width), dtype=bool)
        images, known = {}, {}
        for name, image in self.images.items():
            pixel = image.group.pixel
            place = coarse_box(box, pixel, self.layer.origin, image.layer.origin)
            images[name], known[name] = image.read(place)
            valid &= known[name].repeat(pixel, axis=0).repeat(pixel, axis=1)
        return JointContext(box, images, known, valid)

    def twin(self) -> JointInputs:
        """The same inputs for another thread; closed with these."""
        pairs = {id(source): source.twin() for source in self.sources}
        images = {name: image.on(pairs) for name, image in self.images.items()}
        distant = self.distant and self.distant.twin()
        twin = replace(self, images=images, sources=list(pairs.values()), distant=distant, twins=[])
        self.twins.append(twin)
        return twin

    def close(self) -> None:
        """Closes all files."""
        for other in [*self.twins, *([self.distant] if self.distant else [])]:
            other.close()
        for source in self.sources:
            source.close()


def open_joint_inputs(
    job: Job, item: ModelItem, log: Log, check: Check, accept: Callable[[Grid], None] | None = None
) -> JointInputs:
    """Opens, checks and aligns everything that a job gives to a joint diffusion model.

    Args:
        job: Says which.
        item: A package of the family ``joint-diffusion``.
        log: Takes what the user should know about them.
        check: Called between steps; raises when the run was cancelled.
        accept: Called with the output grid before any pixel is read; may refuse it.

    Raises:
        InputError: The first thing that is wrong with one of them.
    """
    wanted_modalities(job, item)
    opened: dict[str, list[Source]] = {}
    inputs: JointInputs | None = None
    try:
        for modality, spec in job.inputs.items():
            item.groups_of(modality)
            by_scene = any(encoder(g).needs_statistics for g in item.groups_of(modality) if not g.is_vector)
            check_statistics_asked(spec, modality, by_scene)
            opened[modality] = open_sources(spec, modality_bands(item, modality), item, log)
        layer = _layer(job, item, [s for sources in opened.values() for s in sources], log)
        box = box_of_job(job, layer)
        if job.anchor == "scene":
            layer = replace(layer, origin=(-box.row, -box.col))
        inputs = JointInputs(layer, box, vectors=_vectors(job, item, layer))
        if accept is not None:
            accept(layer.part(inputs.box))
        for modality, spec in job.inputs.items():
            check()
            for source in opened[modality]:
                check_overlap(source, inputs.layer, inputs.box)
            bind(inputs, modality, spec, opened[modality], item, log, check)
        if job.context is not None:
            wide = group_layer(inputs.layer, job.context)
            inputs.distant = JointInputs(wide, wide.box, vectors=inputs.vectors)
            for modality, spec in job.inputs.items():
                known = _as_measured(spec, modality, inputs)
                bind(inputs.distant, modality, known, opened[modality], item, _unheard, check)
    except BaseException:
        if inputs is not None:
            inputs.close()
        raise
    finally:
        for source in [s for sources in opened.values() for s in sources]:
            source.close()
    return inputs


def _as_measured(spec: InputRaster, modality: str, inputs: JointInputs) -> InputRaster:
    """With what was found out about the raster."""
    found = {"statistics": inputs.statistics.get(modality), "units": inputs.units.get(modality)}
    return spec.model_copy(update={key: value for key, value in found.items() if value is not None})


def _unheard(level: str, text: str) -> None:
    """All has been said about these rasters."""


def _layer(job: Job, item: ModelItem, sources: Sequence[Source], log: Log) -> Grid:
    """The output grid: the finest raster's, or a new one in the model's resolution."""
    if not sources:
        return _free_layer(job, item)
    finest = min(sources, key=lambda source: source.grid.gsd_m() or math.inf)
    ordered = [finest, *(source for source in sources if source is not finest)]
    own = finest.grid.gsd_m()
    free = job.resolution is None and job.crs is None
    if free and own and item.gsd_m and abs(own / item.gsd_m - 1) > _SAME_GSD:
        resolution = finest.grid.pixel_size * item.gsd_m / own
        log(
            "info",
            f"The inputs have pixels of {own:.4g} m and the model {item.id} works at {item.gsd_m:g} m: the "
            f"result does, too ({resolution:.6g} in units of the CRS).",
        )
        job = job.model_copy(update={"resolution": resolution})
    return layer_of_sources(job, ordered, log)


def _free_layer(job: Job, item: ModelItem) -> Grid:
    """The grid of a job without rasters: the extent, cut along multiples of the pixel size."""
    if job.extent is None or not (job.crs or job.extent_crs):
        raise InputError(
            "No raster is given, so the place must be: set the extent and its CRS (--extent, --crs)."
        )
    return free_grid(job.extent, job.extent_crs, job.crs, job.resolution, item.gsd_m)


def _vectors(job: Job, item: ModelItem, layer: Grid) -> Vectors:
    """Date and position, by group."""
    found: Vectors = {}
    if job.date is not None:
        for group in item.groups_of("date"):
            found[group.name] = date_vector(_day(job.date))
    if job.position == "scene":
        if layer.crs is None:
            raise InputError(
                "The position is to be taken from the scene, and the rasters have no CRS; give latitude and "
                "longitude."
            )
        found |= dict.fromkeys(group.name for group in item.groups_of("position"))
    elif job.position is not None:
        latitude, longitude = job.position
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            raise InputError(
                f"The position {latitude:g}, {longitude:g} is no latitude (-90 to 90) and longitude (-180 to "
                "180) in degrees."
            )
        for group in item.groups_of("position"):
            found[group.name] = position_vector(latitude, longitude)
    return found


def _day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise InputError(f"The date {text} is no day of the calendar; give it as 2021-06-30.") from None
