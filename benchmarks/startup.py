"""How long QGIS waits for the plugin, and how long a whole ``qgis_process run`` takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import MODELS, ROOT, Bench, Row, engine_python, scene

sys.path.insert(0, str(ROOT / ".ci"))
from headless_qgis import HeadlessQgis, start_packaged

SIZE_PX = 1024
REPEATS = 3
IMPORT_BAR, RUN_BAR = "< 0.050", "< 8.0"
ALGORITHMS = {"sar-to-optical": "sartooptical", "mask-to-image": "masktoimage"}

PLUGIN_IMPORT = """
import json, sys, time
from qgis.core import QgsApplication
application = QgsApplication([], False)
application.initQgis()
import processing
started = time.perf_counter()
import eo_translate_plugin
plugin = eo_translate_plugin.classFactory(None)
plugin.initProcessing()
print(json.dumps(time.perf_counter() - started))
plugin.unload()
application.exitQgis()
"""


def measure(bench: Bench) -> list[Row]:
    """The plugin's import, then both algorithms on the sample scene."""
    with tempfile.TemporaryDirectory() as folder:
        qgis = start_packaged(Path(folder), Path(engine_python()))
        imports = [plugin_import(qgis) for _ in range(REPEATS)]
        version = next(
            (line for line in qgis.call("--version").stdout.splitlines() if line.startswith("QGIS ")), ""
        )
        rows = [Row("plugin import", min(imports), "s", IMPORT_BAR, {"runs_s": imports, "qgis": version})]
        for model, algorithm in ALGORITHMS.items():
            seconds = [qgis_run(qgis, model, algorithm, bench) for _ in range(REPEATS)]
            what = f"qgis_process run eo_translate:{algorithm}, {SIZE_PX} px"
            rows.append(Row(what, min(seconds), "s", RUN_BAR, {"runs_s": seconds}))
    return rows


def qgis_run(qgis: HeadlessQgis, model: str, algorithm: str, bench: Bench) -> float:
    """Wall seconds of one ``qgis_process run``, start of QGIS and of the worker included."""
    files = scene(bench.scratch, SIZE_PX)
    rasters = {name.upper(): files[name] for name in MODELS[model]}
    outcome = qgis.run(f"eo_translate:{algorithm}", **rasters, OUTPUT=bench.scratch / f"{algorithm}.tif")
    if outcome.code:
        sys.exit(outcome.sentence)
    return outcome.seconds


def plugin_import(qgis: HeadlessQgis) -> float:
    """Seconds from importing the plugin to its provider being registered, in QGIS's own Python."""
    environment = dict(qgis.environment)
    paths = ["/usr/share/qgis/python/plugins", environment["QGIS_PLUGINPATH"]]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    python = os.environ.get("QGIS_PYTHON", "/usr/bin/python3")
    answer = subprocess.run(
        [python, "-c", PLUGIN_IMPORT], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout.splitlines()[-1])
