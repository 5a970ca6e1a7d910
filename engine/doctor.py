"""Checks an installation by using it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.diagnostics import devices, versions
from engine.errors import EOTranslateError, MissingPackageError
from engine.models.item import ModelItem
from engine.models.schema import OneHotInput

_SIDE_PX = 192


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    what: str
    ok: bool
    detail: str


def examine() -> list[Finding]:
    """Versions, devices, models, and a small translation with each installed model."""
    from engine.models import store

    findings = [_finding(name, lambda text=text: text) for name, text in versions().items()]
    findings.append(_finding("devices", lambda: ", ".join(devices())))
    entries = store.entries()
    if not entries:
        findings.append(Finding("models", False, "none is installed"))
    for entry in entries:
        if entry.item is None:
            findings.append(Finding(f"model {entry.name}", False, str(entry.problem)))
        else:
            findings.append(_finding(f"model {entry.name}", lambda item=entry.item: _try(item)))
    return findings


def _finding(what: str, examine_it: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, examine_it())
    except MissingPackageError as error:
        # An installation without an extra is whole; its models wait for it.
        return Finding(what, True, f"not tried: {error}")
    except EOTranslateError as error:
        return Finding(what, False, str(error))


def _try(item: ModelItem) -> str:
    """Translates a random scene; says where and how long."""
    from engine import job
    from engine.spec import Job

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="eo-translate-") as folder:
        output = {"model": str(item.folder), "output": str(Path(folder) / "result.tif")}
        wanted = _any_to_any(item) if item.is_joint else _feed_forward(item, Path(folder))
        result = job.run(Job.model_validate({**output, **wanted}))
    return f"{item.title}, tried on {result.device} in {time.monotonic() - started:.1f} s"


def _feed_forward(item: ModelItem, folder: Path) -> dict[str, Any]:
    """From noise, with all that the model needs."""
    required = [entry for entry in item.inputs if entry.required]
    return {
        "inputs": {
            entry.modality: {"path": _scene(item, entry.modality, folder), **_settings(entry)}
            for entry in required
        }
    }


def _any_to_any(item: ModelItem) -> dict[str, Any]:
    """One window of one modality from nothing, in one evaluation of the network."""
    side = item.sampler.window_px * (item.gsd_m or 10.0)
    return {
        "generate": [next(group.modality for group in item.groups if not group.is_vector)],
        "extent": [500_000, 5_000_000 - side, 500_000 + side, 5_000_000],
        "crs": "EPSG:32633",
        "resolution": item.gsd_m or 10.0,
        "anchor": "scene",
        "steps": 1,
        "stages": 1,
    }


def _settings(entry: object) -> dict[str, str]:
    return {"legend": "model"} if isinstance(entry, OneHotInput) else {}


def _scene(item: ModelItem, modality: str, folder: Path) -> str:
    """A raster of noise with the bands, or the classes, of an input."""
    import rasterio

    entry, rng = item.input(modality), np.random.default_rng(0)
    if isinstance(entry, OneHotInput):
        values = rng.integers(0, entry.channels, (1, _SIDE_PX, _SIDE_PX)).astype(np.uint8)
    else:
        values = rng.normal(-12, 3, (len(entry.bands), _SIDE_PX, _SIDE_PX)).astype(np.float32)
    path, metres = folder / f"{modality}.tif", item.gsd_m or 10.0
    profile = {
        "driver": "GTiff",
        "count": len(values),
        "height": _SIDE_PX,
        "width": _SIDE_PX,
        "dtype": values.dtype,
    }
    transform = rasterio.Affine(metres, 0, 500_000, 0, -metres, 5_000_000)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as dataset:
        dataset.write(values)
    return str(path)
