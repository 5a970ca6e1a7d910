"""What the translation algorithms share: checks of a job, and its run in the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
)

from .. import interrupted, job_files
from ..translate import tr
from .engine_algorithm import EngineAlgorithm

ASK = "ask"


class TranslationAlgorithm(EngineAlgorithm):
    """Turns rasters into an image with a model; subclasses declare parameters and inputs."""

    MODEL = "MODEL"
    EXTENT = "EXTENT"
    SEED = "SEED"
    SAMPLES = "SAMPLES"
    DEVICE = "DEVICE"
    CREATION_OPTIONS = "CREATION_OPTIONS"
    RESUME = "RESUME"
    OUTPUT = "OUTPUT"
    UNCERTAINTY = "UNCERTAINTY"
    USED_MODEL = "USED_MODEL"
    USED_MODEL_SHA256 = "USED_MODEL_SHA256"
    USED_SEED = "USED_SEED"
    USED_DEVICE = "USED_DEVICE"
    SECONDS = "SECONDS"

    def __init__(self) -> None:
        super().__init__()
        self._job: dict[str, Any] = {}

    def group(self) -> str:
        return tr("Image translation")

    def groupId(self) -> str:
        return "translation"

    def inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """The job's inputs by modality; the first is the reference for the extent's CRS."""
        raise NotImplementedError

    def add_run_outputs(self) -> None:
        """Declares what a run reports besides its rasters."""
        self.addOutput(QgsProcessingOutputString(self.USED_MODEL, tr("Model")))
        self.addOutput(
            QgsProcessingOutputString(self.USED_MODEL_SHA256, tr("SHA-256 of the model's weights"))
        )
        self.addOutput(QgsProcessingOutputNumber(self.USED_SEED, tr("Seed")))
        self.addOutput(QgsProcessingOutputString(self.USED_DEVICE, tr("Device")))
        self.addOutput(QgsProcessingOutputNumber(self.SECONDS, tr("Run time in seconds")))

    def check(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Rules beyond the single parameter's own.

        Raises:
            QgsProcessingException: One of them is broken.
        """
        self.inputs(parameters, context)
        self._creation_options(parameters, context)
        if parameters.get(self.UNCERTAINTY) and self.parameterAsInt(parameters, self.SAMPLES, context) == 1:
            raise QgsProcessingException(
                tr("UNCERTAINTY compares samples, and SAMPLES is 1; set SAMPLES to 2 or more.")
            )
        self._check_interrupted(parameters, context)
        super().check(parameters, context)

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        self.check_engine()
        self._job = self.job(parameters, context)
        return True

    def job(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """The engine's job for these parameters, but for the files it writes.

        Raises:
            QgsProcessingException: An input cannot be used.
        """
        inputs = self.inputs(parameters, context)
        resume = self.parameterAsEnumString(parameters, self.RESUME, context)
        return {
            "model": self._model(parameters, context),
            "inputs": inputs,
            "seed": self.parameterAsInt(parameters, self.SEED, context),
            "samples": self.parameterAsInt(parameters, self.SAMPLES, context),
            "device": self.parameterAsEnumString(parameters, self.DEVICE, context),
            "creation_options": self._creation_options(parameters, context),
            **({} if resume == ASK else {"resume": resume}),
            **self._extent(parameters, next(iter(inputs)).upper(), context),
        }

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        from ..engine_bridge import run_job

        output = self.parameterAsOutputLayer(parameters, self.OUTPUT, context)
        uncertainty = self.parameterAsOutputLayer(parameters, self.UNCERTAINTY, context)
        job = {**self._job, "output": output, "uncertainty": uncertainty or None}
        result = run_job(job_files.absolute(job), feedback)
        self._set_styles(output, uncertainty, context)
        outputs = {self.OUTPUT: output, **self.run_outputs(result)}
        if uncertainty:
            outputs[self.UNCERTAINTY] = uncertainty
        return outputs

    def run_outputs(self, result: dict[str, Any]) -> dict[str, Any]:
        """Values of what ``add_run_outputs`` declares."""
        return {
            self.USED_MODEL: result["model"],
            self.USED_MODEL_SHA256: result["model_sha256"],
            self.USED_SEED: result["seed"],
            self.USED_DEVICE: result["device"],
            self.SECONDS: result["seconds"],
        }

    def _set_styles(self, output: str, uncertainty: str, context: QgsProcessingContext) -> None:
        from ..engine_bridge import describe_model
        from ..style import SAMPLE, SPREAD, ResultStyle, style_when_loaded

        files = [(output, SAMPLE), (uncertainty, SPREAD)]
        if any(context.willLoadLayerOnCompletion(path) for path, _ in files):
            (described,) = describe_model(self._job["model"])["outputs"].values()
            for path, kind in files:
                style_when_loaded(context, path, ResultStyle(described, kind))

    def _check_interrupted(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Offers what an interrupted run has left, before anything runs."""
        if self.parameterAsEnumString(parameters, self.RESUME, context) != ASK:
            return
        earlier = interrupted.find(*self.planned_files(parameters, context))
        if earlier is not None:
            raise QgsProcessingException(
                tr(
                    "{output} holds an interrupted run, {done} of {total} parts done; set RESUME "
                    "(Interrupted earlier run) to continue or to restart."
                ).format(**earlier._asdict())
            )

    def planned_files(self, parameters: dict[str, Any], context: QgsProcessingContext) -> list[str]:
        """The files of the first sample, as far as they are known before a run."""
        return [chosen_place(parameters.get(self.OUTPUT), context)]

    def _model(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        """The name or folder; a folder is made absolute, because the engine's working folder is its own."""
        model = self.parameterAsString(parameters, self.MODEL, context).strip()
        return str(Path(model).expanduser().absolute()) if "/" in model or "\\" in model else model

    def _creation_options(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, str]:
        text = self.parameterAsString(parameters, self.CREATION_OPTIONS, context)
        options = {}
        for part in filter(None, (part.strip() for part in text.split("|"))):
            key, equals, value = part.partition("=")
            if not equals or not key.strip() or not value.strip():
                raise QgsProcessingException(
                    tr(
                        "The creation option {part} is not of the form NAME=VALUE; separate options by |."
                    ).format(part=part)
                )
            options[key.strip().upper()] = value.strip()
        return options

    def _extent(
        self, parameters: dict[str, Any], reference: str, context: QgsProcessingContext
    ) -> dict[str, Any]:
        crs = self.raster(parameters, reference, context).crs()
        box = self.parameterAsExtent(parameters, self.EXTENT, context, crs)
        if box.isNull():
            return {}
        return {"extent": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]}


def chosen_place(value: Any, context: QgsProcessingContext) -> str:
    """What a destination parameter names; of a temporary one just ``TEMPORARY_OUTPUT``."""
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        value, _ = value.sink.valueAsString(context.expressionContext())
    return str(value or "")
