"""The rasters of a job as the model's input tensors, read by window on one grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.conditions import Absent, Condition, Continuous, OneHot, Stacked
from engine.errors import InputError
from engine.models import legends
from engine.models.item import ModelItem
from engine.models.schema import Constant, ContinuousInput, Linear, OneHotInput, Scene, SceneMean
from engine.raster.bands import BandList, choose_bands, mask_bands
from engine.raster.grid import Grid, describe_crs, parse_crs, project_bounds, target_grid
from engine.raster.source import Pixels, Source, open_raster
from engine.raster.statistics import Statistics, mean_and_std, statistics_text
from engine.raster.units import Units, tell_units
from engine.spec import InputRaster, Job
from engine.tiling.lattice import Box

Log = Callable[[str, str], None]
Check = Callable[[], None]
_FAR_DEVIATIONS = 4.0
_UNITS = {"dB": ("linear", "db", "relative"), "DN": ("DN", "DN + 1000", "reflectance")}
_MEANING = {"db": "decibel", "linear": "linear power", "relative": "a relative display stretch of decibel"}


@dataclass(frozen=True)
class Context:
    """The model's inputs over a box of the layer.

    Attributes:
        box: Where, in pixels of the layer.
        tensors: Tensor name -> float32 (C, H, W), normalised; 0 where invalid.
        valid: (H, W) bool: every required input is valid.
    """

    box: Box
    tensors: dict[str, NDArray[np.float32]]
    valid: NDArray[np.bool_]

    def window(self, box: Box) -> dict[str, NDArray[np.float32]]:
        """The tensors of a part, as (1, C, h, w)."""
        rows, cols = box.within(self.box).slices
        return {
            name: np.ascontiguousarray(tensor[None, :, rows, cols]) for name, tensor in self.tensors.items()
        }


@dataclass
class Inputs:
    """All inputs of a job on one grid.

    Attributes:
        layer: The whole output grid; context beyond the job's extent is read from it.
        box: The job's extent in it.
        conditions: Tensor name -> condition.
        statistics: Modality -> band -> (mean, standard deviation) that normalise it.
        units: Modality -> what its values were taken for.
    """

    layer: Grid
    box: Box
    sources: list[Source]
    conditions: dict[str, Condition]
    statistics: dict[str, dict[str, Statistics]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    twins: list[Inputs] = field(default_factory=list)

    def read(self, box: Box) -> Context:
        """The model's inputs over a box of the layer, which may reach beyond its border."""
        valid = np.ones((box.height, box.width), dtype=bool)
        tensors = {}
        for name, condition in self.conditions.items():
            tensors[name], decides = condition.read(box)
            if decides is not None:
                valid &= decides
        return Context(box, tensors, valid)

    def twin(self) -> Inputs:
        """The same inputs for another thread; closed with these."""
        pairs = {id(source): source.twin() for source in self.sources}
        conditions = {name: condition.on(pairs) for name, condition in self.conditions.items()}
        twin = Inputs(self.layer, self.box, list(pairs.values()), conditions, self.statistics, self.units)
        self.twins.append(twin)
        return twin

    def close(self) -> None:
        """Closes all files."""
        for twin in self.twins:
            twin.close()
        for source in self.sources:
            source.close()


def open_inputs(
    job: Job, item: ModelItem, log: Log, check: Check, accept: Callable[[Grid], None] | None = None
) -> Inputs:
    """Opens, checks and aligns every raster of a job.

    Args:
        job: Says which.
        item: The model that they are for.
        log: Takes what the user should know about them.
        check: Called between steps; raises when the run was cancelled.
        accept: Called with the output grid before any pixel is read; may refuse it.

    Raises:
        InputError: The first thing that is wrong with one of them.
    """
    if item.is_joint:
        from engine.joint_inputs import open_joint_inputs

        return open_joint_inputs(job, item, log, check, accept)
    _check_modalities(job, item)
    sources: list[Source] = []
    try:
        for entry in item.inputs:
            if entry.modality in job.inputs:
                spec = job.inputs[entry.modality]
                by_scene = isinstance(getattr(entry, "normalisation", None), Scene | SceneMean)
                check_statistics_asked(spec, entry.modality, by_scene)
                sources += open_sources(spec, entry, item, log)
        layer = layer_of_sources(job, sources, log)
        inputs = Inputs(layer, box_of_job(job, layer), sources, {})
        if accept is not None:
            accept(layer.part(inputs.box).scaled(item.output.scale_factor))
        for source in sources:
            _align(source, inputs, item, log)
        for entry in item.inputs:
            check()
            given = [source for source in sources if source.modality == entry.modality]
            inputs.conditions[entry.tensor] = _condition(entry, given, inputs, item, log, check)
    except BaseException:
        for source in sources:
            source.close()
        raise
    return inputs


def _check_modalities(job: Job, item: ModelItem) -> None:
    for modality in job.inputs:
        item.input(modality)
    for entry in item.inputs:
        if entry.required and entry.modality not in job.inputs:
            raise InputError(
                f"The model {item.id} needs the input {entry.modality}, which was not given; add a "
                "raster for it."
            )


def open_sources(
    spec: InputRaster, entry: ContinuousInput | OneHotInput, item: ModelItem, log: Log
) -> list[Source]:
    """One source a file."""
    _check_settings(spec, entry)
    with ExitStack() as opened:
        datasets = []
        for path in spec.paths:
            datasets.append(open_raster(path, entry.modality))
            opened.callback(datasets[-1].close)
        bands = BandList(datasets)
        if isinstance(entry, OneHotInput):
            colors = legends.load(spec.legend, item).has_colors
            chosen: list[int | None] = [*mask_bands(bands, entry.modality, spec.bands, colors)]
        else:
            chosen = choose_bands(bands, entry, spec.bands)
            _say_which_bands(entry, bands, chosen, log)
        found = [(place, bands[number]) for place, number in enumerate(chosen) if number is not None]
        sources = []
        for file, dataset in enumerate(datasets):
            places = tuple(place for place, band in found if band.file == file)
            numbers = [band.number for _, band in found if band.file == file]
            if not places:
                raise InputError(
                    f"None of the bands of {dataset.name} is used for {entry.modality}; leave the file out, "
                    "or say which bands to use."
                )
            sources.append(Source(entry.modality, spec, dataset, numbers, places))
        opened.pop_all()
    return sources


def _say_which_bands(entry: ContinuousInput, bands: BandList, chosen: Sequence[int | None], log: Log) -> None:
    """A wrong guess gives a plausible picture, so the user must be able to see it."""
    if len(bands) > 1:
        pairs = zip(entry.bands, chosen, strict=True)
        texts = [f"{band.name} = band {number}" for band, number in pairs if number is not None]
        log("info", f"The bands of {entry.modality} are read as {', '.join(texts)} of {bands.name}.")


def _check_settings(spec: InputRaster, entry: ContinuousInput | OneHotInput) -> None:
    is_mask = isinstance(entry, OneHotInput)
    if is_mask and len(spec.paths) > 1:
        raise InputError(
            f"{len(spec.paths)} files were given for {entry.modality}; a class mask is one file."
        )
    if spec.legend is not None and not is_mask and entry.units != "class":
        raise InputError(f"A legend was given for {entry.modality}, which is no class mask; leave it out.")
    known = _UNITS.get("" if is_mask else entry.units, ())
    if spec.units != "auto" and spec.units not in known:
        advice = f"give {', '.join(known)} or leave them out" if known else "leave them out"
        kind = "no radar input" if spec.units in _UNITS["dB"] else "not in such units"
        raise InputError(
            f"The units {spec.units} were given for {entry.modality}, which is {kind}; {advice}."
        )


def check_statistics_asked(spec: InputRaster, modality: str, by_scene: bool) -> None:
    """Refuses statistics for an input that is not normalised by them."""
    if spec.statistics is not None and not by_scene:
        raise InputError(
            f"Statistics were given for {modality}, which this model does not normalise by the scene; leave "
            "them out."
        )


def layer_of_sources(job: Job, sources: Sequence[Source], log: Log) -> Grid:
    """The output grid, from the first given raster in the model's order."""
    reference = sources[0]
    bare = [source for source in sources if source.grid.crs is None]
    if bare and len(bare) < len(sources):
        located = next(source for source in sources if source.grid.crs is not None)
        raise InputError(
            f"The {bare[0].modality} raster {bare[0].dataset.name} has no CRS and the "
            f"{located.modality} raster has one "
            f"({describe_crs(located.grid.crs)}), so they cannot be aligned; assign the right CRS to "
            "the first."
        )
    if bare and not all(source.grid.same_as(reference.grid) for source in sources):
        raise InputError(
            "The input rasters have no CRS and differ in size or position, so they cannot be aligned; "
            "assign a CRS to each."
        )
    layer = target_grid(reference.dataset, job.crs, job.resolution)
    if bare:
        log(
            "warning",
            f"{reference.dataset.name} has no CRS: the result lies on its pixel grid and has none either.",
        )
    return layer


def box_of_job(job: Job, layer: Grid) -> Box:
    """The pixels of the layer that a job's extent asks for; all without one."""
    if job.extent is None:
        return layer.box
    extent = job.extent
    if not (extent[0] < extent[2] and extent[1] < extent[3]):
        raise InputError(
            f"The extent {extent} is empty; give xmin, ymin, xmax, ymax with xmin < xmax and ymin < ymax."
        )
    if job.extent_crs is not None:
        if layer.crs is None:
            raise InputError(
                "The extent has a CRS and the input raster has none; give the extent in the raster's "
                "own coordinates."
            )
        extent = project_bounds(extent, parse_crs(job.extent_crs), layer.crs)
    box = layer.box_of(extent)
    if box is None:
        raise InputError(
            f"The extent {job.extent} does not meet the input raster, which covers "
            f"{_rounded(layer.bounds())} "
            f"({describe_crs(layer.crs)})."
        )
    return box


def check_overlap(source: Source, layer: Grid, box: Box) -> None:
    """Refuses a raster that has nothing to do with the area to translate."""
    if not source.overlaps(layer, box):
        raise InputError(
            f"The {source.modality} raster {source.dataset.name} does not overlap the area to "
            "translate: it covers "
            f"{_rounded(source.grid.bounds())} ({describe_crs(source.grid.crs)}), and the area is "
            f"{_rounded(layer.bounds(box))} ({describe_crs(layer.crs)})."
        )


def _align(source: Source, inputs: Inputs, item: ModelItem, log: Log) -> None:
    check_overlap(source, inputs.layer, inputs.box)
    classes = isinstance(item.input(source.modality), OneHotInput)
    if source.align(inputs.layer, classes):
        log(
            "info",
            f"The {source.modality} raster {source.dataset.name} ({source.grid.describe()}) is resampled "
            f"to the output grid ({inputs.layer.describe()}).",
        )


def _condition(
    entry: ContinuousInput | OneHotInput,
    sources: Sequence[Source],
    inputs: Inputs,
    item: ModelItem,
    log: Log,
    check: Check,
) -> Condition:
    if not sources:
        return Absent(entry.channels)
    if isinstance(entry, OneHotInput):
        (source,) = sources
        mask = OneHot(entry, source, legends.load(source.spec.legend, item))
        check_not_empty(source, source.sample().valid, check)
        mask.check_classes(inputs.box, check)
        return mask
    parts = [_continuous(entry, source, inputs, item, log, check) for source in sources]
    if measured := inputs.statistics.get(entry.modality):
        log(
            "info",
            f"The statistics {statistics_text(entry.modality, measured)} normalise the input; neighbouring "
            "scenes that must join need the same.",
        )
    return parts[0] if len(parts) == 1 else Stacked(tuple(parts))


def _continuous(
    entry: ContinuousInput, source: Source, inputs: Inputs, item: ModelItem, log: Log, check: Check
) -> Continuous:
    spec, dataset = source.spec, source.dataset
    if (spec.scale, spec.offset) == (1.0, 0.0):
        factors = tuple((dataset.scales[b - 1], dataset.offsets[b - 1]) for b in source.bands)
    else:
        factors = tuple((spec.scale, spec.offset) for _ in source.bands)
    condition = Continuous(entry, source, source.places, factors)
    sample = source.sample()
    check_not_empty(source, sample.valid, check)
    if entry.units == "dB":
        units = tell_scene_units(condition, sample, log)
        first = inputs.units.setdefault(entry.modality, units)
        if units != first:
            raise InputError(
                f"The {entry.modality} files seem to be in different units ({first} and {units}); say which "
                "units they have."
            )
        condition = Continuous(entry, source, source.places, factors, units)
    by_scene = isinstance(entry.normalisation, Scene | SceneMean)
    if not by_scene and entry.modality not in item.sample_statistics:
        return condition
    values, valid = condition.physical(sample)
    names = [entry.bands[place].name for place in source.places]
    measured = {n: mean_and_std(x, ok) for n, x, ok in zip(names, values, valid, strict=True)}
    if condition.units != "relative":
        _warn_if_far(entry.modality, measured, item, log)
    if not by_scene:
        return condition
    used = {name: _override(spec, entry.modality, name, measured) for name in names}
    inputs.statistics.setdefault(entry.modality, {}).update(used)
    return Continuous(
        entry, source, source.places, factors, condition.units, tuple(used[name] for name in names)
    )


def tell_scene_units(condition: Continuous, sample: Pixels, log: Log) -> Units:
    """What radar values mean, as the user says or by their look, which is logged."""
    source = condition.source
    if source.spec.units != "auto":
        return source.spec.units
    values, valid = condition.physical(sample)
    dataset = source.dataset
    texts = [t for b in source.bands for t in (dataset.descriptions[b - 1], dataset.units[b - 1]) if t]
    reading = tell_units(values[valid], texts)
    meaning = f"{_MEANING[reading.units]} ({reading.reason})"
    name = f"The {source.modality} raster {dataset.name} is taken for {meaning}"
    if reading.certain:
        log("info", f"{name}.")
    else:
        log("warning", f"{name}; this is not certain, so say which units it has if that is wrong.")
    if reading.units == "relative" and isinstance(condition.entry.normalisation, Constant | Linear):
        log("warning", "The model expects calibrated decibel, so a display stretch will give wrong tones.")
    return reading.units


def check_not_empty(source: Source, valid: NDArray[np.bool_], check: Check) -> None:
    """Refuses a raster without a valid pixel; ``valid`` is that of its sample."""
    if not valid.any() and not source.has_valid_pixels(check):
        raise InputError(
            f"The {source.modality} raster {source.dataset.name} has no valid pixels: all are nodata; "
            "check the file and its "
            "nodata value."
        )


def _override(spec: InputRaster, modality: str, name: str, measured: dict[str, Statistics]) -> Statistics:
    if spec.statistics is None:
        return measured[name]
    if name not in spec.statistics:
        raise InputError(
            f"The statistics given for {modality} lack the band {name}; give (mean, standard deviation) for "
            f"{', '.join(measured)}."
        )
    found = spec.statistics[name]
    if len(found) != 2 or not np.isfinite(found).all() or found[1] <= 0:
        raise InputError(
            f"The statistics given for {modality} {name} must be a number and a deviation above 0, not "
            f"{', '.join(map(str, found))}."
        )
    return found


def _warn_if_far(modality: str, measured: dict[str, Statistics], item: ModelItem, log: Log) -> None:
    """Compares with the item's ``sample_statistics``: modality -> band -> {"mean", "std"} of scene means."""
    known = item.sample_statistics.get(modality, {})
    for name, (mean, _) in measured.items():
        usual = known.get(name, {})
        if {"mean", "std"} <= set(usual) and abs(mean - usual["mean"]) > _FAR_DEVIATIONS * usual["std"]:
            log(
                "warning",
                f"The mean of {modality} {name} is {mean:.4g}, and the model was trained on about "
                f"{usual['mean']:.4g} "
                f"(+- {usual['std']:.3g}): check units and scaling, the result may be poor.",
            )


def _rounded(bounds: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.10g}" for value in bounds) + ")"
