"""S1 to S5 of joint diffusion: seamless on a real scene, and the same pixels however a scene is cut?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import identity
import rasterio
import seams as benchmark
from common import Bench, Row
from joint_models import job, pixel_package
from rasterio.windows import Window
from visible import examined, of_scene

from engine.errors import ModelError
from engine.models import store
from engine.models.item import ModelItem

BUNDLED = "any-to-any"
STAGES = (1, 2, 4)
STEPS, SCENE_PX, CUT_PX = 8, 1024, 640  # the steps that stages are compared at
CHUNK_PX = 512


def measure(bench: Bench) -> list[Row]:
    """The bundled model where there is one, else one of its form with random weights."""
    item = model(bench)
    rows = []
    own = item.sampler.steps, item.sampler.stages
    for steps, stages in dict.fromkeys([*((STEPS, count) for count in STAGES), own]):
        settings = real_scene(bench, item) | {"steps": steps, "stages": stages, "chunk_px": CHUNK_PX}
        name = f"{item.id}, {benchmark_name()}, {steps} steps in {stages} stages"
        rows += of_scene(name, examined(settings, bench.scratch))
    return [*rows, *cut(bench, item)]


def model(bench: Bench) -> ModelItem:
    """What is measured."""
    try:
        return store.find(BUNDLED)
    except ModelError:
        return store.find(pixel_package(bench.scratch / "random-weights"))


def real_scene(bench: Bench, item: ModelItem) -> dict[str, Any]:
    """Radar to Sentinel-2 over a part of the scene of the seam benchmark: fields of a job."""
    _, settings = next(iter(benchmark.scenes(bench.scratch)))
    source = settings["inputs"]["sar"]
    side = bench.px(SCENE_PX)
    with rasterio.open(source["path"]) as whole:
        size = min(side, whole.height, whole.width)
        window = Window((whole.width - size) // 2, (whole.height - size) // 2, size, size)
        profile = {**whole.profile, "height": size, "width": size}
        path = bench.scratch / "joint-radar.tif"
        with rasterio.open(path, "w", **profile | {"transform": whole.window_transform(window)}) as part:
            part.write(whole.read(window=window))
    given = {"s1_rtc": {**source, "path": str(path)}}
    return {"model": str(item.folder), "inputs": given, "generate": ["s2_l2a"], "device": "cpu", "seed": 1}


def benchmark_name() -> str:
    """What the radar scene is."""
    return "OMBRIA scene s42" if (benchmark.DATA / "ombria" / "index.csv").exists() else "simulated scene"


def cut(bench: Bench, item: ModelItem) -> Iterator[Row]:
    """S5: every way of running the same job; a small scene in chunks that all share windows."""
    order = job(bench, str(item.folder), CUT_PX, steps=4, stages=2, chunk_px=CHUNK_PX)
    order = order.model_copy(update={"inputs": {"s1_rtc": order.inputs["s1_rtc"]}})
    yield from identity.compared(bench, item.id, order, CUT_PX, sys.executable)
