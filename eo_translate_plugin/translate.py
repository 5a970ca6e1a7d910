"""Translation of user-visible text."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication

CONTEXT = "EOTranslate"


def tr(text: str) -> str:
    """The text in the language of QGIS, itself where there is no translation."""
    return QCoreApplication.translate(CONTEXT, text)
