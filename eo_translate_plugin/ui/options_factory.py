"""Adds "EO Translate" to Settings > Options."""

from __future__ import annotations

from qgis.gui import QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QWidget

from ..environment import resource


class OptionsFactory(QgsOptionsWidgetFactory):
    """Makes the options page when QGIS opens its options."""

    def __init__(self) -> None:
        super().__init__("EO Translate", QIcon(str(resource("icons", "eo-translate.svg"))))

    def createWidget(self, parent: QWidget) -> QgsOptionsPageWidget:
        from .options_page import OptionsPage

        return OptionsPage(parent)

    def close(self) -> None:
        """Nothing to do yet."""
