"""Quicklooks: a raster of any size as a small PNG that looks the way a GIS would show it.

Colours, in order: the file's colour table, the display range in its tags, all of an 8-bit picture, else the
2-98 % range of each band. Nodata is transparent.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from engine.errors import InputError, OutputError
from engine.raster.source import gdal_environment

MAX_PX = 1024
TAG_DOMAIN, DISPLAY_TAG = "EO_TRANSLATE", "DISPLAY"
PERCENTILES = (2.0, 98.0)
_MAX_AVERAGED_PX = 2**34  # beyond, an average would take hours


def write(source: Path, target: Path, max_px: int = MAX_PX, legend: str | None = None) -> None:
    """Render ``source`` to the PNG ``target``.

    Args:
        source: Any raster that GDAL opens.
        target: Written whole or not at all.
        max_px: Longest side of the picture, pixels; smaller rasters keep their size.
        legend: Name of a class legend: the raster holds its values.

    Raises:
        InputError: The raster cannot be read or the legend is unknown.
        OutputError: The picture cannot be written.
    """
    try:
        picture = render(source, max_px, legend)
    except RasterioError as error:
        # rasterio keeps what GDAL said as the cause of its own, emptier words.
        reason = " ".join(str(error.__cause__ or error).split())[:200].rstrip(".")
        raise InputError(f"The file {source} cannot be read as a raster ({reason}).") from None
    write_png(picture, target)


def write_png(picture: NDArray[np.uint8], target: Path) -> None:
    """Write (4, H, W) uint8 RGBA as a PNG, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    part = target.with_name(target.name + ".part")
    try:
        part.write_bytes(png_bytes(picture))
        part.replace(target)
    except OSError as error:
        raise OutputError(f"The picture {target} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """(4, H, W) uint8 RGBA as the bytes of a PNG."""
    _, height, width = picture.shape
    with MemoryFile() as memory:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture has no place on Earth
            with memory.open(driver="PNG", count=4, height=height, width=width, dtype="uint8") as file:
                file.write(picture)
        return memory.read()


def render(source: Path, max_px: int = MAX_PX, legend: str | None = None) -> NDArray[np.uint8]:
    """(4, H, W) uint8 RGBA picture of a raster, at most ``max_px`` wide and high."""
    with gdal_environment(), rasterio.open(source) as raster:
        shrink = max(raster.width / max_px, raster.height / max_px, 1)
        shape = (round(raster.height / shrink) or 1, round(raster.width / shrink) or 1)
        colours = _legend_colours(legend) if legend else _colour_table(raster)
        bands = [1] if colours else _shown_bands(raster)
        one_by_one = colours or shrink == 1 or raster.width * raster.height > _MAX_AVERAGED_PX
        resampling = Resampling.nearest if one_by_one else Resampling.average
        values = raster.read(bands, out_shape=(len(bands), *shape), resampling=resampling, masked=True)
        display = raster.tags(ns=TAG_DOMAIN).get(DISPLAY_TAG)
        whole_range = raster.dtypes[0] == "uint8"
    valid = ~np.ma.getmaskarray(values).any(axis=0) & np.isfinite(values.data).all(axis=0)
    if colours:
        rgb = _paint(values.data[0], colours)
    else:
        limits = _limits(values.data, valid, display, whole_range)
        rgb = np.stack([_stretch(band, *limit) for band, limit in zip(values.data, limits)])
    rgb = np.broadcast_to(rgb, (3, *shape))
    return np.concatenate([np.where(valid, rgb, 0), 255 * valid[None]]).astype(np.uint8)


def _shown_bands(raster: rasterio.DatasetReader) -> list[int]:
    """Those that the file calls red, green and blue, else the first three, else one."""
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if set(wanted) <= set(raster.colorinterp):
        return [raster.colorinterp.index(color) + 1 for color in wanted]
    return [1, 2, 3] if raster.count >= 3 else [1]


def _colour_table(raster: rasterio.DatasetReader) -> dict[int, Sequence[int]] | None:
    try:
        return raster.colormap(1)
    except ValueError:
        return None


def _legend_colours(name: str) -> dict[int, Sequence[int]]:
    from engine.models import legends

    folder = Path(legends.__file__).resolve().parents[2] / "resources" / "legends"
    path = folder / f"{name}.json"
    if name not in legends.names() or not path.is_file():
        known = ", ".join(legends.names())
        raise InputError(f"There is no class legend named {name[:200]}; the bundled ones are {known}.")
    classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
    return {entry["value"]: entry["color"] for entry in classes if entry["color"]}


def _paint(values: NDArray, colours: dict[int, Sequence[int]]) -> NDArray[np.uint8]:
    picture = np.zeros((3, *values.shape), np.uint8)
    for value in np.unique(values):
        picture[:, values == value] = np.array(colours.get(int(value), (0, 0, 0))[:3], np.uint8)[:, None]
    return picture


def _limits(
    values: NDArray, valid: NDArray[np.bool_], display: str | None, whole_range: bool
) -> list[tuple[float, float]]:
    if display and (limits := _display_range(display)):
        return [limits] * len(values)
    if whole_range:
        return [(0, 255)] * len(values)
    if not valid.any():
        return [(0, 1)] * len(values)
    return [tuple(np.percentile(band[valid].astype(np.float64), PERCENTILES)) for band in values]


def _display_range(text: str) -> tuple[float, float] | None:
    """What the tag of a result says; None where it is damaged."""
    try:
        low, high = (float(value) for value in json.loads(text))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    return (low, high) if math.isfinite(high - low) and low < high else None


def _stretch(values: NDArray, low: float, high: float) -> NDArray[np.float64]:
    finite = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return np.clip((finite - low) / max(high - low, 1e-12), 0, 1) * 255
