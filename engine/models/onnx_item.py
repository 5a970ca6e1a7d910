"""Item fields of an imported ONNX file: what the user says, else the file's metadata, else a default."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from engine.errors import ModelError
from engine.models.deepness import Deepness
from engine.models.locality import Geometry
from engine.models.onnx_graph import ImageGraph
from engine.models.weights import sha256_file

_MAX_EDGE_PX = 8192
_DEFAULT_WINDOW_PX = 512
_DEFAULT_BANDS = {
    ("sar", 1): ("VV",),
    ("sar", 2): ("VV", "VH"),
    ("dem", 1): ("elevation",),
    ("optical", 3): ("B04", "B03", "B02"),
    ("optical", 4): ("B04", "B03", "B02", "B08"),
}
_COLORS = ("red", "green", "blue")
_FLOAT_LIMIT = 1e38
_FLOAT_NODATA = -9999.0


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=False))
class OnnxOptions:
    """What the user says about a file; None takes the file's metadata, then a default.

    Attributes:
        modality: Of the input.
        bands: Input band names in the network's order.
        classes: Class names of a one-hot input; the input is then a mask.
        units: Units of the input values before normalisation; ``dB`` asks for SAR in decibels.
        normalisation: ``linear``, ``constant``, ``scene``.
        scale, offset: For ``linear``: x * scale + offset.
        mean, std: For ``constant``: (x - mean) / std, one number a band.
        clip: Interval after normalisation.
        layout: Axis order, where it cannot be told from the shape.
        output_modality, output_bands: Of the result.
        output_range: Interval of the network's output; needed for an integer ``output_dtype``.
        output_dtype: Of the stored result.
        output_units: Of the result.
        gsd_m: Ground sample distance that the network was made for.
        window_px: Side of the windows, where the network takes several.
    """

    modality: str | None = None
    bands: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    units: str | None = None
    normalisation: Literal["linear", "constant", "scene"] | None = None
    scale: float | None = None
    offset: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    clip: tuple[float, float] | None = None
    layout: Literal["NCHW", "NHWC"] | None = None
    output_modality: str = "optical"
    output_bands: tuple[str, ...] | None = None
    output_range: tuple[float, float] | None = None
    output_dtype: Literal["uint8", "uint16", "int16", "float32"] | None = None
    output_units: str | None = None
    gsd_m: float | None = None
    window_px: int | None = None
    title: str | None = None
    description: str = ""
    license: str = "other"
    citation: str = ""


def item_properties(
    path: Path, name: str, graph: ImageGraph, geometry: Geometry, metadata: Deepness, options: OnnxOptions
) -> dict[str, Any]:
    """Fields for ``write_item``.

    Raises:
        ModelError: Two of the things said contradict each other, or one that is needed was not said.
    """
    gsd = options.gsd_m or metadata.gsd_m
    return {
        "title": options.title or name,
        "description": options.description or f"Imported from {path.name}. {_locality_text(geometry)}",
        "license": options.license,
        "mlm:architecture": graph.session.get_modelmeta().graph_name or "ONNX graph",
        "eo_translate:family": "feed-forward",
        "eo_translate:network": None,
        "eo_translate:inputs": [_input(graph, metadata, options)],
        "eo_translate:noise": None,
        "eo_translate:output": _output(graph, geometry, metadata, options),
        "eo_translate:tiling": _tiling(geometry, metadata, options),
        "eo_translate:gsd_m": gsd,
        "eo_translate:gsd_range_m": [gsd / 2, gsd * 2] if gsd else None,
        "eo_translate:citation": options.citation,
        "eo_translate:training": {"imported_from": {"file": path.name, "sha256": sha256_file(path)}},
    }


def _input(graph: ImageGraph, metadata: Deepness, options: OnnxOptions) -> dict[str, Any]:
    common = {"tensor": graph.input.name, "required": True, "layout": graph.layout}
    if options.classes:
        classes = [{"name": label, "color": _color(i)} for i, label in enumerate(options.classes)]
        return {**common, "modality": options.modality or "mask", "encoding": "one-hot", "classes": classes}
    modality = options.modality or "optical"
    default = _DEFAULT_BANDS.get(
        (modality, graph.channels), tuple(f"band{i + 1}" for i in range(graph.channels))
    )
    return {
        **common,
        "modality": modality,
        "encoding": "continuous",
        "bands": [{"name": band, "required": True} for band in options.bands or default],
        "units": options.units or ("display value" if metadata.present else "as stored"),
        "normalisation": _normalisation(graph, metadata, options),
    }


def _normalisation(graph: ImageGraph, metadata: Deepness, options: OnnxOptions) -> dict[str, Any]:
    kind = options.normalisation
    if kind is None:
        by_user = options.scale is not None or options.offset is not None
        kind = "constant" if options.mean or options.std else "linear" if by_user else None
    if kind is None:
        found = metadata.normalisation(graph.channels, graph.input.dtype)
    elif kind == "constant":
        if not options.mean or not options.std:
            raise ModelError("The normalisation constant needs --mean and --std, one number a band.")
        found = {
            "kind": "constant",
            "mean": _per_band(options.mean, graph),
            "std": _per_band(options.std, graph),
        }
    elif kind == "linear":
        scale, offset = options.scale, options.offset
        found = {"kind": "linear", "scale": 1.0 if scale is None else scale, "offset": offset or 0.0}
    else:
        found = {"kind": "scene"}
    return {**found, "clip": list(options.clip)} if options.clip else found


def _per_band(numbers: tuple[float, ...], graph: ImageGraph) -> list[float]:
    return list(numbers) * (graph.channels if len(numbers) == 1 else 1)


def _output(
    graph: ImageGraph, geometry: Geometry, metadata: Deepness, options: OnnxOptions
) -> dict[str, Any]:
    channels = _output_channels(graph, geometry)
    names = options.output_bands or metadata.band_names(channels)
    if names is None:
        names = _DEFAULT_BANDS.get(
            (options.output_modality, channels), tuple(f"band{i + 1}" for i in range(channels))
        )
    if len(names) != channels:
        raise ModelError(
            f"The network gives {channels} bands and {len(names)} were named; name {channels} with "
            "--output-bands."
        )
    colors = _COLORS if channels in (3, 4) else ("gray",) if channels == 1 else ()
    bands = [
        {"name": band, **({"color": colors[i]} if i < len(colors) else {})} for i, band in enumerate(names)
    ]
    stored = _stored(graph, metadata, options)
    return {
        "modality": options.output_modality,
        "tensor": graph.output.name,
        "bands": bands,
        **stored,
        "units": options.output_units or "as stored",
        "scale_factor": geometry.scale_factor,
        "layout": graph.layout,
    }


def _output_channels(graph: ImageGraph, geometry: Geometry) -> int:
    declared = graph.output.shape[1 if graph.layout == "NCHW" else 3]
    if declared is not None:
        return declared
    size = geometry.fixed_px or 4 * max(geometry.stride_multiple, 64)
    return graph.run(np.zeros((1, graph.channels, size, size), np.float32)).shape[1]


def _stored(graph: ImageGraph, metadata: Deepness, options: OnnxOptions) -> dict[str, Any]:
    """Range, type, scale, offset, nodata and display of the result."""
    interval = options.output_range or metadata.output_range
    dtype = options.output_dtype or metadata.output_dtype
    own = graph.output.dtype
    if own in {"uint8", "uint16"}:
        interval, dtype = interval or (0.0, float(np.iinfo(own).max)), dtype or own
        if dtype == own:
            return _storage(interval, dtype, 0)
    if dtype in (None, "float32"):
        everything = (-_FLOAT_LIMIT, _FLOAT_LIMIT)
        return _storage(interval or everything, "float32", _FLOAT_NODATA, 1.0 / metadata.output_scaling)
    if interval is None:
        raise ModelError(
            f"Storing the result as {dtype} needs the interval of the network's output; give it with "
            "--output-range LOW,HIGH."
        )
    limits = np.iinfo(dtype)
    # One value is kept for nodata.
    scale = (interval[1] - interval[0]) / (int(limits.max) - int(limits.min) - 1)
    offset = interval[0] - scale * (int(limits.min) + 1)
    display = [float(limits.min) + 1, float(limits.max)]
    return _storage(interval, dtype, int(limits.min), scale, offset, display)


def _storage(
    interval: tuple[float, ...],
    dtype: str,
    nodata: float,
    scale: float = 1.0,
    offset: float = 0.0,
    display: list[float] | None = None,
) -> dict[str, Any]:
    return {
        "range": list(interval),
        "dtype": dtype,
        "scale": scale,
        "offset": offset,
        "nodata": nodata,
        "display": display,
    }


def _tiling(geometry: Geometry, metadata: Deepness, options: OnnxOptions) -> dict[str, Any]:
    multiple, halo, fixed = geometry.stride_multiple, geometry.halo_px, geometry.fixed_px
    if fixed is None:
        wanted = options.window_px or metadata.tile_px or _DEFAULT_WINDOW_PX
        window = -(-max(wanted, 4 * halo + multiple if halo else multiple) // multiple) * multiple
    else:
        window = fixed
    if window > _MAX_EDGE_PX:
        raise ModelError(f"The network needs windows of {window} pixels; at most {_MAX_EDGE_PX} can be used.")
    common = {"stride_multiple": multiple, "window_px": window, "fixed_window": fixed is not None}
    # A fixed window that is nearly all halo would be exact and many times slower than blending.
    if halo is not None and window - 2 * halo >= window // 4:
        return {"mode": "crop", "halo_px": halo, "stride_px": None, **common}
    overlap = max(metadata.overlap, 0.25)
    stride = max(int(window * (1 - overlap)) // multiple, 1) * multiple
    return {"mode": "lattice", "halo_px": 0, "stride_px": stride, **common}


def _locality_text(geometry: Geometry) -> str:
    if geometry.halo_px is None:
        return "Measured: the result of a pixel depends on its whole window, so windows are blended."
    return (
        f"Measured: the result of a pixel depends on {geometry.halo_px} pixels around it, so windows join "
        "exactly."
    )


def _color(index: int) -> list[int]:
    """A colour per class number, well apart (golden-angle hues)."""
    return [round(255 * c) for c in colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.6, 0.9)]
