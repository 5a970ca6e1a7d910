"""Factories of the parameters that only any-to-any models have; see ``parameters``."""

from __future__ import annotations

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDateTime,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMatrix,
    QgsProcessingParameterNumber,
    QgsProcessingParameterPoint,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .modalities import title
from .parameters import advanced, bundled_legends, choice, draws, extent, raster, with_help
from .translate import tr

UNKNOWN, SCENE, POINT = "unknown", "scene", "point"
POSITIONS = [UNKNOWN, SCENE, POINT]
S1_UNITS = ["auto", "linear", "db", "relative"]
S2_UNITS = ["auto", "DN", "DN + 1000", "reflectance"]
MODEL_CODES = "model"
SOLVERS = ["model", "singlestep", "multistep", "consistency"]
ANCHORS = ["world", "scene"]
PRECISIONS = ["float32", "bfloat16", "float16"]
_WIDGETS = "eo_translate_plugin.ui.joint_widgets"


def model(default: str) -> QgsProcessingParameterString:
    """The any-to-any model, which decides what can be given and made."""
    parameter = QgsProcessingParameterString("MODEL", tr("Model"), defaultValue=default)
    parameter.setMetadata({"widget_wrapper": {"class": f"{_WIDGETS}.JointModelWrapper"}})
    return with_help(
        parameter,
        tr(
            "The name of an installed any-to-any model, or the folder of a model package. It decides which "
            "inputs can be given and what can be generated."
        ),
    )


def inputs() -> list[QgsProcessingParameterRasterLayer]:
    """A raster a modality, all of them optional."""
    helps = {
        "dem": tr("Elevation in metres, any grid or CRS."),
        "s1_rtc": tr("Sentinel-1 backscatter, terrain-corrected: VV and VH, in dB or linear power."),
        "s2_l1c": tr("Sentinel-2 at the top of the atmosphere; bands are found by their names."),
        "s2_l2a": tr("Sentinel-2 at the surface; bands are found by their names."),
        "lulc": tr("Land cover, one band of class values; LULC_LEGEND says what they mean."),
        "cloud_mask": tr("Clouds and their shadows in the model's own class codes."),
    }
    return [raster(name.upper(), title(name), text, optional=True) for name, text in helps.items()]


def place() -> QgsProcessingParameterDefinition:
    """The part to make, or, without inputs, the place."""
    return with_help(
        extent(),
        tr(
            "Only this part is written, snapped outward to whole pixels; empty: all that the inputs cover. "
            "It is needed where nothing is given. Where two extents overlap, their pixels are equal."
        ),
    )


def meanings() -> list[QgsProcessingParameterDefinition]:
    """What the numbers of radar, optical and land-cover rasters mean."""
    told = tr("What the numbers mean; auto tells them apart and says what it found.")
    legend = tr("What the values of the land cover mean; model: they are the model's own class codes.")
    names = [MODEL_CODES, *bundled_legends()]
    return [
        advanced(choice("S1_UNITS", tr("Sentinel-1 units"), told, S1_UNITS, S1_UNITS[0])),
        advanced(choice("S2_UNITS", tr("Sentinel-2 units"), told, S2_UNITS, S2_UNITS[0])),
        advanced(choice("LULC_LEGEND", tr("Legend of the land cover"), legend, names, MODEL_CODES)),
    ]


def samples() -> QgsProcessingParameterNumber:
    """How many images to draw."""
    return with_help(
        draws(),
        tr(
            "How many results to draw that differ by noise alone. The first is written; ALL_SAMPLES writes "
            "the others too, UNCERTAINTY writes where they differ. Time grows in proportion."
        ),
    )


def generate() -> QgsProcessingParameterString:
    """What to make."""
    parameter = QgsProcessingParameterString("GENERATE", tr("Generate"))
    parameter.setMetadata({"widget_wrapper": {"class": f"{_WIDGETS}.GenerateWrapper"}})
    return with_help(
        parameter,
        tr(
            "What to make, separated by commas, as in s2_l2a,dem. dem: elevation; s1_rtc: radar; s2_l1c, "
            "s2_l2a: optical; lulc: land cover; cloud_mask; date; position; and what else the model knows. "
            "What is given cannot be generated."
        ),
    )


def other_inputs() -> QgsProcessingParameterMatrix:
    """Rasters of modalities that have no parameter of their own."""
    parameter = QgsProcessingParameterMatrix(
        "OTHER_INPUTS",
        tr("Other inputs"),
        numberRows=0,
        hasFixedNumberRows=False,
        headers=[tr("Modality"), tr("Raster layer or file")],
        optional=True,
    )
    return advanced(
        with_help(
            parameter,
            tr(
                "For models with modalities of their own: the modality's name and a raster layer or file, "
                "in turn, as in canopy,/data/canopy.tif."
            ),
        )
    )


def date() -> QgsProcessingParameterDateTime:
    """The day of the scene."""
    parameter = QgsProcessingParameterDateTime(
        "DATE", tr("Date"), type=QgsProcessingParameterDateTime.Type.Date, optional=True
    )
    return with_help(
        parameter,
        tr("The day that the images are to show, as 2024-05-31, where the model knows dates; empty: any."),
    )


def position() -> tuple[QgsProcessingParameterDefinition, QgsProcessingParameterDefinition]:
    """Where the scene is, as far as the model is to know it: how it is told, and the place."""
    how = choice(
        "POSITION",
        tr("Position"),
        tr(
            "What a model that knows places is told. unknown: nothing; scene: where the pixels are; point: "
            "another place, whose look is wanted."
        ),
        POSITIONS,
        UNKNOWN,
    )
    where = QgsProcessingParameterPoint("POINT", tr("Point"), optional=True)
    return how, advanced(with_help(where, tr("For POSITION = point: any place on Earth.")))


def steps() -> QgsProcessingParameterNumber:
    """Evaluations of the network."""
    return with_help(
        _whole("STEPS", tr("Steps"), 1, 1000),
        tr(
            "How often the network is evaluated for each window; more is slower and finer. Empty: as many "
            "as the model's author advises."
        ),
    )


def stages() -> QgsProcessingParameterNumber:
    """How often windows are reconciled."""
    return advanced(
        with_help(
            _whole("STAGES", tr("Stages"), 1, 16),
            tr(
                "How often overlapping windows are reconciled on the way; 1 is fastest, 2 to 4 join large "
                "scenes better. Empty: as the model's author advises."
            ),
        )
    )


def context() -> QgsProcessingParameterNumber:
    """How much coarser a first, distant view is."""
    return advanced(
        with_help(
            _whole("CONTEXT", tr("Distant view"), 2, 64),
            tr(
                "Draws the scene first in pixels so many times as wide, and fills it in: for scenes of many "
                "windows where absolute height or tone matters. Empty: every window goes by what it sees."
            ),
        )
    )


def anchor() -> QgsProcessingParameterDefinition:
    """Where windows lie."""
    return advanced(
        choice(
            "ANCHOR",
            tr("Anchor of the windows"),
            tr(
                "world: overlapping scenes and extents have equal pixels where they meet; scene: as few "
                "windows as possible, which is faster and joins nothing else."
            ),
            ANCHORS,
            ANCHORS[0],
        )
    )


def guidance() -> QgsProcessingParameterNumber:
    """How strongly the inputs are followed."""
    parameter = QgsProcessingParameterNumber(
        "GUIDANCE",
        tr("Guidance"),
        type=QgsProcessingParameterNumber.Type.Double,
        minValue=-100,
        maxValue=100,
        optional=True,
    )
    return advanced(
        with_help(
            parameter,
            tr(
                "Above 0 the result follows the inputs more than the model by itself would, at twice the "
                "time and with less variety. Empty: 0."
            ),
        )
    )


def solver() -> QgsProcessingParameterDefinition:
    """Of the diffusion equation."""
    return advanced(
        choice(
            "SOLVER",
            tr("Solver"),
            tr(
                "model: as the model's author advises; singlestep or multistep: DPM-Solver++; consistency: "
                "for models that were distilled to a few steps."
            ),
            SOLVERS,
            SOLVERS[0],
        )
    )


def precision() -> QgsProcessingParameterDefinition:
    """Arithmetic of the network."""
    return advanced(
        choice(
            "PRECISION",
            tr("Precision"),
            tr("float32; bfloat16 or float16 are several times faster on a graphics card and less exact."),
            PRECISIONS,
            PRECISIONS[0],
        )
    )


def flag(name: str, label: str, help_text: str, default: bool = False) -> QgsProcessingParameterBoolean:
    """Yes or no."""
    return with_help(QgsProcessingParameterBoolean(name, label, defaultValue=default), help_text)


def crs() -> QgsProcessingParameterCrs:
    """Of the results."""
    parameter = QgsProcessingParameterCrs("CRS", tr("CRS of the results"), optional=True)
    return advanced(
        with_help(parameter, tr("Empty: that of the first input, or of the extent where nothing is given."))
    )


def resolution() -> QgsProcessingParameterNumber:
    """Pixel size of the results."""
    parameter = QgsProcessingParameterNumber(
        "RESOLUTION",
        tr("Pixel size of the results"),
        type=QgsProcessingParameterNumber.Type.Double,
        minValue=1e-9,
        optional=True,
    )
    return advanced(
        with_help(
            parameter,
            tr("In units of the CRS. Empty: that of the first input, or the model's where nothing is given."),
        )
    )


def output_folder() -> QgsProcessingParameterFolderDestination:
    """Where the results go."""
    parameter = QgsProcessingParameterFolderDestination("OUTPUT", tr("Folder of the results"))
    return with_help(
        parameter,
        tr(
            "Gets one GeoTIFF a modality, as s2_l2a.tif, each marked as synthetic, with model, seed and job "
            "in its tags; further samples are s2_l2a_v2.tif and so on, the uncertainty is "
            "s2_l2a_uncertainty.tif."
        ),
    )


def _whole(name: str, label: str, low: int, high: int) -> QgsProcessingParameterNumber:
    return QgsProcessingParameterNumber(
        name,
        label,
        type=QgsProcessingParameterNumber.Type.Integer,
        minValue=low,
        maxValue=high,
        optional=True,
    )
