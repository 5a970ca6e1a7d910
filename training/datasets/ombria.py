"""OMBRIA (OmbriaNet, IEEE JSTARS 2022): Sentinel-1 VV and Sentinel-2 B11, B8, B3 before and after floods.

Reads PNG pairs listed in ``index.csv``. Sentinel-1 was stretched to 0..255 patch by patch; the index holds
the gain and offset that bring all patches of a scene back on one scale.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.datasets.pairs import CLASSES, Pair, Statistics, band_statistics
from training.datasets.pseudo_labels import pseudo_label

WHEN = ("before", "after")


def load(root: Path, max_cloud: float = 0.05) -> list[Pair]:
    """All pairs under ``root / "ombria"``, before and after, with pseudo-labels.

    Args:
        root: Data folder.
        max_cloud: Leave out images with a larger cloud fraction.
    """
    folder = root / "ombria"
    with open(folder / "index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    pairs = []
    for when in WHEN:
        kept = [row for row in rows if row[f"has_{when}"] == "1" and float(row[f"cloud_{when}"]) <= max_cloud]
        sar = {row["id"]: _harmonised(folder, row, when) for row in kept}
        scenes = _scene_statistics(kept, sar)
        pairs += [_pair(folder, row, when, sar[row["id"]], scenes[row["scene"]]) for row in kept]
    return pairs


def _pair(folder: Path, row: dict[str, str], when: str, sar: NDArray[np.float32], scene: Statistics) -> Pair:
    optical = _read(folder / f"s2_{when}" / f"{row['id']}.png").transpose(2, 0, 1) / np.float32(255)
    mask = pseudo_label(optical)
    if when == "after":
        flooded = _read(folder / "flood_mask_after" / f"{row['id']}.png") > 127
        mask[flooded] = CLASSES.index("water")
    bands = {"VV": sar}
    return Pair(
        name=f"{row['id']}_{when}",
        location=row["location"],
        optical=optical,
        sar=bands,
        statistics=(band_statistics(bands), scene),
        mask=mask,
    )


def _harmonised(folder: Path, row: dict[str, str], when: str) -> NDArray[np.float32]:
    stored = _read(folder / f"s1_{when}" / f"{row['id']}.png")
    gain, offset = float(row[f"s1_gain_{when}"] or 1), float(row[f"s1_offset_{when}"] or 0)
    return stored * np.float32(gain) + np.float32(offset)


def _scene_statistics(
    rows: Iterable[dict[str, str]], sar: dict[str, NDArray[np.float32]]
) -> dict[str, Statistics]:
    members = defaultdict(list)
    for row in rows:
        members[row["scene"]].append(sar[row["id"]])
    return {scene: band_statistics({"VV": np.stack(images)}) for scene, images in members.items()}


def _read(path: Path) -> NDArray[np.float32]:
    return np.asarray(Image.open(path), dtype=np.float32)
