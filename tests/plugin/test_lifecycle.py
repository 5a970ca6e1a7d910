"""Loading and unloading, with and without a window."""

from __future__ import annotations

import subprocess
import sys

from pytest_qgis.qgis_interface import QgisInterface
from qgis.core import QgsApplication
from qgis.gui import QgsMessageBar

from eo_translate_plugin import classFactory


class WindowInterface(QgisInterface):
    """pytest-qgis's window, with the two methods of the real one that it lacks."""

    def __init__(self, window: QgisInterface) -> None:
        super().__init__(window.mapCanvas(), QgsMessageBar(), window.mainWindow())
        self.factories = []

    def registerOptionsWidgetFactory(self, factory) -> None:
        self.factories.append(factory)

    def unregisterOptionsWidgetFactory(self, factory) -> None:
        self.factories.remove(factory)


def provider():
    return QgsApplication.processingRegistry().providerById("eo_translate")


def test_headless_loading_adds_the_provider_and_unloading_removes_it(qgis_app):
    plugin = classFactory(None)
    assert provider() is None
    plugin.initProcessing()
    assert sorted(a.name() for a in provider().algorithms()) == [
        "evaluate",
        "masktoimage",
        "sartooptical",
        "translate",
    ]
    plugin.unload()
    assert provider() is None


def test_with_a_window_the_options_page_comes_and_goes(qgis_app, qgis_iface):
    window = WindowInterface(qgis_iface)
    plugin = classFactory(window)
    plugin.initGui()
    assert provider() is not None
    assert [factory.title() for factory in window.factories] == ["EO Translate"]
    plugin.unload()
    assert provider() is None
    assert window.factories == []


def test_a_plugin_can_be_loaded_again(qgis_app):
    for _ in range(2):
        plugin = classFactory(None)
        plugin.initProcessing()
        assert len(provider().algorithms()) == 4
        plugin.unload()


def test_unloading_before_loading_is_harmless(qgis_app):
    classFactory(None).unload()


def test_the_provider_says_who_it_is(provider):
    assert provider.id() == "eo_translate"
    assert provider.name() == "EO Translate"
    assert not provider.icon().isNull()
    assert provider.versionInfo().count(".") == 2
    assert provider.supportedOutputRasterLayerExtensions() == ["tif", "tiff"]


def test_loading_imports_nothing_heavy(plugin_folder):
    """How long it takes is measured by ``make bench``."""
    code = (
        "import sys\n"
        "from qgis.core import QgsApplication\n"
        "import qgis.gui, qgis.PyQt.QtWidgets, json, subprocess, configparser\n"
        "app = QgsApplication([], False); app.initQgis()\n"
        f"sys.path.insert(0, {str(plugin_folder.parent)!r})\n"
        "from eo_translate_plugin import classFactory\n"
        "classFactory(None).initProcessing()\n"
        "heavy = {'numpy', 'rasterio', 'onnxruntime', 'pydantic', 'torch', 'ssl', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "app.exitQgis()\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split("\n")[0] == "[]"
