"""From the network's physical values to what is stored: the first sample, mean and spread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.models.item import ModelItem
from engine.models.schema import Output, OutputBand
from engine.raster.encode import TAG_DOMAIN, Layout
from engine.result_files import ResultFile

_DEFAULT_NODATA = {"uint8": 0.0, "uint16": 0.0, "int16": -32768.0, "float32": float("nan")}


def file_layout(file: ResultFile, item: ModelItem, tags: Mapping[str, Mapping[str, str]]) -> Layout:
    """What a file of a job holds."""
    output = modality_output(item, file.modality)
    if file.kind == "sample":
        return replace(sample_layout(output, tags), palette=_palette(item, file.modality, output))
    return (
        agreement_layout(output, tags) if is_class_map(item, file.modality) else spread_layout(output, tags)
    )


def modality_output(item: ModelItem, modality: str) -> Output:
    """How a modality is stored; several groups' bands in the order of ``ModelItem.bands_of``."""
    if item.output is not None:
        return item.output
    from engine.modalities.encoders import encoder
    from engine.modalities.vectors import vector_output

    groups = item.groups_of(modality)
    if groups[0].is_vector:
        return vector_output(groups[0])
    outputs = {group.name: encoder(group).output for group in groups}
    output = outputs[groups[0].name]
    if len(groups) == 1:
        return output
    bands = [outputs[group.name].bands[number] for group, number in item.bands_of(modality)]
    return output.model_copy(update={"bands": tuple(_coloured(band) for band in bands)})


def _coloured(band: OutputBand) -> OutputBand:
    """With the colour that its name says, so that any viewer shows true colour."""
    known = band.common_name in ("red", "green", "blue")
    return band.model_copy(update={"color": band.common_name}) if known else band


def is_class_map(item: ModelItem, modality: str) -> bool:
    """Whether a modality's values are class codes."""
    return item.is_joint and item.groups_of(modality)[0].encoding.kind == "classes"


def sample_layout(output: Output, tags: Mapping[str, Mapping[str, str]]) -> Layout:
    """The file of the first sample, as the model describes it; its tags name the display range."""
    display = {} if output.display is None else {"DISPLAY": json.dumps(output.display)}
    return Layout(
        dtype=output.dtype,
        nodata=_DEFAULT_NODATA[output.dtype] if output.nodata is None else output.nodata,
        names=tuple(band.name for band in output.bands),
        colors=tuple(band.color for band in output.bands),
        units=output.units,
        scale=output.scale,
        offset=output.offset,
        tags={**tags, TAG_DOMAIN: {**tags.get(TAG_DOMAIN, {}), **display}},
    )


def spread_layout(output: Output, tags: Mapping[str, Mapping[str, str]]) -> Layout:
    """The file of mean and standard deviation, in physical units."""
    names = tuple(f"{band.name} {what}" for band in output.bands for what in ("mean", "standard deviation"))
    return Layout("float32", float("nan"), names, (None,) * len(names), output.units, tags=tags)


def _palette(item: ModelItem, modality: str, output: Output) -> dict[int, tuple[int, int, int]] | None:
    if output.dtype != "uint8" or not is_class_map(item, modality):
        return None
    return {entry.value: entry.color for entry in item.groups_of(modality)[0].encoding.classes}


def agreement_layout(output: Output, tags: Mapping[str, Mapping[str, str]]) -> Layout:
    """The file of the most frequent class and of the share of samples that have it."""
    names = (f"most frequent {output.bands[0].name}", "share of samples")
    return Layout("float32", float("nan"), names, (None, None), "", tags=tags)


def stored(values: NDArray[np.float32], output: Output, nodata: float) -> NDArray[Any]:
    """Physical values to stored ones.

    Args:
        values: (C, H, W) float32, NaN where there is no result.
        output: Scale, offset and type.
        nodata: What NaN becomes; no other pixel gets this value.

    Returns:
        (C, H, W) of ``output.dtype``.
    """
    invalid = np.isnan(values)
    scaled = values - np.float32(output.offset)
    scaled /= np.float32(output.scale)
    # The nearest value that means a measurement.
    if output.dtype == "float32":
        result, nearest = scaled, np.nextafter(np.float32(nodata), np.float32(np.inf))
    else:
        limits = np.iinfo(output.dtype)
        np.rint(scaled, out=scaled)
        np.copyto(scaled, 0, where=invalid)
        np.clip(scaled, limits.min, limits.max, out=scaled)
        result, nearest = scaled.astype(output.dtype), nodata + 1 if nodata < limits.max else nodata - 1
    np.putmask(result, result == result.dtype.type(nodata), nearest)
    np.putmask(result, invalid, nodata)
    return result


class Spread:
    """Mean and standard deviation over samples, one at a time (Welford 1962)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: NDArray[np.float64] | None = None
        self._squares: NDArray[np.float64] | None = None

    def feed(self, values: NDArray[np.float32]) -> None:
        """Takes a sample (C, H, W)."""
        x = values.astype(np.float64)
        if self._mean is None:
            self._mean, self._squares = np.zeros_like(x), np.zeros_like(x)
        self._count += 1
        delta = x - self._mean
        self._mean += delta / self._count
        self._squares += delta * (x - self._mean)

    @property
    def data(self) -> NDArray[np.float32]:
        """(2 C, H, W) float32: mean and standard deviation (n - 1) of each band in turn, NaN for nodata."""
        deviation = np.sqrt(self._squares / max(self._count - 1, 1))
        pairs = np.stack([self._mean, deviation], axis=1)
        return pairs.reshape(-1, *self._mean.shape[1:]).astype(np.float32)
