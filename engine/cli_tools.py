"""Small commands beside ``run``: a sample scene to try things on, pictures of rasters, the seam benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli_errors import plain_errors

if TYPE_CHECKING:
    from engine.seams import Report


def register(app: typer.Typer) -> None:
    """Add ``sample``, ``quicklook`` and ``seams`` to the command line."""
    app.command()(plain_errors(sample))
    app.command()(plain_errors(quicklook))
    app.command()(plain_errors(seams))


def sample(
    folder: Annotated[
        Path, typer.Argument(help="Where to write sar.tif, dem.tif, mask.tif and optical.tif.")
    ],
    size: Annotated[int, typer.Option(help="Rows and columns, 10 m pixels.")] = 1024,
    seed: Annotated[int, typer.Option(help="Another number is another place.")] = 1,
) -> None:
    """Simulate a small place: SAR, DEM, land-cover mask and the optical truth."""
    from engine.sample_scene import scene

    for path in scene.write(folder, size, seed).values():
        typer.echo(path)


def quicklook(
    raster: Annotated[Path, typer.Argument(help="Any raster.")],
    picture: Annotated[Path, typer.Argument(help="The PNG to write.")],
    max_px: Annotated[int, typer.Option(min=16, help="Longest side.")] = 1024,
    legend: Annotated[
        str | None, typer.Option(help="Class legend of a mask, such as esa-worldcover.")
    ] = None,
) -> None:
    """Write a PNG of a raster, coloured the way a GIS would show it."""
    from engine.raster import quicklook as quicklooks

    quicklooks.write(raster, picture, max_px, legend)
    typer.echo(picture)


def seams(
    result: Annotated[Path, typer.Argument(help="A GeoTIFF made by EO Translate; any raster with --grid.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    picture: Annotated[Path | None, typer.Option(help="A PNG to write: image, seam lines, profiles.")] = None,
    grid: Annotated[
        str | None, typer.Option(metavar="PERIOD[,ROW0,COL0]", help="Tile size, and a corner, in pixels.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a figure fails.")] = False,
) -> None:
    """Look for seams between the tiles of a result: figures S2 to S4, and a hash of the pixels (S5)."""
    from engine import seams as benchmark

    report = benchmark.examine(result, grid)
    if picture is not None:
        from engine.seams import picture as pictures

        pictures.write(report, picture)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
    else:
        _print_seams(report)
    raise typer.Exit(1 if strict and report.failed else 0)


def _print_seams(report: Report) -> None:
    typer.echo(f"{report.width} x {report.height} px, {report.bands} bands; {report.lattice.source}")
    if not report.has_lines:
        typer.echo("No seam lines inside: the raster lies within one tile.")
    for axis in report.axes:
        if axis.lines:
            typer.echo(f"between {axis.name}: {axis.lines} seam lines with {axis.segments} tile sides")
        for figure in axis.figures:
            value = "   -  " if figure.value is None else f"{figure.value:6.3f}"
            z = "" if figure.z is None else f"z {figure.z:5.1f}"
            reason = f" ({figure.reason})" if figure.reason else ""
            typer.echo(f"  {figure.name} {value}  {z:8}  {figure.verdict}{reason}")
    typer.echo(f"S5 {report.sha256}")
