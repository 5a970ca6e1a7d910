"""The sample scene: SAR, DEM, land-cover mask and the optical truth on one grid, from one seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.io import MemoryFile

from engine.errors import InputError, OutputError
from engine.sample_scene import land_cover, landscape, optical, radar, settlements
from engine.sample_scene.fields import Field

GSD_M = 10.0
CRS = "EPSG:32632"
ORIGIN = (600_000.0, 5_300_000.0)
DISPLAY = (1, 142)  # reflectance 0 to 0.56, as the bundled models are shown
MIN_SIZE = 128
MAX_SIZE = 4096
LEGEND = Path(__file__).resolve().parents[2] / "resources" / "legends" / "esa-worldcover.json"


@dataclass(frozen=True)
class Scene:
    """One place. All arrays share the grid of ``transform``.

    Attributes:
        sar: (2, H, W) float32, sigma nought VV, VH in dB.
        dem: (H, W) float32, metres.
        mask: (H, W) uint8, ESA WorldCover values.
        optical: (3, H, W) float32, reflectance of B11, B8, B3.
        transform: Pixel to EPSG:32632.
    """

    sar: Field
    dem: Field
    mask: NDArray[np.uint8]
    optical: Field
    transform: Affine


def simulate(size: int = 1024, seed: int = 1) -> Scene:
    """The scene of a seed. The same arguments give the same values.

    Args:
        size: Rows and columns, 128 to 4096.
        seed: Any non-negative integer.

    Raises:
        InputError: The size or the seed is out of range.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise InputError(f"The sample scene can be {MIN_SIZE} to {MAX_SIZE} pixels wide, not {size}.")
    if seed < 0:
        raise InputError(f"The seed must not be negative; found {seed}.")
    streams = (np.random.default_rng([seed, part]) for part in range(5))
    land = landscape.build(next(streams), size, GSD_M)
    people = settlements.build(next(streams), land, GSD_M)
    cover = land_cover.build(next(streams), land, people, GSD_M)
    return Scene(
        sar=radar.observe(next(streams), land.elevation, cover, people, GSD_M),
        dem=land.elevation,
        mask=land_cover.WORLDCOVER[cover],
        optical=optical.observe(next(streams), land.elevation, cover, people, GSD_M),
        transform=Affine(GSD_M, 0, ORIGIN[0], 0, -GSD_M, ORIGIN[1]),
    )


def write(folder: Path, size: int = 1024, seed: int = 1) -> dict[str, Path]:
    """Simulate a scene and write ``sar.tif``, ``dem.tif``, ``mask.tif`` and ``optical.tif``.

    Args:
        folder: Made if absent.
        size: Rows and columns.
        seed: Any non-negative integer.

    Returns:
        Modality -> file.

    Raises:
        InputError: The size or the seed is out of range.
        OutputError: The folder cannot be written.
    """
    scene = simulate(size, seed)
    stored = np.clip(np.round(scene.optical * 255), 1, 255).astype(np.uint8)
    tags = {"SYNTHETIC": "YES", "SOURCE": f"EO Translate sample scene, seed {seed}, size {size}"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / f"{name}.tif" for name in ("sar", "dem", "mask", "optical")}
        _write(paths["sar"], np.round(scene.sar, 2), scene.transform, ("VV", "VH"), "dB", np.nan, tags)
        _write(paths["dem"], np.round(scene.dem, 1)[None], scene.transform, ("elevation",), "m", -32768, tags)
        _write(paths["mask"], scene.mask[None], scene.transform, ("ESA WorldCover",), None, 0, tags)
        _write(paths["optical"], stored, scene.transform, ("B11", "B8", "B3"), "reflectance", 0, tags)
    except OSError as error:
        raise OutputError(f"The sample scene cannot be written to {folder}: {error.strerror}.") from error
    return paths


def _write(
    path: Path,
    bands: NDArray,
    transform: Affine,
    names: tuple[str, ...],
    units: str | None,
    nodata: float,
    tags: dict[str, str],
) -> None:
    """One tiled GeoTIFF, under a temporary name until it is complete."""
    part = path.with_name(path.name + ".part")
    profile = {
        "driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2],
        "dtype": bands.dtype, "crs": CRS, "transform": transform, "nodata": nodata,
        "tiled": True, "blockxsize": 256, "blockysize": 256,
        "compress": "deflate", "predictor": 3 if bands.dtype.kind == "f" else 1,
    }  # fmt: skip
    try:
        with MemoryFile() as memory:
            with memory.open(**profile) as target:
                target.write(bands)
                target.update_tags(**tags)
                target.descriptions = names
                if units:
                    target.units = [units] * len(bands)
                if units == "reflectance":
                    target.scales = [1 / 255] * len(bands)
                    target.update_tags(ns="EO_TRANSLATE", DISPLAY=json.dumps(DISPLAY))
                if path.stem == "mask":
                    target.write_colormap(1, _worldcover_colours())
            part.write_bytes(memory.getbuffer())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _worldcover_colours() -> dict[int, tuple[int, ...]]:
    classes = json.loads(LEGEND.read_text(encoding="utf-8"))["classes"]
    return {entry["value"]: (*entry["color"], 255) for entry in classes if entry["color"]}
