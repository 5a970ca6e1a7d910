"""One job's raster, chunk by chunk: each is a pure function of (job, chunk index)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.inputs import Context, Inputs
from engine.models.item import ModelItem
from engine.provenance import provenance_tags
from engine.raster.encode import BLOCK_PX, Encoder
from engine.raster.grid import Grid
from engine.raster.writer import Stored
from engine.result_files import result_files
from engine.results import Spread, file_layout, stored
from engine.spec import Job
from engine.tiling.lattice import Box, chunks
from engine.tiling.noise import gaussian
from engine.tiling.plan import Assembly, Kept, Plan, Window, chunk_px, chunk_unit, in_strips

_KEPT_BYTES = 128 << 20


@dataclass(frozen=True)
class Step:
    """One window on its way through the pipeline.

    Attributes:
        index: Of the chunk.
        valid: (H, W) of the chunk: where all required inputs are.
        sample: Index of the draw.
        window: What is evaluated; None: nothing in this chunk is valid.
        tensors: Tensor name -> (1, C, h, w) float32; None: evaluated for an earlier chunk already.
        result: (C, h * f, w * f) float32, once it is there.
        share: Part of its chunk's work that is done with it, 0..1.
    """

    index: int
    valid: NDArray[np.bool_]
    sample: int
    window: Window | None
    tensors: dict[str, NDArray[np.float32]] | None = None
    result: NDArray[np.float32] | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Chunk:
    """A finished chunk.

    Attributes:
        index: Of the chunk.
        files: One small GeoTIFF for each file of the job, empty where the chunk has no valid pixel; or where
            a worker has put it already.
        device: What made it.
        worker: Process that made it, on a cluster.
    """

    index: int
    files: tuple[bytes | Stored, ...]
    device: str
    worker: str = ""


class Scene:
    """A job with its inputs open: knows its chunks, and how each is read, evaluated and encoded.

    Args:
        job: What to do.
        item: The model.
        inputs: Opened for both.
        device: What the network runs on, for the tags.

    Attributes:
        grid: The output grid.
        chunks: Boxes of the layer, row-major.
        columns: Chunks in a row.
        files: What the job writes.
        encoders: One for each of them.
    """

    def __init__(self, job: Job, item: ModelItem, inputs: Inputs, device: str) -> None:
        self.job, self.item, self.inputs, self.device = job, item, inputs, device
        self._factor = item.output.scale_factor
        self.plan = Plan(item.tiling, inputs.layer.origin)
        self.side = chunk_side(job, self._factor)
        self.chunks = [
            chunk.shifted(inputs.box.row, inputs.box.col)
            for chunk in chunks(inputs.box.height, inputs.box.width, self.side)
        ]
        self.columns = -(-inputs.box.width // self.side)
        self.grid: Grid = inputs.layer.part(inputs.box).scaled(self._factor)
        self.files = result_files(job, item)
        self.encoders = self._encoders()
        self._samples = job.samples if job.uncertainty or job.all_samples else 1
        self._bands = len(item.output.bands)
        self._here = threading.local()

    def place(self, index: int) -> Box:
        """Where a chunk lies in the output files (output px)."""
        return self.chunks[index].within(self.inputs.box).scaled(self._factor)

    def order(self, indices: list[int]) -> list[int]:
        """The order in which neighbouring chunks share most."""
        return in_strips(indices, self.columns)

    def read(self, index: int) -> Context:
        """A chunk's inputs with the context they need; safe to call from several threads."""
        if not hasattr(self._here, "inputs"):
            self._here.inputs = self.inputs.twin()
        return self._here.inputs.read(self.plan.context(self.chunks[index]))

    def steps(self, contexts: Iterator[tuple[int, Context]]) -> Iterator[Step]:
        """The windows of chunks, in canonical order: chunk, sample, row, column."""
        kept: Kept[bool] = self._kept()
        for index, context in contexts:
            chunk = self.chunks[index]
            valid = context.valid[chunk.within(context.box).slices]
            windows = [w for w in self.plan.windows(chunk) if _touches(w, chunk, valid)]
            if not windows:
                yield Step(index, valid, 0, None)
                continue
            total = self._samples * len(windows)
            for sample in range(self._samples):
                for number, window in enumerate(windows):
                    share = (sample * len(windows) + number + 1) / total
                    step = Step(index, valid, sample, window, share=share)
                    key = (sample, window)
                    if kept.get(key) is None:
                        kept.put(key, True)
                        tensors = context.window(window.box) | self._noise(window.box, sample)
                        step = replace(step, tensors=tensors)
                    yield step

    def finished(self, steps: Iterator[Step]) -> Iterator[Chunk]:
        """Chunks from evaluated steps."""
        kept: Kept[NDArray[np.float32]] = self._kept()
        for index, group in groupby(steps, key=lambda step: step.index):
            yield Chunk(index, self._files(index, group, kept), self.device)

    def _files(self, index: int, steps: Iterator[Step], kept: Kept[NDArray[np.float32]]) -> tuple[bytes, ...]:
        place, spread = self.place(index), Spread()
        images = iter(self.encoders[:-1] if self.job.uncertainty else self.encoders)
        files = []
        for _, group in groupby(steps, key=lambda step: step.sample):
            values = self._values(index, group, kept)
            if values is None:
                return (b"",) * len(self.encoders)
            if self.job.uncertainty:
                spread.feed(values)
            if image := next(images, None):
                files.append(image.encode(place, stored(values, self.item.output, image.layout.nodata)))
        if self.job.uncertainty:
            files.append(self.encoders[-1].encode(place, spread.data))
        return tuple(files)

    def _values(
        self, index: int, steps: Iterator[Step], kept: Kept[NDArray[np.float32]]
    ) -> NDArray[np.float32] | None:
        """Physical values (C, h * f, w * f) of a sample, NaN where inputs are invalid; None: all of it."""
        assembly, valid = Assembly(self.plan, self._bands, self._factor, self.chunks[index]), None
        for step in steps:
            if step.window is None:
                return None
            key, result, valid = (step.sample, step.window), step.result, step.valid
            if result is None:
                result = kept.get(key)
            else:
                kept.put(key, result)
            assembly.feed(step.window, result)
        values = assembly.data
        np.clip(values, *self.item.output.range, out=values)
        if not valid.all():
            fine = valid.repeat(self._factor, axis=0).repeat(self._factor, axis=1)
            np.copyto(values, np.nan, where=~fine)
        return values

    def _noise(self, box: Box, sample: int) -> dict[str, NDArray[np.float32]]:
        """The noise tensor (1, C, h, w) of a window, keyed by world pixel."""
        noise = self.item.noise
        if noise is None:
            return {}
        world = box.shifted(*self.inputs.layer.origin)
        place = (world.row, world.col, world.height, world.width)
        planes = np.empty((len(noise.cells_px), world.height, world.width), dtype=np.float32)
        for i, cell in enumerate(noise.cells_px):
            gaussian(self.job.seed, sample, i, *place, cell=cell, out=planes[i])
        return {noise.tensor: planes[None]}

    def _kept(self) -> Kept:
        if not self.plan.on_lattice:
            return Kept(0)
        side = self.item.tiling.window_px * self._factor
        return Kept(max(1, _KEPT_BYTES // (self._bands * side * side * 4)))

    def _encoders(self) -> tuple[Encoder, ...]:
        return file_encoders(self, self.side * self._factor)


def open_scene(job: Job, item: ModelItem, inputs: Inputs, device: str) -> Scene:
    """The scene of a job, for the family of its model."""
    if item.is_joint:
        from engine.latent_scene import LatentScene

        return LatentScene(job, item, inputs, device)
    return Scene(job, item, inputs, device)


def file_encoders(scene: Scene, chunk_px: int) -> tuple[Encoder, ...]:
    """What turns chunks into the parts of each file of a scene; ``chunk_px`` counts output pixels."""
    job, cog = scene.job, scene.job.format == "cog"
    encoders = []
    for file in scene.files:
        tags = provenance_tags(job, scene.item, scene.inputs, scene.device, chunk_px, file)
        layout = file_layout(file, scene.item, tags)
        encoders.append(Encoder(scene.grid, layout, job.creation_options, cog))
    return tuple(encoders)


def chunk_side(job: Job, factor: int) -> int:
    """Side of a chunk (input px)."""
    unit = chunk_unit(factor, BLOCK_PX)
    if job.chunk_px is not None and job.chunk_px % unit:
        raise InputError(
            f"The chunk size must be a multiple of {unit} input pixels here, so that chunks fill whole "
            f"blocks of the file, and is {job.chunk_px}."
        )
    return job.chunk_px or chunk_px(factor, BLOCK_PX)


def _touches(window: Window, chunk: Box, valid: NDArray[np.bool_]) -> bool:
    touched = window.reach.intersection(chunk)
    return touched is not None and bool(valid[touched.within(chunk).slices].any())
