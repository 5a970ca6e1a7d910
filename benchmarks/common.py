"""What the figures of the benchmark share: rows with bars, scenes, timed jobs, the machine."""

from __future__ import annotations

import json
import operator
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import rasterio
from rasterio.windows import Window

from engine.sample_scene import scene as sample_scene
from engine.spec import Job

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
BASE_PX = 1024
WARM_PX = 512
MODELS: dict[str, dict[str, dict[str, str]]] = {
    "sar-to-optical": {"sar": {}, "dem": {}},
    "mask-to-image": {"mask": {"legend": "esa-worldcover"}},
}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}


@dataclass(frozen=True)
class Row:
    """One number beside its bar.

    Attributes:
        what: The number, for people.
        value: In ``unit``.
        unit: Of it, empty for ratios and counts.
        bar: Comparison and limit, several words for several: ``">= 0.95"``, ``">= 0.98 <= 1.02"``; empty:
            only reported.
        detail: All that it was computed from.
        verdict: ``met`` or ``MISSED``; another word where the figure itself decides. Empty: the bar decides.
    """

    what: str
    value: float | None
    unit: str = ""
    bar: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    verdict: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "verdict": self.verdict or judged(self.value, self.bar)}


@dataclass(frozen=True)
class Bench:
    """What a figure gets: a folder for its files, and whether it may take minutes.

    Attributes:
        scratch: Removed at the end.
        quick: Small rasters, to try the program out; the numbers mean little.
    """

    scratch: Path
    quick: bool = False

    def px(self, full: int) -> int:
        """Side of a raster, a quarter of it in quick runs."""
        return full // 4 if self.quick else full

    def job(self, model: str, size: int, **settings: Any) -> Job:
        """A bundled model over the sample scene, on the CPU."""
        files = scene(self.scratch, size)
        inputs = {name: {"path": str(files[name]), **given} for name, given in MODELS[model].items()}
        output = settings.pop("output", str(self.scratch / f"{model}-{size}.tif"))
        return Job(model=model, inputs=inputs, output=output, **{"device": "cpu", **settings})


def judged(value: float, bar: str) -> str:
    """Whether a value meets its bar."""
    words = bar.split()
    if not words:
        return ""
    limits = zip(words[::2], map(float, words[1::2]))
    return "met" if all(_COMPARE[sign](value, limit) for sign, limit in limits) else "MISSED"


@lru_cache
def scene(folder: Path, size: int) -> dict[str, Path]:
    """The sample scene of a size, of 1024 px that are mirrored side by side: modality -> file."""
    first = sample_scene.write(folder / "scene-base", min(size, BASE_PX))
    if size <= BASE_PX:
        return first
    made = folder / f"scene-{size}"
    made.mkdir()
    return {name: _mirrored(first[name], made / f"{name}.tif", size) for name in ("sar", "dem", "mask")}


def _mirrored(source: Path, target: Path, size: int) -> Path:
    with rasterio.open(source) as base:
        tile = base.read()
        profile = {**base.profile, "width": size, "height": size, "bigtiff": "if_safer", "zlevel": 1}
        with rasterio.open(target, "w", **profile) as file:
            file.descriptions, file.units = base.descriptions, base.units
            for row in range(0, size, BASE_PX):
                for col in range(0, size, BASE_PX):
                    part = tile[:, :: 1 - row // BASE_PX % 2 * 2, :: 1 - col // BASE_PX % 2 * 2]
                    height, width = min(BASE_PX, size - row), min(BASE_PX, size - col)
                    file.write(
                        np.ascontiguousarray(part[:, :height, :width]), window=Window(col, row, width, height)
                    )
    return target


def timed(call: Callable[[], Any]) -> float:
    """Wall seconds of a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def engine_python() -> str:
    """The light environment, as users have it, where it was made; else this one."""
    light = ROOT / ".venv-base" / "bin" / "python"
    return str(light) if light.exists() else sys.executable


def fresh(job: Job, warm_px: int = 0, repeats: int = 1, cores: int | None = None) -> dict[str, Any]:
    """Runs a job in a process of its own.

    Args:
        job: What to run.
        warm_px: Before the clock starts, run that many pixels of a corner, so that the model is open.
        repeats: How often.
        cores: How many CPU cores it may use; None: all.

    Returns:
        ``seconds``, a list; ``peak_bytes``: the most memory that it held.
    """
    order = {"job": job.model_dump(mode="json"), "warm_px": warm_px, "repeats": repeats, "cores": cores}
    return json.loads(_answer(json.dumps(order)))


@lru_cache  # figures that need the same run share it
def _answer(order: str) -> str:
    command = [engine_python(), str(HERE / "child.py")]
    answer = subprocess.run(command, input=order, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"A run in a process of its own failed: {answer.stderr[-2000:]}")
    return answer.stdout.splitlines()[-1]


def now() -> dict[str, str]:
    """When, and at what state of the sources."""
    commands = (["rev-parse", "HEAD"], ["status", "--porcelain", "engine", "resources", "benchmarks/*.py"])
    head, changed = (
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        for words in commands
    )
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": head + (" with changes" if changed else ""),
    }


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    about, memory = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    name = re.search(r"model name\s*: (.*)", about.read_text()) if about.exists() else None
    total = re.search(r"MemTotal:\s*(\d+)", memory.read_text()) if memory.exists() else None
    return {
        "cpu": name.group(1) if name else platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(int(total.group(1)) * 1024 / 1e9, 1) if total else None,
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "gdal": rasterio.__gdal_version__,
    }
