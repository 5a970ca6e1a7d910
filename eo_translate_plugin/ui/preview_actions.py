"""The entries of the preview: Raster menu, plugin toolbar, context menu of raster layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qgis.core import QgsMapLayer, QgsRasterLayer
from qgis.gui import QgisInterface
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction

from ..environment import resource
from ..translate import tr

if TYPE_CHECKING:
    from ..preview.controller import PreviewController

_MENU = "EO Translate"


class PreviewActions:
    """Adds the entries; what they do is imported when one is chosen for the first time.

    Args:
        iface: The QGIS window.
    """

    def __init__(self, iface: QgisInterface) -> None:
        self._iface = iface
        self._controller: PreviewController | None = None
        self._again = self._action(
            tr("Preview here"), "eo-translate", lambda: self.controller.preview_again()
        )
        self._again.setToolTip(tr("Translates what the map shows and lays it over the map"))
        self._settings = self._action(
            tr("Preview settings..."), "eo-translate", lambda: self.controller.choose()
        )
        self._on_layers = [
            self._action(
                tr("Preview as optical image (from SAR)"),
                "sartooptical",
                lambda: self._active("sartooptical"),
            ),
            self._action(
                tr("Preview as image (from land-cover mask)"),
                "masktoimage",
                lambda: self._active("masktoimage"),
            ),
        ]
        iface.addToolBarIcon(self._again)
        for action in (self._again, self._settings):
            iface.addPluginToRasterMenu(_MENU, action)
        for action in self._on_layers:
            iface.addCustomActionForLayerType(action, _MENU, QgsMapLayer.LayerType.RasterLayer, True)

    @property
    def controller(self) -> PreviewController:
        """Runs the previews."""
        if self._controller is None:
            from ..preview.controller import PreviewController

            self._controller = PreviewController(self._iface)
        return self._controller

    def close(self) -> None:
        """Takes the entries away and ends what runs; for when the plugin is unloaded."""
        self._iface.removeToolBarIcon(self._again)
        for action in (self._again, self._settings):
            self._iface.removePluginRasterMenu(_MENU, action)
        for action in self._on_layers:
            self._iface.removeCustomActionForLayerType(action)
        for action in (self._again, self._settings, *self._on_layers):
            action.deleteLater()
        if self._controller is not None:
            self._controller.close()
            self._controller = None

    def _action(self, text: str, icon: str, on_chosen: Callable[[], None]) -> QAction:
        action = QAction(QIcon(str(resource("icons", f"{icon}.svg"))), text, self._iface.mainWindow())
        action.triggered.connect(lambda checked=False: on_chosen())
        return action

    def _active(self, name: str) -> None:
        layer = self._iface.activeLayer()
        if isinstance(layer, QgsRasterLayer):
            self.controller.preview_layer(name, layer)
