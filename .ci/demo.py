"""The demo: both algorithms of the plugin, run by QGIS itself, on the sample scene or on your own rasters.

Reads SAR, DEM, MASK and LEGEND from the environment (``make demo SAR=path``); writes to demo/.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headless_qgis import ROOT, HeadlessQgis, QgisMissingError, start_packaged

OUTPUT = ROOT / "demo"
BUILD = ROOT / "build"
DEFAULT_LEGEND = "esa-worldcover"


class DemoError(Exception):
    """Something that the caller can mend, said in one sentence."""


def main() -> int:
    """Runs the demo; the exit status."""
    asked = {name: os.environ.get(name, "").strip() for name in ("SAR", "DEM", "MASK", "LEGEND")}
    try:
        rasters = given_rasters(asked)
        OUTPUT.mkdir(exist_ok=True)
        with timed("plugin and QGIS profile"):
            qgis = start_packaged(BUILD, Path(sys.executable))
        rasters = rasters or sample_scene()
        results = translate(qgis, rasters, asked["LEGEND"])
        with timed("pictures"):
            pictures = draw({**rasters, **results}, asked["LEGEND"])
    except (DemoError, QgisMissingError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    report(results, pictures)
    return 0


def given_rasters(asked: dict[str, str]) -> dict[str, Path]:
    """The caller's own rasters by modality; empty: use the sample scene."""
    if asked["DEM"] and not asked["SAR"]:
        raise DemoError("DEM goes with a SAR scene; give SAR=path too.")
    if asked["LEGEND"] and not asked["MASK"]:
        raise DemoError("LEGEND explains a mask; give MASK=path too.")
    legends = sorted(path.stem for path in (ROOT / "resources" / "legends").glob("*.json"))
    if asked["LEGEND"] and asked["LEGEND"] not in legends:
        raise DemoError(f"There is no legend {asked['LEGEND']}; choose one of {', '.join(legends)}.")
    rasters = {name.lower(): Path(asked[name]).expanduser() for name in ("SAR", "DEM", "MASK") if asked[name]}
    for name, path in rasters.items():
        if not path.exists():
            raise DemoError(f"{name.upper()}={path} does not exist; give the path of a raster file.")
    return {name: path.resolve() for name, path in rasters.items()}


def sample_scene() -> dict[str, Path]:
    """SAR, DEM, mask and truth of one simulated place."""
    from engine.sample_scene import scene

    with timed("sample scene"):
        files = scene.write(OUTPUT / "sample")
    return {"sar": files["sar"], "dem": files["dem"], "mask": files["mask"], "truth": files["optical"]}


def translate(qgis: HeadlessQgis, rasters: dict[str, Path], legend: str) -> dict[str, Path]:
    """Runs what the rasters allow: SAR (and DEM) to optical, mask to image."""
    results = {}
    if "sar" in rasters:
        inputs = {name.upper(): rasters[name] for name in ("sar", "dem") if name in rasters}
        results["sar-to-optical"] = run(qgis, "sartooptical", inputs, OUTPUT / "sar-to-optical.tif")
    if "mask" in rasters:
        inputs = {"MASK": rasters["mask"], **({"LEGEND": legend} if legend else {})}
        results["mask-to-image"] = run(qgis, "masktoimage", inputs, OUTPUT / "mask-to-image.tif")
    return results


def run(qgis: HeadlessQgis, algorithm: str, parameters: dict[str, object], output: Path) -> Path:
    """One ``qgis_process run``."""
    with timed(f"qgis_process run eo_translate:{algorithm}"):
        code, sentence = qgis.run_live(f"eo_translate:{algorithm}", **parameters, OUTPUT=output)
    if code:
        raise DemoError(sentence)
    return output


def draw(rasters: dict[str, Path], legend: str) -> list[Path]:
    """A picture of each raster, beside the results."""
    from engine.errors import EOTranslateError
    from engine.raster import quicklook

    pictures = []
    for name, path in rasters.items():
        picture = OUTPUT / f"{name}.png"
        try:
            quicklook.write(path, picture, legend=(legend or DEFAULT_LEGEND) if name == "mask" else None)
        except EOTranslateError as error:
            raise DemoError(str(error)) from error
        pictures.append(picture)
    return pictures


def report(results: dict[str, Path], pictures: list[Path]) -> None:
    """Where everything is."""
    print("\nGeoTIFFs, made by the plugin in QGIS:")
    for path in results.values():
        print(f"    {path.relative_to(ROOT)}")
    print("Pictures:")
    for path in pictures:
        print(f"    {path.relative_to(ROOT)}")


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Prints how long a part took."""
    started = time.perf_counter()
    yield
    print(f"{time.perf_counter() - started:7.1f} s  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
