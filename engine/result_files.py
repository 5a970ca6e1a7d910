"""Which files a job writes: one a modality and sample, and one a modality for how the samples differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import InputError
from engine.models.item import ModelItem
from engine.spec import Job


@dataclass(frozen=True)
class ResultFile:
    """A raster that a job writes.

    Attributes:
        path: Where.
        modality: What it shows.
        kind: ``sample``: one draw; ``spread``: mean and standard deviation over all draws, or for classes the
            most frequent one and the share of draws that agree.
        sample: Number of the draw, from 1; 0 for ``spread``.
    """

    path: Path
    modality: str
    kind: Literal["sample", "spread"]
    sample: int


def result_files(job: Job, item: ModelItem) -> tuple[ResultFile, ...]:
    """The files of a job, samples first, in the order of the model's modalities.

    Raises:
        InputError: It asks for what the model cannot make, or for two things in one file.
    """
    wanted = wanted_modalities(job, item)
    outputs = _by_modality(job.output, "output", wanted)
    spreads = _by_modality(job.uncertainty, "uncertainty", wanted) if job.uncertainty else {}
    drawn = range(1, (job.samples if job.all_samples else 1) + 1)
    files = [
        ResultFile(sample_path(outputs[modality], sample), modality, "sample", sample)
        for modality in wanted
        for sample in drawn
    ]
    files += [ResultFile(spreads[modality], modality, "spread", 0) for modality in wanted if spreads]
    places = [file.path.absolute() for file in files]
    if len(set(places)) < len(places):
        twice = next(file for file in files if places.count(file.path.absolute()) > 1)
        raise InputError(
            f"Two results are to be written to the same file {twice.path}; give each a name of its own."
        )
    return tuple(files)


def sample_path(path: Path, sample: int) -> Path:
    """Where the draw with this number (from 1) is written: ``scene.tif``, ``scene_v2.tif`` ..."""
    return path if sample == 1 else path.with_name(f"{path.stem}_v{sample}{path.suffix}")


def wanted_modalities(job: Job, item: ModelItem) -> tuple[str, ...]:
    """What the job generates, in the model's order.

    Raises:
        InputError: Nothing, what the model does not make, or what is given as an input.
    """
    asked = set(job.generate)
    if isinstance(job.output, Mapping):
        if asked and asked != set(job.output):
            raise InputError(
                f"The job is to generate {', '.join(sorted(asked))} and names output files for "
                f"{', '.join(sorted(job.output))}; name the same in both."
            )
        asked = set(job.output)
    if not asked:
        if item.is_joint:
            raise InputError(
                f"Nothing was asked for; generate at least one of {', '.join(item.gives)} (--generate)."
            )
        asked = set(item.gives)
    if unknown := sorted(asked - set(item.gives)):
        raise InputError(
            f"The model {item.id} does not make {', '.join(unknown)}; it makes {', '.join(item.gives)}."
        )
    # A feed-forward model may well turn optical into optical.
    if both := sorted(asked & set(given_modalities(job))) if item.is_joint else []:
        raise InputError(
            f"{', '.join(both)} cannot be given and generated at once; take it out of one of the two."
        )
    return tuple(modality for modality in item.gives if modality in asked)


def given_modalities(job: Job) -> tuple[str, ...]:
    """Modalities that the job has, rasters or single values."""
    values = (("date", job.date), ("position", job.position))
    return (*job.inputs, *(name for name, value in values if value is not None))


def _by_modality(paths: str | Mapping[str, str], what: str, wanted: tuple[str, ...]) -> dict[str, Path]:
    if isinstance(paths, Mapping):
        if set(paths) != set(wanted):
            raise InputError(
                f"The {what} files are for {', '.join(sorted(paths))} and {', '.join(wanted)} is generated; "
                "name one for each."
            )
        return {modality: Path(path) for modality, path in paths.items()}
    if len(wanted) > 1:
        raise InputError(
            f"{', '.join(wanted)} are generated and one {what} file was given; name one for each."
        )
    return {wanted[0]: Path(paths)}
