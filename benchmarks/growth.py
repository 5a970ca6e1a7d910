"""Does a pixel of a large raster cost more than one of a small raster?"""

from __future__ import annotations

from common import WARM_PX, Bench, Row, fresh
from memory import convolution_job
from networks import one_convolution

from engine.spec import Job

CONVOLUTION_PX = (2048, 8192, 32_768)
MODEL, MODEL_PX = "sar-to-optical", (2048, 4096, 8192)
BAR = "<= 1.10"
_REPEATED_PX = 4096


def measure(bench: Bench) -> list[Row]:
    """Time for a pixel at several sizes: the dearest against the cheapest."""
    package = one_convolution(bench.scratch / "one-convolution")
    rows = []
    for name, sizes in (("one convolution", CONVOLUTION_PX), (MODEL, MODEL_PX)):
        jobs = {}
        for size in map(bench.px, sizes):
            large = name == MODEL
            jobs[size] = bench.job(MODEL, size) if large else convolution_job(bench, package, size)
        rows += compared(name, jobs)
    return rows


def compared(name: str, jobs: dict[int, Job]) -> list[Row]:
    """Time for a pixel: the dearest size over the cheapest, and the largest size over the smallest.

    Models are opened before the clock starts; what a run costs whatever its size (opening rasters, a sample
    of them, the last part's way through the pipeline) is in, and weighs most at the smallest size.
    """
    seconds = {}
    for size, job in jobs.items():
        repeats = 3 if size < _REPEATED_PX else 2 if size == _REPEATED_PX else 1
        seconds[size] = fresh(job, WARM_PX, repeats)["seconds"]
    costs = {size: min(runs) / (size * size / 1e6) for size, runs in seconds.items()}
    detail = {"run_s": seconds, "s_per_mpx": costs}
    smallest, largest = min(costs), max(costs)
    what = f"{name}: time per Mpx"
    sizes = ", ".join(map(str, costs))
    return [
        Row(f"{what} at {largest} px / at {smallest} px", costs[largest] / costs[smallest], "", BAR, detail),
        Row(f"{what} at {sizes} px, dearest / cheapest", max(costs.values()) / min(costs.values()), "", BAR),
    ]
