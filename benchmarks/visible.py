"""S1 to S4 of the bundled models and of a network on a lattice, on real scenes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import seams
from common import Bench, Row, timed
from networks import instance_norm

from engine import job
from engine.seams.judge import S2_Z_BAR, S3_BAR, S4_BAR
from engine.spec import Job

VERDICTS = {"pass": "met", "fail": "MISSED"}
BARS = {
    "S2": f"< {S2_Z_BAR:g}",
    "S3": f">= {S3_BAR[0]:g} <= {S3_BAR[1]:g}",
    "S4": f"> {S4_BAR:g}",
}


def measure(bench: Bench) -> list[Row]:
    """Every scene with its model, and the radar scene with a network on a lattice."""
    rows = []
    cases = list(seams.scenes(bench.scratch))
    radar = next(settings for _, settings in cases if settings["model"] == "sar-to-optical")
    package = instance_norm(bench.scratch / "instance-norm")
    cases.append(("lattice of InstanceNorm", {**radar, "model": package}))
    for name, settings in cases:
        found = examined(settings, bench.scratch)
        rows += of_scene(name, found)
    return rows


def examined(settings: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """S1 to S4 of one job."""
    whole = scratch / "whole.tif"
    seconds = timed(lambda: job.run(Job(**settings, output=str(whole))))
    return {"run_s": seconds, "S1": seams.shift_mismatch(settings, scratch), **seams.measure(whole)}


def of_scene(name: str, found: dict[str, Any]) -> list[Row]:
    """A row a figure: the worse axis counts."""
    size = f"{found['width']} x {found['height']}"
    rows = [Row(f"{name} ({size}): S1", found["S1"]["rms_over_std"], "", "= 0", found["S1"])]
    for figure, bar in BARS.items():
        axes = {axis: entry[figure] for axis, entry in found["axes"].items() if figure in entry}
        worst = max(axes.values(), key=lambda entry: badness(figure, entry))
        value = worst["z"] if figure == "S2" else worst["value"]
        detail = {"axes": axes, "run_s": found["run_s"]}
        what = f"{name}: {figure}" + (" z" if figure == "S2" else "")
        rows.append(Row(what, value, "", bar, detail, verdict(worst)))
    return rows


def verdict(entry: dict[str, Any]) -> str:
    """As the seam benchmark judges, with the distance where that says neither yes nor no."""
    known = "" if entry["z"] is None else f", z {entry['z']:.1f}"
    return VERDICTS.get(entry["verdict"], f"unclear{known}")


def badness(figure: str, entry: dict[str, Any]) -> float:
    """How far a figure of an axis is from good."""
    value = entry["z"] if figure == "S2" else entry["value"]
    if value is None:
        return -math.inf
    return {"S2": value, "S3": abs(value - 1), "S4": -value}[figure]
