"""From a raster layer of QGIS to the input of a job."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingException, QgsRasterLayer

from .translate import tr


def input_raster(layer: QgsRasterLayer, **settings: Any) -> dict[str, Any]:
    """The engine's ``InputRaster`` for a layer.

    Args:
        layer: A raster layer on a local file.
        **settings: Further fields of ``InputRaster``.

    Raises:
        QgsProcessingException: The layer's pixels are not in a local file (web service, database, computed).
    """
    provider, source = layer.providerType(), layer.source()
    if provider != "gdal":
        raise QgsProcessingException(
            tr(
                "The layer {name} is of the type {provider}, which gives pictures or computed pixels and not "
                "a local raster file; save it with Export > Save As (raw data) and choose the saved file."
            ).format(name=layer.name(), provider=provider)
        )
    nodata = _nodata_set_in_qgis(layer)
    return {"path": source.split("|option:")[0], **({} if nodata is None else {"nodata": nodata}), **settings}


def _nodata_set_in_qgis(layer: QgsRasterLayer) -> float | None:
    """A nodata value that the user has set in the layer's properties, where the file has none of its own."""
    data = layer.dataProvider()
    ranges = data.userNoDataValues(1)
    if data.sourceHasNoDataValue(1) or len(ranges) != 1 or ranges[0].min() != ranges[0].max():
        return None
    return ranges[0].min()
