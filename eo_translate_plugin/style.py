"""Styles of the results, set when Processing loads them; pixel values stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qgis.core import (
    QgsColorRamp,
    QgsColorRampShader,
    QgsContrastEnhancement,
    QgsGradientColorRamp,
    QgsGradientStop,
    QgsMultiBandColorRenderer,
    QgsPalettedRasterRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
    QgsSingleBandGrayRenderer,
    QgsSingleBandPseudoColorRenderer,
    QgsStyle,
)
from qgis.PyQt.QtGui import QColor

SAMPLE, SPREAD = "sample", "spread"
# Colours of heights, from the lowest to the highest of a raster: share of the range, colour.
_HEIGHTS = ((0.0, "#2f6b4f"), (0.25, "#9fbf7a"), (0.5, "#e8dca0"), (0.75, "#a8774f"), (1.0, "#ffffff"))
# QGIS keeps a bare pointer to a post-processor, so Python has to keep the object.
_alive: list[QgsProcessingLayerPostProcessorInterface] = []


def style_when_loaded(
    context: QgsProcessingContext, path: str, style: QgsProcessingLayerPostProcessorInterface
) -> None:
    """Styles an output once Processing has loaded it; nothing happens where it will not be loaded."""
    if context.willLoadLayerOnCompletion(path):
        _alive.append(style)
        context.layerToLoadOnCompletionDetails(path).setPostProcessor(style)


def release_styles() -> None:
    """Lets go of the post-processors; for when the plugin is unloaded."""
    _alive.clear()


class ResultStyle(QgsProcessingLayerPostProcessorInterface):
    """``style_result`` for a layer that Processing loads."""

    def __init__(self, output: dict[str, Any], kind: str) -> None:
        super().__init__()
        self._output, self._kind = output, kind

    def postProcessLayer(
        self, layer: QgsRasterLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        style_result(layer, self._output, self._kind)


def style_result(layer: QgsRasterLayer, output: dict[str, Any], kind: str = SAMPLE) -> None:
    """Shows a result as what it is; what QGIS chose stays where the model does not say.

    Args:
        layer: The result.
        output: What ``describe_model`` says about its modality.
        kind: ``SAMPLE`` or ``SPREAD``, as the engine's result says.
    """
    if kind == SPREAD:
        _show_spread(layer)
    elif output["classes"]:
        _show_classes(layer, output["classes"])
    elif output["display"] is not None:
        _stretch(layer, *output["display"], _bands_to_show(output["bands"]))
    elif output["units"] == "m":
        _show_heights(layer)
    layer.triggerRepaint()


def _show_spread(layer: QgsRasterLayer) -> None:
    """Colours the first band of standard deviations, from none to the largest found."""
    bands = range(1, layer.bandCount() + 1)
    band = next((b for b in bands if "standard deviation" in layer.bandName(b)), layer.bandCount())
    highest = layer.dataProvider().bandStatistics(band).maximumValue
    _pseudocolor(layer, band, 0.0, highest, QgsStyle.defaultStyle().colorRamp("Viridis"))


def _show_heights(layer: QgsRasterLayer) -> None:
    found = layer.dataProvider().bandStatistics(1)
    (_, first), *stops, (_, last) = _HEIGHTS
    middle = [QgsGradientStop(share, QColor(color)) for share, color in stops]
    ramp = QgsGradientColorRamp(QColor(first), QColor(last), False, middle)
    _pseudocolor(layer, 1, found.minimumValue, found.maximumValue, ramp)


def _show_classes(layer: QgsRasterLayer, classes: Sequence[dict[str, Any]]) -> None:
    legend = [
        QgsPalettedRasterRenderer.Class(entry["value"], QColor(*entry["color"]), entry["name"])
        for entry in classes
    ]
    layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, legend))


def _bands_to_show(bands: Sequence[dict[str, Any]]) -> tuple[int, ...]:
    """Those called red, green and blue, else the first three, else one."""
    colors = [band["color"] for band in bands]
    wanted = ("red", "green", "blue")
    if set(wanted) <= set(colors):
        return tuple(colors.index(color) + 1 for color in wanted)
    return (1, 2, 3) if len(bands) >= 3 else (1,)


def _stretch(layer: QgsRasterLayer, low: float, high: float, bands: tuple[int, ...]) -> None:
    """Shows three bands (or one) between two stored values."""
    if len(bands) == 3:
        renderer = QgsMultiBandColorRenderer(layer.dataProvider(), *bands)
        renderer.setRedContrastEnhancement(_enhancement(layer, bands[0], low, high))
        renderer.setGreenContrastEnhancement(_enhancement(layer, bands[1], low, high))
        renderer.setBlueContrastEnhancement(_enhancement(layer, bands[2], low, high))
    else:
        renderer = QgsSingleBandGrayRenderer(layer.dataProvider(), bands[0])
        renderer.setContrastEnhancement(_enhancement(layer, bands[0], low, high))
    origin = QgsRasterMinMaxOrigin()
    origin.setLimits(QgsRasterMinMaxOrigin.Limits.None_)
    renderer.setMinMaxOrigin(origin)
    layer.setRenderer(renderer)


def _pseudocolor(layer: QgsRasterLayer, band: int, low: float, high: float, ramp: QgsColorRamp) -> None:
    renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), band)
    renderer.setClassificationMin(low)
    renderer.setClassificationMax(high)
    renderer.createShader(ramp, QgsColorRampShader.Type.Interpolated)
    layer.setRenderer(renderer)


def _enhancement(layer: QgsRasterLayer, band: int, low: float, high: float) -> QgsContrastEnhancement:
    data = layer.dataProvider()
    enhancement = QgsContrastEnhancement(data.dataType(band))
    # QGIS applies scale and offset of a band, so it works in physical values.
    scale, offset = data.bandScale(band), data.bandOffset(band)
    enhancement.setMinimumValue(low * scale + offset)
    enhancement.setMaximumValue(high * scale + offset)
    enhancement.setContrastEnhancementAlgorithm(
        QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum
    )
    return enhancement
