"""The full check of a model package, offline: STAC, MLM, hashes, and the weights against the item."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import MissingPackageError, ModelError
from engine.models.item import ITEM_NAME, ModelItem, clipped
from engine.models.onnx_graph import TensorInfo, external_files, open_session, tensors
from engine.models.weights import check_hash


@dataclass(frozen=True)
class Report:
    """A package that passed: what was checked, and what could not be."""

    item: ModelItem
    passed: tuple[str, ...]
    notes: tuple[str, ...]


def verify(folder: str | Path) -> Report:
    """Checks everything about a package that can be checked without running it.

    Raises:
        ModelError: The first thing that is wrong.
    """
    item = ModelItem.load(folder)
    document = json.loads((item.folder / ITEM_NAME).read_bytes())
    passed = ["fields and files of item.json"]
    _check_stac(document, item)
    passed.append("STAC Item 1.1 schema")
    _check_mlm(document, item)
    passed.append("Machine Learning Model extension")
    check_hash(item)
    passed.append(f"size and SHA-256 of {len(item.files)} file(s)")
    notes: list[str] = []
    if item.network is None:
        _check_onnx(item)
        passed.append("ONNX graph opens and its tensors agree with the item")
    else:
        try:
            _check_network(item)
            passed.append(f"every tensor fits the network {item.network}")
        except MissingPackageError as error:
            notes.append(f"the tensors were not compared with the network: {error}")
    return Report(item, tuple(passed), tuple(notes))


def _check_stac(document: dict[str, Any], item: ModelItem) -> None:
    import pystac
    from jsonschema import Draft7Validator
    from pystac.validation.local_validator import get_local_schema_cache
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT7

    where = item.folder / ITEM_NAME
    # The schemas that ship with pystac; a registry without a retriever never asks the network.
    schemas = get_local_schema_cache()
    registry = Registry().with_resources(
        (uri, Resource.from_contents(schema, default_specification=DRAFT7)) for uri, schema in schemas.items()
    )
    core = next(schema for uri, schema in schemas.items() if uri.endswith("/item.json"))
    try:
        error = next(
            iter(sorted(Draft7Validator(core, registry=registry).iter_errors(document), key=_depth)), None
        )
    except Unresolvable as unresolvable:
        raise ModelError(
            f"The file {where} asks for a schema that is not at hand ({clipped(unresolvable)})."
        ) from None
    if error is not None:
        field = ".".join(str(step) for step in error.absolute_path) or "the item"
        raise ModelError(
            f"The file {where} is not a valid STAC Item: {clipped(field)}: {clipped(error.message, 300)}."
        )
    try:
        pystac.Item.from_dict(document)
    except Exception as problem:  # pystac raises whatever its parsers raise
        raise ModelError(f"The file {where} is not a valid STAC Item: {clipped(problem, 300)}.") from None


def _depth(error: Any) -> int:
    return -len(error.absolute_path)


def _check_mlm(document: dict[str, Any], item: ModelItem) -> None:
    from pydantic import ValidationError
    from stac_model.schema import MLModelProperties

    where = item.folder / ITEM_NAME
    declared = document.get("stac_extensions") or []
    if not any(str(uri).startswith("https://stac-extensions.github.io/mlm/") for uri in declared):
        raise ModelError(f"The file {where} does not name the MLM extension in stac_extensions; it must.")
    try:
        mlm = MLModelProperties.model_validate(document["properties"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        raise ModelError(
            f"In {where}, properties.{clipped(field)} is no valid MLM field: {clipped(first['msg'], 300)}."
        ) from None
    described = {entry.name: entry.input.shape for entry in mlm.input}
    for group in item.groups:
        expected = [-1, group.latent.channels, group.latent.height, group.latent.width]
        if list(described.get(group.name) or ()) != expected:
            raise ModelError(
                f"In {where}, properties.mlm:input says {described.get(group.name)} for {group.name} and "
                f"eo_translate:groups says {expected}; both must describe the same latent."
            )
    for entry in item.inputs:
        channel = 3 if entry.layout == "NHWC" else 1
        shape = described.get(entry.modality)
        if shape is None or len(shape) != 4 or shape[channel] != entry.channels:
            raise ModelError(
                f"In {where}, properties.mlm:input says {shape} for {entry.modality} and "
                "eo_translate:inputs says "
                f"{entry.channels} channels; both must describe the same tensor."
            )


def _check_onnx(item: ModelItem) -> None:
    undeclared = [
        name
        for name in external_files(item.weights_path)
        if (item.weights_path.parent / name) not in item.files
    ]
    if undeclared:
        raise ModelError(
            f"The ONNX file of the model {item.id} keeps weights in {undeclared[0]}, which the item "
            "does not list as an "
            "asset; every file of the package must be listed with its checksum."
        )
    inputs, outputs = tensors(open_session(item.weights_path))
    expected = [(entry.tensor, entry.channels, entry.layout) for entry in item.inputs]
    if item.noise:
        expected.append((item.noise.tensor, len(item.noise.cells_px), "NCHW"))
    _compare(item, "input", inputs, expected)
    output = item.output
    _compare(item, "output", outputs, [(output.tensor, len(output.bands), output.layout)])


def _compare(
    item: ModelItem, kind: str, found: list[TensorInfo], expected: list[tuple[str, int, str]]
) -> None:
    by_name = {tensor.name: tensor for tensor in found}
    names = {name for name, _, _ in expected}
    if kind == "input" and (unfed := sorted(set(by_name) - names)):
        raise ModelError(
            f"The ONNX graph of the model {item.id} has the input {unfed[0]}, which the item does not "
            "describe."
        )
    for name, channels, layout in expected:
        tensor = by_name.get(name)
        if tensor is None:
            have = ", ".join(str(entry) for entry in found)
            raise ModelError(
                f"The ONNX graph of the model {item.id} has no {kind} named {name}; it has {have}."
            )
        actual = tensor.shape[3 if layout == "NHWC" else 1] if len(tensor.shape) == 4 else -1
        if actual not in (None, channels):
            raise ModelError(
                f"The ONNX graph of the model {item.id} has the {kind} {tensor}; the item says four "
                f"dimensions ({layout}) "
                f"with {channels} channels."
            )


def _check_network(item: ModelItem) -> None:
    if item.is_joint:
        from engine.translators.joint_networks import load_networks

        load_networks(item)
        return
    from engine.translators.torch_networks import load_network

    load_network(item)
