"""Takes the pictures of docs/images that show the plugin: in a real QGIS window, on the sample scene.

    .venv-base/bin/python docs/screenshots.py            # all of them
    .venv-base/bin/python docs/screenshots.py preview    # those of the preview, with this engine
    .venv-base/bin/python docs/screenshots.py dialogs    # those of the algorithms' dialogs
    .venv/bin/python docs/screenshots.py any-to-any      # results of any to any, which needs torch

Needs QGIS and xvfb-run; for all of them the network too: the options page creates the engine's environment
for its picture. Run outside QGIS it builds the plugin, makes a profile and starts QGIS on this same file; run
by QGIS (``--code``) it takes the pictures and leaves.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgis.core import QgsLayerTreeNode
    from qgis.PyQt.QtWidgets import QWidget

ROOT = Path(os.environ.get("EO_SHOTS_ROOT") or Path(__file__).resolve().parents[1])
IMAGES = ROOT / "docs" / "images"
PLUGIN = "eo_translate_plugin"
ALGORITHMS = (("sartooptical", {"SAR": "sar", "DEM": "dem"}), ("masktoimage", {"MASK": "mask"}))
DIALOGS = (*ALGORITHMS, ("translate", {"DEM": "dem", "S1_RTC": "sar", "GENERATE": "s2_l2a"}))
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


def start_qgis(only: str) -> int:
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
            **({"EO_SHOTS_ONLY": only, "EO_TRANSLATE_PYTHON": sys.executable} if only else {}),
        }
        qgis = ["qgis", "--nologo", "--noversioncheck", "--profiles-path", scratch, "--code", __file__]
        command = ["xvfb-run", "-a", "-s", "-screen 0 1500x950x24", *qgis]
        return subprocess.run(command, env=environment, timeout=600).returncode


def take_pictures() -> None:
    """Inside QGIS: dialogs, options page, results on the canvas, and the preview."""
    from qgis.core import QgsProject, QgsRasterLayer

    scene = Path(os.environ["EO_SHOTS_SCENE"])
    IMAGES.mkdir(exist_ok=True)
    for name in ("dem", "mask", "sar"):
        QgsProject.instance().addMapLayer(QgsRasterLayer(str(scene / f"{name}.tif"), name))
    only = os.environ.get("EO_SHOTS_ONLY")
    if only in (None, "dialogs"):
        shoot_dialogs()
    if not only:
        shoot_options()
        shoot_results()
    if only == "any-to-any":
        shoot_any_to_any()
    if only in (None, "preview"):
        shoot_preview()
    os._exit(0)


def shoot_dialogs() -> None:
    """The dialogs of the algorithms."""
    import processing

    for identifier, given in DIALOGS:
        dialog = processing.createAlgorithmDialog(f"eo_translate:{identifier}", given)
        shoot(dialog, f"dialog-{identifier}", 1000, 760)
        dialog.close()


def shoot_options() -> None:
    """The options page, after it has made and tested the engine's environment."""
    from eo_translate_plugin.engine_setup import EnvironmentInstaller
    from eo_translate_plugin.ui.options_page import OptionsPage

    installer = EnvironmentInstaller()
    page = OptionsPage(installer)
    for start in (page._create, page._test):
        finished = []
        installer.finished.connect(lambda *outcome, finished=finished: finished.append(outcome))
        start.click()
        wait_until(lambda finished=finished: finished)
    shoot(page, "options", 820, 640)
    page.close()


def shoot_results() -> None:
    """A result of each algorithm on the canvas."""
    import processing
    from qgis.core import QgsProject
    from qgis.utils import iface

    for identifier, given in ALGORITHMS:
        parameters = {**given, "OUTPUT": "TEMPORARY_OUTPUT"}
        processing.runAndLoadResults(f"eo_translate:{identifier}", parameters)
    window = iface.mainWindow()
    iface.zoomFull()
    window.resize(1400, 900)
    layers = QgsProject.instance().layerTreeRoot().children()
    for shown, name in ((1, "canvas-sartooptical"), (0, "canvas-masktoimage")):
        show_only(layers[shown])
        shoot(window, name, 1400, 900)
    for layer in layers[:2]:
        QgsProject.instance().removeMapLayer(layer.layerId())


def shoot_any_to_any() -> None:
    """What elevation and radar become: a group of layers, each in a style of its own."""
    import processing
    from qgis.utils import iface

    given = {"DEM": "dem", "S1_RTC": "sar", "GENERATE": "s2_l2a,lulc", "SAMPLES": 4, "UNCERTAINTY": True}
    place = {"EXTENT": "600000,603840,5296160,5300000 [EPSG:32632]", "OUTPUT": "TEMPORARY_OUTPUT"}
    processing.runAndLoadResults("eo_translate:translate", {**given, **place})
    iface.mainWindow().resize(1400, 900)
    iface.zoomToActiveLayer()
    draw()
    shoot(iface.mainWindow(), "canvas-translate", 1400, 900)


def shoot_preview() -> None:
    """The preview: where it is chosen, while it runs, what it gives, and its settings."""
    from qgis.core import QgsProject, QgsRectangle
    from qgis.PyQt.QtCore import QPoint
    from qgis.utils import iface, plugins

    from eo_translate_plugin.preview.choice import Choice

    window, canvas = iface.mainWindow(), iface.mapCanvas()
    controller = plugins[PLUGIN]._preview_actions.controller
    (sar,) = QgsProject.instance().mapLayersByName("sar")
    (dem,) = QgsProject.instance().mapLayersByName("dem")
    node = QgsProject.instance().layerTreeRoot().findLayer(sar.id())
    window.resize(1300, 800)
    canvas.setDestinationCrs(sar.crs())
    window.show()
    settle()
    size, pixel = canvas.mapSettings().outputSize(), sar.rasterUnitsPerPixelX()
    sides = size.width() * pixel, size.height() * pixel
    canvas.setExtent(QgsRectangle.fromCenterAndSize(sar.extent().center(), *sides))
    iface.setActiveLayer(sar)
    show_only(node)

    menu = iface.layerTreeView().menuProvider().createContextMenu()
    menu.popup(window.mapToGlobal(QPoint(130, 420)))
    ours = next(action for action in menu.actions() if action.text() == "EO Translate")
    menu.setActiveAction(ours)
    ours.menu().popup(menu.mapToGlobal(menu.actionGeometry(ours).topRight()))
    settle()
    picture = window.screen().grabWindow(window.winId()).copy(0, 400, 860, 400)
    picture.save(str(IMAGES / "preview-menu.png"))
    menu.close()

    controller.start(Choice("sartooptical", {"SAR": sar.id(), "DEM": dem.id()}))
    until = time.monotonic() + 1
    wait_until(lambda: time.monotonic() > until)
    window.grab().copy(300, 95, 1000, 320).save(str(IMAGES / "preview-running.png"))
    wait_until(lambda: not controller.is_running)
    settle()
    iface.messageBar().clearWidgets()
    canvas.zoomByFactor(1.6)
    draw()
    shoot(window, "preview-result", 1300, 800)

    controller.choose(Choice("sartooptical", {"SAR": sar.id(), "DEM": dem.id(), "SEED": 3}))
    dialog = controller._dialog
    shoot(dialog, "preview-settings", 460, dialog.sizeHint().height())


def show_only(shown: QgsLayerTreeNode) -> None:
    """Makes one layer of the tree visible, and waits until it is drawn."""
    from qgis.core import QgsProject

    for layer in QgsProject.instance().layerTreeRoot().children():
        layer.setItemVisibilityChecked(layer == shown)
        layer.setExpanded(layer == shown)
    draw()


def draw() -> None:
    """Draws the map."""
    from qgis.utils import iface

    iface.mapCanvas().refreshAllLayers()
    iface.mapCanvas().waitWhileRendering()
    settle()


def shoot(widget: QWidget, name: str, width: int, height: int) -> None:
    """Takes the picture of a widget."""
    widget.resize(width, height)
    widget.show()
    settle()
    widget.grab().save(str(IMAGES / f"{name}.png"))


def settle() -> None:
    """Lets QGIS draw what has changed."""
    from qgis.PyQt.QtWidgets import QApplication

    for _ in range(20):
        QApplication.processEvents()


def wait_until(condition: Callable[[], object]) -> None:
    """Keeps QGIS going until something has happened."""
    from qgis.PyQt.QtWidgets import QApplication

    while not condition():
        QApplication.processEvents()


if "qgis.utils" in sys.modules:
    take_pictures()
elif __name__ == "__main__":
    sys.exit(start_qgis("".join(sys.argv[1:2])))
