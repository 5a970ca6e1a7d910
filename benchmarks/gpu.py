"""What a GPU delivers on a large scene, and how much of the bare network's speed that is: ``make bench-gpu``.

Writes ``benchmarks/results/bench-gpu.json``. Both bundled models translate the sample scene at 8192 px, in
every precision that they allow, in both profiles, with recorded CUDA graphs and without, and with batches of
several sizes where the graph's batch axis is free. Every share compares numbers of this one run.
"""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import joint_gpu
import numpy as np
import onnxruntime
from common import MODELS, scene
from rich.console import Console
from rich.table import Table

from engine import job as engine_job
from engine.errors import DeviceError, OutOfMemoryError
from engine.models import store
from engine.models.item import ModelItem
from engine.spec import Job
from engine.tiling.plan import CHUNK_PX
from engine.translators.base import close_warm, warm_translator
from engine.translators.cuda_memory import free_bytes

RESULTS = Path(__file__).resolve().parent / "results" / "bench-gpu.json"
SIZE = 8192
REPEATS = 3


def main() -> None:
    """Runs every case, or says in one sentence why it cannot."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        sys.exit("There is no CUDA here: this onnxruntime was built without it; install eo-translate[gpu].")
    try:
        memory = free_bytes()
        rows = measure_all("cuda", SIZE)
    except DeviceError as error:
        sys.exit(f"There is no CUDA here that works: {error}")
    report = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine() | {"free_gpu_memory_bytes": memory},
        "scene_px": SIZE,
        "cases": rows,
        "joint_diffusion": joint_gpu.measured("cuda"),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    show(report)


def measure_all(device: str, size: int) -> list[dict[str, Any]]:
    """One row a case.

    Args:
        device: ``cuda``, or ``cpu`` to try this program out.
        size: Side of the sample scene in pixels.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = scene(Path(folder), size)
        rows = []
        for model, inputs in MODELS.items():
            rasters = {name: {"path": str(files[name]), **settings} for name, settings in inputs.items()}
            fields = {"model": model, "inputs": rasters, "output": str(Path(folder) / f"{model}.tif")}
            item = store.find(model)
            for precision in item.precisions:
                for profile in ("deterministic", "fast"):
                    job = Job(**fields, device=device, precision=precision, profile=profile)
                    rows.extend(measured(item, job, size))
                    close_warm()
        return rows


def measured(item: ModelItem, job: Job, size: int) -> Iterator[dict[str, Any]]:
    """The cases of one open translator."""
    translator = warm_translator(item, job.device, job.threads, job.precision, job.profile)
    bound = getattr(translator, "bound", None)
    recorded = [True, False] if bound is not None and bound.graphs else [False]
    for graphs in recorded:
        for batch in batches(translator):
            if bound is not None:
                bound.graphs = graphs
                translator.resize(batch)
            try:
                bare_s = bare(item, translator) * (size / CHUNK_PX) ** 2
                engine_job.run(job)  # algorithms are chosen, graphs recorded, files cached
                run_s = best(lambda: engine_job.run(job))
            except OutOfMemoryError:
                continue
            yield {
                "model": item.id,
                "precision": job.precision,
                "profile": job.profile,
                "cuda_graphs": graphs,
                "batch": translator.batch,
                "run_s": run_s,
                "bare_network_s": bare_s,
                "delivered_mpx_per_s": size**2 / 1e6 / run_s,
                "share_of_bare_network": bare_s / run_s,
            }


def batches(translator: Any) -> list[int]:
    """The batch that the translator chose, and its neighbours where the graph takes any."""
    if getattr(translator, "bound", None) is None or translator.fixed_batch is not None:
        return [translator.batch]
    return sorted({1, max(1, translator.batch // 2), translator.batch, translator.batch * 2})


def bare(item: ModelItem, translator: Any) -> float:
    """Seconds of the network, copies to and from the device included, for one chunk's window."""
    step = item.tiling.stride_multiple
    side = min(item.tiling.window_px, math.ceil((CHUNK_PX + 2 * item.tiling.halo_px) / step) * step)
    shape, random = (translator.batch, side, side), np.random.default_rng(0)
    channels = {entry.tensor: entry.channels for entry in item.inputs}
    if item.noise:
        channels[item.noise.tensor] = len(item.noise.cells_px)
    tensors = {
        name: random.standard_normal((shape[0], count, *shape[1:]), dtype=np.float32)
        for name, count in channels.items()
    }
    translator.translate(tensors)
    return best(lambda: translator.translate(tensors)) / translator.batch


def best(call: Callable[[], Any]) -> float:
    """Wall seconds of the fastest of some calls."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    question = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        gpu = subprocess.run(question, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        gpu = "unknown"
    return {
        "gpu": gpu,
        "cpu": platform.processor() or platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


def show(report: dict[str, Any]) -> None:
    """The table."""
    table = Table("model", "precision", "profile", "graphs", "batch", "job", "bare", "of bare speed", "Mpx/s")
    for row in report["cases"]:
        table.add_row(
            row["model"],
            row["precision"],
            row["profile"],
            "yes" if row["cuda_graphs"] else "no",
            str(row["batch"]),
            f"{row['run_s']:.2f} s",
            f"{row['bare_network_s']:.2f} s",
            f"{row['share_of_bare_network']:.0%}",
            f"{row['delivered_mpx_per_s']:.1f}",
        )
    console = Console()
    console.print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    console.print(table)
    joint = report["joint_diffusion"]
    console.print(
        f"Joint diffusion, {joint['model']}, bfloat16 and compiled: {joint['times_plain_loop']:.2f} x a "
        f"plain float32 loop (bar {joint['bar']}); images differ by "
        f"{joint['image_difference_rms_over_std']:.2%} of their contrast."
    )


if __name__ == "__main__":
    main()
