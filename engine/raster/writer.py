"""Mosaics: one GeoTIFF, filled chunk by chunk under another name, renamed when it is whole.

``<name>.part`` starts with an empty GeoTIFF made by GDAL; each chunk is appended as the small GeoTIFF that it
is. What has been appended is never touched again, so a kill at any moment leaves all finished chunks
readable. At the end one directory is written that points at the chunks' blocks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.io import DatasetReader

from engine.errors import OutputError
from engine.raster.encode import BLOCK_PX, Encoder, gdal_errors_raised
from engine.raster.tiff import Directory
from engine.tiling.lattice import Box

_SPARE_BYTES = 16 << 20
_HEAD_BYTES = 16


@dataclass(frozen=True)
class Stored:
    """Where a chunk lies in the file (bytes), and the SHA-256 of what was put there."""

    at: int
    size: int
    sha256: str


def check_output(path: Path, inputs: list[str], estimated_bytes: int, suffixes: tuple[str, ...]) -> None:
    """Everything about the place that can be known before the first pixel.

    Args:
        path: The file to write.
        inputs: Paths that must not be overwritten.
        estimated_bytes: Uncompressed size of the result.
        suffixes: Endings that the format allows.

    Raises:
        OutputError: Extension, folder, permission, name clash or free space.
    """
    if path.suffix.lower() not in suffixes:
        what = "a VRT with GeoTIFF parts" if ".vrt" in suffixes else "GeoTIFF"
        raise OutputError(
            f"The output {path} must end in {' or '.join(suffixes)}: the format asked for is {what}."
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"The output folder {folder} does not exist; make it first.")
    if path.is_dir():
        raise OutputError(f"The output {path} is a folder; give a file name.")
    if not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise OutputError(f"The output {path} cannot be written: permission denied; choose another place.")
    for name in inputs:
        if path.exists() and os.path.exists(name) and os.path.samefile(path, name):
            raise OutputError(f"The output {path} is also an input; give it another name.")
    free = shutil.disk_usage(folder).free
    # Compressed imagery rarely takes less than a quarter, so less room than that is not worth a start.
    if free < estimated_bytes // 4:
        raise OutputError(
            f"The output needs up to {_size(estimated_bytes)} and {folder} has {_size(free)} free; make "
            "room or choose another place."
        )


@dataclass(frozen=True)
class Start:
    """The empty file that chunks are appended to: length (bytes), first bytes in hexadecimal, SHA-256."""

    size: int
    head: str
    sha256: str


class MosaicWriter:
    """Writes a GeoTIFF under ``<name>.part``.

    ``complete`` and ``publish`` (this one or, for several files, the function) make it the result,
    ``discard`` removes it, ``release`` closes it and leaves it for a later run.

    Args:
        path: The result.
        encoder: Made the chunks; knows grid, bands and tags.
        start: Of the ``.part`` that an earlier run has left, to go on with it (``restore``); None: a new one.

    Raises:
        OutputError: It cannot be created, or an option is unknown.
    """

    suffixes = (".tif", ".tiff")

    def __init__(self, path: Path, encoder: Encoder, start: Start | None = None) -> None:
        self.path, self.part, self._encoder = path, _part(path), encoder
        self._file: FileIO | None = None
        with self._failing():
            encoder.check_options()
            self.start = self._begin(encoder) if start is None else self._go_on(start)
        self._end = self.start.size
        self._offsets = np.zeros_like(self._directory.offsets)
        self._sizes = np.zeros_like(self._directory.sizes)

    @classmethod
    def left_behind(cls, path: Path, start: Start, stored: Sequence[Stored]) -> bool:
        """Whether an earlier run's ``.part`` can be used; one that was renamed just before a kill is again.

        Args:
            path: The result.
            start: How the ``.part`` begins.
            stored: The chunks that lie in it.

        Raises:
            OutputError: The place is failing.
        """
        try:
            _take_back(path)
            if not _part(path).exists() and _is_made_of(path, start, stored):
                os.replace(path, _part(path))
            return _begins_with(_part(path), start)
        except OSError as error:
            raise write_error(path, error) from None

    def restore(self, places: Sequence[Box], stored: Sequence[Stored]) -> list[bool]:
        """Takes over what an earlier run has appended, and cuts off the rest.

        Args:
            places: Of the chunks (px).
            stored: Where they should lie.

        Returns:
            Which of them are whole.
        """
        with self._failing():
            whole = [_is_whole(self._file, where) for where in stored]
        self.keep([(place, s) for place, s, good in zip(places, stored, whole, strict=True) if good])
        return whole

    def keep(self, chunks: Sequence[tuple[Box, Stored]]) -> None:
        """Points at chunks that lie in the file already, and ends the file behind them."""
        with self._failing():
            for place, where in chunks:
                self._point_at(place, where)
                self._end = max(self._end, where.at + where.size)
            self._file.truncate(self._end)

    def append(self, place: Box, chunk: bytes) -> Stored:
        """Adds a chunk; an empty one leaves its pixels nodata.

        Args:
            place: In the whole file (px), from a block's corner.
            chunk: What ``Encoder.encode`` made.

        Raises:
            OutputError: The disk is full or failing.
        """
        where = Stored(self._end, len(chunk), hashlib.sha256(chunk).hexdigest())
        with self._failing():
            self._write(self._end, chunk)
            self._point_at(place, where)
        self._end += len(chunk)
        return where

    def sync(self) -> None:
        """Returns when everything appended is on the disk.

        Raises:
            OutputError: The disk is full or failing.
        """
        with self._failing():
            os.fsync(self._file.fileno())
            os.stat(self.part)  # a removed file takes whatever is written, and loses it in the end

    def complete(self) -> None:
        """Everything but the name: directory, overviews, and the copy that other formats need.

        Raises:
            OutputError: The disk is full or failing.
        """
        with self._failing():
            tail, patch = self._directory.tail(self._end, self._offsets, self._sizes)
            self._write(self._end, tail)
            self._write(patch.at, patch.data)
            os.fsync(self._file.fileno())
            self._close()
            factors = _overview_factors(self._encoder.grid.height, self._encoder.grid.width)
            with gdal_errors_raised():
                if factors:
                    with rasterio.open(self.part, "r+", NUM_THREADS="ALL_CPUS") as dataset:
                        palette = self._encoder.layout.palette
                        dataset.build_overviews(factors, Resampling.mode if palette else Resampling.average)
                self._check_overviews(len(factors))
                if self._encoder.copy is not None:
                    self._copy(*self._encoder.copy)

    def publish(self) -> None:
        """Gives the completed file its name, in place of what had it.

        Raises:
            OutputError: It cannot be renamed.
        """
        with self._failing():
            os.replace(self._finished, self.path)
            _sync_folder(self.path.absolute().parent)

    def release(self) -> None:
        """Closes the file and leaves it as it is."""
        self._close()
        for name in self._leavings[1:]:
            remove(name)

    def discard(self) -> None:
        """Removes everything but a finished result."""
        self._close()
        for name in self._leavings:
            remove(name)

    @contextmanager
    def published(self) -> Iterator[None]:
        """Publishes for the length of a block; if the block fails, what had the name gets it back.

        Raises:
            OutputError: It cannot be renamed.
        """
        kept = self.path.is_file()
        with self._failing():
            if kept:
                os.replace(self.path, _before(self.path))
        try:
            self.publish()
            yield
        except BaseException:
            if self.path.is_file():
                os.replace(self.path, self.part if not self.part.exists() else self._copied)
            _take_back(self.path)
            raise
        if kept:
            remove(_before(self.path))

    @property
    def _copied(self) -> Path:
        return self.part.with_name(self.part.name + ".copy")

    @property
    def _finished(self) -> Path:
        return self._copied if self._copied.exists() else self.part

    @property
    def _leavings(self) -> list[Path]:
        names = [self.part, self._copied]
        return names + [n.with_name(n.name + end) for n in names for end in (".aux.xml", ".ovr.tmp")]

    def _begin(self, encoder: Encoder) -> Start:
        _take_back(self.path)
        self.discard()
        # Made in memory: on a full disk GDAL would lose tags without telling.
        empty = encoder.empty()
        start = Start(len(empty), empty[:_HEAD_BYTES].hex(), hashlib.sha256(empty).hexdigest())
        try:
            self._file = FileIO(self.part, "w+")
            self._write(0, empty)
            self._directory = Directory.read(self._file)
        except BaseException:
            self.discard()
            raise
        return start

    def _go_on(self, start: Start) -> Start:
        self._file = FileIO(self.part, "r+")
        self._write(0, bytes.fromhex(start.head))
        self._directory = Directory.read(self._file)
        return start

    def _write(self, at: int, data: bytes) -> None:
        """Unbuffered, so that a full disk is known here and not when the file is closed."""
        self._file.seek(at)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def _point_at(self, place: Box, where: Stored) -> None:
        """Enters the blocks of a chunk that lies in the file."""
        if not where.size:
            return
        chunk = Directory.read(self._file, where.at)
        down, across = -(-self._encoder.grid.height // BLOCK_PX), -(-self._encoder.grid.width // BLOCK_PX)
        rows, cols = -(-place.height // BLOCK_PX), -(-place.width // BLOCK_PX)
        top, left = place.row // BLOCK_PX, place.col // BLOCK_PX
        inside = (slice(None), slice(top, top + rows), slice(left, left + cols))
        present = chunk.offsets > 0
        found = np.where(present, chunk.offsets + np.uint64(where.at), 0)
        self._offsets.reshape(-1, down, across)[inside] = found.reshape(-1, rows, cols)
        self._sizes.reshape(-1, down, across)[inside] = chunk.sizes.reshape(-1, rows, cols)

    def _copy(self, driver: str, options: dict[str, object]) -> None:
        rasterio.shutil.copy(self.part, self._copied, driver=driver, **options)
        with rasterio.open(self._copied) as dataset:  # every block, as a full disk can lose them silently
            for _, window in dataset.block_windows(1):
                dataset.read(window=window)

    def _check_overviews(self, count: int) -> None:
        """Reads them back: on a full disk libtiff loses blocks and directories without telling GDAL."""
        with rasterio.open(self.part) as dataset:
            if len(dataset.overviews(1)) != count:
                raise OSError("the overviews were lost")
            for level in range(count):
                self._check_overview(dataset, level)

    def _check_overview(self, dataset: DatasetReader, level: int) -> None:
        with rasterio.open(self.part, OVERVIEW_LEVEL=level) as overview:
            for (row, col), window in overview.block_windows(1):
                if dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1, ovr=level) is None:
                    raise OSError(f"a block of the overview {level} was lost")
                overview.read(window=window)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Any failure inside becomes a sentence."""
        try:
            yield
        except (OSError, ValueError) as error:
            raise write_error(self.path, error) from None


def publish(writers: Sequence[MosaicWriter]) -> None:
    """Gives completed files their names: all of them, or none and everything is as it was.

    Raises:
        OutputError: One of them cannot be renamed.
    """
    *others, last = writers
    with ExitStack() as stack:
        for writer in others:
            stack.enter_context(writer.published())
        last.publish()


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _before(path: Path) -> Path:
    """Where an older result waits until all files of a run have their names."""
    return path.with_name(path.name + ".before")


def _take_back(path: Path) -> None:
    """Undoes a renaming that was cut off between two files: the older result has its name again."""
    if _before(path).is_file():
        if path.is_file() and not _part(path).exists():
            os.replace(path, _part(path))
        os.replace(_before(path), path)


def _is_made_of(path: Path, start: Start, stored: Sequence[Stored]) -> bool:
    """Whether a file is the completed ``.part`` of these chunks."""
    if not _begins_with(path, start):
        return False
    with FileIO(path) as file:
        return any(where.size for where in stored) and all(_is_whole(file, where) for where in stored)


def _begins_with(path: Path, start: Start) -> bool:
    """Whether a file goes back to this empty one; its head may point somewhere else by now."""
    if not path.is_file():
        return False
    head = bytes.fromhex(start.head)
    with FileIO(path) as file:
        file.seek(len(head))
        return hashlib.sha256(head + file.read(start.size - len(head))).hexdigest() == start.sha256


def _is_whole(file: FileIO, where: Stored) -> bool:
    file.seek(where.at)
    return hashlib.sha256(file.read(where.size)).hexdigest() == where.sha256


def remove(path: Path) -> None:
    """Removes a file of our own if that is possible; what is said to the user is never about this."""
    with suppress(OSError):
        path.unlink()


def write_error(path: Path, error: Exception) -> OutputError:
    """What a failed write says to the user."""
    path = Path(getattr(error, "filename2", None) or getattr(error, "filename", None) or path)
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    if "creation option" in reason or "is an unexpected value" in reason or "Invalid value" in reason:
        return OutputError(f"A creation option for {path} is wrong ({reason}); correct it or leave it out.")
    try:
        full = shutil.disk_usage(path.absolute().parent).free < _SPARE_BYTES
    except OSError:
        full = False
    if full or "No space" in reason:
        return OutputError(
            f"The disk is full: {path} could not be written; make room or choose another place."
        )
    return OutputError(f"The output {path} could not be written ({reason[:200]}); choose another place.")


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _overview_factors(height: int, width: int) -> list[int]:
    factors, factor = [], 2
    while max(height, width) / factor * 2 > BLOCK_PX:
        factors.append(factor)
        factor *= 2
    return factors


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
