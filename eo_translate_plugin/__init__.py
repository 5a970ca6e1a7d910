"""EO Translate: satellite imagery you do not have, from the rasters you do; a QGIS Processing provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from .plugin import EOTranslatePlugin


def classFactory(iface: QgisInterface | None) -> EOTranslatePlugin:
    """Makes the plugin; ``iface`` is None in ``qgis_process``."""
    from .plugin import EOTranslatePlugin

    return EOTranslatePlugin(iface)
