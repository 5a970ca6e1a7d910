"""What two CPU cores deliver."""

from __future__ import annotations

from common import WARM_PX, Bench, Row, fresh

SIZE_PX = 2048
CORES = 2
BAR = ">= 0.5"


def measure(bench: Bench) -> list[Row]:
    """The bundled SAR model, in a process that may use two cores."""
    size = bench.px(SIZE_PX)
    found = fresh(bench.job("sar-to-optical", size, threads=CORES), warm_px=WARM_PX, repeats=2, cores=CORES)
    speed = size**2 / 1e6 / min(found["seconds"])
    return [Row(f"sar-to-optical, {size} px, {CORES} cores: delivered", speed, "Mpx/s", BAR, found)]
