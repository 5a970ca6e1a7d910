"""The rasters of a job as images in a joint diffusion model's range, group by group, read by window.

Every group is read on a grid of its own pixel size (20 m bands on a 10 m job: 2 pixels), anchored to the
world like the job's, so that all of them cover a window exactly.
"""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from engine.conditions import Continuous, OneHot
from engine.errors import InputError
from engine.inputs import (
    Check,
    Log,
    box_of_job,
    check_not_empty,
    check_overlap,
    check_statistics_asked,
    layer_of_sources,
    open_sources,
    tell_scene_units,
)
from engine.modalities.base import Encoder, sample_boxes
from engine.modalities.class_codes import class_legend, class_mask, to_codes
from engine.modalities.encoders import encoder
from engine.modalities.physical import decibels
from engine.modalities.reflectance_units import tell_reflectance, to_dn
from engine.modalities.vectors import date_vector, position_vector
from engine.models.item import ModelItem
from engine.models.joint_schema import Group
from engine.models.schema import ContinuousInput, InputBand, Linear
from engine.raster.grid import Grid, free_grid
from engine.raster.source import Pixels, Source
from engine.raster.statistics import statistics_text
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
            place = _coarse(box, pixel, self.layer.origin, image.layer.origin)
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
            opened[modality] = open_sources(spec, _entry(item, modality), item, log)
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
            _bind(inputs, modality, spec, opened[modality], item, log, check)
        if job.context is not None:
            wide = _group_layer(inputs.layer, job.context)
            inputs.distant = JointInputs(wide, wide.box, vectors=inputs.vectors)
            for modality, spec in job.inputs.items():
                known = _as_measured(spec, modality, inputs)
                _bind(inputs.distant, modality, known, opened[modality], item, _unheard, check)
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


def _entry(item: ModelItem, modality: str) -> ContinuousInput:
    """All bands of a modality's groups, none of which must be there: a group without them is not given."""
    groups = item.groups_of(modality)
    if any(group.is_vector for group in groups):
        raise InputError(f"The {modality} is no raster; give it as a value (--{modality}).")
    bands = [
        InputBand(**group.bands[number].model_dump(), required=len(groups) == 1)
        for group, number in item.bands_of(modality)
    ]
    units = encoder(groups[0]).units
    if units == "dB" and [band.name for band in bands] == ["VV"]:
        # Dual-polarised products hold it second, mostly without a name.
        bands.append(InputBand(name="VH", required=False))
    return ContinuousInput(
        modality=modality,
        tensor=modality,
        required=False,
        encoding="continuous",
        bands=tuple(bands),
        units=units,
        normalisation=Linear(kind="linear"),
        validity_planes=not all(band.required for band in bands),
    )


def _bind(
    inputs: JointInputs,
    modality: str,
    spec: InputRaster,
    sources: Sequence[Source],
    item: ModelItem,
    log: Log,
    check: Check,
) -> None:
    """Adds the groups of a modality that its files have all the bands of."""
    missing, order = [], item.bands_of(modality)
    entry = _entry(item, modality)
    if entry.units == "DN":
        inputs.units[modality] = _optical_units([_part(entry, source, spec) for source in sources], spec, log)
    for group in item.groups_of(modality):
        places = {order.index((group, number)): number for number in range(len(group.bands))}
        if not places.keys() <= {place for source in sources for place in source.places}:
            missing.append(group.name)
            continue
        inputs.images[group.name] = _image(inputs, group, places, sources, spec, log, check)
    if len(missing) == len(item.groups_of(modality)):
        names = "; ".join(", ".join(band.name for band in group.bands) for group in item.groups_of(modality))
        raise InputError(
            f"The {modality} raster {sources[0].dataset.name} has all bands of none of the sets that the "
            f"model takes together ({names}); give a file with one of the sets, or say which bands to use."
        )
    if missing:
        log(
            "info", f"The {modality} raster lacks bands of {', '.join(missing)}: the model does without them."
        )


def _image(
    inputs: JointInputs,
    group: Group,
    places: dict[int, int],
    sources: Sequence[Source],
    spec: InputRaster,
    log: Log,
    check: Check,
) -> GroupImage:
    """A group on its own grid, with the statistics of the scene.

    ``places``: place among the modality's bands -> number of the band in the group.
    """
    encode = encoder(group)
    layer = _group_layer(inputs.layer, group.pixel)
    entry = ContinuousInput(
        modality=group.modality,
        tensor=group.name,
        encoding="continuous",
        bands=tuple(InputBand(name=band.name) for band in group.bands),
        units=encode.units,
        normalisation=Linear(kind="linear"),
    )
    parts = []
    for source in sources:
        own = [(places[p], band) for p, band in zip(source.places, source.bands, strict=True) if p in places]
        if own:
            part = source.of_bands([band for _, band in own], tuple(place for place, _ in own))
            inputs.sources.append(part)
            parts.append(_part(entry, part, spec))
    samples = [part.source.sample() for part in parts]
    for part, sample in zip(parts, samples, strict=True):
        check()
        check_not_empty(part.source, sample.valid, check)
        if part.source.align(layer, encode.units == "class"):
            log("info", _resampled(part.source, layer))
    to_units = _unchanged
    if encode.units == "dB":
        inputs.units[group.modality] = found = _radar_units(parts, samples, log)
        to_units = decibels if found == "linear" else _unchanged
    elif encode.units == "DN":
        to_units = functools.partial(to_dn, units=inputs.units[group.modality])
    elif encode.units == "class":
        to_units = _class_codes(group, parts[0].source, inputs, spec, check)
    image = GroupImage(group, encode, layer, tuple(parts), to_units)
    if not encode.needs_statistics:
        return image
    measured = spec.statistics or _measured(image, samples[0])
    _check_statistics(measured, group.modality)
    inputs.statistics.setdefault(group.modality, {}).update(measured)
    if spec.statistics is None:
        log(
            "info",
            f"The statistics {statistics_text(group.modality, measured)} normalise the input; neighbouring "
            "scenes that must join need the same.",
        )
    return replace(image, statistics=measured)


def _part(entry: ContinuousInput, source: Source, spec: InputRaster) -> Continuous:
    dataset = source.dataset
    if (spec.scale, spec.offset) == (1.0, 0.0):
        factors = tuple((dataset.scales[b - 1], dataset.offsets[b - 1]) for b in source.bands)
    else:
        factors = tuple((spec.scale, spec.offset) for _ in source.bands)
    return Continuous(entry, source, source.places, factors)


def _radar_units(parts: Sequence[Continuous], samples: Sequence[Pixels], log: Log) -> str:
    """What the numbers of a radar modality's files mean: the same in all of them."""
    told = [tell_scene_units(part, sample, log) for part, sample in zip(parts, samples, strict=True)]
    if len(set(told)) > 1:
        raise InputError(
            f"The {parts[0].source.modality} files seem to be in different units "
            f"({' and '.join(sorted(set(told)))}); say which units they have."
        )
    return told[0]


def _class_codes(
    group: Group, source: Source, inputs: JointInputs, spec: InputRaster, check: Check
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """From the raster's values to the group's codes; refuses values without a class before the run."""
    legend, layer = class_legend(group, spec.legend), _group_layer(inputs.layer, group.pixel)
    outer = inputs.box.snapped_out(group.pixel, inputs.layer.origin)
    used = _coarse(outer, group.pixel, inputs.layer.origin, layer.origin)
    OneHot(class_mask(group), source, legend).check_classes(used, check)
    return functools.partial(to_codes, group=group, legend=legend)


def _optical_units(parts: Sequence[Continuous], spec: InputRaster, log: Log) -> str:
    """What the numbers of all bands of a modality mean."""
    if spec.units != "auto":
        return spec.units
    values, texts = [], []
    for part in parts:
        physical, valid = part.physical(part.source.sample())
        values.append(physical[valid])
        dataset = part.source.dataset
        texts += [dataset.name, *(f"{key}={value}" for key, value in dataset.tags().items())]
    source = parts[0].source
    reading = tell_reflectance(np.concatenate(values), texts, source.dataset.dtypes[source.bands[0] - 1])
    text = (
        f"The {source.modality} raster {source.dataset.name} is taken for {reading.units} ({reading.reason})"
    )
    if reading.certain:
        log("info", f"{text}.")
    else:
        log("warning", f"{text}; this is not certain, so say which units it has if that is wrong.")
    return reading.units


def _measured(image: GroupImage, sample: Pixels) -> dict[str, tuple[float, ...]]:
    """What the encoder wants to know of the scene, from a few windows of full resolution."""
    layer, margin = image.layer, image.encoder.margin_px
    boxes = sample_boxes(layer.height, layer.width, sample.valid.all(axis=0))
    return image.encoder.statistics(image.physical(box.grown(margin)) for box in boxes)


def _check_statistics(statistics: dict[str, tuple[float, ...]], modality: str) -> None:
    if not all(math.isfinite(number) for numbers in statistics.values() for number in numbers):
        raise InputError(f"The statistics given for {modality} must be finite numbers.")


def _unchanged(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values


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


def _group_layer(layer: Grid, pixel: int) -> Grid:
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


def _coarse(box: Box, pixel: int, origin: tuple[int, int], coarse_origin: tuple[int, int]) -> Box:
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


def _resampled(source: Source, layer: Grid) -> str:
    return (
        f"The {source.modality} raster {source.dataset.name} ({source.grid.describe()}) is resampled to "
        f"{layer.describe()}."
    )


def summary(inputs: JointInputs) -> dict[str, Any]:
    """What identifies the vectors of a run, for its journal."""
    return {name: None if v is None else [float(x) for x in v] for name, v in inputs.vectors.items()}
