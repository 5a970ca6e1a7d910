"""Two Dask workers against one, each with one thread."""

from __future__ import annotations

from common import Bench, Row, timed

from engine import cluster
from engine import job as engine_job

SIZE_PX, WARM_PX = 4096, 1024
BAR = ">= 1.7"


def measure(bench: Bench) -> list[Row]:
    """The bundled SAR model on local clusters of one worker and of two, started and warm."""
    size = bench.px(SIZE_PX)
    job = bench.job("sar-to-optical", size, threads=1)
    warm = bench.job("sar-to-optical", bench.px(WARM_PX) * 2, threads=1)
    seconds = {}
    for workers in (1, 2):
        with cluster.connected(None, workers) as open_runner:
            engine_job.run(warm, open_runner=open_runner)
            seconds[workers] = timed(lambda: engine_job.run(job, open_runner=open_runner))
    what = f"sar-to-optical, {size} px: two Dask workers / one"
    return [Row(what, seconds[1] / seconds[2], "x", BAR, {"size_px": size, "run_s": seconds})]
