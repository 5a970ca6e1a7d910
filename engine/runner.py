"""Runs chunks in this process: readers -> queue -> one device thread -> queue -> encoder -> queue."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray

from engine.errors import ModelError, OutOfMemoryError
from engine.inputs import Context, Log
from engine.models.item import ModelItem
from engine.pipeline import Pipeline, give_way
from engine.raster.source import GDAL_OPTIONS
from engine.scene import Chunk, Scene, Step
from engine.spec import Job
from engine.tiling.plan import Window
from engine.translators.base import Translator, warm_translator

if TYPE_CHECKING:
    from engine.joint_inputs import JointContext
    from engine.latent_scene import Draw, LatentScene

Check = Callable[[], None]
_QUEUED_BYTES = 96 << 20
_CUDA_READERS = 4


class Runner(Protocol):
    """What turns chunk indices into chunks: this process, or a cluster.

    Attributes:
        device: What the network runs on, for people and tags.
        evaluated: How many chunks have gone through the network; 2.5 is half-way through the third.
    """

    device: str
    evaluated: float

    def run(
        self, scene: Scene, indices: list[int], check: Check, on_wait: Callable[[], None]
    ) -> Iterator[Chunk]:
        """Chunks, in any order.

        Args:
            scene: Knows them.
            indices: The ones that are wanted.
            check: Raises when the run was cancelled; called from any thread.
            on_wait: Called every moment in which none is ready.
        """

    def terminate(self) -> None:
        """Stops what the network does now; may be called from any thread."""


class LocalRunner:
    """A runner in this process; see ``Runner``."""

    def __init__(self, job: Job, item: ModelItem, log: Log) -> None:
        self._translator = warm_translator(item, job.device, job.threads, job.precision, job.profile)
        self.device = self._translator.device
        self.evaluated = 0.0
        self._log = log

    def run(
        self, scene: Scene, indices: list[int], check: Check, on_wait: Callable[[], None]
    ) -> Iterator[Chunk]:
        """See ``Runner.run``; in the scene's own order."""
        readers = _CUDA_READERS if self.device == "cuda" else 1
        reading = read_ahead(scene, scene.order(indices), readers)
        # Left in this order: the stages end, then the reads; only after that may the inputs be closed.
        with contextlib.closing(reading) as contexts, Pipeline() as pipeline:
            if scene.item.is_joint:
                made = self._draws(scene, contexts, pipeline, check)
            else:
                made = self._windows(scene, contexts, pipeline, check)
            yield from pipeline.stage(scene.finished(made), 1, on_wait, yielding=True)

    def _windows(
        self,
        scene: Scene,
        contexts: Iterator[tuple[int, Context]],
        pipeline: Pipeline,
        check: Check,
    ) -> Iterator[Step]:
        device = Device(self._translator, scene, self._log)
        depth = _depth(scene, self._translator.batch)
        steps = pipeline.stage(scene.steps(contexts), depth, yielding=True)
        return pipeline.stage(self._counted(device.evaluated(steps, check)), depth)

    def _draws(
        self,
        scene: LatentScene,
        contexts: Iterator[tuple[int, JointContext]],
        pipeline: Pipeline,
        check: Check,
    ) -> Iterator[Draw]:
        def report(done: int, share: float) -> None:
            check()
            self.evaluated = done + share

        self._translator.begin()
        return pipeline.stage(scene.draws(contexts, self._translator, report), 1)

    def terminate(self) -> None:
        """See ``Runner.terminate``."""
        self._translator.terminate()

    def _counted(self, steps: Iterator[Step]) -> Iterator[Step]:
        done = 0
        for step in steps:
            self.evaluated = done + step.share
            done += step.share == 1.0
            yield step


class Device:
    """The device stage: windows in batches through the network, in smaller ones when memory is short."""

    def __init__(self, translator: Translator, scene: Scene, log: Log) -> None:
        self._translator, self._scene, self._log = translator, scene, log
        self._halvings = 0

    def evaluated(self, steps: Iterable[Step], check: Check) -> Iterator[Step]:
        """Steps with their results, in the same order."""
        for group in self._groups(steps):
            check()
            to_run = [step for step in group if step.tensors is not None]
            results = iter(self._results(to_run) if to_run else ())
            for step in group:
                if step.tensors is None:
                    yield step
                else:
                    yield replace(step, tensors=None, result=next(results))

    def _groups(self, steps: Iterable[Step]) -> Iterator[list[Step]]:
        """Consecutive steps whose windows are equal in size and fit one batch."""
        group: list[Step] = []
        for step in steps:
            size = _size(step)
            running = [other for other in map(_size, group) if other]
            if running and size and (len(running) >= self._translator.batch or running[0] != size):
                yield group
                group = []
            group.append(step)
            if self._translator.batch == 1:
                yield group
                group = []
        if group:
            yield group

    def _results(self, steps: list[Step]) -> list[NDArray[np.float32]]:
        if len(steps) == 1:
            return [self._result(steps[0].window, steps[0].tensors, 0)]
        tensors = {name: np.concatenate([step.tensors[name] for step in steps]) for name in steps[0].tensors}
        try:
            return list(self._evaluate(steps[0].window, tensors))
        except OutOfMemoryError:
            if not self._translator.shrink():
                raise
        size = self._translator.batch
        self._log(
            "warning",
            f"The device {self._translator.device} ran out of memory; going on with {size} windows at once.",
        )
        return [result for i in range(0, len(steps), size) for result in self._results(steps[i : i + size])]

    def _result(
        self, window: Window, tensors: dict[str, NDArray[np.float32]], level: int
    ) -> NDArray[np.float32]:
        if level >= self._halvings:
            try:
                return self._evaluate(window, tensors)[0]
            except OutOfMemoryError:
                if self._translator.shrink():
                    return self._result(window, tensors, level)
                if self._scene.plan.halves(window) is None:
                    raise
                self._halvings = level + 1
                self._log(
                    "warning",
                    f"The device {self._translator.device} ran out of memory on a window of "
                    f"{window.box.width} x {window.box.height} pixels; going on with halves of it, "
                    "which takes longer and changes no pixel.",
                )
        return self._in_halves(window, tensors, level)

    def _evaluate(self, window: Window, tensors: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """(B, C, h * f, w * f).

        Raises:
            ModelError: The network gives another shape than its description says.
        """
        result, item = self._translator.translate(tensors), self._scene.item
        box = window.box.scaled(item.output.scale_factor)
        expected = (len(item.output.bands), box.height, box.width)
        if result.shape[1:] != expected:
            raise ModelError(
                f"The model {item.id} gave {' x '.join(map(str, result.shape[1:]))} values for a window "
                f"where its description says {' x '.join(map(str, expected))} (bands, rows, columns); its "
                "item.json does not fit its weights."
            )
        return result

    def _in_halves(
        self, window: Window, tensors: dict[str, NDArray[np.float32]], level: int
    ) -> NDArray[np.float32]:
        halves = self._scene.plan.halves(window)
        if halves is None:
            return self._evaluate(window, tensors)[0]
        output = self._scene.item.output
        factor, box = output.scale_factor, window.box
        whole = np.zeros((len(output.bands), box.height * factor, box.width * factor), dtype=np.float32)
        for half in halves:
            rows, cols = half.box.within(box).slices
            fed = {name: np.ascontiguousarray(array[:, :, rows, cols]) for name, array in tensors.items()}
            result = self._result(half, fed, level + 1)
            place = half.core.within(box).scaled(factor).slices
            whole[(slice(None), *place)] = result[
                (slice(None), *half.core.within(half.box).scaled(factor).slices)
            ]
        return whole


def run_chunk(scene: Scene, index: int, translator: Translator, log: Log) -> Chunk:
    """One chunk, from its input to its file, in this thread."""
    contexts = iter([(index, scene.read(index))])
    if scene.item.is_joint:
        translator.begin()
        return next(iter(scene.finished(scene.draws(contexts, translator, lambda done, share: None))))
    steps = Device(translator, scene, log).evaluated(scene.steps(contexts), lambda: None)
    return next(iter(scene.finished(steps)))


def read_ahead(scene: Scene, indices: list[int], readers: int) -> Iterator[tuple[int, Context]]:
    """Each chunk's inputs, in order; ``readers`` threads read the coming ones."""
    with ThreadPoolExecutor(readers, initializer=_enter_gdal) as pool:
        coming = deque()
        try:
            for index in indices:
                coming.append((index, pool.submit(scene.read, index)))
                if len(coming) > readers:
                    first, context = coming.popleft()
                    yield first, context.result()
            for first, context in coming:
                yield first, context.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _enter_gdal() -> None:
    # rasterio keeps GDAL's options by thread; these live as long as the reader.
    rasterio.Env(**GDAL_OPTIONS).__enter__()
    give_way()


def _size(step: Step) -> tuple[int, int] | None:
    return None if step.tensors is None else (step.window.box.height, step.window.box.width)


def _depth(scene: Scene, batch: int) -> int:
    """Windows that may wait between two stages."""
    planes = sum(entry.channels for entry in scene.item.inputs)
    planes += len(scene.item.noise.cells_px) if scene.item.noise else 0
    largest = max(w.box.height * w.box.width for w in scene.plan.windows(scene.chunks[0]))
    return max(1, min(_QUEUED_BYTES // (4 * planes * largest), 4 * batch))
