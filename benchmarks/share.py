"""Delivered speed against the bare network's on the very same windows."""

from __future__ import annotations

import time

from common import MODELS, Bench, Row, timed
from recorder import RecordingRunner

from engine import job as engine_job

SIZE_PX = 4096
REPEATS = 2
SHARE_BAR = ">= 0.95"


def measure(bench: Bench) -> list[Row]:
    """Both bundled models: share of the bare network's speed, and Mpx/s."""
    return [row for model in MODELS for row in measured(bench, model)]


def measured(bench: Bench, model: str) -> list[Row]:
    """One model: whole runs and bare ones in turns, so that other load on the machine meets both."""
    size = bench.px(SIZE_PX)
    job = bench.job(model, size)
    engine_job.run(job, open_runner=RecordingRunner)
    windows, translator = RecordingRunner.recorder.windows, RecordingRunner.recorder.translator

    def bare() -> None:
        for window in windows:
            translator.translate(window)

    whole_s, bare_s, cpu_s = [], [], []
    for _ in range(REPEATS):
        started = time.process_time()
        bare_s.append(timed(bare))
        between = time.process_time()
        whole_s.append(timed(lambda: engine_job.run(job)))
        cpu_s.append([between - started, time.process_time() - between])
    detail = {"size_px": size, "windows": len(windows), "run_s": whole_s, "bare_network_s": bare_s}
    detail["cpu_s_bare_and_run"] = cpu_s
    where = f"{model}, {size} px"
    return [
        Row(f"{where}: delivered / bare network", min(bare_s) / min(whole_s), "", SHARE_BAR, detail),
        Row(f"{where}: delivered", size**2 / 1e6 / min(whole_s), "Mpx/s"),
        Row(f"{where}: bare network", size**2 / 1e6 / min(bare_s), "Mpx/s"),
    ]
