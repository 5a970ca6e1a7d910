"""What an interrupted run has finished: ``<output>.part.jsonl``, one JSON object a line.

The first line says which job it is; each further line names a finished chunk, where it lies and its SHA-256.
A line is written when its chunk is in the file, so a kill loses nothing that is finished. Both are forced
to the disk every few seconds, data first; a line whose data was lost in a power cut fails its hash
and the chunk is made again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock

from engine.errors import OutputError
from engine.raster.writer import Start, Stored, remove

VERSION = 1
_SYNC_S = 2.0
_FOREIGN = (KeyError, TypeError, ValueError)  # what a line of another program raises when it is taken apart


@dataclass(frozen=True)
class Head:
    """The first line: everything that decides about the pixels, number of chunks, how each file begins."""

    identity: dict[str, Any]
    chunks: int
    starts: tuple[Start, ...]


@dataclass(frozen=True)
class Record:
    """A finished chunk: where it lies in each file, and what made it."""

    chunk: int
    stored: tuple[Stored, ...]
    device: str
    worker: str = ""


@dataclass(frozen=True)
class Journal:
    """The journal of one output.

    Attributes:
        path: Of the journal.
    """

    path: Path

    @classmethod
    def of(cls, output: Path) -> Journal:
        """The journal beside an output."""
        return cls(output.with_name(output.name + ".part.jsonl"))

    def read(self) -> tuple[Head | None, list[Record]]:
        """The first line and the finished chunks; None if there is no journal that can be used.

        A torn or foreign line ends it: what follows is made again.

        Raises:
            OutputError: Another release has written it.
        """
        lines = self._lines()
        first = next(lines, {})
        if first.get("journal", VERSION) != VERSION:
            raise OutputError(
                f"The interrupted run in {self.path} was made by another release of EO Translate; continue "
                "it with that one, or set resume to restart (--restart) to start over."
            )
        try:
            starts = tuple(Start(**start) for start in first["starts"])
            head = Head(dict(first["identity"]), int(first["chunks"]), starts)
        except _FOREIGN:
            return None, []
        records: dict[int, Record] = {}
        for line in lines:
            try:
                stored = tuple(Stored(**where) for where in line["stored"])
                record = Record(int(line["chunk"]), stored, line["device"], line.get("worker", ""))
            except _FOREIGN:
                break
            if len(stored) != len(starts) or not 0 <= record.chunk < head.chunks:
                break
            records[record.chunk] = record
        return head, list(records.values())

    def start(self, head: Head, records: list[Record]) -> JournalWriter:
        """Begins the journal afresh, with chunks that are there already.

        Raises:
            OutputError: The disk is full or failing.
        """
        new = self.path.with_name(self.path.name + ".new")
        with _failing(self.path):
            with open(new, "w", encoding="utf-8") as file:
                file.write(json.dumps({"journal": VERSION, **asdict(head)}) + "\n")
                file.writelines(_line(record) for record in records)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)
            return JournalWriter(self.path)

    def remove(self) -> None:
        """Removes it."""
        remove(self.path)
        remove(self.path.with_name(self.path.name + ".new"))

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            data = self.path.read_bytes()
        except OSError:
            return
        for line in data.split(b"\n")[:-1]:
            try:
                document = json.loads(line)
            except (ValueError, RecursionError):
                return
            if not isinstance(document, dict):
                return
            yield document


class JournalWriter:
    """Adds chunks to a journal."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by close)
        self._synced = time.monotonic()

    def add(self, record: Record) -> bool:
        """Writes a chunk's line; says whether it is time to ``sync``.

        Raises:
            OutputError: The disk is full or failing.
        """
        with _failing(self._path):
            line = _line(record).encode()
            if self._file.write(line) != len(line):
                raise OSError("No space left on device")
        return time.monotonic() - self._synced >= _SYNC_S

    def sync(self) -> None:
        """Forces it to the disk; call it after the data that it speaks of."""
        with _failing(self._path):
            os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


@contextmanager
def claimed(output: Path) -> Iterator[None]:
    """Holds an output for the length of a block; the system lets go of it when the process dies.

    Raises:
        OutputError: Another run holds it.
    """
    lock = filelock.FileLock(f"{output}.part.lock", timeout=0)
    try:
        with _failing(output):
            lock.acquire()
    except filelock.Timeout:
        raise OutputError(
            f"Another run is writing {output}; wait until it has ended, or choose another output."
        ) from None
    try:
        yield
    finally:
        # Removed before it is let go, so that nobody's newer lock can be meant.
        if os.name == "posix":
            remove(Path(lock.lock_file))
        lock.release()
        if os.name != "posix":
            remove(Path(lock.lock_file))


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What has changed between two runs' identities, a clause each."""
    files = [
        f"the file {name} has changed"
        for name in sorted(before["files"].keys() & now["files"].keys())
        if before["files"][name] != now["files"][name]
    ]
    old = dict(_flat({**before, "files": list(before["files"])}))
    new = dict(_flat({**now, "files": list(now["files"])}))
    return files + [
        f"{name} was {_shown(old.get(name))} and is {_shown(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.loads(json.dumps(value))


def _shown(value: Any) -> str:
    text = "not given" if value is None else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:30]}...{text[-47:]}"  # paths differ at their end


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except filelock.Timeout:
        raise
    except OSError as error:
        raise OutputError(
            f"The file {error.filename2 or error.filename or path} could not be written "
            f"({error.strerror or error}); make room, or choose another place."
        ) from None
