"""Times of the whole and of its parts on the sample scene: ``make bench``.

Prints a table and writes ``benchmarks/results/bench.json`` with the machine described. Every ratio compares
numbers of this one run. The bars are those of the project: ``qgis_process run`` in 8 s, the plugin in 50 ms.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SIZE = 1024
REPEATS = 3
BARS = {"qgis_process run": 8.0, "plugin import": 0.050}
MODELS = {
    "sar-to-optical": ("sartooptical", {"sar": {}, "dem": {}}),
    "mask-to-image": ("masktoimage", {"mask": {"legend": "esa-worldcover"}}),
}

sys.path.insert(0, str(ROOT / ".ci"))
from headless_qgis import HeadlessQgis, start_packaged  # noqa: E402

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


def main() -> None:
    """Runs every benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        from engine.sample_scene import scene

        started = time.perf_counter()
        files = scene.write(scratch / "scene", SIZE)
        rows: list[dict[str, Any]] = [row("sample scene, 1024 px", [time.perf_counter() - started])]
        qgis = start_packaged(scratch, Path(sys.executable))
        rows.append(
            row("plugin import", [plugin_import(qgis) for _ in range(REPEATS)], BARS["plugin import"])
        )
        for algorithm, inputs in MODELS.values():
            times = [qgis_run(qgis, algorithm, inputs, files, scratch) for _ in range(REPEATS)]
            rows.append(row(f"qgis_process run eo_translate:{algorithm}", times, BARS["qgis_process run"]))
        networks = [network(model, inputs, files, scratch) for model, (_, inputs) in MODELS.items()]
    report = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(qgis),
        "times": rows,
        "networks": networks,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    show(report)


def qgis_run(
    qgis: HeadlessQgis, algorithm: str, inputs: dict[str, Any], files: dict[str, Path], scratch: Path
) -> float:
    """Wall seconds of one ``qgis_process run``, start of QGIS and of the worker included."""
    rasters = {name.upper(): files[name] for name in inputs}
    outcome = qgis.run(f"eo_translate:{algorithm}", **rasters, OUTPUT=scratch / f"{algorithm}.tif")
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


class Recorder:
    """A translator that keeps what the network was given."""

    def __init__(self, translator: Any) -> None:
        self.translator = translator
        self.windows: list[dict[str, NDArray[np.float32]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.translator, name)

    def translate(self, tensors: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Passes on; as the wrapped one."""
        self.windows.append({name: tensor.copy() for name, tensor in tensors.items()})
        return self.translator.translate(tensors)


def network(model: str, inputs: dict[str, Any], files: dict[str, Path], scratch: Path) -> dict[str, Any]:
    """A whole job in this process against the bare network on the very same windows."""
    from engine import job as engine_job
    from engine.spec import Job
    from engine.translators.base import warm_translator

    recorders: list[Recorder] = []

    def recording(*arguments: Any) -> Recorder:
        recorders.append(Recorder(warm_translator(*arguments)))
        return recorders[-1]

    rasters = {name: {"path": str(files[name]), **settings} for name, settings in inputs.items()}
    job = Job(model=model, inputs=rasters, output=str(scratch / f"{model}.tif"), device="cpu")
    engine_job.run(job)  # opens the model
    engine_job.warm_translator = recording
    engine_job.run(job)
    engine_job.warm_translator = warm_translator
    windows, translator = recorders[0].windows, recorders[0].translator
    whole, bare = [], []
    for _ in range(REPEATS):  # in turns, so that other load on the machine meets both
        whole.append(timed(lambda: engine_job.run(job)))
        bare.append(timed(lambda: [translator.translate(window) for window in windows]))
    fed = [next(iter(window.values())).shape for window in windows]
    return {
        "model": model,
        "windows": len(windows),
        "run_s": min(whole),
        "bare_network_s": min(bare),
        "delivered_mpx_per_s": SIZE * SIZE / 1e6 / min(whole),
        "share_of_bare_network": min(bare) / min(whole),
        "network_pixels_per_output_pixel": sum(shape[-2] * shape[-1] for shape in fed) / SIZE**2,
    }


def timed(call: Any) -> float:
    """Wall seconds of a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def row(what: str, seconds: list[float], bar: float | None = None) -> dict[str, Any]:
    """Best and median of some runs beside the bar, if there is one."""
    best, median = min(seconds), statistics.median(seconds)
    met = {} if bar is None else {"bar_s": bar, "met": best < bar}
    return {"what": what, "runs": len(seconds), "best_s": best, "median_s": median, **met}


def machine(qgis: HeadlessQgis) -> dict[str, Any]:
    """What the numbers were measured on."""
    import onnxruntime

    names = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", names.read_text()) if names.exists() else None
    version = qgis.call("--version").stdout.splitlines()
    return {
        "cpu": found.group(1) if found else platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "qgis": next((line for line in version if line.startswith("QGIS ")), "unknown"),
    }


def show(report: dict[str, Any]) -> None:
    """The tables."""
    console = Console()
    console.print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    times = Table("what", "best", "median", "bar", "")
    for entry in report["times"]:
        bar = f"{entry['bar_s']:.3f} s" if "bar_s" in entry else ""
        verdict = {True: "met", False: "MISSED", None: ""}[entry.get("met")]
        times.add_row(entry["what"], f"{entry['best_s']:.3f} s", f"{entry['median_s']:.3f} s", bar, verdict)
    console.print(times)
    networks = Table("model", "job", "bare network", "of bare speed", "Mpx/s", "network px / output px")
    for entry in report["networks"]:
        networks.add_row(
            entry["model"],
            f"{entry['run_s']:.2f} s",
            f"{entry['bare_network_s']:.2f} s",
            f"{entry['share_of_bare_network']:.0%}",
            f"{entry['delivered_mpx_per_s']:.2f}",
            f"{entry['network_pixels_per_output_pixel']:.2f}",
        )
    console.print(networks)


if __name__ == "__main__":
    main()
