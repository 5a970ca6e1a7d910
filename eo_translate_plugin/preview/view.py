"""What the map shows of a layer: the extent to translate, and at which resolution."""

from __future__ import annotations

import math
from typing import NamedTuple

from qgis.core import (
    QgsCoordinateTransform,
    QgsCsException,
    QgsMapSettings,
    QgsPointXY,
    QgsProcessingException,
    QgsRasterLayer,
    QgsRectangle,
    QgsReferencedRectangle,
)

from ..translate import tr

# The map's scale is rounded, so a pixel of the map is rarely exactly one of the layer.
_SAME_SIZE = 1.01
_FEWEST_PIXELS = 16


class View(NamedTuple):
    """The part of a layer that the map shows.

    Attributes:
        extent: Inside the layer, in its CRS.
        resolution: Pixel size to translate at, in units of that CRS; None: the layer's own.
        coarseness: Side of a pixel of the map in pixels of the layer.
    """

    extent: QgsReferencedRectangle
    resolution: float | None
    coarseness: float


def look(settings: QgsMapSettings, layer: QgsRasterLayer) -> View:
    """What a map shows of a layer.

    Raises:
        QgsProcessingException: It shows nothing of it, or hardly anything.
    """
    to_layer = QgsCoordinateTransform(settings.destinationCrs(), layer.crs(), settings.transformContext())
    whole = layer.extent()
    try:
        part = to_layer.transformBoundingBox(settings.visibleExtent()).intersect(whole)
        if part.isEmpty() or not part.isFinite():
            raise QgsProcessingException(
                tr("The map shows nothing of the layer {name}; zoom to it first.").format(name=layer.name())
            )
        pixel = _pixel_size(settings, to_layer, part.center())
    except QgsCsException:
        raise QgsProcessingException(
            tr(
                "What the map shows cannot be transformed to the CRS of the layer {name}; zoom to it first."
            ).format(name=layer.name())
        ) from None
    own = math.sqrt(layer.rasterUnitsPerPixelX() * layer.rasterUnitsPerPixelY())
    extent = QgsReferencedRectangle(part, layer.crs())
    if pixel <= own * _SAME_SIZE:
        return View(extent, None, 1.0)
    _check_large_enough(whole, pixel, layer.name())
    return View(extent, pixel, pixel / own)


def _pixel_size(settings: QgsMapSettings, to_layer: QgsCoordinateTransform, place: QgsPointXY) -> float:
    """Side of a pixel of the map at a place of the layer, in units of the layer; the mean of both sides."""
    # The direction of a single transform is named differently before and after QGIS 3.22.
    to_map = QgsCoordinateTransform(
        to_layer.destinationCrs(), to_layer.sourceCrs(), settings.transformContext()
    )
    on_map = to_map.transform(place)
    step = settings.mapUnitsPerPixel()
    right = to_layer.transform(QgsPointXY(on_map.x() + step, on_map.y()))
    above = to_layer.transform(QgsPointXY(on_map.x(), on_map.y() + step))
    return math.sqrt(
        abs(
            (right.x() - place.x()) * (above.y() - place.y())
            - (right.y() - place.y()) * (above.x() - place.x())
        )
    )


def _check_large_enough(whole: QgsRectangle, pixel: float, name: str) -> None:
    pixels = int(max(whole.width(), whole.height()) / pixel)
    if pixels < _FEWEST_PIXELS:
        raise QgsProcessingException(
            tr("The layer {name} is only {count} pixels wide on the map; zoom in to it first.").format(
                name=name, count=pixels
            )
        )
