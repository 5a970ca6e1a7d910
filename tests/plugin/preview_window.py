"""A QGIS window to preview in, and what the tests of the preview ask of it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsMapLayer,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.gui import QgsMapCanvas
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtWidgets import QFrame
from test_lifecycle import WindowInterface

from eo_translate_plugin import classFactory

CANVAS = (400, 300)


class Window(WindowInterface):
    """A window whose layers and entries are real enough to preview."""

    def __init__(self, window) -> None:
        super().__init__(window)
        self.entries, self.bar = [], self.messageBar()
        self.active = None
        self.map = QgsMapCanvas()
        self.map.setFrameShape(QFrame.Shape.NoFrame)
        self.resize(*CANVAS)

    def mapCanvas(self) -> QgsMapCanvas:
        return self.map

    def resize(self, width: int, height: int) -> None:
        self.map.resize(width, height)
        self.map.show()
        QgsApplication.processEvents()
        assert self.map.mapSettings().outputSize() == QSize(width, height)

    def activeLayer(self):
        return self.active

    def addCustomActionForLayerType(self, action, menu, kind, everywhere) -> None:
        assert everywhere
        assert kind == QgsMapLayer.LayerType.RasterLayer
        self.entries.append(action)

    def removeCustomActionForLayerType(self, action) -> None:
        self.entries.remove(action)

    def addPluginToRasterMenu(self, menu, action) -> None:
        self.entries.append(action)

    def removePluginRasterMenu(self, menu, action) -> None:
        self.entries.remove(action)

    def addToolBarIcon(self, action) -> None:
        self.entries.append(action)

    def removeToolBarIcon(self, action) -> None:
        self.entries.remove(action)

    def texts(self) -> list[str]:
        """What the message bar shows, and removes it."""
        QgsApplication.processEvents()
        found = []
        while self.bar.currentItem() is not None:
            found.append(self.bar.currentItem().text())
            self.bar.popWidget()
        return found


@pytest.fixture
def window(qgis_app, qgis_iface):
    found = Window(qgis_iface)
    found.plugin = classFactory(found)
    found.plugin.initGui()
    before = temporary()
    yield found
    found.plugin.unload()
    QgsProject.instance().clear()
    settle(lambda: not QgsApplication.taskManager().countActiveTasks())
    assert temporary() == before
    found.map.close()


@pytest.fixture
def controller(window):
    return window.plugin._preview_actions.controller


def temporary() -> set[Path]:
    return set(Path(QgsProcessingUtils.tempFolder()).rglob("*preview*"))


def settle(condition, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        QgsApplication.processEvents()
        time.sleep(0.005)


def active(task) -> bool:
    """Whether a task runs; QGIS deletes those that have ended."""
    return not sip.isdeleted(task) and task.isActive()


def finish(controller) -> None:
    settle(lambda: not controller.is_running)


def add(path: str, name: str) -> QgsRasterLayer:
    layer = QgsRasterLayer(path, name)
    QgsProject.instance().addMapLayer(layer)
    return layer


def show(window, centre: tuple[float, float], pixel: float, epsg: int = 32632) -> None:
    """Shows a place on the map, so that a pixel of the map has the given side."""
    canvas = window.mapCanvas()
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem.fromEpsgId(epsg))
    size = canvas.mapSettings().outputSize()
    half = size.width() * pixel / 2, size.height() * pixel / 2
    (x, y), (w, h) = centre, half
    canvas.setExtent(QgsRectangle(x - w, y - h, x + w, y + h))
    assert canvas.mapSettings().mapUnitsPerPixel() == pytest.approx(pixel, rel=0.005)


def previews() -> list[QgsRasterLayer]:
    return [m for m in QgsProject.instance().mapLayers().values() if m.name().startswith("Preview: ")]


def pixels(path: str) -> np.ndarray:
    return gdal.Open(path).ReadAsArray()


def same_place(path: str, whole: str) -> np.ndarray:
    """The pixels of ``whole`` where ``path`` lies; both are on one grid."""
    part, raster = gdal.Open(path), gdal.Open(whole)
    mine, its = part.GetGeoTransform(), raster.GetGeoTransform()
    assert mine[1::4] == its[1::4]
    col, row = (mine[0] - its[0]) / its[1], (mine[3] - its[3]) / its[5]
    assert (col, row) == (round(col), round(row))
    return raster.ReadAsArray(round(col), round(row), part.RasterXSize, part.RasterYSize)


def final_run(identifier: str, folder: Path, **parameters) -> str:
    import processing

    output = str(folder / "final.tif")
    processing.run(f"eo_translate:{identifier}", {**parameters, "OUTPUT": output})
    return output


def begun(controller) -> None:
    """Waits until the engine has begun with the job: it has made a file."""
    output = controller._task.output
    settle(lambda: any(output.parent.glob("preview.tif*")))


@pytest.fixture
def slow(window, controller, scene):
    """A preview under way that would take some seconds."""
    from eo_translate_plugin.preview.choice import Choice

    layer = add(scene["large"], "large")
    window.resize(1600, 1600)
    show(window, (520480, 4979520), 10)
    controller.start(Choice("sartooptical", {"SAR": layer.id()}))
    begun(controller)
    return layer
