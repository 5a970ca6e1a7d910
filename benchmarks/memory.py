"""The most memory that a run holds, in a process of its own, and whether it grows with the raster."""

from __future__ import annotations

from common import MODELS, WARM_PX, Bench, Row, fresh
from networks import one_convolution, raster

from engine.spec import InputRaster, Job

SMALL_PX, LARGE_PX, MODEL_PX = 4096, 65_536, 8192
RATIO_BAR, MODEL_BAR = "<= 1.10", "< 1.5"


def measure(bench: Bench) -> list[Row]:
    """One convolution at two sizes, then the bundled models."""
    package = one_convolution(bench.scratch / "one-convolution")
    sizes = bench.px(SMALL_PX), LARGE_PX // 8 if bench.quick else LARGE_PX
    peaks, seconds = [], []
    for size in sizes:
        found = fresh(convolution_job(bench, package, size))
        peaks.append(found["peak_bytes"])
        seconds += found["seconds"]
    detail = {"sizes_px": sizes, "peak_bytes": peaks, "run_s": seconds}
    what = f"one convolution: peak memory at {sizes[1]} px / at {sizes[0]} px"
    rows = [Row(what, peaks[1] / peaks[0], "", RATIO_BAR, detail)]
    for model in MODELS:
        size = bench.px(MODEL_PX)
        found = fresh(bench.job(model, size), WARM_PX)
        rows.append(
            Row(f"{model}, {size} px: peak memory", found["peak_bytes"] / 1e9, "GB", MODEL_BAR, found)
        )
    return rows


def convolution_job(bench: Bench, package: str, size: int) -> Job:
    """One convolution over a square of bytes."""
    source = bench.scratch / f"bytes-{size}.tif"
    if not source.exists():
        raster(source, size)
    output = str(bench.scratch / "smooth.tif")
    return Job(model=package, inputs={"image": InputRaster(path=str(source))}, output=output, device="cpu")
