"""Pixels that the network evaluates for one pixel of the result."""

from __future__ import annotations

import contextlib

from common import MODELS, Bench, Row
from recorder import CountingRunner

from engine import job as engine_job
from engine.inputs import open_inputs
from engine.models import store
from engine.raster.source import gdal_environment
from engine.scene import Scene
from engine.spec import Job

SIZE_PX = 8192
BAR = "<= 1.20"


def measure(bench: Bench) -> list[Row]:
    """Both bundled models: counted in a run whose network only counts, and by the plan's geometry."""
    size = bench.px(SIZE_PX)
    rows = []
    for model in MODELS:
        job = bench.job(model, size)
        engine_job.run(job, open_runner=CountingRunner)
        counted, planned = CountingRunner.recorder.pixels, by_plan(job)
        detail = {"size_px": size, "counted_px": counted, "planned_px": planned}
        rows.append(Row(f"{model}, {size} px: network / output pixels", counted / size**2, "", BAR, detail))
        rows.append(Row(f"{model}, {size} px: counted / planned", counted / planned, "", "= 1"))
    return rows


def by_plan(job: Job) -> int:
    """Pixels of all windows that the plan lays out."""
    item = store.find(job.model)
    with gdal_environment(), contextlib.closing(open_inputs(job, item, _unheard, lambda: None)) as inputs:
        scene = Scene(job, item, inputs, "cpu")
        boxes = [window.box for chunk in scene.chunks for window in scene.plan.windows(chunk)]
    return sum(box.height * box.width for box in boxes)


def _unheard(level: str, text: str) -> None:
    pass
