"""The whole comparison: reads the rasters part by part, feeds every score, writes what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from engine.errors import CancelledError, OutputError
from engine.evaluation.class_maps import compare_classes
from engine.evaluation.html import write_html
from engine.evaluation.pairs import Part, open_pairs
from engine.evaluation.report import Report, write_json
from engine.evaluation.request import Comparison
from engine.evaluation.values import compare_values
from engine.raster.source import gdal_environment

Progress = Callable[[float, str], None]


def evaluate(
    comparison: Comparison,
    on_progress: Progress | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> Report:
    """Compares results with the truth and writes what the comparison asks for.

    Args:
        comparison: What to compare.
        on_progress: Told the share of the work that is done (0..1) and what it is.
        is_cancelled: Asked between parts.

    Raises:
        InputError: A raster, a band or a weights file cannot be used, or no pixel is valid everywhere.
        MissingPackageError: A score needs a package that is not installed.
        OutputError: A report cannot be written.
        CancelledError: It was cancelled; nothing was written.
    """
    progress = on_progress or (lambda fraction, text: None)
    cancelled = is_cancelled or (lambda: False)

    def checked(parts: Iterator[Part], count: int, start: float, end: float, text: str) -> Iterator[Part]:
        for number, part in enumerate(parts):
            if cancelled():
                raise CancelledError("The evaluation was cancelled; nothing was written.")
            progress(start + (end - start) * number / count, text)
            yield part

    _check_targets(comparison)
    with gdal_environment(), ExitStack() as stack:
        pairs = open_pairs(comparison, stack)
        compare = compare_classes if comparison.kind == "classes" else compare_values
        report, pictures = compare(comparison, pairs, stack, checked)
    if comparison.json_file:
        write_json(report.as_dict(), Path(comparison.json_file))
    if comparison.html:
        write_html(report, pictures, Path(comparison.html))
    progress(1.0, "Done")
    return report


def _check_targets(comparison: Comparison) -> None:
    """Before the work: a report is no use where it cannot be written, or in the place of an input."""
    further = [raster for raster in (comparison.multispectral, comparison.pan) if raster is not None]
    read = [path for r in (comparison.reference, *comparison.results, *further) for path in r.paths]
    read += comparison.weights
    for target in filter(None, (comparison.html, comparison.json_file)):
        if not Path(target).resolve().parent.is_dir():
            raise OutputError(f"The folder of the report {target} does not exist; make it first.")
        if Path(target).resolve() in {Path(path).resolve() for path in read}:
            raise OutputError(
                f"The report {target} would replace a file that is compared; give another name."
            )
