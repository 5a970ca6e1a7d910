"""``eo-translate evaluate`` and ``evaluate-sets``: how good results are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli_errors import plain_errors
from engine.cli_terminal import progress
from engine.errors import InputError

if TYPE_CHECKING:
    from engine.evaluation.report import Report
    from engine.evaluation.set_scores import SetReport

_Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Weights of AlexNet, VGG-16, ResNet-50 or Inception v3, for the scores that look through "
        "one; repeat it. Nothing is downloaded.",
    ),
]
_Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Report to write.")]
_Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All numbers; - prints them.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(plain_errors(evaluate))
    app.command("evaluate-sets")(plain_errors(evaluate_sets))


def evaluate(
    reference: Annotated[Path, typer.Argument(help="The truth: a raster; or a CSV of positions or dates.")],
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULT...", help="One result, or several samples.")
    ],
    bands: Annotated[
        str | None, typer.Option(help="Bands of the reference to compare, as B04,B03 or 1,2.")
    ] = None,
    result_bands: Annotated[str | None, typer.Option(help="Bands of the results, in that order.")] = None,
    classes: Annotated[bool, typer.Option("--classes", help="The rasters are maps of classes.")] = False,
    reference_scale: Annotated[
        float | None, typer.Option(help="Factor on the reference's values, as 0.0001 for digital numbers.")
    ] = None,
    result_scale: Annotated[float | None, typer.Option(help="Factor on the results' values.")] = None,
    reference_nodata: Annotated[float | None, typer.Option(help="Overrides the reference's nodata.")] = None,
    result_nodata: Annotated[float | None, typer.Option(help="Overrides the results' nodata.")] = None,
    value_range: Annotated[
        str | None, typer.Option("--range", metavar="LOW,HIGH", help="Value range for PSNR and SSIM.")
    ] = None,
    tile: Annotated[
        int, typer.Option(min=32, max=1024, help="Side of the tiles taken as images (px).")
    ] = 256,
    multispectral: Annotated[
        Path | None, typer.Option(help="For QNR: the coarse image that the result sharpens.")
    ] = None,
    pan: Annotated[Path | None, typer.Option(help="For QNR: the fine panchromatic image.")] = None,
    weights: _Weights = None,
    html: _Html = None,
    json_file: _Json = None,
) -> None:
    """Compare results with the truth: eo-translate evaluate truth.tif result.tif --html report.html."""
    from engine.evaluation.evaluate import evaluate as compare

    if reference.suffix.lower() == ".csv":
        _evaluate_tables(reference, results, json_file)
        return
    printed = json_file == Path("-")
    comparison = _comparison(
        reference=_raster(reference, bands, reference_scale, reference_nodata),
        results=[_raster(result, result_bands, result_scale, result_nodata) for result in results],
        kind="classes" if classes else "continuous",
        value_range=_interval(value_range),
        tile_px=tile,
        multispectral=multispectral and _raster(multispectral, None, None, None),
        pan=pan and _raster(pan, None, None, None),
        weights=weights or [],
        html=html and str(html),
        json_file=None if printed or json_file is None else str(json_file),
    )
    with progress() as (on_progress, _):
        report = compare(comparison, on_progress)
    if printed:
        _written(report.as_dict(), json_file)
    else:
        _print(report)


def _evaluate_tables(reference: Path, results: list[Path], json_file: Path | None) -> None:
    from engine.evaluation.vectors import evaluate_tables

    found = {str(result): evaluate_tables(reference, result) for result in results}
    if _written({"reference": str(reference), "results": found}, json_file):
        return
    for path, scores in found.items():
        typer.echo(path)
        for name, value in scores.items():
            typer.echo(f"  {name} {value:.6g}")


def evaluate_sets(
    real: Annotated[Path, typer.Argument(help="Folder with a folder of real images a place.")],
    generated: Annotated[Path, typer.Argument(help="The same of generated images.")],
    bands: Annotated[str | None, typer.Option(help="Bands to compare, as B02,B03,B04; default: all.")] = None,
    real_scale: Annotated[float, typer.Option(help="Factor on the real images' values.")] = 1.0,
    generated_scale: Annotated[float, typer.Option(help="Factor on the generated images' values.")] = 1.0,
    grid: Annotated[
        Path | None,
        typer.Option(help="COP-GEN's benchmark_grid.json: compare its footprints, by its choice of seeds."),
    ] = None,
    weights: _Weights = None,
    html: _Html = None,
    json_file: _Json = None,
) -> None:
    """Compare sets of images of the same places: 1-NN, MMD, precision, recall, range, diversity."""
    from engine.evaluation.set_scores import evaluate_sets as compare

    with progress() as (on_progress, _):
        report = compare(
            real,
            generated,
            bands=None if bands is None else [word.strip() for word in bands.split(",")],
            scales=(real_scale, generated_scale),
            grid=grid,
            weights=weights or [],
            on_progress=on_progress,
        )
    if html is not None:
        from engine.evaluation.html import write_sets_html

        write_sets_html(report, html)
    if not _written(report.as_dict(), json_file):
        _print_sets(report)


def _written(document: dict[str, Any], target: Path | None) -> bool:
    """Writes or prints JSON; whether it was printed, so that nothing else should be."""
    from engine.evaluation.report import plain, write_json

    if target == Path("-"):
        typer.echo(json.dumps(plain(document), indent=2))
        return True
    if target is not None:
        write_json(document, target)
    return False


def _comparison(**given: Any) -> Any:
    from pydantic import ValidationError

    from engine.evaluation.request import Comparison

    try:
        return Comparison.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"The setting {where} is invalid: {first['msg']}.") from None


def _raster(path: Path, bands: str | None, scale: float | None, nodata: float | None) -> dict[str, Any]:
    given = {"path": str(path), "scale": scale, "nodata": nodata}
    if bands is not None:
        words = [word.strip() for word in bands.split(",")]
        given["bands"] = [int(word) if word.isdigit() else word for word in words]
    return {name: value for name, value in given.items() if value is not None}


def _interval(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        raise InputError(f"The value range {text!r} must be two numbers, as in 0,1.") from None
    return low, high


def _print(report: Report) -> None:
    from engine.evaluation import catalogue

    scores = catalogue.CLASSES if report.kind == "classes" else catalogue.of_values()
    columns = [f"{number}" for number in range(1, len(report.results) + 1)] if report.samples else ["value"]
    rows = [["score", *(["mean", "best"] if report.samples else []), *columns, "better"]]
    for name, score in scores.items():
        values = [result.scores.get(name) for result in report.results]
        if all(value is None for value in values):
            continue
        over = [report.samples.get(name, {}).get(kind) for kind in ("mean", "best")] if report.samples else []
        rows.append([score.title, *map(_number, (*over, *values)), catalogue.ARROWS[score.better]])
    _print_table(rows)
    typer.echo(f"{report.pixels} pixels ({report.share:.1%} of the common part), {', '.join(report.bands)}")
    if report.samples:
        typer.echo("best: each score's own best sample, so optimistic; no one sample need have them all.")
    for line in [*report.notes, *(f"Not computed: {line}" for line in report.missing)]:
        typer.echo(line)


def _print_sets(report: SetReport) -> None:
    from engine.evaluation import catalogue

    rows = [["score", "mean", "std", "better"]]
    for name, score in catalogue.SETS.items():
        if name in report.mean:
            cells = _number(report.mean[name]), _number(report.std.get(name))
            rows.append([score.title, *cells, catalogue.ARROWS[score.better]])
    for name, value in report.pooled.items():
        score = catalogue.DEEP[name]
        rows.append([score.title, _number(value), "-", catalogue.ARROWS[score.better]])
    _print_table(rows)
    typer.echo(
        f"{report.images[0]} real and {report.images[1]} generated images, {len(report.places)} places"
    )
    for line in report.notes:
        typer.echo(line)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
