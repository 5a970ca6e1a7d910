"""Interrupted runs: what the engine's journal beside an output says; standard library only.

An interrupted run keeps ``OUTPUT.part`` and ``OUTPUT.part.jsonl``: a head with the number of parts, then a
line for each finished one (docs/contracts.md).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

_VERSION = 1
# No line of the engine is longer; a foreign file of that name must not fill the memory.
_MAX_LINE_BYTES = 1_000_000


class Interrupted(NamedTuple):
    """How far an earlier run got.

    Attributes:
        output: The file that it was to write.
        done, total: Parts, 0 < done <= total.
    """

    output: str
    done: int
    total: int


def find(*outputs: str) -> Interrupted | None:
    """The interrupted run beside one of a job's outputs; None where there is none, or nothing is finished."""
    return next(filter(None, map(_find, outputs)), None)


def _find(output: str) -> Interrupted | None:
    try:
        with Path(f"{output}.part.jsonl").open("rb") as journal:
            head = _parse(journal.readline(_MAX_LINE_BYTES))
            done = set(itertools.takewhile(lambda chunk: chunk >= 0, _chunks(journal)))
    except (OSError, ValueError):
        return None
    total = _count(head.get("chunks"))
    finished = len([chunk for chunk in done if chunk < total])
    return Interrupted(output, finished, total) if finished and head.get("journal") == _VERSION else None


def _chunks(journal: BinaryIO) -> Iterator[int]:
    """The finished chunks; -1 for a line that is torn or something else, after which the engine stops too."""
    for line in iter(lambda: journal.readline(_MAX_LINE_BYTES), b""):
        yield _count(_parse(line).get("chunk"))


def _parse(line: bytes) -> dict[str, Any]:
    """A line as an object; empty where it is torn or something else."""
    if not line.endswith(b"\n"):
        return {}
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
