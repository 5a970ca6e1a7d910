"""Small commands beside ``run``: a sample scene to try things on, and pictures of rasters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli_errors import plain_errors


def register(app: typer.Typer) -> None:
    """Add ``sample`` and ``quicklook`` to the command line."""
    app.command()(plain_errors(sample))
    app.command()(plain_errors(quicklook))


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
