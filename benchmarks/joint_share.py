"""Delivered speed of joint diffusion over a scene against the networks alone on the very same windows."""

from __future__ import annotations

import time

from common import Bench, Row, timed
from joint_models import SMALL, JointRecordingRunner, job, package

from engine import job as engine_job

SIZE_PX, STEPS, STAGES = 4096, 20, 2
REPEATS = 2
BAR = ">= 0.9"


def measure(bench: Bench) -> list[Row]:
    """A small model: whole runs and the sampler's calls in turns, so that other load meets both."""
    size = bench.px(SIZE_PX)
    order = job(bench, package(bench.scratch / "share", SMALL), size, steps=STEPS, stages=STAGES)
    engine_job.run(order, open_runner=JointRecordingRunner)
    recorder = JointRecordingRunner.recorder
    seconds: dict[str, list[float]] = {"run": [], "sampler": [], "codecs": []}
    cpu: list[float] = []
    for _ in range(REPEATS):
        seconds["sampler"].append(timed(lambda: recorder.again("run")))
        seconds["codecs"].append(timed(lambda: recorder.again("moments", "decode")))
        started = time.process_time()
        seconds["run"].append(timed(lambda: engine_job.run(order)))
        cpu.append(time.process_time() - started)
    run, sampler, codecs = (min(seconds[name]) for name in ("run", "sampler", "codecs"))
    rows = sum(len(call[1]) for name, call in recorder.calls if name == "run" and call[0].index == 0)
    detail = {
        "size_px": size,
        "steps": STEPS,
        "stages": STAGES,
        "windows": rows,
        "seconds": seconds,
        "cpu_s": cpu,
    }
    where = f"{size} px, {STEPS} steps in {STAGES} stages"
    return [
        Row(
            f"{where}: delivered / encoding, sampling and decoding alone",
            (sampler + codecs) / run,
            "",
            BAR,
            detail,
        ),
        Row(f"{where}: delivered / sampling alone", sampler / run),
        Row(f"{where}: delivered windows", rows / run, "1/s"),
        Row(f"{where}: encoding and decoding / sampling", codecs / sampler),
    ]
