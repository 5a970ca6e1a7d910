"""``eo_translate:evaluate``: how good results are, against the truth."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
    QgsRasterLayer,
)

from .. import parameters as factory
from ..layers import input_raster
from ..translate import tr
from .engine_algorithm import EngineAlgorithm

VALUES, CLASSES = "values", "classes"
# Outputs by the engine's names of the scores; a score that was not computed has no output.
SCORES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "sam": "SAM",
    "scc": "SCC",
    "rmse": "RMSE",
    "mae": "MAE",
    "bias": "BIAS",
    "r2": "R2",
    "wasserstein": "WASSERSTEIN",
    "lpips": "LPIPS",
    "dists": "DISTS",
    "fid": "FID",
    "kid": "KID",
    "qnr": "QNR",
    "accuracy": "ACCURACY",
    "mean_iou": "MEAN_IOU",
    "mean_f1": "MEAN_F1",
    "fw_iou": "WEIGHTED_IOU",
}


class Evaluate(EngineAlgorithm):
    """Scores of one result, or of several samples, with a report."""

    REFERENCE = "REFERENCE"
    RESULTS = "RESULTS"
    KIND = "KIND"
    BANDS = "BANDS"
    RESULT_BANDS = "RESULT_BANDS"
    REFERENCE_SCALE = "REFERENCE_SCALE"
    RESULT_SCALE = "RESULT_SCALE"
    TILE = "TILE"
    MULTISPECTRAL = "MULTISPECTRAL"
    PAN = "PAN"
    WEIGHTS = "WEIGHTS"
    HTML = "HTML"
    JSON = "JSON"
    PIXELS = "PIXELS"

    def __init__(self) -> None:
        super().__init__()
        self._comparison: dict[str, Any] = {}

    def name(self) -> str:
        return "evaluate"

    def displayName(self) -> str:
        return tr("Evaluate images against a reference")

    def group(self) -> str:
        return tr("Evaluation")

    def groupId(self) -> str:
        return "evaluation"

    def shortDescription(self) -> str:
        return tr("Says how close results are to the truth: PSNR, SSIM, spectral angle and more.")

    def tags(self) -> list[str]:
        words = tr(
            "evaluation,accuracy,assessment,validation,quality,psnr,ssim,rmse,spectral angle,sam,lpips,fid,"
            "qnr,confusion,iou,f1,comparison,difference,report"
        )
        return words.split(",")

    def initAlgorithm(self, config: dict[str, Any] | None = None) -> None:
        self.addParameter(
            factory.raster(
                self.REFERENCE,
                tr("Reference (the truth)"),
                tr("The raster that is right. Everything is compared on its grid."),
            )
        )
        results = QgsProcessingParameterMultipleLayers(
            self.RESULTS, tr("Results"), QgsProcessing.SourceType.TypeRaster
        )
        results.setHelp(
            tr(
                "One result, or several samples of the same place. Those on another grid are resampled to "
                "the reference's, and the report says so."
            )
        )
        self.addParameter(results)
        self.addParameter(
            factory.choice(
                self.KIND,
                tr("What the rasters hold"),
                tr("values: measurements such as reflectance; classes: codes of classes such as land cover."),
                [VALUES, CLASSES],
                VALUES,
            )
        )
        self._add_details()
        self._add_files()
        self.addOutput(QgsProcessingOutputNumber(self.PIXELS, tr("Pixels compared")))
        for name in SCORES.values():
            title = name.replace("_", " ")
            self.addOutput(
                QgsProcessingOutputNumber(name, tr("{score}, mean over results").format(score=title))
            )

    def _add_details(self) -> None:
        self._add_text(
            self.BANDS,
            tr("Bands of the reference"),
            tr("Names or numbers separated by commas, as B04,B03 or 1,2; empty: equal names, or all."),
        )
        self._add_text(
            self.RESULT_BANDS, tr("Bands of the results"), tr("The same for the results, in that order.")
        )
        for name, label in (
            (self.REFERENCE_SCALE, tr("Factor on the reference's values")),
            (self.RESULT_SCALE, tr("Factor on the results' values")),
        ):
            number = QgsProcessingParameterNumber(
                name, label, type=QgsProcessingParameterNumber.Type.Double, optional=True
            )
            number.setHelp(
                tr("Such as 0.0001 for Sentinel-2 numbers; empty: the scale and offset that are in the file.")
            )
            self.addParameter(factory.advanced(number))
        tile = QgsProcessingParameterNumber(
            self.TILE,
            tr("Side of a tile (pixels)"),
            type=QgsProcessingParameterNumber.Type.Integer,
            defaultValue=256,
            minValue=32,
            maxValue=1024,
        )
        tile.setHelp(tr("Some scores compare tiles as small images; this is their side."))
        self.addParameter(factory.advanced(tile))
        for name, label, text in (
            (
                self.MULTISPECTRAL,
                tr("Coarse multispectral image (QNR)"),
                tr("For QNR alone: the image that the results sharpen, with equal bands and larger pixels."),
            ),
            (
                self.PAN,
                tr("Panchromatic image (QNR)"),
                tr("For QNR alone: the one-band image that the results were sharpened with."),
            ),
        ):
            self.addParameter(factory.advanced(factory.raster(name, label, text, optional=True)))

    def _add_text(self, name: str, label: str, text: str) -> None:
        parameter = QgsProcessingParameterString(name, label, optional=True)
        parameter.setHelp(text)
        self.addParameter(factory.advanced(parameter))

    def _add_files(self) -> None:
        weights = QgsProcessingParameterMultipleLayers(
            self.WEIGHTS, tr("Weights of networks"), QgsProcessing.SourceType.TypeFile, optional=True
        )
        weights.setHelp(
            tr(
                "Files with the weights of AlexNet, VGG-16, ResNet-50 or Inception v3, for LPIPS, DISTS and "
                "FID. Nothing is downloaded; without them these scores are left out."
            )
        )
        self.addParameter(factory.advanced(weights))
        html = QgsProcessingParameterFileDestination(
            self.HTML, tr("Report"), tr("HTML files") + " (*.html)", optional=True
        )
        html.setHelp(tr("One file with numbers, difference maps and histograms; it opens in any browser."))
        self.addParameter(html)
        numbers = QgsProcessingParameterFileDestination(
            self.JSON, tr("Numbers"), tr("JSON files") + " (*.json)", optional=True, createByDefault=False
        )
        numbers.setHelp(tr("All numbers, by result and by band, for other programs."))
        self.addParameter(numbers)

    def check(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        super().check(parameters, context)
        self.comparison(parameters, context)

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        self.check_engine()
        self._comparison = self.comparison(parameters, context)
        return True

    def comparison(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """The engine's ``Comparison``, but for the files it writes.

        Raises:
            QgsProcessingException: A raster cannot be used.
        """
        layers = self.parameterAsLayerList(parameters, self.RESULTS, context)
        if not layers or not all(isinstance(layer, QgsRasterLayer) and layer.isValid() for layer in layers):
            raise QgsProcessingException(tr("RESULTS must be one or several rasters."))
        bands = (self._bands(parameters, name, context) for name in (self.BANDS, self.RESULT_BANDS))
        reference_bands, result_bands = bands
        reference = self.raster(parameters, self.REFERENCE, context)
        kind = self.parameterAsEnumString(parameters, self.KIND, context)
        scales = [
            self._scale(parameters, name, context) for name in (self.REFERENCE_SCALE, self.RESULT_SCALE)
        ]
        files = self.parameterAsFileList(parameters, self.WEIGHTS, context)  # [""] without any
        found = {
            "reference": _absolute(input_raster(reference, **reference_bands, **scales[0])),
            "results": [_absolute(input_raster(layer, **result_bands, **scales[1])) for layer in layers],
            "kind": "classes" if kind == CLASSES else "continuous",
            "tile_px": self.parameterAsInt(parameters, self.TILE, context),
            "weights": [os.path.abspath(path) for path in filter(None, files)],
        }
        for name in (self.MULTISPECTRAL, self.PAN):
            if parameters.get(name):
                found[name.lower()] = _absolute(input_raster(self.raster(parameters, name, context)))
        return found

    def _bands(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> dict[str, Any]:
        words = [w.strip() for w in self.parameterAsString(parameters, name, context).split(",") if w.strip()]
        return {"bands": [int(word) if word.isdigit() else word for word in words]} if words else {}

    def _scale(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> dict[str, Any]:
        if parameters.get(name) is None:
            return {}
        return {"scale": self.parameterAsDouble(parameters, name, context)}

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        from ..engine_bridge import run_evaluation

        files = {
            name: self.parameterAsFileOutput(parameters, name, context)
            for name in (self.HTML, self.JSON)
            if parameters.get(name)
        }
        fields = {self.HTML: "html", self.JSON: "json_file"}
        written = {fields[name]: os.path.abspath(path) for name, path in files.items()}
        report = run_evaluation({**self._comparison, **written}, feedback)
        scores = mean_scores(report)
        for name, value in scores.items():
            feedback.pushInfo(f"{name} {value:.6g}")
        for note in (*report["notes"], *report["missing"]):
            feedback.pushInfo(note)
        return {**files, self.PIXELS: report["pixels"], **scores}


def mean_scores(report: dict[str, Any]) -> dict[str, float]:
    """Output -> mean over the results, of scores that every one of them has."""
    found = {}
    for name, output in SCORES.items():
        values = [result["scores"].get(name) for result in report["results"]]
        if None not in values:
            found[output] = sum(values) / len(values)
    return found


def _absolute(raster: dict[str, Any]) -> dict[str, Any]:
    path = raster["path"]
    return {**raster, "path": os.path.abspath(path)} if os.path.exists(path) else raster
