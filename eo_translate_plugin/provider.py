"""The Processing provider: its identity and its algorithms."""

from __future__ import annotations

from configparser import ConfigParser

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.evaluate import Evaluate
from .algorithms.mask_to_image import MaskToImage
from .algorithms.sar_to_optical import SarToOptical
from .algorithms.translate import Translate
from .environment import PLUGIN_FOLDER, engine_parent, resource
from .translate import tr

ALGORITHMS = (SarToOptical, MaskToImage, Translate, Evaluate)


class EOTranslateProvider(QgsProcessingProvider):
    """``eo_translate:*`` algorithms; always listed, whether the engine is installed or not."""

    def loadAlgorithms(self) -> None:
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def id(self) -> str:
        return "eo_translate"

    def name(self) -> str:
        return "EO Translate"

    def longName(self) -> str:
        return tr("EO Translate (imagery you do not have, from the rasters you do)")

    def versionInfo(self) -> str:
        """The version in metadata.txt, which is the engine's too."""
        for folder in (PLUGIN_FOLDER, engine_parent()):
            parser = ConfigParser(interpolation=None)
            if parser.read(folder / "metadata.txt", encoding="utf-8"):
                return parser.get("general", "version")
        return ""

    def icon(self) -> QIcon:
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:
        return str(resource("icons", "eo-translate.svg"))

    def helpId(self) -> str:
        return "eo_translate"

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        return ["tif", "tiff"]

    def supportsNonFileBasedOutput(self) -> bool:
        return False
