"""The files of a run: claimed, filled chunk by chunk, journalled, and published or left for later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from engine.diagnostics import versions
from engine.errors import CancelledError, EOTranslateError, InputError, OutputError
from engine.inputs import Log
from engine.journal import Head, Journal, Record, claimed, differences
from engine.models.item import ModelItem
from engine.raster.grid import Grid
from engine.raster.parts import PartsWriter
from engine.raster.writer import MosaicWriter, Stored, check_output, publish
from engine.result_files import result_files
from engine.results import file_layout
from engine.scene import Chunk, Scene
from engine.spec import HANDLING, Job

_PLACES = frozenset(["output", "uncertainty", "generate", "all_samples", "device"])  # said by ``results``


class Outputs:
    """The files of a run.

    Attributes:
        pending: Chunks that are still to be made.
        done: How many are finished.
    """

    def __init__(self, job: Job, scene: Scene, log: Log) -> None:
        self._job, self._scene = job, scene
        self._paths = [file.path for file in scene.files]
        self._journal = Journal.of(self._paths[0])
        self._identity = identity(job, scene)
        self._records: list[Record] = []
        self._hopeless = False
        head = self._interrupted(log)
        starts = head.starts if head else [None] * len(self._paths)
        self._writers: list[MosaicWriter | PartsWriter] = []
        try:
            for path, encoder, start in zip(self._paths, scene.encoders, starts, strict=True):
                self._writers.append(_writer_class(job)(path, encoder, start))
            if head:
                self._restore(log)
            starts = tuple(writer.start for writer in self._writers)
            head_now = Head(self._identity, len(scene.chunks), starts)
            self._lines = self._journal.start(head_now, self._records)
        except BaseException:
            if head is None:
                self.discard()
            raise
        finished = {record.chunk for record in self._records}
        self.pending = [index for index in range(len(scene.chunks)) if index not in finished]

    @property
    def done(self) -> int:
        """How many chunks are finished."""
        return len(self._records)

    def write(self, chunk: Chunk) -> None:
        """Adds a chunk to every file, then to the journal.

        Raises:
            OutputError: The disk is full or failing.
        """
        place = self._scene.place(chunk.index)
        both = zip(self._writers, chunk.files, strict=True)
        stored = tuple(writer.append(place, file) for writer, file in both)
        record = Record(chunk.index, stored, chunk.device, chunk.worker)
        if self._lines.add(record):
            for writer in self._writers:
                writer.sync()
            self._lines.sync()
        self._records.append(record)

    def finish(self, check: Callable[[], None]) -> None:
        """Completes the files, then gives all of them their names or none.

        Raises:
            InputError: No pixel was valid.
            OutputError: The disk is full or failing.
        """
        if not any(stored.size for record in self._records for stored in record.stored):
            self._hopeless = True
            raise InputError(
                "The inputs have no pixel in this area where all of them are valid, so there is "
                "nothing to translate; choose another extent or check the nodata values."
            )
        for writer in self._writers:
            check()
            writer.complete()
        check()
        publish(self._writers)
        self.discard()

    def leave(self, cancelled: bool) -> str:
        """Ends a run that failed: keeps what is worth continuing, removes the rest; says what is kept."""
        total = len(self._scene.chunks)
        wanted = self._job.resume == "continue" if cancelled else not self._hopeless
        if not (wanted and self._records and total > 1):
            self.discard()
            return ""
        self._lines.close()
        for writer in self._writers:
            writer.release()
        part, parts = self._writers[0].part, f"{self.done} of {total} parts are finished"
        if not (self._journal.path.exists() and all(writer.part.exists() for writer in self._writers)):
            return f"{parts}, but {part} cannot be reached any more."
        return (
            f"{parts} and kept in {part}; run the same job again with resume set to continue (--resume) to "
            "go on, or to restart (--restart) to start over."
        )

    def discard(self) -> None:
        """Removes everything but finished results."""
        if hasattr(self, "_lines"):
            self._lines.close()
        # The journal first: without its parts it would speak of a run that cannot be continued.
        self._journal.remove()
        for writer in self._writers:
            writer.discard()

    def _interrupted(self, log: Log) -> Head | None:
        """The first line of an earlier run's journal, if this run goes on from it.

        Raises:
            OutputError: There is one and the job does not say what to do, or it was another job.
        """
        if self._job.resume == "restart":
            return None
        head, self._records = self._journal.read()
        if head is None and self._journal.path.is_file():
            log("warning", f"The journal {self._journal.path} is damaged; starting over.")
        if head is None or not self._records:
            return None
        output, total = self._paths[0], head.chunks
        if self._job.resume == "ask":
            raise OutputError(
                f"An interrupted run of {output} is there, {len(self._records)} of {total} parts done; "
                "set resume to continue (--resume) to go on, or to restart (--restart) to start over."
            )
        changed = differences(head.identity, self._identity)
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise OutputError(
                f"The interrupted run of {output} was another job ({'; '.join(changed[:3])}{more}); run the "
                "same job to continue it, or set resume to restart (--restart) to start over."
            )
        left_behind = _writer_class(self._job).left_behind
        if not all(map(left_behind, self._paths, head.starts, self._stored())):
            log("warning", f"The interrupted run of {output} has lost its parts; starting over.")
            self._records = []
            return None
        return head

    def _stored(self) -> list[list[Stored]]:
        """Where each file's chunks lie."""
        return [[record.stored[number] for record in self._records] for number in range(len(self._paths))]

    def _restore(self, log: Log) -> None:
        places = [self._scene.place(record.chunk) for record in self._records]
        whole = [True] * len(places)
        for writer, stored in zip(self._writers, self._stored(), strict=True):
            whole = [a and b for a, b in zip(whole, writer.restore(places, stored), strict=True)]
        lost = whole.count(False)
        self._records = [record for record, good in zip(self._records, whole, strict=True) if good]
        more = f"; {lost} more were damaged and are made again" if lost else ""
        log(
            "info",
            f"Continuing an interrupted run: {self.done} of {len(self._scene.chunks)} parts are done{more}.",
        )


@contextmanager
def opened(job: Job, scene: Scene, log: Log) -> Iterator[Outputs]:
    """The files of a run; when the block fails, what is worth continuing stays and all else is removed.

    Raises:
        OutputError: They cannot be written, another run holds them, or an interrupted run is there.
    """
    with ExitStack() as claims:
        for file in scene.files:
            claims.enter_context(claimed(file.path))
        outputs = Outputs(job, scene, log)
        try:
            yield outputs
        except BaseException as error:
            cancelled = isinstance(error, CancelledError | KeyboardInterrupt)
            kept = outputs.leave(cancelled)
            if kept and isinstance(error, EOTranslateError):
                reason = "The run was cancelled." if cancelled else str(error)
                raise type(error)(f"{reason} {kept}") from None
            raise


def identity(job: Job, scene: Scene) -> dict[str, Any]:
    """All that decides about the pixels, and about where chunks lie; what must be equal to continue a run."""
    described = job.model_dump(mode="json", exclude=HANDLING | _PLACES)
    grid = scene.grid
    used = versions()
    del used["python"]
    return {
        **described,
        "results": [[file.modality, file.kind, file.sample] for file in scene.files],
        "device": scene.device,
        "model_sha256": scene.item.sha256,
        "package": scene.item.model_dump(
            mode="json",
            include={"network", "inputs", "noise", "output", "tiling", "groups", "sampler", "assets"},
        ),
        "chunk_px": scene.side,
        "grid": {
            "crs": grid.crs.to_wkt() if grid.crs else None,
            "transform": list(grid.transform)[:6],
            "size": [grid.width, grid.height],
        },
        "statistics": scene.inputs.statistics,
        "files": {source.dataset.name: source.fingerprint() for source in scene.inputs.sources},
        "versions": used,
    }


def check_places(job: Job, item: ModelItem, grid: Grid) -> None:
    """Everything about the files to write that can be known before the first pixel is read.

    Args:
        job: Names them.
        item: Says what they hold.
        grid: The output grid.

    Raises:
        InputError, OutputError: One of them cannot be written, or there is too little room.
    """
    given = [path for spec in job.inputs.values() for path in spec.paths]
    for file in result_files(job, item):
        layout = file_layout(file, item, {})
        needed = grid.width * grid.height * len(layout.names) * np.dtype(layout.dtype).itemsize
        check_output(file.path, given, needed, _writer_class(job).suffixes)


def _writer_class(job: Job) -> type[MosaicWriter | PartsWriter]:
    return PartsWriter if job.format == "vrt" else MosaicWriter
