"""Two neighbouring scenes, translated apart: does the joint of their results show?

``python benchmarks/neighbours.py`` cuts a real Sentinel-1 scene in two, translates each part by itself, puts
the results side by side, measures S2 at the joint and writes ``docs/images/neighbours.png``. To compare, it
also does so for parts that do not overlap, and with each part's own statistics.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window
from rich.console import Console
from rich.table import Table
from seams import DATA, RESULTS, ROOT, radar_scene

from engine import job, seams
from engine.provenance import recorded_statistics
from engine.raster import quicklook
from engine.seams.canvas import Canvas
from engine.spec import Job

PICTURE = ROOT / "docs" / "images" / "neighbours.png"
MODEL = "sar-to-optical"
SCENE, PART = "s37", Window(196, 668, 1536, 1536)  # where the scene has no holes
JOINT_PX = 330  # not on a joint of the input's patches
OVERLAP_PX = 128
_INK, _QUIET, _PAPER, _MARK = (34, 40, 49), (120, 128, 138), (255, 255, 255), (255, 96, 40)


@dataclass(frozen=True)
class Joined:
    """Two results side by side.

    Attributes:
        path: The mosaic.
        s2, z: S2 at the joint, and its distance from other columns in their standard deviations.
    """

    path: Path
    s2: float
    z: float


def join(radar: Path, folder: Path, shared: bool, overlap: int = OVERLAP_PX, joint: int = JOINT_PX) -> Joined:
    """Cuts a scene at a column, translates both parts apart and puts them together there.

    Args:
        radar: One-band relative radar image.
        folder: For the parts, the results and the mosaic.
        shared: Whether the second part takes the statistics of the first one's result; else its own.
        overlap: Columns that both parts have (px).
        joint: Column of the joint (px).
    """
    folder.mkdir(parents=True, exist_ok=True)
    with rasterio.open(radar) as scene:
        width = scene.width
    left = cut(radar, folder / "left.tif", Window(0, 0, joint + overlap // 2, _height(radar)))
    right_start = joint - overlap // 2
    right = cut(radar, folder / "right.tif", Window(right_start, 0, width - right_start, _height(radar)))
    first = translate(left, folder / "left-result.tif")
    statistics = recorded_statistics(str(first), "sar") if shared else None
    second = translate(right, folder / "right-result.tif", statistics)
    with rasterio.open(first) as a, rasterio.open(second) as b:
        halves = a.read()[:, :, :joint], b.read()[:, :, joint - right_start :]
        profile = {**a.profile, "width": width}
        display = a.tags(ns=quicklook.TAG_DOMAIN)[quicklook.DISPLAY_TAG]
    mosaic = folder / "mosaic.tif"
    with rasterio.open(mosaic, "w", **profile) as file:
        file.write(np.concatenate(halves, axis=2))
        file.update_tags(ns=quicklook.TAG_DOMAIN, **{quicklook.DISPLAY_TAG: display})
    # One line in the whole width: the joint.
    columns = seams.examine(mosaic, f"{width},0,{joint}").as_dict()["axes"]["columns"]
    return Joined(mosaic, columns["S2"]["value"], columns["S2"]["z"])


def translate(radar: Path, output: Path, statistics: dict[str, Any] | None = None) -> Path:
    """A run of its own."""
    given = {"path": str(radar), "units": "relative", "statistics": statistics}
    job.run(Job(model=MODEL, inputs={"sar": given}, output=str(output)))
    return output


def cut(source: Path, target: Path, window: Window) -> Path:
    """A part of a raster as a file of its own."""
    with rasterio.open(source) as scene:
        profile = {**scene.profile, "width": window.width, "height": window.height}
        with rasterio.open(target, "w", **{**profile, "transform": scene.window_transform(window)}) as file:
            file.write(scene.read(window=window))
    return target


def _height(path: Path) -> int:
    with rasterio.open(path) as dataset:
        return dataset.height


def draw(radar: Path, joined: Joined, apart: Joined, target: Path) -> None:
    """Radar in, both results side by side with the joint marked, and the joint at twice its size."""
    side, gap, top = 620, 40, 96
    canvas = Canvas(3 * side + 4 * gap, top + side + gap, _PAPER)
    titles = ("Sentinel-1 in", "two runs side by side", "the joint twice its size")
    notes = ("cut in two at the marks", f"S2 at the joint {joined.s2:.2f}, z {joined.z:.1f}", "")
    pictures = quicklook.render(radar, side), quicklook.render(joined.path, side)
    for number, (title, note) in enumerate(zip(titles, notes)):
        x = gap + number * (side + gap)
        canvas.text(title, x, 16, _INK, 2)
        canvas.text(note, x, 44, _QUIET, 2)
        if number < len(pictures):
            canvas.paste(pictures[number], x, top)
            mark(canvas, x + JOINT_PX * side // PART.width, top, pictures[number].shape[1])
    x, half = 3 * gap + 2 * side, (side - gap) // 2
    shown = (("shared statistics", joined), ("each its own statistics", apart))
    for number, (title, result) in enumerate(shown):
        y = top + number * (half + gap)
        zoom = around_joint(result.path, side // 2, half // 2)
        canvas.text(f"{title}: S2 {result.s2:.2f}, z {result.z:.1f}", x, y - 22, _QUIET, 2)
        canvas.paste(zoom, x, y)
        mark(canvas, x + zoom.shape[2] // 2, y, zoom.shape[1])
    quicklook.write_png(canvas.pixels, target)


def mark(canvas: Canvas, x: int, y: int, height: int) -> None:
    """Short strokes at both ends of the joint, so that the joint itself can be looked at."""
    for start in (y, y + height - 28):
        canvas.fill((x - 1, start, 2, 28), _MARK)


def around_joint(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    """Pixels around the joint's middle, each drawn as four."""
    picture = quicklook.render(path, 1 << 20)
    row, col = picture.shape[1] // 2 - height // 2, JOINT_PX - width // 2
    return picture[:, row : row + height, col : col + width].repeat(2, axis=1).repeat(2, axis=2)


def main() -> None:
    """Both ways, the table and the picture."""
    if not (DATA / "ombria" / "index.csv").exists():
        raise SystemExit(f"There is no radar scene in {DATA}; set EO_DATA to the folder that has ombria.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        radar = cut(radar_scene(folder / "scene.tif", SCENE), folder / "radar.tif", PART)
        ways = {
            "shared statistics, 128 px of overlap": join(radar, folder / "shared", True),
            "shared statistics, no overlap": join(radar, folder / "abutting", True, 0),
            "each its own statistics, 128 px of overlap": join(radar, folder / "apart", False),
        }
        joined, _, apart = ways.values()
        draw(radar, joined, apart, PICTURE)
    table = Table("two runs", "S2 at the joint", "z (bar 3)")
    for way, result in ways.items():
        table.add_row(way, f"{result.s2:.3f}", f"{result.z:.2f}")
    Console().print(table)
    found = {way: {"S2": result.s2, "z": result.z} for way, result in ways.items()}
    (RESULTS / "neighbours.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
