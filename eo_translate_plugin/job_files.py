"""The files that a job of the engine names: one, or one a modality."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingException

from .translate import tr


def outputs(job: dict[str, Any]) -> list[str]:
    """The files of the first sample; the engine keeps its journal beside one of them."""
    return _paths(job["output"])


def all_files(job: dict[str, Any]) -> list[str]:
    """Every file that the job writes."""
    drawn = range(2, job.get("samples", 1) + 1) if job.get("all_samples") else ()
    more = [_of_sample(Path(path), sample) for path in outputs(job) for sample in drawn]
    return [*outputs(job), *more, *_paths(job.get("uncertainty"))]


def absolute(job: dict[str, Any]) -> dict[str, Any]:
    """The job for a process that works in another folder than QGIS."""
    written = {key: _absolute(job[key]) for key in ("output", "uncertainty") if job.get(key)}
    inputs = {
        modality: {**given, "path": os.path.abspath(given["path"])}
        if os.path.exists(given["path"])
        else given
        for modality, given in job["inputs"].items()
    }
    return {**job, **written, "inputs": inputs}


def _paths(value: str | dict[str, str] | None) -> list[str]:
    return list(value.values()) if isinstance(value, dict) else [value] if value else []


def _absolute(value: str | dict[str, str]) -> str | dict[str, str]:
    if isinstance(value, dict):
        return {modality: os.path.abspath(path) for modality, path in value.items()}
    return os.path.abspath(value)


def _of_sample(path: Path, sample: int) -> str:
    return str(path.with_name(f"{path.stem}_v{sample}{path.suffix}"))


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """A folder for results: made if its parent is there, and removed if nothing came of it.

    Raises:
        QgsProcessingException: It cannot be made.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise QgsProcessingException(
            tr("The folder {folder} cannot be made ({reason}); choose another.").format(
                folder=folder, reason=error.strerror
            )
        ) from None
    try:
        yield
    except BaseException:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
        raise
