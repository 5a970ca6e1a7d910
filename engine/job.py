"""The main path: from the rasters of a job to a georeferenced mosaic.

A pixel's way: ``engine.inputs`` opens the rasters on one grid; ``engine.scene`` cuts it into chunks, reads
each with the context that it needs (``engine.raster.source``), normalises it (``engine.conditions``), draws
the noise (``engine.tiling.noise``) and lays out the network's windows (``engine.tiling.plan``);
``engine.runner`` takes the windows through the network (``engine.translators``), crops or blends them back
to a chunk and encodes it (``engine.raster.encode``); ``engine.outputs`` adds it to the mosaic and to the
journal. Any-to-any models take the same way through ``engine.joint_inputs``, ``engine.latent_scene`` and
``engine.latent_windows``. A chunk is a pure function of (job, chunk index), so order, number of workers,
restarts and extent change no pixel.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine import outputs
from engine.errors import CancelledError, InputError, OutOfMemoryError
from engine.inputs import Inputs, Log, open_inputs
from engine.joint_settings import joint_settings
from engine.models import store, weights
from engine.models.item import ModelItem
from engine.raster.source import gdal_environment
from engine.result_files import ResultFile, wanted_modalities
from engine.runner import LocalRunner, Runner
from engine.scene import Scene, open_scene
from engine.spec import Job

Progress = Callable[[float, str], None]
_WATCH_S = 0.1
_DIFFUSION = ("steps", "stages", "context", "guidance", "prompt", "solver", "posterior", "date", "position")


@dataclass(frozen=True)
class RunResult:
    """What a run made.

    Attributes:
        output, uncertainty: The first files that were written.
        files: All files.
        model, model_sha256: Model id and the hash of its weights.
        device: What the network ran on.
        width, height, crs, transform: The output grid; ``transform`` is a, b, c, d, e, f of the affine.
        seconds: Wall time.
        chunks: Number of chunks.
        seed, samples: Of the noise.
        statistics: Modality -> band -> (mean, standard deviation), where the scene normalises it.
        notes: Warnings, as they were logged.
    """

    output: str
    uncertainty: str | None
    files: tuple[ResultFile, ...]
    model: str
    model_sha256: str
    device: str
    width: int
    height: int
    crs: str | None
    transform: tuple[float, ...]
    seconds: float
    chunks: int
    seed: int
    samples: int
    statistics: dict[str, dict[str, tuple[float, float]]]
    notes: tuple[str, ...]


def run(
    job: Job,
    on_progress: Progress | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    log: Log | None = None,
    open_runner: Callable[[Job, ModelItem, Log], Runner] = LocalRunner,
) -> RunResult:
    """Runs a job; its output appears whole or not at all.

    Args:
        job: What to do.
        on_progress: Called with a fraction 0..1 and a text, from this thread.
        is_cancelled: Asked about ten times a second, from another thread too.
        log: Called with ``info`` or ``warning`` and a sentence.
        open_runner: Gives what runs the chunks; this process, or a cluster (``engine.cluster``).

    Raises:
        EOTranslateError: What the caller can mend, or ``CancelledError``. Nothing is left behind but, where
            parts were finished and ``job.resume`` says so or the run failed, what a later run needs to go on.
    """
    started = time.monotonic()
    notes = Notes(log)
    item = _load_model(job, notes)
    runner = open_runner(job, item, notes)
    notes("info", f"The model {item.id} runs on {runner.device}.")
    accept = functools.partial(outputs.check_places, job, item)
    with (
        _memory_errors_said(),
        _terminated_on_cancel(runner, is_cancelled) as check,
        gdal_environment(),
        contextlib.closing(open_inputs(job, item, notes, check, accept)) as inputs,
    ):
        _warn_about_gsd(item, inputs, notes)
        scene = open_scene(job, item, inputs, runner.device)
        with outputs.opened(job, scene, notes) as mosaic, _memory_errors_said():
            _translate(scene, runner, mosaic, on_progress or _silent, check)
            mosaic.finish(check)
    return RunResult(
        output=str(scene.files[0].path),
        uncertainty=next((str(file.path) for file in scene.files if file.kind == "spread"), None),
        files=scene.files,
        model=item.id,
        model_sha256=item.sha256,
        device=runner.device,
        width=scene.grid.width,
        height=scene.grid.height,
        crs=scene.grid.crs.to_string() if scene.grid.crs else None,
        transform=tuple(scene.grid.transform)[:6],
        seconds=round(time.monotonic() - started, 3),
        chunks=len(scene.chunks),
        seed=job.seed,
        samples=job.samples,
        statistics=inputs.statistics,
        notes=tuple(notes.warnings),
    )


def _translate(
    scene: Scene, runner: Runner, mosaic: outputs.Outputs, on_progress: Progress, check: Callable[[], None]
) -> None:
    """Every chunk that is still to be made, through the runner and into the mosaic."""
    total, before = len(scene.chunks), mosaic.done

    def report() -> None:
        check()
        on_progress(max(mosaic.done, before + runner.evaluated) / total, f"Part {mosaic.done + 1} of {total}")

    with contextlib.closing(runner.run(scene, mosaic.pending, check, report)) as finished:
        for chunk in finished:
            mosaic.write(chunk)
            if mosaic.done < total:
                report()
    on_progress(1.0, "Finishing the file")


class Notes:
    """Passes messages on and keeps the warnings."""

    def __init__(self, log: Log | None) -> None:
        self._log = log
        self.warnings: list[str] = []

    def __call__(self, level: str, text: str) -> None:
        """Takes a message."""
        if level == "warning":
            self.warnings.append(text)
        if self._log is not None:
            self._log(level, text)


def _load_model(job: Job, notes: Notes) -> ModelItem:
    item = store.find(job.model)
    weights.check_hash(item)
    if job.model_sha256 is not None and job.model_sha256.lower() != item.sha256:
        raise InputError(
            f"The model {item.id} has weights with SHA-256 {item.sha256[:12]}..., and the job asks for "
            f"{job.model_sha256[:12]}...; install the version that the job was made with, or leave the "
            "hash out."
        )
    _check_settings(job, item)
    if job.uncertainty and job.samples < 2:
        raise InputError(
            "The uncertainty needs at least 2 samples to compare, and 1 was asked for; set more samples."
        )
    if job.samples > 1 and not (job.uncertainty or job.all_samples):
        notes(
            "warning",
            f"{job.samples} samples were asked for without an uncertainty file: only the first is written.",
        )
    if job.samples > 1 and item.noise is None and not item.is_joint:
        notes("warning", f"The model {item.id} draws no noise, so all samples are equal.")
    return item


def _check_settings(job: Job, item: ModelItem) -> None:
    """Refuses settings that the model's family does not have."""
    if item.is_joint:
        if job.prompt is not None:
            raise InputError(f"The model {item.id} takes no prompt; leave it out.")
        joint_settings(job, item)
        return
    for name in _DIFFUSION:
        if getattr(job, name) is not None:
            raise InputError(f"The model {item.id} runs in one step and takes no {name}; leave it out.")
    if job.anchor != "world":
        raise InputError(
            f"The model {item.id} joins its windows exactly wherever they lie; leave the anchor out."
        )
    if job.published_ignored:
        raise InputError(f"The model {item.id} ignores no modality; leave published_ignored out.")
    wanted_modalities(job, item)


def _warn_about_gsd(item: ModelItem, inputs: Inputs, notes: Notes) -> None:
    grid = inputs.layer.part(inputs.box)
    gsd = grid.gsd_m()
    if gsd is None or item.gsd_range_m is None:
        return
    low, high = item.gsd_range_m
    if not low * 0.99 <= gsd <= high * 1.01:
        notes(
            "warning",
            f"The pixels are {gsd:.3g} m wide and the model {item.id} was made for {low:g} to {high:g} m; "
            f"set the resolution to {grid.pixel_size * (item.gsd_m or low) / gsd:.3g} (CRS units) for better "
            "results.",
        )


@contextlib.contextmanager
def _terminated_on_cancel(
    runner: Runner, is_cancelled: Callable[[], bool] | None
) -> Iterator[Callable[[], None]]:
    """Stops the network within a moment of a cancel; gives a function that raises if there was one."""
    done, asked = threading.Event(), is_cancelled or (lambda: False)

    def watch() -> None:
        while not done.wait(_WATCH_S):
            if asked():
                runner.terminate()

    def check() -> None:
        if asked():
            raise CancelledError("The run was cancelled; nothing was written.")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield check
    finally:
        done.set()
        watcher.join()


@contextlib.contextmanager
def _memory_errors_said() -> Iterator[None]:
    """What the network asks for in vain is said by its translator; this is about all else."""
    try:
        yield
    except MemoryError:
        raise OutOfMemoryError(
            "This machine has too little memory for the job; close other programs, or make the chunks "
            "smaller (--chunk)."
        ) from None


def _silent(fraction: float, text: str) -> None:
    pass
