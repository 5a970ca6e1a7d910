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
        if layer.bandCount() >= 3:
            layer.setRenderer(QgsMultiBandColorRenderer(layer.dataProvider(), 1, 2, 3))
        renderer = layer.renderer().clone()
        if isinstance(renderer, QgsMultiBandColorRenderer):
            renderer.setRedContrastEnhancement(self._stretch(layer, 1))
            renderer.setGreenContrastEnhancement(self._stretch(layer, 2))
            renderer.setBlueContrastEnhancement(self._stretch(layer, 3))
        elif hasattr(renderer, "setContrastEnhancement"):
            renderer.setContrastEnhancement(self._stretch(layer, 1))
        origin = QgsRasterMinMaxOrigin()
        origin.setLimits(QgsRasterMinMaxOrigin.Limits.None_)
        renderer.setMinMaxOrigin(origin)
        layer.setRenderer(renderer)
        layer.triggerRepaint()

    def _stretch(self, layer: QgsRasterLayer, band: int) -> QgsContrastEnhancement:
        data = layer.dataProvider()
        enhancement = QgsContrastEnhancement(data.dataType(band))
        # QGIS applies scale and offset of a band, so it works in physical values.
        low, high = (value * data.bandScale(band) + data.bandOffset(band) for value in self._range)
        enhancement.setMinimumValue(low)
        enhancement.setMaximumValue(high)
        enhancement.setContrastEnhancementAlgorithm(
            QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum
        )
        return enhancement


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
