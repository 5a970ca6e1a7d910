"""Samples with VV, VH, elevation, land cover: TerraMesh, BigEarthNet, Sen1Floods11, SSL4EO-S12."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from training.datasets.pairs import CLASSES, NO_CLASS, Pair
from training.datasets.rasters import assemble, on_grid

REFLECTANCE = np.float32(1e-4)
# Esri/TerraMesh land-cover value -> class; 3 flooded vegetation has no counterpart, 8 is cloud.
LULC = {1: "water", 2: "trees", 4: "grass_crops", 5: "built", 6: "bare", 7: "snow", 9: "shrub_sparse"}


def load(root: Path) -> list[Pair]:
    """All sample pairs under ``root``; optical is reflectance of B11, B8, B3."""
    return [
        *_terramesh(root / "terramind"),
        *_bigearthnet(root / "bigearthnet"),
        _floods(root),
        _ssl4eo(root),
    ]


def _terramesh(folder: Path) -> list[Pair]:
    pairs = []
    for optical in sorted((folder / "S2L2A").glob("*.tif")):
        cover = on_grid(folder / "LULC" / optical.name, optical, (1,), Resampling.nearest)[0]
        pair = assemble(
            name=f"terramesh/{optical.stem}",
            location=f"terramesh/{optical.stem}",
            optical=on_grid(optical, optical, (11, 8, 3)) * REFLECTANCE,
            sar=on_grid(folder / "S1RTC" / optical.name, optical, (1, 2)),
            elevation=on_grid(folder / "DEM" / optical.name, optical, (1,))[0],
            mask=_classes(cover),
        )
        pairs.append(pair)
    return pairs


def _classes(cover: NDArray[np.float32]) -> NDArray[np.uint8]:
    mask = np.full(cover.shape, NO_CLASS, np.uint8)
    for value, name in LULC.items():
        mask[cover == value] = CLASSES.index(name)
    return mask


def _bigearthnet(folder: Path) -> list[Pair]:
    pairs = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        green = next(place.glob("S2*_B03.tif"))
        optical = [next(place.glob(f"S2*_{band}.tif")) for band in ("B11", "B08", "B03")]
        sar = [next(place.glob(f"S1*_{band}.tif")) for band in ("VV", "VH")]
        pairs.append(_stacked(f"bigearthnet/{place.name}", optical, sar, green))
    return pairs


def _ssl4eo(root: Path) -> Pair:
    folder = root / "ssl4eo_s12"
    optical = [folder / "s2_l2a" / f"{band}.tif" for band in ("B11", "B8", "B3")]
    return _stacked(
        "ssl4eo/pakistan", optical, [folder / "s1" / f"{band}.tif" for band in ("VV", "VH")], optical[2]
    )


def _stacked(name: str, optical: list[Path], sar: list[Path], grid: Path) -> Pair:
    return assemble(
        name=name,
        location=name,
        optical=np.concatenate([on_grid(path, grid) for path in optical]) * REFLECTANCE,
        sar=np.concatenate([on_grid(path, grid) for path in sar]),
    )


def _floods(root: Path) -> Pair:
    optical, sar, label = (
        root / "sen1floods11" / f"Spain_7370579_{kind}.tif" for kind in ("S2Hand", "S1Hand", "LabelHand")
    )
    pair = assemble(
        name="sen1floods11/spain",
        location="sen1floods11/spain",
        optical=on_grid(optical, optical, (12, 8, 3)) * REFLECTANCE,
        sar=on_grid(sar, optical),
    )
    pair.mask[on_grid(label, optical, (1,), Resampling.nearest)[0] == 1] = CLASSES.index("water")
    return pair
