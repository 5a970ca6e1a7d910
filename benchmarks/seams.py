"""S1 to S5 of the bundled models on real scenes: seamless, and the same however they are cut?

``python benchmarks/seams.py`` prints a table, writes ``benchmarks/results/seams.json`` and the pictures
``docs/images/seams-MODEL.png``. The scenes come from ``$EO_DATA`` (default ``../shared/data``); without one,
a simulated scene stands in and is named so.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window, from_bounds
from rich.console import Console
from rich.table import Table

from engine import job, seams
from engine.raster.source import gdal_environment
from engine.seams import picture
from engine.seams.judge import S2_Z_BAR, S3_BAR, S4_BAR
from engine.spec import Job

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EO_DATA") or ROOT.parent / "shared" / "data")
RESULTS = ROOT / "benchmarks" / "results"
PATCH_PX, PIXEL_M = 256, 10.0
# Not on the engine's chunk borders: the joints of the patches are steps of the input, no seams of ours.
MARGIN_PX = (100, 60)
SHIFT_PX = (52, 37)
COMPARED_PX = 1400
SAMPLE_PX = 2048
CHUNK_PX = 512  # smaller than usual: more lines to judge, and the parts are run in chunks of another size


def measure(result: Path) -> dict[str, Any]:
    """S2 to S5 of a result of EO Translate; see ``docs/seams.md``."""
    return seams.examine(result).as_dict()


def shift_mismatch(
    settings: dict[str, Any], scratch: Path, shift: tuple[int, int] = SHIFT_PX
) -> dict[str, Any]:
    """S1: a job over an extent against the same job over the extent shifted down and right.

    Args:
        settings: Fields of the job, ``output`` and ``extent`` apart.
        scratch: Folder for both results.
        shift: Rows and columns, smaller than the raster.

    Returns:
        ``rms_over_std`` (0: each tiling gives the same pixels), ``differing`` pixels and ``compared`` ones.
    """
    with rasterio.open(next(iter(settings["inputs"].values()))["path"]) as scene:
        height, width = (min(size, COMPARED_PX) for size in (scene.height - shift[0], scene.width - shift[1]))
        transform = scene.transform
    results = []
    for number, (row, col) in enumerate(((0, 0), shift)):
        path = scratch / f"shift-{number}.tif"
        extent = extent_of(transform, row, col, height, width)
        job.run(Job(**settings, output=str(path), extent=extent))
        results.append(path)
    common = Window(*shift[::-1], width - shift[1], height - shift[0])
    first, second = read(results[0], common), read(results[1], Window(0, 0, common.width, common.height))
    difference = first.astype(np.float64) - second
    return {
        "shift_px": list(shift),
        "rms_over_std": float(np.sqrt(np.mean(difference**2)) / first.std()),
        "differing": int(np.count_nonzero(difference)),
        "compared": int(first.size),
    }


def extent_identity(settings: dict[str, Any], whole: Path, scratch: Path) -> dict[str, Any]:
    """S5 over {whole, sub-extent}: the hash of a part of the whole result, and of a job over this part."""
    with rasterio.open(whole) as result:
        row, col = result.height // 5 + 3, result.width // 7 + 5
        height, width = result.height // 2, result.width * 2 // 3
        extent = extent_of(result.transform, row, col, height, width)
    part = scratch / "part.tif"
    job.run(Job(**settings, output=str(part), extent=extent))
    with rasterio.open(part) as alone, rasterio.open(whole) as result:
        own = seams.pixel_hash(alone)
        window = from_bounds(*alone.bounds, result.transform).round_offsets().round_lengths()
        return {"part": own, "of_whole": seams.pixel_hash(result, window)}


def extent_of(
    transform: rasterio.Affine, row: int, col: int, height: int, width: int
) -> tuple[float, float, float, float]:
    """xmin, ymin, xmax, ymax of a box of pixels of a north-up raster."""
    left, top = transform * (col, row)
    right, bottom = transform * (col + width, row + height)
    return left, bottom, right, top


def read(path: Path, window: Window) -> NDArray[Any]:
    """Pixels (C, H, W) as stored."""
    with rasterio.open(path) as dataset:
        return dataset.read(window=window)


def radar_scene(target: Path, scene: str = "s42") -> Path:
    """A scene of OMBRIA's Sentinel-1 patches on one scale, joined; its nodata is 0.

    Args:
        target: GeoTIFF to write.
        scene: Its name in the index.
    """
    with open(DATA / "ombria" / "index.csv", encoding="utf-8") as file:
        patches = [row for row in csv.DictReader(file) if row["scene"] == scene and row["has_before"] == "1"]
    rows, cols = (max(int(patch[axis]) for patch in patches) + 1 for axis in ("row", "col"))
    image = np.zeros((rows * PATCH_PX, cols * PATCH_PX), np.uint8)
    for patch in patches:
        source = DATA / "ombria" / "s1_before" / f"{patch['id']}.png"
        with gdal_environment(), rasterio.open(source) as file:
            values = float(patch["s1_gain_before"]) * file.read(1) + float(patch["s1_offset_before"])
        row, col = int(patch["row"]) * PATCH_PX, int(patch["col"]) * PATCH_PX
        image[row : row + PATCH_PX, col : col + PATCH_PX] = np.clip(np.round(values), 1, 255)
    image = image[MARGIN_PX[0] :, MARGIN_PX[1] :]
    transform = rasterio.Affine(PIXEL_M, 0, 500_000, 0, -PIXEL_M, 4_500_000)
    layout = {"count": 1, "dtype": "uint8", "nodata": 0, "tiled": True, "compress": "deflate"}
    size = {"height": image.shape[0], "width": image.shape[1]}
    # The patches' places on Earth are not known; some metre grid stands in.
    with rasterio.open(target, "w", crs="EPSG:32633", transform=transform, **size, **layout) as file:
        file.write(image, 1)
    return target


def scenes(scratch: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each bundled model's job without an output: what it is made from, and its fields."""
    from engine.sample_scene import scene

    sar = {"model": "sar-to-optical"}
    if (DATA / "ombria" / "index.csv").exists():
        radar = {"path": str(radar_scene(scratch / "radar.tif")), "units": "relative"}
        yield "Sentinel-1, OMBRIA scene s42", {**sar, "inputs": {"sar": radar}}
    else:
        radar = {"path": str(scene.write(scratch / "sample", SAMPLE_PX)["sar"])}
        yield "SAR, simulated", {**sar, "inputs": {"sar": radar}}
    mask, legend = DATA / "zion" / "nlcd2011.tif", "nlcd"
    name = "NLCD 2011, Zion"
    if not mask.exists():
        mask, legend = scene.write(scratch / "sample", SAMPLE_PX)["mask"], "esa-worldcover"
        name = "land cover, simulated"
    yield name, {"model": "mask-to-image", "inputs": {"mask": {"path": str(mask), "legend": legend}}}


def benchmark(name: str, settings: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """All five figures of one job."""
    whole = scratch / f"{settings['model']}.tif"
    started = time.perf_counter()
    job.run(Job(**settings, output=str(whole), chunk_px=CHUNK_PX))
    seconds = time.perf_counter() - started
    report = seams.examine(whole)
    picture.write(report, ROOT / "docs" / "images" / f"seams-{settings['model']}.png")
    return {
        "scene": name,
        "model": settings["model"],
        "run_s": round(seconds, 2),
        "S1": shift_mismatch(settings, scratch),
        **{key: value for key, value in report.as_dict().items() if key != "path"},
        "extents": extent_identity(settings, whole, scratch),
    }


def show(entries: list[dict[str, Any]]) -> None:
    """The table."""
    shown = (("S2", "z"), ("S3", "value"), ("S4", "value"))
    table = Table("scene", "size", "S1", "lines between", "S2 z", "S3", "S4", "S5 of a part")
    for entry in entries:
        same = entry["extents"]["part"] == entry["extents"]["of_whole"]
        for axis, found in entry["axes"].items():
            table.add_row(
                entry["scene"],
                f"{entry['width']} x {entry['height']}",
                f"{entry['S1']['rms_over_std']:.3g}",
                f"{found['lines']} {axis}",
                *(text(found.get(name), key) for name, key in shown),
                "same" if same else "DIFFERS",
            )
    console = Console()
    console.print(table)
    console.print(
        f"Bars: S1 0; S2 z < {S2_Z_BAR:g}; S3 {S3_BAR[0]} to {S3_BAR[1]}; S4 > {S4_BAR}; S5 the same. "
        "A figure that misses its bar by no more than the image itself varies is unclear."
    )


def text(figure: dict[str, Any] | None, key: str) -> str:
    """A figure and its verdict."""
    if figure is None or figure[key] is None:
        return "-"
    return f"{figure[key]:.3f} {figure['verdict']}"


def main() -> None:
    """Every scene."""
    with tempfile.TemporaryDirectory() as folder:
        entries = [benchmark(name, settings, Path(folder)) for name, settings in scenes(Path(folder))]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "seams.json").write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    show(entries)


if __name__ == "__main__":
    main()
