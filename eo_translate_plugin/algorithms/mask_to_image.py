"""``eo_translate:masktoimage``: an image from a land-cover mask."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingException, QgsProcessingParameterString

from .. import parameters as factory
from ..layers import input_raster
from ..translate import tr
from .base import TranslationAlgorithm

MODEL_CLASSES = "model"
CUSTOM = "custom"


def legend_names() -> list[str]:
    """The bundled legends, ``model`` (values are the model's own class numbers) and ``custom``."""
    return [*factory.bundled_legends(), MODEL_CLASSES, CUSTOM]


class MaskToImage(TranslationAlgorithm):
    """Land-cover classes to optical reflectance."""

    MASK = "MASK"
    LEGEND = "LEGEND"
    MAPPING = "MAPPING"

    def name(self) -> str:
        return "masktoimage"

    def displayName(self) -> str:
        return tr("Translate land-cover mask to image")

    def shortDescription(self) -> str:
        return tr("Draws a plausible satellite image whose land cover follows a class raster.")

    def tags(self) -> list[str]:
        words = tr(
            "mask,land cover,lulc,segmentation,classification,worldcover,corine,dynamic world,aras400k,image,"
            "synthesis,synthetic,generative,deep learning,ai,gan,onnx,training data"
        )
        return words.split(",")

    def initAlgorithm(self, config: dict[str, Any] | None = None) -> None:
        self.addParameter(
            factory.raster(
                self.MASK,
                tr("Land-cover mask"),
                tr(
                    "One band of class values, or three bands of class colours. The output lies on exactly "
                    "this raster's grid."
                ),
            )
        )
        self.addParameter(
            factory.choice(
                self.LEGEND,
                tr("Class legend"),
                tr(
                    "What the mask's values mean. model: they are the model's own class numbers, from 0; "
                    "custom: they are given by MAPPING."
                ),
                legend_names(),
                "esa-worldcover",
            )
        )
        mapping = QgsProcessingParameterString(
            self.MAPPING, tr("Own mapping of values to classes"), optional=True
        )
        mapping.setHelp(
            tr(
                "For the legend custom: value=class pairs separated by semicolons, as in 1=water;2=trees;"
                "0=nodata. The classes are those of the model."
            )
        )
        self.addParameter(mapping)
        self.addParameter(factory.model("mask", "mask-to-image"))
        self.addParameter(factory.extent())
        self.addParameter(factory.seed())
        self.addParameter(factory.samples())
        self.addParameter(factory.device())
        self.addParameter(factory.creation_options())
        self.addParameter(factory.resume())
        self.addParameter(
            factory.output(
                tr("Image (synthetic)"),
                tr("GeoTIFF on the mask's grid, marked as synthetic, with model, seed and job in its tags."),
            )
        )
        self.addParameter(factory.uncertainty())
        self.add_run_outputs()

    def check(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        legend = self.parameterAsEnumString(parameters, self.LEGEND, context)
        mapping = self.parameterAsString(parameters, self.MAPPING, context).strip()
        if legend == CUSTOM and not mapping:
            raise QgsProcessingException(
                tr("LEGEND is custom, so MAPPING must say what the values mean, as in 1=water;2=trees.")
            )
        if mapping and legend != CUSTOM:
            raise QgsProcessingException(
                tr(
                    "MAPPING is given, but LEGEND is {legend}; set LEGEND to custom, or clear MAPPING."
                ).format(legend=legend)
            )
        parse_mapping(mapping)
        super().check(parameters, context)

    def inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        legend: str | dict[int, str] = self.parameterAsEnumString(parameters, self.LEGEND, context)
        if legend == CUSTOM:
            legend = parse_mapping(self.parameterAsString(parameters, self.MAPPING, context))
        return {"mask": input_raster(self.raster(parameters, self.MASK, context), legend=legend)}


def parse_mapping(text: str) -> dict[int, str]:
    """Reads ``1=water;2=trees``.

    Raises:
        QgsProcessingException: A part is not value=class, or a value comes twice.
    """
    mapping: dict[int, str] = {}
    for part in filter(None, (part.strip() for part in text.replace("\n", ";").split(";"))):
        value, _, name = (word.strip() for word in part.partition("="))
        try:
            number = int(value)
        except ValueError:
            number = None
        if number is None or not name or number in mapping:
            raise QgsProcessingException(
                tr(
                    "MAPPING has the part {part}; write each value once, as a whole number, = and a class, "
                    "as in 1=water;2=trees."
                ).format(part=part)
            )
        mapping[number] = name
    return mapping
