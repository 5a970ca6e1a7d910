"""The report as one HTML file that needs nothing else: no scripts, no links; also Qt's rich text shows it."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import engine
from engine.evaluation import catalogue
from engine.evaluation.pictures import Pictures, difference_png, histogram_png, image_png
from engine.evaluation.report import Report, write_text

if TYPE_CHECKING:
    from engine.evaluation.set_scores import SetReport

_MAX_COLUMNS = 6
_PICTURES_A_ROW = 3
_SMALL = 5e-4
_BAND = "wasserstein_"
_TITLES = {"pixels": "Pixels", "iou": "IoU", "f1": "F1"}  # of single classes
_STYLE = """
body { font-family: sans-serif; color: #282c34; margin: 24px; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin-top: 22px; }
table { border-collapse: collapse; }
td, th { border: 1px solid #d0d4da; padding: 3px 8px; text-align: left; }
th { background-color: #eef1f4; } .bare { border: none; } .quiet { color: #787d87; }
"""
_SIGNS = {"up": "&uarr;", "down": "&darr;", "zero": "0", "half": "0.5", "one": "1", "": ""}


def write_html(report: Report, pictures: Pictures, path: Path) -> None:
    """Writes the report whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    scores = catalogue.CLASSES if report.kind == "classes" else catalogue.of_values()
    shown = {
        name: score
        for name, score in scores.items()
        if any(result.scores.get(name) is not None for result in report.results)
    }
    sections = [
        _compared(report),
        *_scores(report, shown),
        *_per_tile(report),
        *_drawn(report, pictures),
        *_per_band(report),
        *_listed("What to keep in mind", report.notes),
        *meanings(shown),
        *_listed("Not computed: the weights of a trained network are needed", report.missing),
    ]
    write_text(page("Evaluation", sections), path)


def write_sets_html(report: SetReport, path: Path) -> None:
    """Writes the report of two sets whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    shown = {name: score for name, score in catalogue.SETS.items() if name in report.mean}
    rows = [
        (
            f"<b>{escape(s.title)}</b>",
            _SIGNS[s.better],
            number(report.mean[name]),
            number(report.std.get(name)),
        )
        for name, s in shown.items()
    ]
    rows += [
        (
            f"<b>{escape(catalogue.DEEP[name].title)}</b>",
            _SIGNS[catalogue.DEEP[name].better],
            number(value),
            "",
        )
        for name, value in report.pooled.items()
    ]
    bands = [
        (escape(name.removeprefix(_BAND).upper()), number(value))
        for name, value in report.mean.items()
        if name.startswith(_BAND)
    ]
    places = [
        (escape(place or "."), *(number(scores.get(name)) for name in shown))
        for place, scores in report.places.items()
    ]
    images = f"{report.images[0]} real, {report.images[1]} generated, {len(report.places)} places"
    facts = [("Real", report.real), ("Generated", report.generated), ("Images", images)]
    facts.append(("Bands", ", ".join(report.bands)))
    sections = [
        table(("", "What was compared"), [(f"<b>{name}</b>", escape(text)) for name, text in facts]),
        "<h2>Scores</h2>",
        table(("Score", "Better", "Mean", "&plusmn;"), rows),
        "<h2>Wasserstein by band</h2>",
        table(("Band", "Mean"), bands),
        *_listed("What to keep in mind", report.notes),
        *meanings({**shown, **{name: catalogue.DEEP[name] for name in report.pooled}}),
        "<h2>By place</h2>",
        table(("Place", *(escape(score.title) for score in shown.values())), places),
    ]
    write_text(page("Evaluation of two sets of images", sections), path)


def page(title: str, sections: Iterable[str]) -> str:
    """A whole HTML document."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(sections)
        + f'\n<p class="quiet">EO Translate {escape(engine.__version__)}</p>\n</body></html>\n'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table; cells are HTML already."""
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table border="1" cellspacing="0" cellpadding="4">\n<tr>{cells}</tr>\n{body}\n</table>'


def number(value: float | None) -> str:
    """About four digits; a dash for what could not be measured."""
    if value is None or not math.isfinite(value):
        return "&ndash;"
    if value == round(value):
        return f"{value:.0f}".replace("-", "&minus;")
    text = f"{value:.2e}" if 0 < abs(value) < _SMALL else f"{value:.4f}" if abs(value) < 1 else f"{value:.4g}"
    return text.replace("-", "&minus;", 1) if value < 0 else text


def meanings(scores: dict[str, catalogue.Score]) -> list[str]:
    """A section that explains scores."""
    rows = [
        (f"<b>{escape(score.title)}</b>", escape(catalogue.ARROWS[score.better]), escape(score.text))
        for score in scores.values()
    ]
    return ["<h2>What the scores mean</h2>", table(("Score", "Better", "Meaning"), rows)]


def _compared(report: Report) -> str:
    place = report.place
    bounds = ", ".join(f"{edge:.10g}" for edge in place["bounds"])
    size = f"{place['width']} x {place['height']} px of {place['pixel_size']:.6g}, {place['crs']}"
    rows = [
        ("Reference", escape(report.reference)),
        *((f"Result {i}", escape(result.path)) for i, result in enumerate(report.results, 1)),
        ("Bands", escape(", ".join(report.bands))),
        ("Grid", escape(f"{size} (the reference's grid)")),
        ("Extent", escape(bounds)),
        ("Valid pixels", f"{report.pixels} ({report.share:.1%}), valid in the reference and in every result"),
    ]
    if report.value_range is not None:
        low, high = report.value_range
        rows.append(
            ("Value range", escape(f"{low:.6g} to {high:.6g} ({report.range_reason}), for PSNR, SSIM"))
        )
    return table(("", "What was compared"), [(f"<b>{name}</b>", text) for name, text in rows])


def _scores(report: Report, scores: dict[str, catalogue.Score]) -> list[str]:
    several = bool(report.samples)
    columns = report.results if len(report.results) <= _MAX_COLUMNS else []
    head = ["Score", "Better"]
    head += ["Mean", "&plusmn;", "Best"] if several else []
    head += [f"Result {i}" for i in range(1, len(columns) + 1)] if several else ["Value"]
    rows = []
    for name, score in scores.items():
        unit = f" ({score.unit})" if score.unit not in ("", "value") else ""
        over = report.samples.get(name, {})
        row = [f"<b>{escape(score.title + unit)}</b>", _SIGNS[score.better]]
        row += [number(over.get(kind)) for kind in ("mean", "std", "best")] if several else []
        rows.append([*row, *(number(result.scores.get(name)) for result in columns)])
    sections = ["<h2>Scores</h2>", table(head, rows)]
    if several:
        sections.append(
            "<p>The results are samples of one place. <b>Mean</b> is what one sample scores on average. "
            "<b>Best</b> is optimistic: each row takes its own best sample, so no single sample need have "
            "these scores, and more samples can only improve them.</p>"
        )
    return sections


def _per_tile(report: Report) -> list[str]:
    if "best" not in report.tiles:
        return []
    mean, best = report.tiles["mean"], report.tiles["best"]
    rows = [(escape(name.upper()), number(mean[name]), number(best[name])) for name in mean]
    return [
        f"<h2>Best sample of each tile</h2><p>{report.tiles['count']} tiles of {report.tiles['px']} px, as "
        "COP-GEN's benchmark scores them: PSNR and SSIM after scaling by the tile's own true range. Per tile "
        "the best of the samples in each score, then the mean over tiles: optimistic.</p>",
        table(("Score", "Mean sample", f"Best of {len(report.results)}"), rows),
    ]


def _per_band(report: Report) -> list[str]:
    bands = report.results[0].per_band
    if len(bands) < 2:
        return []
    names = list(next(iter(bands.values())))
    titles = {**catalogue.CLASSES, **catalogue.PIXELS}
    head = [escape(titles[name].title if name in titles else _TITLES[name]) for name in names]
    rows = [(f"<b>{escape(band)}</b>", *map(number, found.values())) for band, found in bands.items()]
    what = "class" if report.kind == "classes" else "band"
    first = " (result 1)" if len(report.results) > 1 else ""
    return [f"<h2>By {what}{first}</h2>", table((what.capitalize(), *head), rows)]


def _listed(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return [f"<h2>{escape(title)}</h2><ul>{items}</ul>"]


def _drawn(report: Report, pictures: Pictures) -> list[str]:
    sections = []
    if pictures.reference is not None:
        stretch = pictures.stretch()
        shown = [("Reference", image_png(pictures.reference, stretch))]
        shown += [
            (f"Result {i}", image_png(result.image, stretch)) for i, result in enumerate(pictures.results, 1)
        ]
        sections += ["<h2>Pictures</h2>", *_rows(shown)]
        colours = escape(", ".join(pictures.colours))
        sections.append(f"<p>Bands {colours}, all stretched to the reference's 2 to 98 %.</p>")
    largest = pictures.largest_difference()
    maps = [
        (f"Result {i}: {escape(os.path.basename(result.title))}", difference_png(result.difference, largest))
        for i, result in enumerate(pictures.results, 1)
    ]
    what = "Share of wrong pixels" if report.kind == "classes" else "Mean absolute difference over bands"
    sections += [
        "<h2>Where they differ</h2>",
        *_rows(maps),
        f"<p>{what}: white is 0, dark red is {largest:.4g} or more; grey was not compared.</p>",
    ]
    if pictures.histograms:
        plots = [("", histogram_png(histogram)) for histogram in pictures.histograms]
        sections += ["<h2>How values are spread</h2>", *_rows(plots)]
        sections.append(
            "<p>Grey: reference. Red: result 1. The lowest and highest bins hold what lies beyond.</p>"
        )
    return sections


def _rows(pictures: list[tuple[str, bytes]]) -> list[str]:
    rows = [pictures[i : i + _PICTURES_A_ROW] for i in range(0, len(pictures), _PICTURES_A_ROW)]
    return [
        '<table border="0" cellspacing="0" cellpadding="4"><tr>'
        + "".join(f'<td class="bare">{_embedded(png)}<br>{title}</td>' for title, png in row)
        + "</tr></table>"
        for row in rows
    ]


def _embedded(png: bytes) -> str:
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
