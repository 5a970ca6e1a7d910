"""A message with a progress bar and a Cancel button in QGIS's message bar."""

from __future__ import annotations

from collections.abc import Callable

from qgis.core import Qgis
from qgis.gui import QgsMessageBar
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QObject
from qgis.PyQt.QtWidgets import QProgressBar, QPushButton

from ..translate import tr


class ProgressMessage(QObject):
    """Shown from its creation until ``close``, or until the user closes it.

    Args:
        bar: Where to show it.
        title, text: What is going on.
        on_cancel: Called when the user presses Cancel.
    """

    def __init__(self, bar: QgsMessageBar, title: str, text: str, on_cancel: Callable[[], None]) -> None:
        super().__init__()
        self._bar = bar
        self._item = bar.createMessage(title, text)
        self._progress = QProgressBar()
        self._progress.setMaximumWidth(240)
        # Both ends 0: a bar that only moves to and fro, until there is something to tell.
        self._progress.setRange(0, 0)
        button = QPushButton(tr("Cancel"))
        button.clicked.connect(on_cancel)
        self._item.layout().addWidget(self._progress)
        self._item.layout().addWidget(button)
        bar.pushWidget(self._item, Qgis.MessageLevel.Info)

    def set_percent(self, percent: float) -> None:
        """Moves the bar."""
        if percent > 0 and not sip.isdeleted(self._progress):
            self._progress.setRange(0, 100)
            self._progress.setValue(int(percent))

    def close(self) -> None:
        """Takes the message away."""
        if not sip.isdeleted(self._item):
            self._bar.popWidget(self._item)
