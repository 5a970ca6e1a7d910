"""What QGIS loads: the Processing provider, the options page and the translation of the user's language."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsApplication, QgsSettings
from qgis.gui import QgisInterface
from qgis.PyQt.QtCore import QCoreApplication, QTranslator

from .provider import EOTranslateProvider

_TRANSLATIONS = Path(__file__).parent / "i18n"


class EOTranslatePlugin:
    """Adds everything to QGIS and takes everything away again.

    Args:
        iface: The QGIS window; None in ``qgis_process``.
    """

    def __init__(self, iface: QgisInterface | None) -> None:
        self._iface = iface
        self._provider: EOTranslateProvider | None = None
        self._options_factory = None
        self._preview_actions = None
        self._translator = _install_translator()

    def initProcessing(self) -> None:
        """Adds the provider: all that ``qgis_process`` needs."""
        self._provider = EOTranslateProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Adds the provider, the options page and the entries of the preview."""
        self.initProcessing()
        if self._iface is not None:
            from .ui.options_factory import OptionsFactory

            self._options_factory = OptionsFactory(self._iface)
            self._iface.registerOptionsWidgetFactory(self._options_factory)
            from .ui.preview_actions import PreviewActions

            self._preview_actions = PreviewActions(self._iface)

    def unload(self) -> None:
        """Removes all of it, ends previews, the engine's worker and a running installation."""
        from .worker_client import close_shared

        if self._preview_actions is not None:
            self._preview_actions.close()
            self._preview_actions = None
        close_shared()
        if self._options_factory is not None:
            self._options_factory.close()
            self._iface.unregisterOptionsWidgetFactory(self._options_factory)
            self._options_factory = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
        if self._translator is not None:
            QCoreApplication.removeTranslator(self._translator)
            self._translator = None


def _install_translator() -> QTranslator | None:
    locale = str(QgsSettings().value("locale/userLocale", "en") or "en")
    for name in (locale, locale[:2]):
        path = _TRANSLATIONS / f"eo_translate_{name}.qm"
        translator = QTranslator()
        if path.is_file() and translator.load(str(path)):
            QCoreApplication.installTranslator(translator)
            return translator
    return None
