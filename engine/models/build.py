"""Writes the item.json of a model package: checksums, STAC and MLM fields from the ``eo_translate:`` ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from engine.models.document import FeedForwardProperties, JointProperties
from engine.models.item import ITEM_NAME, ModelItem, parse
from engine.models.joint_schema import Group
from engine.models.schema import VERSION, Constant, Input, Linear
from engine.models.weights import sha256_file

_MEDIA_TYPES = {
    ".onnx": "application/octet-stream; application=onnx",
    ".safetensors": "application/octet-stream; application=safetensors",
}
_WORLD = (-180.0, -90.0, 180.0, 90.0)
_FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
_EO_EXTENSION = "https://stac-extensions.github.io/eo/v2.0.0/schema.json"


def write_item(
    folder: Path,
    name: str,
    weights: str,
    properties: Mapping[str, Any],
    task: str = "generative",
    extra_files: Iterable[str] | Mapping[str, str] = (),
    created: datetime | None = None,
    bbox: tuple[float, float, float, float] = _WORLD,
) -> ModelItem:
    """Writes ``folder/item.json`` for files that lie in the folder already, and reads it back.

    Args:
        folder: The package's folder.
        name: The package's name: small letters, digits, ``.``, ``_``, ``-``.
        weights: File name of the weights inside the folder, ``.onnx`` or ``.safetensors``.
        properties: ``title``, ``description``, ``license``, ``mlm:architecture``, ``mlm:total_parameters``
            and the ``eo_translate:*`` fields; what MLM can say is derived from them.
        task: An MLM task: ``generative``, ``regression``, ``super-resolution`` ...
        extra_files: More files of the package: external weights, or asset key -> file (autoencoders).
        created: Time stamp of the item, now by default.
        bbox: West, south, east, north (degrees) where the model may be used.

    Raises:
        ModelError: A field is missing or wrong.
    """
    created = created or datetime.now(timezone.utc)
    stamp = created.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    document: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [_FILE_EXTENSION, _EO_EXTENSION],
        "id": name,
        "geometry": _polygon(*bbox),
        "bbox": list(bbox),
        "properties": {
            "datetime": stamp,
            "eo_translate:version": VERSION,
            **properties,
        },
        "assets": _assets(folder, weights, extra_files),
        "links": [],
    }
    parsed = parse(_dump(document), str(folder / ITEM_NAME))
    document["assets"]["model"]["bands"] = _bands(parsed.properties)
    _add_mlm(document, parsed.properties, name, task, folder / weights)
    part = folder / f"{ITEM_NAME}.part"
    part.write_bytes(_dump(document))
    part.replace(folder / ITEM_NAME)
    mode = (folder / ITEM_NAME).stat().st_mode
    for asset in document["assets"].values():
        (folder / asset["href"]).chmod(mode)  # safetensors makes its files for their owner alone
    return ModelItem.load(folder)


def mlm_properties(
    properties: FeedForwardProperties | JointProperties, name: str, task: str, weights: Path
) -> dict[str, Any]:
    """The ``mlm:*`` fields that follow from the ``eo_translate:*`` ones, checked by stac-model."""
    from stac_model.schema import MLModelProperties

    model = MLModelProperties(
        name=name,
        architecture=properties.architecture,
        tasks={task},
        framework="ONNX" if weights.suffix == ".onnx" else "PyTorch",
        memory_size=weights.stat().st_size,
        total_parameters=properties.total_parameters,
        accelerator=None,
        accelerator_constrained=False,
        input=_mlm_inputs(properties),
        output=_mlm_outputs(properties, task),
    )
    return json.loads(model.model_dump_json(by_alias=True))


def _add_mlm(
    document: dict[str, Any],
    properties: FeedForwardProperties | JointProperties,
    name: str,
    task: str,
    weights: Path,
) -> None:
    from stac_model.schema import SCHEMA_URI

    document["stac_extensions"].append(SCHEMA_URI)
    document["properties"].update(mlm_properties(properties, name, task, weights))
    artifact = "onnx" if weights.suffix == ".onnx" else "safetensors"
    document["assets"]["model"]["mlm:artifact_type"] = artifact


def _assets(folder: Path, weights: str, extra_files: Iterable[str] | Mapping[str, str]) -> dict[str, Any]:
    assets = {"model": {"title": "Weights", **_asset(folder, weights, ["mlm:model", "mlm:weights"])}}
    if isinstance(extra_files, Mapping):
        named = {key: (f"Weights of {key}", name) for key, name in extra_files.items()}
    else:
        named = {f"data-{i}": ("External weights", name) for i, name in enumerate(extra_files)}
    for key, (title, name) in named.items():
        assets[key] = {"title": title, **_asset(folder, name, ["mlm:weights"])}
    return assets


def _asset(folder: Path, name: str, roles: list[str]) -> dict[str, Any]:
    path = folder / name
    return {
        "href": name,
        "type": _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream"),
        "roles": roles,
        "file:size": path.stat().st_size,
        # A multihash: 0x12 = SHA-256, 0x20 = 32 bytes.
        "file:checksum": "1220" + sha256_file(path),
    }


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _polygon(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _bands(properties: FeedForwardProperties | JointProperties) -> list[dict[str, Any]]:
    """STAC bands of all continuous inputs, each name once; ``mlm:input`` refers to them by name."""
    bands: dict[str, dict[str, Any]] = {}
    if isinstance(properties, JointProperties):
        described = [(group.modality, group.bands) for group in properties.groups]
    else:
        described = [(f"{e.modality}, {e.units}", e.bands) for e in properties.inputs if hasattr(e, "bands")]
    for description, entries in described:
        for band in entries:
            found = bands.setdefault(band.name, {"name": band.name, "description": description})
            if band.common_name:
                found["eo:common_name"] = band.common_name
            if band.wavelength_um:
                found["eo:center_wavelength"] = band.wavelength_um
    return list(bands.values())


def _size(properties: FeedForwardProperties) -> int:
    return properties.tiling.window_px if properties.tiling.fixed_window else -1


def _mlm_inputs(properties: FeedForwardProperties | JointProperties) -> list[dict[str, Any]]:
    if isinstance(properties, JointProperties):
        return [{**_mlm_latent(group), "input": _latent_shape(group)} for group in properties.groups]
    return [_mlm_input(entry, properties) for entry in properties.inputs]


def _mlm_input(entry: Input, properties: FeedForwardProperties) -> dict[str, Any]:
    size = _size(properties)
    described: dict[str, Any] = {
        "name": entry.modality,
        "bands": [band.name for band in getattr(entry, "bands", ())],
        "input": {**_shape(entry.layout, entry.channels, size), "data_type": "float32"},
        "pre_processing_function": None,
    }
    if scaling := _value_scaling(entry):
        described["value_scaling"] = scaling
    return described


def _mlm_outputs(properties: FeedForwardProperties | JointProperties, task: str) -> list[dict[str, Any]]:
    if isinstance(properties, JointProperties):
        return [
            {
                **_mlm_latent(group),
                "tasks": {task},
                "result": _latent_shape(group),
                "post_processing_function": None,
            }
            for group in properties.groups
        ]
    output = properties.output
    size = _size(properties)
    size = size * output.scale_factor if size > 0 else -1
    return [
        {
            "name": output.modality,
            "tasks": {task},
            "bands": [band.name for band in output.bands],
            "result": {**_shape(output.layout, len(output.bands), size), "data_type": "float32"},
            "post_processing_function": None,
        }
    ]


def _mlm_latent(group: Group) -> dict[str, Any]:
    return {"name": group.name, "bands": [band.name for band in group.bands]}


def _latent_shape(group: Group) -> dict[str, Any]:
    latent = group.latent
    return {
        "shape": [-1, latent.channels, latent.height, latent.width],
        "dim_order": ["batch", "channel", "height", "width"],
        "data_type": "float32",
    }


def _shape(layout: str, channels: int, size: int) -> dict[str, Any]:
    if layout == "NHWC":
        return {"shape": [-1, size, size, channels], "dim_order": ["batch", "height", "width", "bands"]}
    return {"shape": [-1, channels, size, size], "dim_order": ["batch", "bands", "height", "width"]}


def _value_scaling(entry: Input) -> list[dict[str, Any]]:
    normalisation = getattr(entry, "normalisation", None)
    if normalisation is None:
        return []
    if isinstance(normalisation, Constant):
        pairs = zip(normalisation.mean, normalisation.std, strict=True)
        scaling = [{"type": "z-score", "mean": mean, "stddev": std} for mean, std in pairs]
    elif isinstance(normalisation, Linear):
        scaling = [
            {"type": "scale", "value": normalisation.scale},
            {"type": "offset", "value": normalisation.offset},
        ]
    else:
        # Statistics of the scene itself: MLM has no word for them.
        expression = normalisation.model_dump(mode="json", exclude={"clip"})
        scaling = [{"type": "processing", "format": "eo-translate", "expression": expression}]
    if normalisation.clip:
        scaling.append({"type": "clip", "minimum": normalisation.clip[0], "maximum": normalisation.clip[1]})
    return scaling
