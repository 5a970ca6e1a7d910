"""Styles of the results, set when Processing loads them; pixel values stay as they are."""

from __future__ import annotations

from qgis.core import (
    QgsColorRampShader,
    QgsContrastEnhancement,
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
    QgsSingleBandPseudoColorRenderer,
    QgsStyle,
)

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


class DisplayStretch(QgsProcessingLayerPostProcessorInterface):
    """Stretches three bands (or one) between the two stored values that the model declares."""

    def __init__(self, minimum: float, maximum: float) -> None:
        super().__init__()
        self._range = (minimum, maximum)

    def postProcessLayer(
        self, layer: QgsRasterLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        stretch(layer, *self._range)


class SpreadRamp(QgsProcessingLayerPostProcessorInterface):
    """Colours the first band of standard deviations, from none to the largest found."""

    def postProcessLayer(
        self, layer: QgsRasterLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        bands = range(1, layer.bandCount() + 1)
        band = next((b for b in bands if "standard deviation" in layer.bandName(b)), layer.bandCount())
        renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), band)
        renderer.setClassificationMin(0.0)
        renderer.setClassificationMax(layer.dataProvider().bandStatistics(band).maximumValue)
        renderer.createShader(
            QgsStyle.defaultStyle().colorRamp("Viridis"), QgsColorRampShader.Type.Interpolated
        )
        layer.setRenderer(renderer)
        layer.triggerRepaint()


def stretch(layer: QgsRasterLayer, low: float, high: float) -> None:
    """Shows three bands (or one) between two stored values."""
    if layer.bandCount() >= 3:
        layer.setRenderer(QgsMultiBandColorRenderer(layer.dataProvider(), 1, 2, 3))
    renderer = layer.renderer().clone()
    if isinstance(renderer, QgsMultiBandColorRenderer):
        renderer.setRedContrastEnhancement(_enhancement(layer, 1, low, high))
        renderer.setGreenContrastEnhancement(_enhancement(layer, 2, low, high))
        renderer.setBlueContrastEnhancement(_enhancement(layer, 3, low, high))
    elif hasattr(renderer, "setContrastEnhancement"):
        renderer.setContrastEnhancement(_enhancement(layer, 1, low, high))
    origin = QgsRasterMinMaxOrigin()
    origin.setLimits(QgsRasterMinMaxOrigin.Limits.None_)
    renderer.setMinMaxOrigin(origin)
    layer.setRenderer(renderer)
    layer.triggerRepaint()


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
