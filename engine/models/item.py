"""A model package on disk, read and checked without pystac (start-up time of the worker)."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import ModelError
from engine.models.document import Asset, Document
from engine.models.joint_schema import Group, Sampler
from engine.models.schema import (
    PICKLE_SUFFIXES,
    VERSION,
    WEIGHT_SUFFIXES,
    Input,
    Noise,
    OneHotInput,
    Output,
    Precision,
    Tiling,
)

ITEM_NAME = "item.json"
MAX_ITEM_BYTES = 4 * 1024 * 1024
_ADVICE = "install the package again or ask its author"


class ModelItem(BaseModel):
    """Frozen view of a model package.

    Attributes:
        id: The package's name.
        network: Torch network that takes ``.safetensors`` weights; None for ``.onnx``.
        inputs: In order of preference for the reference grid; none in the family ``joint-diffusion``.
        output: What a feed-forward model gives; None in the family ``joint-diffusion``.
        groups, sampler: What a joint diffusion model takes and gives, and how it is run.
        precisions: What the network may be run in, float32 first.
        folder: The package's folder, resolved.
        weights_path, sha256: Weights and their declared SHA-256 (``engine.models.weights`` compares).
        files: Every file the item names, by path, the weights included.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    id: str
    title: str
    description: str
    license: str
    architecture: str
    total_parameters: int | None
    family: str
    network: str | None
    inputs: tuple[Input, ...] = ()
    noise: Noise | None = None
    output: Output | None = None
    groups: tuple[Group, ...] = ()
    sampler: Sampler | None = None
    tiling: Tiling
    precisions: tuple[Precision, ...]
    gsd_m: float | None
    gsd_range_m: tuple[float, float] | None
    limits: str
    citation: str
    training: dict[str, Any]
    metrics: dict[str, Any]
    sample_statistics: dict[str, dict[str, dict[str, float]]] = {}
    folder: Path
    weights_path: Path
    sha256: str
    files: dict[Path, Asset]
    assets: dict[str, Asset] = {}

    @classmethod
    def load(cls, folder: str | Path) -> ModelItem:
        """Reads ``folder/item.json``; checks all fields and each file's place and presence, not its content.

        Raises:
            ModelError: The first thing that is wrong: file, field, what was found and what is allowed.
        """
        folder = Path(folder)
        if not os.path.isdir(folder):
            raise ModelError(
                f"There is no model package at {clipped(folder)}: it is not a folder; give the folder that "
                f"holds {ITEM_NAME}."
            )
        path = folder / ITEM_NAME
        if not os.path.isfile(path):
            raise ModelError(f"The folder {folder} is not a model package: it has no {ITEM_NAME}.")
        root = folder.resolve()
        _inside(root, path, ITEM_NAME)
        document = parse(_read_bounded(path), str(path))
        files = {_asset_path(root, key, asset, str(path)): asset for key, asset in document.assets.items()}
        weights = document.assets["model"]
        properties = document.properties
        fields = {name: getattr(properties, name) for name in cls.model_fields if hasattr(properties, name)}
        return cls.model_construct(
            **fields,
            id=document.id,
            folder=root,
            weights_path=root / weights.href,
            sha256=weights.sha256,
            files=files,
            assets=document.assets,
        )

    @property
    def is_joint(self) -> bool:
        """Whether any of its modalities can be given or generated."""
        return bool(self.groups)

    @property
    def takes(self) -> tuple[str, ...]:
        """Modalities that can be given."""
        return self._modalities or tuple(entry.modality for entry in self.inputs)

    @property
    def needs(self) -> tuple[str, ...]:
        """Modalities that must be given."""
        return tuple(entry.modality for entry in self.inputs if entry.required)

    @property
    def gives(self) -> tuple[str, ...]:
        """Modalities that it can make."""
        return self._modalities or (self.output.modality,)

    @property
    def _modalities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(group.modality for group in self.groups))

    def groups_of(self, modality: str) -> tuple[Group, ...]:
        """The groups of a modality, in the network's order.

        Raises:
            ModelError: The model has none.
        """
        if found := tuple(group for group in self.groups if group.modality == modality):
            return found
        raise ModelError(f"The model {self.id} knows no {modality}; it knows {', '.join(self._modalities)}.")

    def bands_of(self, modality: str) -> tuple[tuple[Group, int], ...]:
        """(group, number of the band in it) in the order of the modality's rasters: by wavelength.

        The only group of a modality has its own order.

        Raises:
            ModelError: The model has no such modality.
        """
        groups = self.groups_of(modality)
        bands = [(group, number) for group in groups for number in range(len(group.bands))]
        lengths = [group.bands[number].wavelength_um for group, number in bands]
        if len(groups) > 1 and None not in lengths:
            bands = [band for _, band in sorted(zip(lengths, bands, strict=True), key=lambda pair: pair[0])]
        return tuple(bands)

    def asset(self, key: str) -> Path:
        """The file of an asset."""
        return self.folder / self.assets[key].href

    def input(self, modality: str) -> Input:
        """The input of this modality.

        Raises:
            ModelError: The model has none.
        """
        for entry in self.inputs:
            if entry.modality == modality:
                return entry
        known = ", ".join(entry.modality for entry in self.inputs)
        raise ModelError(f"The model {self.id} takes no input called {modality}; it takes {known}.")

    @property
    def mask(self) -> OneHotInput | None:
        """The class-map input, if the model has one."""
        return next((entry for entry in self.inputs if isinstance(entry, OneHotInput)), None)


def clipped(text: object, limit: int = 200) -> str:
    """Words of others for a message: one line, and not an endless one."""
    start = str(text)[: limit + 1]
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in start)
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


def parse(text: bytes, where: str) -> Document:
    """Checks the content of an item.json.

    Args:
        text: The file's bytes.
        where: Name of the file for error messages.

    Raises:
        ModelError: It is not JSON, or a field is missing, unknown or out of bounds.
    """
    data = _loads(text, where)
    if not isinstance(data, dict):
        raise ModelError(
            f"The file {where} is not a STAC Item: it holds {_short(data)} where an object was "
            f"expected; {_ADVICE}."
        )
    _check_version(data, where)
    try:
        document = Document.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise ModelError(_sentence(error, data, where)) from None
    for key, asset in document.assets.items():
        _check_href(key, asset.href, where)
    _check_weights(document, where)
    return document


def _read_bounded(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_ITEM_BYTES + 1)
    except OSError as error:
        raise ModelError(f"The file {path} cannot be read: {error.strerror}.") from None
    if len(text) > MAX_ITEM_BYTES:
        raise ModelError(
            f"The file {path} is larger than {MAX_ITEM_BYTES // 1024**2} MiB, which no model item is; "
            f"{_ADVICE}."
        )
    return text


def _loads(text: bytes, where: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ModelError(
            f"The file {where} holds the number {clipped(constant)}, which JSON does not have; {_ADVICE}."
        )

    def finite(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else refuse(digits)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ModelError(
                    f"The file {where} has the key '{clipped(key)}' twice in one object; {_ADVICE}."
                )
            found[key] = value
        return found

    try:
        return json.loads(
            text.decode("utf-8"), parse_constant=refuse, parse_float=finite, object_pairs_hook=unique
        )
    except RecursionError:
        raise ModelError(f"The file {where} is nested too deeply to be a model item; {_ADVICE}.") from None
    except UnicodeDecodeError:
        raise ModelError(f"The file {where} is not UTF-8 text; {_ADVICE}.") from None
    except ValueError as error:
        raise ModelError(f"The file {where} is not valid JSON ({error}); {_ADVICE}.") from None


def _check_version(data: dict[str, Any], where: str) -> None:
    properties = data.get("properties")
    version = properties.get("eo_translate:version") if isinstance(properties, dict) else None
    if isinstance(version, int) and version != VERSION:
        raise ModelError(
            f"The file {where} is in version {version} of the package format and this EO Translate "
            "reads version "
            f"{VERSION}; "
            "update EO Translate or get a package that fits."
        )


def _check_href(key: str, href: str, where: str) -> None:
    field = f"assets.{clipped(key)}.href"
    if "://" in href or href.lower().startswith(("file:", "data:", "/vsi")):
        raise ModelError(
            f"In {where}, {field} is {href!r}, a remote address; every file must lie in the package's folder."
        )
    if PurePosixPath(href).is_absolute() or PureWindowsPath(href).drive or PureWindowsPath(href).root:
        raise ModelError(
            f"In {where}, {field} is {href!r}, an absolute path; it must be relative to the package's folder."
        )
    # Written in one way only: two spellings of a file would pass for two files.
    if (
        "\\" in href
        or not href.isprintable()
        or ".." in PurePosixPath(href).parts
        or str(PurePosixPath(href)) != href
    ):
        raise ModelError(
            f"In {where}, {field} is {href!r}; it must be a plain relative path inside the package's folder."
        )
    if PurePosixPath(href).suffix.lower() in PICKLE_SUFFIXES:
        raise ModelError(
            f"In {where}, {field} is {href!r}: files of this kind can run code when opened and are "
            "never loaded; "
            "weights must be .onnx or .safetensors (eo-translate models import converts)."
        )


def _check_weights(document: Document, where: str) -> None:
    href, network = document.assets["model"].href, document.properties.network
    suffix = PurePosixPath(href).suffix.lower()
    if suffix not in WEIGHT_SUFFIXES:
        raise ModelError(f"In {where}, assets.model.href is {href!r}; weights must be .onnx or .safetensors.")
    if (suffix == ".safetensors") != (network is not None):
        needed = "the name of a network" if suffix == ".safetensors" else "null"
        raise ModelError(
            f"In {where}, properties.eo_translate:network is {_short(network)}; for {suffix} weights it "
            f"must be {needed}."
        )
    if network is None and len(document.properties.precisions) > 1:
        raise ModelError(
            f"In {where}, eo_translate:precisions names {document.properties.precisions[1]}; an ONNX "
            "graph runs in the precision it was exported in, so leave the field out for .onnx weights."
        )


def _asset_path(root: Path, key: str, asset: Asset, where: str) -> Path:
    path = root / asset.href
    if not os.path.isfile(path):
        raise ModelError(
            f"The model package {root} is incomplete: {asset.href}, named in {where} "
            f"(assets.{clipped(key)}), is missing; {_ADVICE}."
        )
    _inside(root, path, asset.href)
    return path


def _inside(root: Path, path: Path, name: str) -> None:
    if not path.resolve().is_relative_to(root):
        raise ModelError(
            f"In the model package {root}, {name} is a link to a place outside the folder; put the file "
            "itself there."
        )


def _sentence(error: ValidationError, data: Any, where: str) -> str:
    """One sentence for the first problem: file, field, what was found, what is allowed."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = _field(first["loc"], data)
    if first["type"] == "missing":
        return f"In {where}, the field {field} is missing; {_ADVICE}."
    if first["type"] == "extra_forbidden":
        return f"In {where}, the field {field} is not known; check its spelling."
    allowed = first["msg"].removeprefix("Value error, ")
    allowed = re.sub(r"^(Input|String|Tuple|Dictionary|List) should ", "it must ", allowed)
    allowed = clipped(allowed[0].lower() + allowed[1:], 400)
    if first["type"] == "value_error":
        return f"In {where}, the field {field} is wrong: {allowed}."
    return f"In {where}, the field {field} is {_short(first['input'])}: {allowed}."


def _field(location: tuple[int | str, ...], data: Any) -> str:
    """A dotted path without pydantic's union tags, which are no keys of the file."""
    parts = ""
    for position, step in enumerate(location):
        known = (isinstance(data, dict) and step in data) or (
            isinstance(data, list) and isinstance(step, int) and step < len(data)
        )
        if known:
            data = data[step]
        elif position < len(location) - 1:
            continue
        parts += f"[{step}]" if isinstance(step, int) else f".{step}"
    return clipped(parts.lstrip(".")) or "(the whole file)"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
