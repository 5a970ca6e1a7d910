"""Binds the rasters of a modality to the groups of a joint model: bands, units, classes, statistics."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.conditions import Continuous, OneHot
from engine.errors import InputError
from engine.group_image import GroupImage, coarse_box, group_layer
from engine.inputs import Check, Log, check_not_empty, tell_scene_units
from engine.modalities.base import sample_boxes
from engine.modalities.class_codes import class_legend, class_mask, to_codes
from engine.modalities.encoders import encoder
from engine.modalities.physical import decibels
from engine.modalities.reflectance_units import tell_reflectance, to_dn
from engine.models.item import ModelItem
from engine.models.joint_schema import Group
from engine.models.schema import ContinuousInput, InputBand, Linear
from engine.raster.grid import Grid
from engine.raster.source import Pixels, Source
from engine.raster.statistics import statistics_text
from engine.spec import InputRaster

if TYPE_CHECKING:
    from engine.joint_inputs import JointInputs


def modality_bands(item: ModelItem, modality: str) -> ContinuousInput:
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


def bind(
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
    entry = modality_bands(item, modality)
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
    layer = group_layer(inputs.layer, group.pixel)
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
    legend, layer = class_legend(group, spec.legend), group_layer(inputs.layer, group.pixel)
    outer = inputs.box.snapped_out(group.pixel, inputs.layer.origin)
    used = coarse_box(outer, group.pixel, inputs.layer.origin, layer.origin)
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


def _resampled(source: Source, layer: Grid) -> str:
    return (
        f"The {source.modality} raster {source.dataset.name} ({source.grid.describe()}) is resampled to "
        f"{layer.describe()}."
    )
