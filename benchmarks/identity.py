"""S5: the same pixels whatever order, threads, chunks, processes, restarts, extent and format."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rasterio
import seams as benchmark
from common import HERE, MODELS, Bench, Row, engine_python
from networks import instance_norm
from rasterio.windows import from_bounds

from engine import cluster, seams
from engine import job as engine_job
from engine.errors import EOTranslateError
from engine.runner import Check, LocalRunner
from engine.scene import Chunk, Scene
from engine.spec import Job

SIZE_PX = 1536
CHUNKS_PX = (512, 1024)
THREADS = (1, 2, 4)
DASK_WORKERS = 2
_LATTICE = "instance-norm"
_KILL_S = 0.01


class ShuffledRunner(LocalRunner):
    """The usual runner over chunks in a random order."""

    def run(
        self, scene: Scene, indices: list[int], check: Check, on_wait: Callable[[], None]
    ) -> Iterator[Chunk]:
        """As the usual one."""
        order = scene.order(indices)
        random.Random(1).shuffle(order)
        scene.order = lambda _: order
        return super().run(scene, indices, check, on_wait)


def measure(bench: Bench) -> list[Row]:
    """Both bundled models and one on a lattice: how many different hashes there are."""
    size = max(bench.px(SIZE_PX), 2 * CHUNKS_PX[0])
    jobs = {model: bench.job(model, size, chunk_px=CHUNKS_PX[0]) for model in MODELS}
    package = instance_norm(bench.scratch / _LATTICE)
    bundled = jobs["sar-to-optical"]
    jobs[f"{_LATTICE}, on a lattice"] = bundled.model_copy(
        update={"model": package, "inputs": {"sar": bundled.inputs["sar"]}}
    )
    return [row for name, job in jobs.items() for row in compared(bench, name, job, size)]


def compared(bench: Bench, name: str, job: Job, size: int, python: str = "") -> Iterator[Row]:
    """One model over every way; ``python`` runs the one that is killed, by default as users have it."""
    found = dict(ways(bench.scratch, job, python or engine_python()))
    part, of_whole = found.pop("sub-extent"), found.pop("sub-extent of the whole")
    different = len(set(found.values())) - 1 + (part != of_whole)
    detail = {"sha256": found, "sub_extent": [part, of_whole]}
    yield Row(f"{name}, {size} px: ways with other pixels, of {len(found)}", different, "", "= 0", detail)


def ways(scratch: Path, job: Job, python: str) -> Iterator[tuple[str, str]]:
    """Name and pixel hash of every way to run a job; the first one is the usual way."""

    def run(ending: str = ".tif", open_runner: Any = LocalRunner, **settings: Any) -> str:
        path = Path(tempfile.mkdtemp(dir=scratch)) / f"way{ending}"
        engine_job.run(job.model_copy(update={"output": str(path), **settings}), open_runner=open_runner)
        return hash_of(path)

    for threads in THREADS:
        yield f"{threads} threads", run(threads=threads)
    yield "shuffled order", run(open_runner=ShuffledRunner)
    for chunk_px in CHUNKS_PX:
        yield f"chunks of {chunk_px} px", run(chunk_px=chunk_px)
    yield "resumed after a kill", resumed(scratch, job, python)
    with cluster.connected(None, DASK_WORKERS) as open_runner:
        yield f"{DASK_WORKERS} Dask workers", run(open_runner=open_runner)
    yield "vrt", run(".vrt", format="vrt")
    yield "cog", run(".cog.tif", format="cog")
    part, of_whole = parts(job, scratch)
    yield "sub-extent", part
    yield "sub-extent of the whole", of_whole


def resumed(scratch: Path, job: Job, python: str) -> str:
    """Kills the process of a run when some chunks are finished, and goes on with a second one.

    Raises:
        RuntimeError: The run was finished before it could be killed.
    """
    path = scratch / "killed.tif"
    job = job.model_copy(update={"output": str(path)})
    order = {"job": job.model_dump(mode="json"), "warm_px": 0, "repeats": 1, "cores": None}
    process = subprocess.Popen(
        [python, str(HERE / "child.py")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    process.stdin.write(json.dumps(order))
    process.stdin.close()
    journal = path.with_name(path.name + ".part.jsonl")
    while process.poll() is None and finished_chunks(journal) < 2:
        time.sleep(_KILL_S)
    if process.poll() is not None:
        raise RuntimeError("the run was over before it could be killed")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    try:
        engine_job.run(job.model_copy(update={"resume": "ask"}))
    except EOTranslateError:
        engine_job.run(job.model_copy(update={"resume": "continue"}))
        return hash_of(path)
    raise RuntimeError("the killed run has left nothing to continue")


def finished_chunks(journal: Path) -> int:
    """Lines of a journal after its first one."""
    return max(0, journal.read_bytes().count(b"\n") - 1) if journal.exists() else 0


def parts(job: Job, scratch: Path) -> tuple[str, str]:
    """Hash of a run over a part, and of this part of a whole result."""
    whole, target = scratch / "whole.tif", scratch / "part.tif"
    engine_job.run(job.model_copy(update={"output": str(whole)}))
    with rasterio.open(whole) as result:
        size = result.width
        box = (size // 5 + 3, size // 7 + 5, size // 2, size * 2 // 3)
        extent = benchmark.extent_of(result.transform, *box)
    engine_job.run(job.model_copy(update={"output": str(target), "extent": extent}))
    with rasterio.open(target) as alone, rasterio.open(whole) as result:
        window = from_bounds(*alone.bounds, result.transform).round_offsets().round_lengths()
        return seams.pixel_hash(alone), seams.pixel_hash(result, window)


def hash_of(path: Path) -> str:
    """SHA-256 of a raster's decoded pixels."""
    with rasterio.open(path) as dataset:
        return seams.pixel_hash(dataset)
