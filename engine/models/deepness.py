"""Metadata of files made for the QGIS plugin Deepness (keys and units: its guide for model authors)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import ModelError
from engine.models.item import clipped

_IMAGE_TYPES = {"Regressor", "Superresolution", "Segmentor"}
_LIMIT = 1e30
_KEYS = {
    "model_type",
    "resolution",
    "tile_size",
    "tiles_size",
    "tiles_overlap",
    "standardization_mean",
    "reg_output_scaling",
}


@dataclass(frozen=True)
class Deepness:
    """What a file says of itself.

    Attributes:
        present: Whether it carries any of these keys.
        model_type: ``Regressor``, ``Superresolution``, ``Segmentor`` or None.
        gsd_m: Ground sample distance (the file gives centimetres).
        tile_px: Tile size that the author chose.
        overlap: Share of the tile that neighbours have in common.
        mean, std: Standardisation of values that were divided by 255.
        output_scaling: Factor on a regressor's output.
        class_names: Names of the output channels.
    """

    present: bool = False
    model_type: str | None = None
    gsd_m: float | None = None
    tile_px: int | None = None
    overlap: float = 0.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    output_scaling: float = 1.0
    class_names: tuple[str, ...] | None = None

    @property
    def output_range(self) -> tuple[float, float] | None:
        """0 to 1 for a super-resolution network, unknown for the others."""
        return (0.0, 1.0) if self.model_type == "Superresolution" else None

    @property
    def output_dtype(self) -> Literal["uint8"] | None:
        """Display values for a super-resolution network."""
        return "uint8" if self.model_type == "Superresolution" else None

    def normalisation(self, channels: int, dtype: str) -> dict[str, Any]:
        """Bytes divided by 255, then standardised; the values as they are for a file without metadata."""
        if not self.present or dtype.startswith("uint"):
            return {"kind": "linear", "scale": 1.0, "offset": 0.0}
        if self.mean is None and self.std is None:
            return {"kind": "linear", "scale": 1 / 255, "offset": 0.0}
        mean, std = self.mean or (0.0,), self.std or (1.0,)
        return {
            "kind": "constant",
            "mean": [255 * value for value in mean * (channels if len(mean) == 1 else 1)],
            "std": [255 * value for value in std * (channels if len(std) == 1 else 1)],
        }

    def band_names(self, channels: int) -> tuple[str, ...] | None:
        """Names of the output bands, where the file has one for each."""
        return self.class_names if self.class_names and len(self.class_names) == channels else None


def read_deepness(metadata: Mapping[str, str], path: Path) -> Deepness:
    """Reads the ``metadata_props`` of an ONNX file; values are JSON.

    Raises:
        ModelError: A value is malformed, or the file is a detector or the like.
    """
    if not _KEYS & set(metadata):
        return Deepness()
    values = {key: _json(metadata[key]) for key in metadata}
    model_type = str(values.get("model_type") or "").capitalize() or None
    if model_type not in {None, *_IMAGE_TYPES}:
        raise ModelError(
            f"The metadata of {path} say that it is a {clipped(model_type)}; only networks that give an "
            "image can be imported "
            f"({', '.join(sorted(_IMAGE_TYPES))})."
        )
    resolution = _number(values, "resolution", path, low=0.001, high=1e8)
    tile = _number(values, "tiles_size" if "tiles_size" in values else "tile_size", path, low=8, high=8192)
    overlap = _number(values, "tiles_overlap", path, low=0, high=99)
    return Deepness(
        present=True,
        model_type=model_type,
        gsd_m=None if resolution is None else resolution / 100,
        tile_px=None if tile is None else int(tile),
        overlap=(overlap or 0.0) / 100,
        mean=_numbers(values, "standardization_mean", path),
        std=_numbers(values, "standardization_std", path, positive=True),
        output_scaling=_number(values, "reg_output_scaling", path, low=1e-12, high=1e12) or 1.0,
        class_names=_class_names(values, path),
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _number(values: Mapping[str, Any], key: str, path: Path, low: float, high: float) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise ModelError(
            f"The metadata of {path} give {key} as {clipped(repr(value))}; it must be a number "
            f"from {low:g} to {high:g}."
        )
    return number


def _numbers(
    values: Mapping[str, Any], key: str, path: Path, positive: bool = False
) -> tuple[float, ...] | None:
    value = values.get(key)
    if value is None:
        return None
    numbers = value if isinstance(value, list) else [value]
    usable = all(_is_usable(n, positive) for n in numbers)
    if not numbers or not usable:
        kind = "positive numbers" if positive else "numbers"
        raise ModelError(
            f"The metadata of {path} give {key} as {clipped(repr(value))}; it must be a list of "
            f"{kind}, one a band."
        )
    return tuple(float(n) for n in numbers)


def _is_usable(number: Any, positive: bool) -> bool:
    return isinstance(number, int | float) and abs(number) < _LIMIT and (number > 0 or not positive)


def _class_names(values: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
    names = values.get("class_names", values.get("names"))
    if not isinstance(names, dict):
        return None
    try:
        return tuple(str(names[key]) for key in sorted(names, key=int))
    except ValueError:
        raise ModelError(
            f"The metadata of {path} give class_names as {clipped(repr(names))}; its keys must be "
            "whole numbers."
        ) from None
