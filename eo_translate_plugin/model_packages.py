"""Model packages as far as a dialog needs them: names and modalities, read without the engine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from .environment import data_folder, resource

_ITEM = "item.json"


class ModelPackage(NamedTuple):
    """A model package.

    Attributes:
        name: An installed model's folder, without its parents.
        title: For people.
        takes: Modalities that it takes, in its own order.
        is_joint: Whether any of them can be given or generated.
    """

    name: str
    title: str
    takes: tuple[str, ...]
    is_joint: bool


def installed(modality: str) -> list[ModelPackage]:
    """Installed feed-forward models that take a modality."""
    return [package for package in _installed() if modality in package.takes and not package.is_joint]


def installed_joint() -> list[ModelPackage]:
    """Installed any-to-any models."""
    return [package for package in _installed() if package.is_joint]


def find(model: str) -> ModelPackage | None:
    """The package of a name or a folder; None where the engine has to say what is wrong with it."""
    if "/" in model or os.sep in model:
        return _read(Path(model).expanduser() / _ITEM)
    return next((package for package in _installed() if package.name == model), None)


def _installed() -> Iterable[ModelPackage]:
    """In the engine's search order (docs/contracts.md)."""
    found: dict[str, ModelPackage] = {}
    for item in _items():
        package = _read(item)
        if package is not None:
            found.setdefault(package.name, package)
    return found.values()


def _items() -> Iterator[Path]:
    listed = os.environ.get("EO_TRANSLATE_MODELS", "").split(os.pathsep)
    folders = (*(Path(folder) for folder in listed if folder), data_folder() / "models", resource("models"))
    for folder in folders:
        yield from sorted(folder.glob(f"*/{_ITEM}"))


def _read(item: Path) -> ModelPackage | None:
    try:
        properties = json.loads(item.read_text(encoding="utf-8"))["properties"]
        groups = properties.get("eo_translate:groups") or []
        entries = groups or properties["eo_translate:inputs"]
        takes = tuple(dict.fromkeys(str(entry["modality"]) for entry in entries))
        title = str(properties.get("title") or item.parent.name)
        return ModelPackage(item.parent.name, title, takes, bool(groups))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # A damaged package is not offered; the engine says what is wrong with it when it is asked for.
        return None
