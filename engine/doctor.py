"""Checks an installation by using it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.diagnostics import devices, versions
from engine.errors import EOTranslateError
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
    except EOTranslateError as error:
        return Finding(what, False, str(error))


def _try(item: ModelItem) -> str:
    """Translates a random scene; says where and how long."""
    from engine import job
    from engine.spec import Job

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="eo-translate-") as folder:
        inputs = {
            entry.modality: {"path": _scene(item, entry.modality, Path(folder)), **_settings(entry)}
            for entry in item.inputs
            if entry.required
        }
        document = {"model": str(item.folder), "inputs": inputs, "output": str(Path(folder) / "result.tif")}
        result = job.run(Job.model_validate(document))
    return f"{item.title}, tried on {result.device} in {time.monotonic() - started:.1f} s"


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
