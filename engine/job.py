"""The main path: from the rasters of a job to a georeferenced mosaic.

Load the model, open the inputs on one grid, plan chunks; for each chunk read with context, normalise, draw
the noise, run the network, crop or blend, write; then overviews and the rename. A chunk is a pure function of
(job, chunk index): see ``engine.tiling``.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from engine.errors import CancelledError, InputError
from engine.inputs import Context, Inputs, Log, open_inputs
from engine.models import store, weights
from engine.models.item import ModelItem
from engine.provenance import provenance_tags
from engine.raster.source import GDAL_OPTIONS, gdal_environment
from engine.raster.writer import BLOCK_PX, Layout, MosaicWriter, check_output, publish
from engine.results import Spread, sample_layout, spread_layout, stored
from engine.spec import Job
from engine.tiling.lattice import Box, chunks
from engine.tiling.noise import gaussian
from engine.tiling.plan import Plan, Runner, chunk_px
from engine.translators.base import Translator, warm_translator

Progress = Callable[[float, str], None]
_WATCH_S = 0.1


@dataclass(frozen=True)
class RunResult:
    """What a run made.

    Attributes:
        output, uncertainty: Files that were written.
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
) -> RunResult:
    """Runs a job; its output appears whole or not at all.

    Args:
        job: What to do.
        on_progress: Called with a fraction 0..1 and a text, from this thread.
        is_cancelled: Asked about ten times a second, from another thread too.
        log: Called with ``info`` or ``warning`` and a sentence.

    Raises:
        EOTranslateError: What the caller can mend, or ``CancelledError``; nothing is left behind.
    """
    started = time.monotonic()
    notes = Notes(log)
    item = _load_model(job, notes)
    translator = warm_translator(item, job.device, job.threads, job.precision)
    notes("info", f"The model {item.id} runs on {translator.device}.")
    with (
        _terminated_on_cancel(translator, is_cancelled) as check,
        gdal_environment(),
        contextlib.closing(open_inputs(job, item, notes, check)) as inputs,
    ):
        _warn_about_gsd(item, inputs, notes)
        grid = inputs.layer.part(inputs.box).scaled(item.output.scale_factor)
        with _outputs(job, item, inputs, translator.device) as outputs:
            scene = Scene(job, item, inputs, translator)
            scene.translate(outputs, on_progress or _silent, check)
            outputs.finish(check)
    return RunResult(
        output=job.output,
        uncertainty=job.uncertainty,
        model=item.id,
        model_sha256=item.sha256,
        device=translator.device,
        width=grid.width,
        height=grid.height,
        crs=grid.crs.to_string() if grid.crs else None,
        transform=tuple(grid.transform)[:6],
        seconds=round(time.monotonic() - started, 3),
        chunks=len(scene.chunks),
        seed=job.seed,
        samples=job.samples,
        statistics=inputs.statistics,
        notes=tuple(notes.warnings),
    )


class Scene:
    """One job's raster, ready to be translated chunk by chunk."""

    def __init__(self, job: Job, item: ModelItem, inputs: Inputs, translator: Translator) -> None:
        self.job, self.item, self.inputs, self.translator = job, item, inputs, translator
        factor = item.output.scale_factor
        self.plan = Plan(item.tiling, inputs.layer.origin)
        self.runner = Runner(self.plan, len(item.output.bands), factor)
        side, _ = chunk_px(factor, BLOCK_PX)
        self.chunks = [
            chunk.shifted(inputs.box.row, inputs.box.col)
            for chunk in chunks(inputs.box.height, inputs.box.width, side)
        ]
        self.samples = job.samples if job.uncertainty else 1

    def translate(self, outputs: Outputs, on_progress: Progress, check: Callable[[], None]) -> None:
        """Every chunk: read, translate each sample, write."""
        total = len(self.chunks) * self.samples
        found_valid = False
        for number, (chunk, context) in enumerate(self._read_ahead()):
            check()
            text = f"Part {number + 1} of {len(self.chunks)}"
            on_progress(number / len(self.chunks), text)
            valid = context.valid[chunk.within(context.box).slices]
            found_valid |= bool(valid.any())
            draws = self._draws(chunk, context, valid, check)
            for sample, values in enumerate(draws):
                outputs.feed(sample, values)
                on_progress((number * self.samples + sample + 1) / total, text)
            outputs.write(chunk.within(self.inputs.box).scaled(self.item.output.scale_factor))
        if not found_valid:
            raise InputError(
                "The inputs have no pixel in this area where all of them are valid, so there is "
                "nothing to translate; choose "
                "another extent or check the nodata values."
            )
        on_progress(1.0, "Finishing the file")

    def _draws(
        self, chunk: Box, context: Context, valid: NDArray[np.bool_], check: Callable[[], None]
    ) -> Iterator[NDArray[np.float32]]:
        """Physical values (C, h * f, w * f) of each sample, NaN where the inputs are invalid."""
        factor = self.item.output.scale_factor
        fine = valid.repeat(factor, axis=0).repeat(factor, axis=1)
        for sample in range(self.samples):

            def evaluate(box: Box, sample: int = sample) -> NDArray[np.float32]:
                check()
                return self.translator.translate(context.window(box) | self._noise(box, sample))[0]

            values = self.runner.run(chunk, valid, evaluate, sample)
            yield np.where(fine, np.clip(values, *self.item.output.range), np.nan)

    def _noise(self, box: Box, sample: int) -> dict[str, NDArray[np.float32]]:
        """The noise tensor (1, C, h, w) of a window, keyed by world pixel."""
        noise = self.item.noise
        if noise is None:
            return {}
        world = box.shifted(*self.inputs.layer.origin)
        place = (world.row, world.col, world.height, world.width)
        planes = [
            gaussian(self.job.seed, sample, i, *place, cell=cell) for i, cell in enumerate(noise.cells_px)
        ]
        return {noise.tensor: np.stack(planes)[None]}

    def _read_ahead(self) -> Iterator[tuple[Box, Context]]:
        """Each chunk with its input context; the next one is read while the network runs."""
        with ThreadPoolExecutor(1, initializer=_enter_gdal) as reader:
            regions = [self.plan.context(chunk) for chunk in self.chunks]
            coming = reader.submit(self.inputs.read, regions[0])
            for number, chunk in enumerate(self.chunks):
                context = coming.result()
                if number + 1 < len(regions):
                    coming = reader.submit(self.inputs.read, regions[number + 1])
                yield chunk, context


class Outputs:
    """The files of a run: the first sample, and the spread over all samples."""

    def __init__(
        self, item: ModelItem, layout: Layout, image: MosaicWriter, spread: MosaicWriter | None
    ) -> None:
        self._item, self._layout, self._image, self._spread_file = item, layout, image, spread
        self._first: NDArray[np.float32] | None = None
        self._spread = Spread()

    def feed(self, sample: int, values: NDArray[np.float32]) -> None:
        """Takes one sample of the current chunk, physical values with NaN for nodata."""
        if sample == 0:
            self._first = values
        if self._spread_file is not None:
            self._spread.feed(values)

    def write(self, box: Box) -> None:
        """Writes the current chunk."""
        self._image.write(box, stored(self._first, self._item.output, self._layout.nodata))
        if self._spread_file is not None:
            self._spread_file.write(box, self._spread.data)
            self._spread = Spread()

    def finish(self, check: Callable[[], None]) -> None:
        """Completes both files, then gives both their names or neither."""
        check()
        writers = [self._image, *([self._spread_file] if self._spread_file else [])]
        for writer in writers:
            writer.complete()
        check()
        publish(writers)


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
    for name in ("steps", "guidance", "prompt"):
        if getattr(job, name) is not None:
            raise InputError(f"The model {item.id} runs in one step and takes no {name}; leave it out.")
    if job.uncertainty and job.samples < 2:
        raise InputError(
            "The uncertainty needs at least 2 samples to compare, and 1 was asked for; set more samples."
        )
    if job.samples > 1 and not job.uncertainty:
        notes(
            "warning",
            f"{job.samples} samples were asked for without an uncertainty file: only the first is written.",
        )
    if job.samples > 1 and item.noise is None:
        notes("warning", f"The model {item.id} draws no noise, so all samples are equal.")
    return item


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
def _outputs(job: Job, item: ModelItem, inputs: Inputs, device: str) -> Iterator[Outputs]:
    """Opens the files to write, and removes them when anything goes wrong."""
    grid = inputs.layer.part(inputs.box).scaled(item.output.scale_factor)
    tags = provenance_tags(job, item, inputs, device)
    wanted = [(job.output, sample_layout(item.output, tags))]
    if job.uncertainty:
        wanted.append((job.uncertainty, spread_layout(item.output, tags)))
        if Path(job.uncertainty).absolute() == Path(job.output).absolute():
            raise InputError(
                "The output and the uncertainty are the same file; give the uncertainty another name."
            )
    given = [path for spec in job.inputs.values() for path in spec.paths]
    for path, layout in wanted:
        pixel_bytes = len(layout.names) * np.dtype(layout.dtype).itemsize
        check_output(Path(path), given, grid.width * grid.height * pixel_bytes)
    writers: list[MosaicWriter] = []
    try:
        for path, layout in wanted:
            writers.append(MosaicWriter(Path(path), grid, layout, job.format == "cog", job.creation_options))
        yield Outputs(item, wanted[0][1], writers[0], writers[1] if len(writers) > 1 else None)
    finally:
        for writer in writers:
            writer.discard()


@contextlib.contextmanager
def _terminated_on_cancel(
    translator: Translator, is_cancelled: Callable[[], bool] | None
) -> Iterator[Callable[[], None]]:
    """Stops the network within a moment of a cancel; gives a function that raises if there was one."""
    done, asked = threading.Event(), is_cancelled or (lambda: False)

    def watch() -> None:
        while not done.wait(_WATCH_S):
            if asked():
                translator.terminate()

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


def _enter_gdal() -> None:
    # rasterio keeps GDAL's options by thread; these live as long as the reader. Python's warning filters
    # belong to the whole process and are left to the thread that runs the job.
    rasterio.Env(**GDAL_OPTIONS).__enter__()


def _silent(fraction: float, text: str) -> None:
    pass
