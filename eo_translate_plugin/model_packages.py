"""Model packages as far as a dialog needs them: names and titles, read without the engine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from .environment import data_folder, resource


class ModelPackage(NamedTuple):
    """An installed model: its name (a folder's name), title, and the modalities that it takes."""

    name: str
    title: str
    modalities: frozenset[str]


def installed(modality: str) -> list[ModelPackage]:
    """Installed models that take a modality, in the engine's search order (docs/contracts.md)."""
    found: dict[str, ModelPackage] = {}
    for parent in _search_folders():
        for item in sorted(parent.glob("*/item.json")):
            package = _read(item)
            if package is not None and package.name not in found:
                found[package.name] = package
    return [package for package in found.values() if modality in package.modalities]


def _search_folders() -> list[Path]:
    listed = os.environ.get("EO_TRANSLATE_MODELS", "").split(os.pathsep)
    return [*(Path(folder) for folder in listed if folder), data_folder() / "models", resource("models")]


def _read(item: Path) -> ModelPackage | None:
    try:
        properties = json.loads(item.read_text(encoding="utf-8"))["properties"]
        modalities = frozenset(i["modality"] for i in properties["eo_translate:inputs"])
        return ModelPackage(item.parent.name, str(properties.get("title") or item.parent.name), modalities)
    except (OSError, ValueError, KeyError, TypeError):
        # A damaged package is not offered; the engine says what is wrong with it when it is asked for.
        return None
