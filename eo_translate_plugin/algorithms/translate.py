"""``eo_translate:translate``: any modality from any others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingOutputRasterLayer,
)

from .. import diffusion_parameters as diffusion
from .. import job_files, model_packages
from .. import parameters as factory
from ..modalities import RASTERS, VALUES, title
from ..translate import tr
from .base import ASK, TranslationAlgorithm, chosen_place
from .scene_settings import given_rasters, grid_settings, is_given, scene_values

DEFAULT_MODEL = "any-to-any"
# Numbers that a model has a value of its own for.
_OPTIONAL_NUMBERS = ("STEPS", "STAGES", "CONTEXT")


class Translate(TranslationAlgorithm):
    """Any modality from any others, with a joint diffusion model."""

    GENERATE = "GENERATE"
    ALL_SAMPLES = "ALL_SAMPLES"
    ANCHOR = "ANCHOR"
    GUIDANCE = "GUIDANCE"
    SOLVER = "SOLVER"
    PRECISION = "PRECISION"
    LOAD = "LOAD"
    LAYERS = "LAYERS"

    def name(self) -> str:
        return "translate"

    def displayName(self) -> str:
        return tr("Translate any modality to any other")

    def shortDescription(self) -> str:
        return tr("Draws radar, optical, elevation or land cover that fits the rasters that you have.")

    def tags(self) -> list[str]:
        words = tr(
            "any to any,multimodal,diffusion,cop-gen,sentinel-1,sentinel-2,sar,radar,optical,dem,elevation,"
            "land cover,cloud,synthesis,synthetic,generative,uncertainty,samples,deep learning,ai"
        )
        return words.split(",")

    def initAlgorithm(self, config: dict[str, Any] | None = None) -> None:
        self.addParameter(diffusion.model(DEFAULT_MODEL))
        for parameter in diffusion.inputs():
            self.addParameter(parameter)
        self.addParameter(diffusion.generate())
        for parameter in (diffusion.date(), *diffusion.position()):
            self.addParameter(parameter)
        self.addParameter(diffusion.place())
        self.addParameter(factory.seed())
        self._add_sampling()
        self.addParameter(factory.device())
        self._add_advanced()
        self.addParameter(diffusion.output_folder())
        for modality in (*RASTERS, *VALUES):
            self.addOutput(QgsProcessingOutputRasterLayer(_output_name(modality), title(modality)))
        self.addOutput(QgsProcessingOutputMultipleLayers(self.LAYERS, tr("All results")))
        self.add_run_outputs()

    def _add_sampling(self) -> None:
        self.addParameter(diffusion.samples())
        self.addParameter(
            diffusion.flag(
                self.ALL_SAMPLES,
                tr("Write every sample"),
                tr("Writes the samples after the first too, each as a raster of its own."),
            )
        )
        self.addParameter(
            diffusion.flag(
                self.UNCERTAINTY,
                tr("Write the uncertainty"),
                tr(
                    "Writes a raster a modality that says where the samples differ: mean and standard "
                    "deviation, or for classes the most frequent one and the share of samples that have it. "
                    "It needs at least two samples, and shows the model's own doubt, not its error."
                ),
            )
        )
        self.addParameter(diffusion.steps())

    def _add_advanced(self) -> None:
        for parameter in (
            diffusion.stages(),
            diffusion.context(),
            diffusion.anchor(),
            diffusion.guidance(),
            diffusion.solver(),
            diffusion.precision(),
            *diffusion.meanings(),
            diffusion.other_inputs(),
            diffusion.crs(),
            diffusion.resolution(),
            factory.creation_options(),
            factory.resume(),
        ):
            self.addParameter(parameter)
        self.addParameter(
            factory.advanced(
                diffusion.flag(
                    self.LOAD,
                    tr("Add the results to the map"),
                    tr("Adds every result to the project, in a group and with a style that fits it."),
                    default=True,
                )
            )
        )

    def check(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        self.job(parameters, context)
        samples = self.parameterAsInt(parameters, self.SAMPLES, context)
        for name in (self.UNCERTAINTY, self.ALL_SAMPLES):
            if samples == 1 and self.parameterAsBoolean(parameters, name, context):
                raise QgsProcessingException(
                    tr("{name} is about several samples, and SAMPLES is 1; set SAMPLES to 2 or more.").format(
                        name=name
                    )
                )
        self._check_interrupted(parameters, context)
        self.check_engine()

    def inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        return given_rasters(self, parameters, context)

    def job(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        model = self._model(parameters, context)
        package = model_packages.find(model)
        scene = scene_values(self, parameters, context)
        given = self.inputs(parameters, context)
        generate = self._generate(parameters, context)
        if package is not None:
            _check_modalities(package, [*given, *scene], generate)
        resume = self.parameterAsEnumString(parameters, self.RESUME, context)
        return {
            "model": model,
            "inputs": given,
            "generate": generate,
            "seed": self.parameterAsInt(parameters, self.SEED, context),
            "samples": self.parameterAsInt(parameters, self.SAMPLES, context),
            "all_samples": self.parameterAsBoolean(parameters, self.ALL_SAMPLES, context),
            "device": self.parameterAsEnumString(parameters, self.DEVICE, context),
            "precision": self.parameterAsEnumString(parameters, self.PRECISION, context),
            "creation_options": self._creation_options(parameters, context),
            **({} if resume == ASK else {"resume": resume}),
            **scene,
            **self._sampler(parameters, context),
            **grid_settings(self, parameters, context, bool(given)),
        }

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        from ..engine_bridge import describe_model, run_job
        from ..result_layers import load_on_completion

        folder = Path(self.parameterAsString(parameters, self.OUTPUT, context))
        names = self._job["generate"]
        job = {
            **self._job,
            "output": {name: str(folder / f"{name}.tif") for name in names},
            "uncertainty": {name: str(folder / f"{name}_uncertainty.tif") for name in names}
            if self.parameterAsBoolean(parameters, self.UNCERTAINTY, context)
            else None,
        }
        with job_files.made(folder):
            result = run_job(job_files.absolute(job), feedback)
        if self.parameterAsBoolean(parameters, self.LOAD, context) and context.project() is not None:
            load_on_completion(result, describe_model(job["model"]), context)
        return {
            self.OUTPUT: str(folder),
            **{_output_name(name): job["output"][name] for name in names if name in (*RASTERS, *VALUES)},
            self.LAYERS: [file["path"] for file in result["files"]],
            **self.run_outputs(result),
        }

    def _generate(self, parameters: dict[str, Any], context: QgsProcessingContext) -> list[str]:
        text = self.parameterAsString(parameters, self.GENERATE, context)
        names = list(dict.fromkeys(filter(None, (word.strip() for word in text.split(",")))))
        if not names:
            raise QgsProcessingException(
                tr("GENERATE names nothing; write what to make, separated by commas, as in s2_l2a,dem.")
            )
        return names

    def _sampler(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """What the user wants otherwise than the model's author advises."""
        given = [name for name in _OPTIONAL_NUMBERS if is_given(parameters, name)]
        found: dict[str, Any] = {
            name.lower(): self.parameterAsInt(parameters, name, context) for name in given
        }
        if is_given(parameters, self.GUIDANCE):
            found["guidance"] = self.parameterAsDouble(parameters, self.GUIDANCE, context)
        found["anchor"] = self.parameterAsEnumString(parameters, self.ANCHOR, context)
        solver = self.parameterAsEnumString(parameters, self.SOLVER, context)
        return found if solver == diffusion.SOLVERS[0] else {**found, "solver": solver}

    def planned_files(self, parameters: dict[str, Any], context: QgsProcessingContext) -> list[str]:
        folder = Path(chosen_place(parameters.get(self.OUTPUT), context))
        return [str(folder / f"{name}.tif") for name in self._generate(parameters, context)]


def _output_name(modality: str) -> str:
    return f"OUTPUT_{modality.upper()}"


def _check_modalities(package: model_packages.ModelPackage, given: list[str], generate: list[str]) -> None:
    """What the engine would say too, before it is started.

    Raises:
        QgsProcessingException: The model does not go with what is given and wanted.
    """
    if not package.is_joint:
        raise QgsProcessingException(
            tr(
                "The model {model} is no any-to-any model; choose one that is, or the algorithm that is made "
                "for it."
            ).format(model=package.name)
        )
    unknown = [name for name in given if name not in package.takes]
    if unknown:
        raise QgsProcessingException(
            tr("The model {model} knows no {name}; it takes {known}.").format(
                model=package.name, name=unknown[0], known=", ".join(package.takes)
            )
        )
    impossible = [name for name in generate if name not in package.takes]
    if impossible:
        raise QgsProcessingException(
            tr("The model {model} does not make {name}; GENERATE can be {known}.").format(
                model=package.name, name=impossible[0], known=", ".join(package.takes)
            )
        )
    both = [name for name in generate if name in given]
    if both:
        raise QgsProcessingException(
            tr("{name} is given as an input and in GENERATE; take it out of one of the two.").format(
                name=both[0]
            )
        )
