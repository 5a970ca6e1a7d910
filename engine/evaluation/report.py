"""What an evaluation found, as plain numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import OutputError
from engine.evaluation.catalogue import Score

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class ResultScores:
    """Of one result.

    Attributes:
        path: The raster.
        scores: Over everything that was compared; names as in ``catalogue``.
        per_band: Band, or class, -> its scores.
    """

    path: str
    scores: Numbers
    per_band: dict[str, Numbers] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """All that was compared and found.

    Attributes:
        kind: ``continuous`` or ``classes``.
        reference: The truth.
        bands: What was compared.
        place: Grid of the compared part: ``crs``, ``pixel_size``, ``width``, ``height``, ``bounds``.
        pixels: Valid in all rasters.
        share: These, of all pixels of the compared part.
        results: In the order given.
        value_range: Smallest and largest value, for ``psnr`` and ``ssim``; with ``range_reason``.
        samples: Over several results, per score: ``mean``, ``std``, ``best`` and ``best_result``.
        tiles: ``px``, ``count``, and for several results ``mean`` and ``best`` of the scores per tile.
        notes: What a reader should know.
        missing: Scores that were not computed, and what they need.
    """

    kind: str
    reference: str
    bands: list[str]
    place: dict[str, Any]
    pixels: int
    share: float
    results: list[ResultScores]
    value_range: tuple[float, float] | None = None
    range_reason: str = ""
    samples: dict[str, Numbers] = field(default_factory=dict)
    tiles: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what is not a finite number is null."""
        return plain(asdict(self))


def over_samples(results: Sequence[ResultScores], scores: dict[str, Score]) -> dict[str, Numbers]:
    """Mean, standard deviation (n - 1) and best of every score over several results; empty for one."""
    if len(results) < 2:
        return {}
    found = {}
    for name, score in scores.items():
        values = [result.scores.get(name) for result in results]
        if any(value is None or not math.isfinite(value) for value in values):
            continue
        numbers = np.array(values, dtype=np.float64)
        best = _best(numbers, score)
        found[name] = {
            "mean": float(numbers.mean()),
            "std": float(numbers.std(ddof=1)),
            "best": None if best is None else float(numbers[best]),
            "best_result": None if best is None else best + 1,
        }
    return found


def _best(values: np.ndarray, score: Score) -> int | None:
    ideal = {"zero": 0.0, "half": 0.5, "one": 1.0}.get(score.better)
    if ideal is not None:
        return int(np.abs(values - ideal).argmin())
    return {"up": values.argmax, "down": values.argmin}.get(score.better, lambda: None)()


def write_json(document: dict[str, Any], path: Path) -> None:
    """Writes it whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Writes it whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"The file {path} cannot be written: {error.strerror}.") from None
    finally:
        part.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """As JSON types; what is not a finite number becomes None."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
