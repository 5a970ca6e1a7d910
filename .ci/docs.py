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
    return 0


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


def save(panels: list[NDArray[np.uint8]], target: Path) -> None:
    """Panels side by side as one PNG."""
    gap = np.full((3, PANEL_PX, GAP_PX), 255, np.uint8)
    pieces = [piece for one in panels for piece in (one, gap)][:-1]
    row = np.concatenate(pieces, axis=2)
    quicklook.write_png(np.concatenate([row, np.full_like(row[:1], 255)]), target)


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
