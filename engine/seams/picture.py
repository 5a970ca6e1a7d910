"""The seam benchmark as one picture: the image, its seam lines, and S2 to S4 by distance from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.raster import quicklook
from engine.raster.source import gdal_environment
from engine.seams import Report
from engine.seams.canvas import GLYPH_HEIGHT, Canvas, Place, text_width
from engine.seams.judge import S2_Z_BAR, S3_BAR, S4_BAR, Figure
from engine.seams.lines import Lines

_PAPER, _INK, _QUIET, _BAND, _CURVE = (
    (255, 255, 255),
    (34, 40, 49),
    (120, 128, 138),
    (232, 240, 234),
    (70, 110, 160),
)
_SEAM = (222, 76, 40)
_VERDICTS = {"pass": (38, 128, 70), "fail": (200, 40, 40), "unclear": (150, 110, 20)}
_IMAGE_PX, _PLOT_WIDTH, _PLOT_HEIGHT, _GAP = 720, 400, 150, 36
_TOP = 64
_CORNER = 2
_TITLES = {"S2": "S2 signed step", "S3": "S3 gradient", "S4": "S4 texture"}


def write(report: Report, target: Path) -> None:
    """Draws a report.

    Raises:
        OutputError: The picture cannot be written.
    """
    canvas = Canvas(_IMAGE_PX + 2 * _PLOT_WIDTH + 4 * _GAP, _TOP + _IMAGE_PX + _GAP, _PAPER)
    canvas.text(Path(report.path).name[:60], _GAP, 20, _INK, 2)
    size = f"{report.width} x {report.height} px, {report.lattice.source}"
    canvas.text(size, _GAP, 42, _QUIET)
    _image(canvas, report)
    for column, (axis, lines) in enumerate(zip(report.axes, (report.lattice.rows, report.lattice.columns))):
        x = 2 * _GAP + _IMAGE_PX + column * (_PLOT_WIDTH + _GAP)
        heading = f"between {axis.name}: {axis.lines} seam line{'s' * (axis.lines != 1)}"
        canvas.text(heading, x, 24, _INK, 2)
        canvas.text("pixels from the seam", x, 46, _QUIET)
        for row, (figure, values) in enumerate(zip(axis.figures, (axis.step, axis.gradient, axis.energy))):
            place = (x, _TOP + 34 + row * (_PLOT_HEIGHT + 82), _PLOT_WIDTH, _PLOT_HEIGHT)
            _plot(canvas, figure, values, lines, place)
    quicklook.write_png(canvas.pixels, target)


def _image(canvas: Canvas, report: Report) -> None:
    with gdal_environment():
        image = quicklook.render(Path(report.path), _IMAGE_PX)
    _, height, width = image.shape
    canvas.fill((_GAP - 1, _TOP - 1, width + 2, height + 2), _QUIET)
    canvas.fill((_GAP, _TOP, width, height), _PAPER)
    canvas.paste(image, _GAP, _TOP)
    # Only a corner is marked, so that the eye can look for seams in the rest.
    for x in _marks(report.lattice.columns, report.width, width):
        canvas.fill((_GAP + x, _TOP, 1, height // _CORNER), _SEAM)
    for y in _marks(report.lattice.rows, report.height, height):
        canvas.fill((_GAP, _TOP + y, width // _CORNER, 1), _SEAM)


def _marks(lines: Lines, size: int, drawn: int) -> list[int]:
    """Picture pixels of the seam lines in the corner, at least the first one."""
    starts = range(lines.start_px % lines.period_px - lines.period_px, size, lines.period_px)
    places = (start + offset for start in starts for offset in lines.offsets_px)
    marks = sorted({place * drawn // size for place in places if 0 < place < size})
    return [mark for mark in marks if mark == marks[0] or mark < drawn // _CORNER]


def _plot(canvas: Canvas, figure: Figure, values: NDArray[np.float64], lines: Lines, place: Place) -> None:
    x, y, width, height = place
    title = _TITLES[figure.name]
    if figure.value is not None:
        title += f" {figure.value:.3f}" + ("" if figure.z is None else f", z {figure.z:.1f}")
    canvas.text(title, x, y - 22, _INK, 2)
    verdict = figure.verdict
    canvas.text(verdict, x + width - text_width(verdict, 2), y - 22, _VERDICTS[verdict], 2)
    limits = _limits(figure, values)
    canvas.fill(place, (246, 247, 249))
    low, high = _bars(figure, values)
    top, bottom = (_row(value, limits, height) for value in (high, low))
    canvas.fill((x, y + top, width, bottom - top + 1), _BAND)
    half = lines.period_px // 2
    for offset in lines.offsets_px:
        seam = (offset + half) % lines.period_px
        canvas.fill((x + seam * width // lines.period_px, y, 1, height), _SEAM)
    canvas.curve(np.roll(values, half), place, limits, _CURVE)
    canvas.text(f"{limits[1]:.2f}", x, y + 3, _QUIET)
    canvas.text(f"{limits[0]:.2f}", x, y + height - GLYPH_HEIGHT - 3, _QUIET)
    for label, at in ((f"-{half}", 0), ("0", width // 2), (f"+{half}", width)):
        middle = min(max(at - text_width(label) // 2, 0), width - text_width(label))
        canvas.text(label, x + middle, y + height + 6, _QUIET)


def _row(value: float, limits: tuple[float, float], height: int) -> int:
    low, high = limits
    return round((high - min(max(value, low), high)) / (high - low) * (height - 1))


def _bars(figure: Figure, values: NDArray[np.float64]) -> tuple[float, float]:
    """Between these the seam phase passes."""
    if figure.name == "S3":
        return S3_BAR
    if figure.name == "S4":
        return S4_BAR, np.inf
    if figure.z in (None, 0):
        return -np.inf, np.inf
    middle = float(np.nanmedian(values))
    return -np.inf, middle + S2_Z_BAR * (figure.value - middle) / figure.z


def _limits(figure: Figure, values: NDArray[np.float64]) -> tuple[float, float]:
    """Values at the bottom and the top of a plot: most phases, the seam's own and the bars."""
    known = values[np.isfinite(values)]
    bars = [bar for bar in _bars(figure, values) if np.isfinite(bar)]
    shown = [*np.percentile(known, [1, 99]), *bars, 1.0] if len(known) else [0.9, 1.1]
    if figure.value is not None:
        shown.append(figure.value)
    margin = 0.1 * (max(shown) - min(shown)) + 1e-3
    return min(shown) - margin, max(shown) + margin
