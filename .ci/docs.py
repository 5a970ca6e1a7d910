"""Writes what the documentation shows from the things themselves: ``make docs``.

docs/algorithms.md comes from the plugin's declarations, docs/images/sample-*.png from both algorithms on the
sample scene, docs/images/real-*.png from real rasters where $EO_DATA (default ../shared/data) holds them.
"""

from __future__ import annotations

import html
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from headless_qgis import ROOT, HeadlessQgis, start_packaged
from numpy.typing import NDArray

from engine.raster import quicklook
from engine.sample_scene import scene

DOCS = ROOT / "docs"
IMAGES = DOCS / "images"
ALGORITHMS = ("sartooptical", "masktoimage")
DESCRIBED = (*ALGORITHMS, "translate", "evaluate")
PANEL_PX = 420
GAP_PX = 8
UNSEEN = "433D_629L_3_1"  # held out of the training of any-to-any
TRUTH_BANDS = (11, 8, 3)  # B11, B08, B03
SENTINEL2_OFFSET = 1000  # of processing baseline 04.00, which this scene has
REAL = {
    "real-sar-terramesh": ("sartooptical", "SAR", "terramind/S1RTC/282D_485L_3_3.tif", {}),
    "real-sar-spain": ("sartooptical", "SAR", "sen1floods11/Spain_7370579_S1Hand.tif", {}),
    "real-sar-delta": ("sartooptical", "SAR", "ombria_mosaic/scene_s06_s1_vv_harmonised.tif", {}),
    "real-mask-terramesh": (
        "masktoimage",
        "MASK",
        "terramind/LULC/433D_629L_3_1.tif",
        {"LEGEND": "terramesh-lulc"},
    ),
    "real-mask-zion": ("masktoimage", "MASK", "zion/nlcd2011.tif", {"LEGEND": "nlcd"}),
}


def main() -> int:
    """Writes every page and picture."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    qgis = start_packaged(ROOT / "build", Path(sys.executable))
    (DOCS / "algorithms.md").write_text(reference(qgis), encoding="utf-8")
    data = Path(os.environ.get("EO_DATA") or ROOT.parent / "shared" / "data")
    with tempfile.TemporaryDirectory() as folder:
        sample_picture(qgis, Path(folder))
        for name, (algorithm, parameter, path, settings) in REAL.items():
            if (data / path).is_file():
                output = Path(folder) / f"{name}.tif"
                translate(qgis, algorithm, {parameter: data / path, **settings, "OUTPUT": output})
                save([panel(data / path, settings.get("LEGEND")), panel(output)], IMAGES / f"{name}.png")
        bundled = (ROOT / "resources" / "models" / "any-to-any").is_dir()
        if bundled and (data / "terramind").is_dir():
            any_to_any_picture(data / "terramind", Path(folder))
    return 0


def any_to_any_picture(data: Path, folder: Path) -> None:
    """A place that the bundled model never saw: inputs, truth, the spread of eight draws; four of them."""
    qgis = start_packaged(ROOT / "build", ROOT / ".venv" / "bin" / "python")
    radar, elevation = (data / kind / f"{UNSEEN}.tif" for kind in ("S1RTC", "DEM"))
    settings = {"S1_RTC": radar, "DEM": elevation, "GENERATE": "s2_l2a", "OUTPUT": folder / "made"}
    translate(qgis, "translate", {**settings, "SAMPLES": 8, "ALL_SAMPLES": "true", "UNCERTAINTY": "true"})
    made = [folder / "made" / f"s2_l2a{ending}.tif" for ending in ("", "_v2", "_v3", "_v4")]
    truth, spread = folder / "truth.tif", folder / "spread.tif"
    with rasterio.open(data / "S2L2A" / f"{UNSEEN}.tif") as source:
        profile = {**source.profile, "count": 3, "dtype": "uint16"}
        bands = source.read(TRUTH_BANDS).astype(np.float32) - SENTINEL2_OFFSET
    with rasterio.open(made[0]) as shown:
        low, high = json.loads(shown.tags(ns="EO_TRANSLATE")["DISPLAY"])
    stretched = np.clip((bands - low) / (high - low) * 254 + 1, 1, 255).astype(np.uint8)
    with rasterio.open(truth, "w", **{**profile, "dtype": "uint8", "nodata": 0}) as target:
        target.write(stretched)
    with rasterio.open(folder / "made" / "s2_l2a_uncertainty.tif") as source:
        deviation = source.read([2, 4, 6]).mean(axis=0, keepdims=True)
        with rasterio.open(spread, "w", **{**source.profile, "count": 1}) as target:
            target.write(deviation)
    panels = [panel(path) for path in (elevation, radar, truth, spread, *made)]
    save(panels, IMAGES / "any-to-any.png", columns=4)


def sample_picture(qgis: HeadlessQgis, folder: Path) -> None:
    """Inputs, both results and the truth, in two rows."""
    files = scene.write(folder)
    results = {name: folder / f"{name}.tif" for name in ALGORITHMS}
    inputs = {
        "sartooptical": {"SAR": files["sar"], "DEM": files["dem"]},
        "masktoimage": {"MASK": files["mask"]},
    }
    for name, output in results.items():
        translate(qgis, name, {**inputs[name], "OUTPUT": output})
    top = [panel(path) for path in (files["sar"], results["sartooptical"], files["optical"])]
    bottom = [panel(path) for path in (files["mask"], results["masktoimage"], files["optical"])]
    save(top, IMAGES / "sample-sar.png")
    save(bottom, IMAGES / "sample-mask.png")


def translate(qgis: HeadlessQgis, algorithm: str, parameters: dict[str, object]) -> None:
    """One ``qgis_process run``."""
    outcome = qgis.run(f"eo_translate:{algorithm}", **parameters)
    if outcome.code:
        sys.exit(outcome.sentence)


def panel(path: Path, legend: str | None = None) -> NDArray[np.uint8]:
    """A picture on white, (3, H, W), PANEL_PX high."""
    rgba = quicklook.render(path, PANEL_PX, legend).astype(np.float32)
    rows = np.arange(PANEL_PX) * rgba.shape[1] // PANEL_PX
    width = round(rgba.shape[2] * PANEL_PX / rgba.shape[1])
    columns = np.arange(width) * rgba.shape[2] // width
    rgba = rgba[:, rows][:, :, columns]
    return (rgba[:3] * rgba[3] / 255 + 255 - rgba[3]).astype(np.uint8)


def save(panels: list[NDArray[np.uint8]], target: Path, columns: int = 8) -> None:
    """Panels side by side as one PNG, ``columns`` in a row."""
    rows = [_row(panels[i : i + columns]) for i in range(0, len(panels), columns)]
    width = max(row.shape[2] for row in rows)
    pieces = []
    for row in rows:
        blank = np.full((3, PANEL_PX, width - row.shape[2]), 255, np.uint8)
        pieces += [np.concatenate([row, blank], axis=2), np.full((3, GAP_PX, width), 255, np.uint8)]
    picture = np.concatenate(pieces[:-1], axis=1)
    quicklook.write_png(np.concatenate([picture, np.full_like(picture[:1], 255)]), target)


def _row(panels: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    gap = np.full((3, PANEL_PX, GAP_PX), 255, np.uint8)
    return np.concatenate([piece for one in panels for piece in (one, gap)][:-1], axis=2)


def reference(qgis: HeadlessQgis) -> str:
    """The parameters of each algorithm as Markdown, from the declarations in the plugin."""
    text = ["# Algorithms", "", "Written by `make docs` from the plugin's own declarations.", ""]
    for name in DESCRIBED:
        answer = qgis.call("--json", "help", f"eo_translate:{name}")
        document = json.loads(answer.stdout)
        details = document["algorithm_details"]
        text += [f"## {details['name']}", "", f"`{details['id']}`. {details['short_description']}", ""]
        text += ["| parameter | what | default |", "|---|---|---|"]
        for key, entry in document["parameters"].items():
            words = [entry["description"], parameter_help(entry)]
            what = ". ".join(word.rstrip(".") for word in words if word) + "."
            text.append(f"| `{key}` | {cell(what)} | {cell(default(entry))} |")
        text += ["", "| output | what |", "|---|---|"]
        text += [f"| `{key}` | {cell(entry['description'])} |" for key, entry in document["outputs"].items()]
        text.append("")
    return "\n".join(text)


def parameter_help(entry: dict[str, object]) -> str:
    """The parameter's own help, without markup."""
    return html.unescape(re.sub(r"<[^>]+>", " ", str(entry.get("help") or "")))


def default(entry: dict[str, object]) -> str:
    """The default as people write it."""
    if entry.get("default_value") is None:
        return "optional" if entry.get("optional") else "required"
    return f"`{entry['default_value']}`"


def cell(text: str) -> str:
    """Text that does not break a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
