"""Takes the pictures of docs/images that show the plugin: in a real QGIS window, on the sample scene.

    .venv-base/bin/python docs/screenshots.py

Needs QGIS, xvfb-run and the network: the options page creates the engine's environment for its picture. Run
outside QGIS it builds the plugin, makes a profile and starts QGIS on this same file; run by QGIS (``--code``)
it takes the pictures and leaves.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(os.environ.get("EO_SHOTS_ROOT") or Path(__file__).resolve().parents[1])
PLUGIN = "eo_translate_plugin"
DROPPED = ("QT_QPA_PLATFORM", "PYTHONPATH", "VIRTUAL_ENV", "EO_TRANSLATE_PYTHON", "XDG_DATA_HOME")
SETTINGS = f"""[PythonPlugins]
{PLUGIN}=true
processing=true

[core]
NewsFeed\\httpsfeedqgisorg\\disabled=true

[qgis]
showTips=false
checkVersion=false
"""


def start_qgis() -> int:
    """Builds the plugin and the scene, and starts QGIS under a virtual display."""
    with tempfile.TemporaryDirectory() as scratch:
        home, scene = Path(scratch), Path(scratch) / "scene"
        profile = home / "profiles" / "default"
        (profile / "QGIS").mkdir(parents=True)
        (profile / "QGIS" / "QGIS3.ini").write_text(SETTINGS)
        plugins = profile / "python" / "plugins"
        subprocess.run([sys.executable, ROOT / ".ci" / "package.py", "--folder", plugins], check=True)
        subprocess.run([sys.executable, "-m", "engine.cli", "sample", scene], check=True, cwd=ROOT)
        environment = {
            **{k: v for k, v in os.environ.items() if k not in DROPPED},
            "HOME": scratch,
            "LANG": "C.UTF-8",
            "EO_SHOTS_ROOT": str(ROOT),
            "EO_SHOTS_SCENE": str(scene),
        }
        qgis = ["qgis", "--nologo", "--noversioncheck", "--profiles-path", scratch, "--code", __file__]
        command = ["xvfb-run", "-a", "-s", "-screen 0 1500x950x24", *qgis]
        return subprocess.run(command, env=environment, timeout=600).returncode


def take_pictures() -> None:
    """Inside QGIS: both dialogs, the options page, and a result on the canvas."""
    import processing
    from qgis.core import QgsProject, QgsRasterLayer
    from qgis.PyQt.QtWidgets import QApplication, QWidget
    from qgis.utils import iface

    images, scene = ROOT / "docs" / "images", Path(os.environ["EO_SHOTS_SCENE"])
    images.mkdir(exist_ok=True)

    def shoot(widget: QWidget, name: str, width: int, height: int) -> None:
        widget.resize(width, height)
        widget.show()
        for _ in range(20):
            QApplication.processEvents()
        widget.grab().save(str(images / f"{name}.png"))

    for name in ("dem", "mask", "sar"):
        QgsProject.instance().addMapLayer(QgsRasterLayer(str(scene / f"{name}.tif"), name))
    sar = {"SAR": "sar", "DEM": "dem"}
    for identifier, given in (("sartooptical", sar), ("masktoimage", {"MASK": "mask"})):
        dialog = processing.createAlgorithmDialog(f"eo_translate:{identifier}", given)
        shoot(dialog, f"dialog-{identifier}", 1000, 760)
        dialog.close()

    from eo_translate_plugin.engine_setup import EnvironmentInstaller
    from eo_translate_plugin.ui.options_page import OptionsPage

    installer = EnvironmentInstaller()
    page = OptionsPage(installer)
    for start in (page._create, page._test):
        finished = []
        installer.finished.connect(lambda *outcome, finished=finished: finished.append(outcome))
        start.click()
        while not finished:
            QApplication.processEvents()
    shoot(page, "options", 820, 640)
    page.close()

    for identifier, given in (("sartooptical", sar), ("masktoimage", {"MASK": "mask"})):
        parameters = {**given, "OUTPUT": "TEMPORARY_OUTPUT"}
        processing.runAndLoadResults(f"eo_translate:{identifier}", parameters)
    window = iface.mainWindow()
    iface.zoomFull()
    window.resize(1400, 900)
    layers = QgsProject.instance().layerTreeRoot().children()
    for shown, name in ((1, "canvas-sartooptical"), (0, "canvas-masktoimage")):
        for number, layer in enumerate(layers):
            layer.setItemVisibilityChecked(number == shown)
            layer.setExpanded(number == shown)
        iface.mapCanvas().refreshAllLayers()
        iface.mapCanvas().waitWhileRendering()
        shoot(window, name, 1400, 900)
    os._exit(0)


if "qgis.utils" in sys.modules:
    take_pictures()
elif __name__ == "__main__":
    sys.exit(start_qgis())
