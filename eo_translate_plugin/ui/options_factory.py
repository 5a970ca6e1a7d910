"""Adds "EO Translate" to Settings > Options."""

from __future__ import annotations

from qgis.core import Qgis
from qgis.gui import QgisInterface, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QWidget

from ..environment import resource
from ..translate import tr


class OptionsFactory(QgsOptionsWidgetFactory):
    """Makes the options page, and keeps an installation running when the options are closed."""

    def __init__(self, iface: QgisInterface) -> None:
        super().__init__("EO Translate", QIcon(str(resource("icons", "eo-translate.svg"))))
        self._iface = iface
        self._installer = None

    def createWidget(self, parent: QWidget) -> QgsOptionsPageWidget:
        from .options_page import OptionsPage

        if self._installer is None:
            from ..engine_setup import EnvironmentInstaller

            self._installer = EnvironmentInstaller()
            self._installer.finished.connect(self._announce)
        return OptionsPage(self._installer, parent)

    def close(self) -> None:
        """Stops an installation; for when the plugin is unloaded."""
        if self._installer is not None:
            self._installer.cancel()
            self._installer.deleteLater()
            self._installer = None

    def _announce(self, worked: bool, sentence: str) -> None:
        level = Qgis.MessageLevel.Success if worked else Qgis.MessageLevel.Warning
        self._iface.messageBar().pushMessage("EO Translate", tr(sentence), level)
