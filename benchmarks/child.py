"""Runs a job alone in its process and says how long it took and how much memory it held.

Reads ``{"job", "warm_px", "repeats", "cores"}`` as JSON from its input; see ``common.fresh``.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import rasterio

from engine import job as engine_job
from engine.spec import Job


def corner(job: Job, side: int) -> Job:
    """The same job over the first pixels of its first raster, into another file."""
    with rasterio.open(next(iter(job.inputs.values())).paths[0]) as raster:
        right, bottom = raster.transform * (side, side)
        left, top = raster.transform * (0, 0)
    warm = str(Path(job.output).with_suffix(".warm.tif"))
    return job.model_copy(update={"extent": (left, bottom, right, top), "output": warm})


def peak_bytes() -> int:
    """The most memory that this process has held, without what its parent had before."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text()).group(1)) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """One order."""
    order = json.load(sys.stdin)
    job = Job.model_validate(order["job"])
    if order["cores"]:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: order["cores"]])
    if order["warm_px"]:
        engine_job.run(corner(job, order["warm_px"]))
    seconds = []
    for _ in range(order["repeats"]):
        started = time.perf_counter()
        engine_job.run(job)
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main()
