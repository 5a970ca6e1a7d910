"""Compares maps of classes."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from engine.errors import InputError
from engine.evaluation import catalogue
from engine.evaluation.classes import Confusion, top_k_hits
from engine.evaluation.overview import Overview
from engine.evaluation.pairs import WINDOW_PX, Pairs, Part
from engine.evaluation.pictures import Pictures, Shown
from engine.evaluation.report import Report, ResultScores, over_samples
from engine.evaluation.request import Comparison
from engine.evaluation.values import SHOWN_RESULTS, Walk, place_of

_MAX_CLASSES = 1000
_TOP = 3


def compare_classes(
    comparison: Comparison, pairs: Pairs, stack: ExitStack, walk: Walk
) -> tuple[Report, Pictures]:
    """Scores of class maps, and what their pictures are drawn from.

    A result with several bands holds the score of every class, band 1 of the class 0: the highest one counts.

    Raises:
        InputError: The values are no classes, or no pixel is valid everywhere.
    """
    tables = [Confusion() for _ in pairs.results]
    hits = [0] * len(tables)
    shown = min(len(tables), SHOWN_RESULTS)
    overview = Overview(pairs.box, shown)
    pixels = 0
    count = -(-pairs.box.height // WINDOW_PX) * -(-pairs.box.width // WINDOW_PX)
    for part in walk(pairs.parts(0), count, 0.0, 1.0, "Comparing"):
        truth = _codes(part.reference[0][part.valid], pairs.reference.name)
        pixels += truth.size
        wrong = []
        for number, result in enumerate(part.results):
            found, right = _classified(result[:, part.valid], truth, pairs.results[number].name)
            tables[number].update(truth, found)
            hits[number] += right
            wrong.append(_spread_out(found != truth, part))
        _check_few(tables, pairs)
        overview.update(part.box, np.stack(wrong[:shown]), part.valid)
    if not pixels:
        raise InputError(
            "No pixel is valid in the reference and in every result; check that they show one place, and "
            "their nodata values."
        )
    results = [
        _scores(raster.name, table, right / pixels if len(raster.numbers) > 1 else None)
        for raster, table, right in zip(pairs.results, tables, hits, strict=True)
    ]
    report = Report(
        kind="classes",
        reference=pairs.reference.name,
        bands=pairs.bands,
        place=place_of(pairs),
        pixels=pixels,
        share=pixels / (pairs.box.height * pairs.box.width),
        results=results,
        samples=over_samples(results, catalogue.CLASSES),
        notes=pairs.notes,
    )
    images = [Shown(pairs.results[i].name, None, plane) for i, plane in enumerate(overview.means())]
    return report, Pictures(None, images, [], [])


def _classified(values: np.ndarray, truth: np.ndarray, name: str) -> tuple[np.ndarray, int]:
    """Codes (N,), and how often the true one is among the three highest scores."""
    if len(values) == 1:
        return _codes(values[0], name), 0
    known = truth < len(values)
    return values.argmax(axis=0), top_k_hits(values[:, known], truth[known], _TOP)


def _codes(values: np.ndarray, name: str) -> np.ndarray:
    codes = np.rint(values)
    if not np.array_equal(codes, values):
        raise InputError(
            f"{name} holds values such as {values[codes != values][0]:g}, which are no class codes; "
            "leave out --classes to compare measured values."
        )
    return codes.astype(np.int64)


def _check_few(tables: list[Confusion], pairs: Pairs) -> None:
    if max(len(table.codes) for table in tables) > _MAX_CLASSES:
        raise InputError(
            f"{pairs.reference.name} and the results hold more than {_MAX_CLASSES} different values, so they "
            "are no class maps; leave out --classes to compare measured values."
        )


def _spread_out(wrong: np.ndarray, part: Part) -> np.ndarray:
    plane = np.zeros(part.valid.shape)
    plane[part.valid] = wrong
    return plane


def _scores(name: str, table: Confusion, top3: float | None) -> ResultScores:
    scores = table.scores() | ({} if top3 is None else {"top3": top3})
    each = table.per_class()
    true = table.matrix.sum(axis=1)
    per_class = {
        f"class {code}": {
            "pixels": float(true[row]),
            **{kind: float(values[row]) for kind, values in each.items()},
        }
        for row, code in enumerate(table.codes)
    }
    return ResultScores(name, scores, per_class)
