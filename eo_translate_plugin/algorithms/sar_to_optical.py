"""``eo_translate:sartooptical``: an optical image from a SAR scene and, where there is one, a DEM."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingException

from .. import parameters as factory
from ..layers import input_raster
from ..translate import tr
from .base import TranslationAlgorithm

UNITS = ["auto", "linear", "db", "relative"]


class SarToOptical(TranslationAlgorithm):
    """SAR backscatter to optical reflectance."""

    SAR = "SAR"
    DEM = "DEM"
    VV_BAND = "VV_BAND"
    VH_BAND = "VH_BAND"
    SAR_UNITS = "SAR_UNITS"

    def name(self) -> str:
        return "sartooptical"

    def displayName(self) -> str:
        return tr("Translate SAR to optical")

    def shortDescription(self) -> str:
        return tr("Draws a plausible false-colour optical image from a Sentinel-1 scene (and a DEM).")

    def tags(self) -> list[str]:
        words = tr(
            "sar,radar,sentinel-1,backscatter,optical,sentinel-2,false colour,swir,translation,synthesis,"
            "generative,deep learning,ai,gan,onnx,cloud,despeckle"
        )
        return words.split(",")

    def initAlgorithm(self, config: dict[str, Any] | None = None) -> None:
        self.addParameter(
            factory.raster(
                self.SAR,
                tr("SAR backscatter"),
                tr(
                    "Sentinel-1 (or similar) backscatter, VV with or without VH, in dB, linear power or as a "
                    "grey-scale picture. The output lies on exactly this raster's grid."
                ),
            )
        )
        self.addParameter(
            factory.raster(
                self.DEM,
                tr("Elevation (DEM)"),
                tr("Elevation in metres, any grid or CRS; warped to the SAR raster's grid."),
                optional=True,
            )
        )
        self.addParameter(factory.model("sar", "sar-to-optical"))
        self.addParameter(factory.extent())
        self.addParameter(factory.seed())
        self.addParameter(factory.samples())
        self.addParameter(factory.device())
        self._add_advanced()
        self.addParameter(factory.creation_options())
        self.addParameter(factory.resume())
        self.addParameter(
            factory.output(
                tr("Optical image (synthetic)"),
                tr(
                    "GeoTIFF on the SAR raster's grid, marked as synthetic, with model, seed and job in its "
                    "tags."
                ),
            )
        )
        self.addParameter(factory.uncertainty())
        self.add_run_outputs()

    def _add_advanced(self) -> None:
        self.addParameter(
            factory.band(
                self.VV_BAND,
                tr("VV band"),
                tr("Band number of VV; empty: found by band name, or band 1."),
                self.SAR,
            )
        )
        self.addParameter(
            factory.band(
                self.VH_BAND,
                tr("VH band"),
                tr("Band number of VH; empty: found by band name, or band 2."),
                self.SAR,
            )
        )
        self.addParameter(
            factory.advanced(
                factory.choice(
                    self.SAR_UNITS,
                    tr("SAR units"),
                    tr(
                        "auto tells them apart and says what it found; linear: power (sigma0 or gamma0); db: "
                        "decibels; relative: a grey-scale stretch of dB, as in an 8-bit picture."
                    ),
                    UNITS,
                    "auto",
                )
            )
        )

    def inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        settings: dict[str, Any] = {"units": self.parameterAsEnumString(parameters, self.SAR_UNITS, context)}
        bands = self._bands(parameters, context)
        if bands:
            settings["bands"] = bands
        found = {"sar": input_raster(self.raster(parameters, self.SAR, context), **settings)}
        if parameters.get(self.DEM):
            found["dem"] = input_raster(self.raster(parameters, self.DEM, context))
        return found

    def _bands(self, parameters: dict[str, Any], context: QgsProcessingContext) -> list[int]:
        vv, vh = (self.parameterAsInt(parameters, name, context) for name in (self.VV_BAND, self.VH_BAND))
        if vh and not vv:
            raise QgsProcessingException(
                tr("VH_BAND is given without VV_BAND; give the numbers of both, or of VV alone.")
            )
        return [band for band in (vv, vh) if band]
