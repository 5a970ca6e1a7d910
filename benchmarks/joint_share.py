"""Delivered speed of joint diffusion over a scene against the sampler alone on the very same windows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import child
from common import Bench, Row
from joint_models import JointRecordingRunner, job, pixel_package

from engine import job as engine_job
from engine.spec import Job

SIZE_PX, STEPS, STAGES = 4096, 20, 2
PART_PX = 64
BAR = ">= 0.9"


def measure(bench: Bench) -> list[Row]:
    """A small model of the bundled one's form, whose groups are sampled as pixels: nothing is decoded."""
    size = bench.px(SIZE_PX)
    model = pixel_package(bench.scratch / "share")
    order = job(bench, model, size, steps=STEPS, stages=STAGES)
    found = shares(order)
    where = f"{size} px, {STEPS} steps in {STAGES} stages"
    rate = found["windows"] / found["run_s"]
    return [
        Row(f"{where}: delivered / sampling alone", found["sampler_s"] / found["run_s"], "", BAR, found),
        Row(f"{where}: delivered windows", rate, "1/s"),
        Row(f"{where}: delivered", size**2 / 1e6 / found["run_s"], "Mpx/s"),
    ]


def shares(order: Job) -> dict[str, float]:
    """Seconds of a run, and of the sampler on the same windows in the same batches without a scene.

    A run over a part opens the model before the clock starts.
    """
    engine_job.run(child.corner(order, PART_PX))
    run_s, run_cpu_s = on_both_clocks(lambda: engine_job.run(order, open_runner=JointRecordingRunner))
    recorder = JointRecordingRunner.recorder
    sampler_s, sampler_cpu_s = on_both_clocks(lambda: recorder.again("run"))
    rows = [call[1] for name, call in recorder.calls if name == "run" and call[0].index == 0]
    return {
        "run_s": run_s,
        "run_cpu_s": run_cpu_s,
        "sampler_s": sampler_s,
        "sampler_cpu_s": sampler_cpu_s,
        "windows": sum(map(len, rows)),
    }


def on_both_clocks(call: Callable[[], Any]) -> tuple[float, float]:
    """Wall seconds and seconds of the CPU's time that a call took."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu
