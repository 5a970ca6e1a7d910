"""The bundled student of few steps beside its teacher of 50: time, and quality on held-out patches.

The latents are those of ``runs/any-to-any-latents``, which the recipe makes, or of the store ``EO_LATENTS``.
Without either the time alone is measured, on noise.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from common import ROOT, Bench, Row

from engine.errors import ModelError
from engine.models.item import ModelItem
from engine.models.store import find
from training.datasets.latent_store import StoreInfo, StoreWriter
from training.metrics.students import NAMES
from training.students import Comparison, compare

STUDENT = "any-to-any-fast"
BARS = {1: ">= 20", 2: ">= 12"}
NOISE = "noise"
PATCHES = 16


def measure(bench: Bench) -> list[Row]:
    """Teacher and student in one run, one thread."""
    torch.set_num_threads(1)
    try:
        item = find(os.environ.get("EO_STUDENT", STUDENT))
    except ModelError as error:
        return [Row(f"no student to measure: {error}", None)]
    distilled = item.training["distilled"]
    store = Path(os.environ.get("EO_LATENTS", ROOT / "runs" / "any-to-any-latents"))
    held_out = distilled["never_trained_on"]
    if not store.exists():
        store, held_out = noise_store(item, bench.scratch / "latents"), [NOISE]
    patches = 2 if bench.quick else PATCHES
    settings = {"guidance": distilled["guidance"], "patches": patches, "steps": tuple(BARS)}
    table = compare([str(item.folder)], Comparison(distilled["teacher"], str(store), held_out, **settings))
    rows = []
    for steps, bar in BARS.items():
        name, row = next((n, r) for n, r in table.items() if n.startswith(item.id) and r["steps"] == steps)
        what = f"{distilled['teacher']} of 50 steps / {name}"
        rows.append(Row(f"time of sampling, {what}", row["speed_up"], "", bar, row))
        rows.append(Row(f"the same with decoding, {what}", row["delivered_speed_up"]))
    if held_out == [NOISE]:
        return rows
    return rows + [Row(f"{score}, {name}", row[score]) for score in NAMES for name, row in table.items()]


def noise_store(item: ModelItem, folder: Path) -> Path:
    """A store of patches whose latents are noise; one is of a place that is not held out."""
    rng = np.random.default_rng(0)
    writer = StoreWriter(folder, StoreInfo(groups=item.groups), database=False)
    shapes = {
        g.name: (g.latent.channels * (1 if g.is_vector else 2), g.latent.height, g.latent.width)
        for g in item.groups
    }
    for key in ("rest_0", *(f"{NOISE}_{number}" for number in range(PATCHES))):
        sample = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
        writer.add({key: sample})
    return folder
