"""Factories of the parameters that the algorithms share: one look, one help text, one set of limits."""

from __future__ import annotations

from qgis.core import (
    QgsProcessingParameterBand,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .environment import resource
from .translate import tr

DEVICES = ["auto", "cpu", "cuda"]
RESUME_CHOICES = ["ask", "continue", "restart"]
MAX_SEED = 2**31 - 1
MAX_SAMPLES = 1000


def bundled_legends() -> list[str]:
    """Names of the class legends that come with the plugin."""
    return sorted(path.stem for path in resource("legends").glob("*.json"))


def raster(
    name: str, label: str, help_text: str, optional: bool = False
) -> QgsProcessingParameterRasterLayer:
    """An input raster."""
    parameter = QgsProcessingParameterRasterLayer(name, label, optional=optional)
    return with_help(parameter, help_text)


def band(name: str, label: str, help_text: str, parent: str) -> QgsProcessingParameterBand:
    """An optional band number of an input raster; empty lets the engine find the band."""
    parameter = QgsProcessingParameterBand(name, label, parentLayerParameterName=parent, optional=True)
    return advanced(with_help(parameter, help_text))


def choice(
    name: str, label: str, help_text: str, options: list[str], default: str
) -> QgsProcessingParameterEnum:
    """One of several words; scripts and the command line use the words themselves."""
    parameter = QgsProcessingParameterEnum(
        name, label, options=options, defaultValue=default, usesStaticStrings=True
    )
    return with_help(parameter, help_text)


def model(modality: str, default: str) -> QgsProcessingParameterString:
    """The model: an installed one's name, or a folder."""
    parameter = QgsProcessingParameterString("MODEL", tr("Model"), defaultValue=default)
    widget = "eo_translate_plugin.ui.model_widget.ModelWidgetWrapper"
    parameter.setMetadata({"widget_wrapper": {"class": widget, "modality": modality}})
    return with_help(
        parameter,
        tr("The name of an installed model, or the folder of a model package (item.json and its weights)."),
    )


def extent() -> QgsProcessingParameterExtent:
    """The part of the raster to translate."""
    parameter = QgsProcessingParameterExtent("EXTENT", tr("Extent to translate"), optional=True)
    return with_help(
        parameter,
        tr(
            "Only this part is written, snapped outward to whole pixels; empty: the whole raster. A part is "
            "identical, pixel for pixel, to the same part of a run over the whole raster."
        ),
    )


def seed() -> QgsProcessingParameterNumber:
    """The seed of the noise."""
    parameter = QgsProcessingParameterNumber(
        "SEED",
        tr("Seed"),
        type=QgsProcessingParameterNumber.Type.Integer,
        defaultValue=0,
        minValue=0,
        maxValue=MAX_SEED,
    )
    return with_help(
        parameter,
        tr(
            "The same seed gives the same pixels; another seed gives another plausible image, where the "
            "model draws noise."
        ),
    )


def draws() -> QgsProcessingParameterNumber:
    """A number of samples, without a help text."""
    return QgsProcessingParameterNumber(
        "SAMPLES",
        tr("Samples"),
        type=QgsProcessingParameterNumber.Type.Integer,
        defaultValue=1,
        minValue=1,
        maxValue=MAX_SAMPLES,
    )


def samples() -> QgsProcessingParameterNumber:
    """How many images to draw."""
    return with_help(
        draws(),
        tr(
            "How many images to draw that differ by noise alone. The first is written to the output; the "
            "mean and the standard deviation of all are written to the uncertainty raster. Time grows in "
            "proportion."
        ),
    )


def device() -> QgsProcessingParameterEnum:
    """Where the network runs."""
    return choice(
        "DEVICE",
        tr("Device"),
        tr(
            "auto takes an NVIDIA graphics card where it works and says so; cpu; cuda (an error without one)."
        ),
        DEVICES,
        "auto",
    )


def creation_options() -> QgsProcessingParameterString:
    """GDAL creation options."""
    parameter = QgsProcessingParameterString(
        "CREATION_OPTIONS", tr("GeoTIFF creation options"), optional=True
    )
    return advanced(
        with_help(
            parameter,
            tr(
                "GDAL creation options separated by |, as in COMPRESS=ZSTD|BIGTIFF=YES; they are laid over "
                "the plugin's own (tiled, compressed, BIGTIFF=IF_SAFER)."
            ),
        )
    )


def resume() -> QgsProcessingParameterEnum:
    """What to do where an earlier run to the same output was interrupted."""
    return advanced(
        choice(
            "RESUME",
            tr("Interrupted earlier run"),
            tr(
                "Where an earlier run to the same output was interrupted, its finished parts are kept "
                "beside it. ask: stop and say so; continue: go on from there, and keep the finished parts "
                "when cancelled; restart: remove them and start over."
            ),
            RESUME_CHOICES,
            RESUME_CHOICES[0],
        )
    )


def output(label: str, help_text: str) -> QgsProcessingParameterRasterDestination:
    """The result."""
    return with_help(QgsProcessingParameterRasterDestination("OUTPUT", label), help_text)


def uncertainty() -> QgsProcessingParameterRasterDestination:
    """The optional raster of mean and spread."""
    parameter = QgsProcessingParameterRasterDestination(
        "UNCERTAINTY", tr("Uncertainty (mean and standard deviation)"), optional=True, createByDefault=False
    )
    return with_help(
        parameter,
        tr(
            "For each output band, the mean and the standard deviation over the samples, in physical units. "
            "It needs at least two samples, and shows the model's own doubt, not its error."
        ),
    )


def advanced(parameter: QgsProcessingParameterDefinition) -> QgsProcessingParameterDefinition:
    """Moves a parameter to the advanced section."""
    parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return parameter


def with_help(
    parameter: QgsProcessingParameterDefinition, help_text: str
) -> QgsProcessingParameterDefinition:
    """The parameter with its help."""
    parameter.setHelp(help_text)
    return parameter
