"""What an any-to-any job is about: its rasters, day, place and grid, from the algorithm's parameters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingUtils,
    QgsRasterLayer,
)

from ..diffusion_parameters import MODEL_CODES, POINT, SCENE, UNKNOWN
from ..layers import input_raster
from ..modalities import DATE, POSITION, RASTERS, VALUES
from ..translate import tr

_UNITS = {"s1_rtc": "S1_UNITS", "s2_l1c": "S2_UNITS", "s2_l2a": "S2_UNITS"}
# An extent without the CRS that QGIS writes behind it in brackets.
_BARE_EXTENT = re.compile(r"\s*[^,\[]+(,[^,\[]+){3}\s*")


def is_given(parameters: dict[str, Any], name: str) -> bool:
    """Whether an optional parameter has a value."""
    return parameters.get(name) not in (None, "")


def given_rasters(
    algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext
) -> dict[str, Any]:
    """The job's inputs by modality.

    Raises:
        QgsProcessingException: One of them is no raster in a local file, or is given twice.
    """
    found = {}
    for modality in RASTERS:
        if is_given(parameters, modality.upper()):
            settings = _meaning(algorithm, parameters, modality, context)
            found[modality] = input_raster(
                algorithm.raster(parameters, modality.upper(), context), **settings
            )
    for modality, place in _other_inputs(algorithm, parameters, context):
        if modality in found:
            raise QgsProcessingException(
                tr("{modality} is given twice; give it once.").format(modality=modality)
            )
        found[modality] = input_raster(_layer(place, context))
    return found


def scene_values(
    algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext
) -> dict[str, Any]:
    """The job's ``date`` and ``position``, as far as they are given.

    Raises:
        QgsProcessingException: The place is not said.
    """
    return {**_date(algorithm, parameters, context), **_position(algorithm, parameters, context)}


def grid_settings(
    algorithm: QgsProcessingAlgorithm,
    parameters: dict[str, Any],
    context: QgsProcessingContext,
    has_rasters: bool,
) -> dict[str, Any]:
    """The job's ``extent``, ``extent_crs``, ``crs`` and ``resolution``, as far as they are given.

    Raises:
        QgsProcessingException: There is no raster to take the grid from, and no place either.
    """
    found: dict[str, Any] = {}
    if is_given(parameters, "CRS"):
        found["crs"] = _text_of(algorithm.parameterAsCrs(parameters, "CRS", context))
    if is_given(parameters, "RESOLUTION"):
        found["resolution"] = algorithm.parameterAsDouble(parameters, "RESOLUTION", context)
    box = algorithm.parameterAsExtent(parameters, "EXTENT", context)
    if not box.isNull():
        found["extent"] = [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]
        own = algorithm.parameterAsExtentCrs(parameters, "EXTENT", context)
        if not _BARE_EXTENT.fullmatch(str(parameters["EXTENT"])) and own.isValid():
            found["extent_crs"] = _text_of(own)
    if not has_rasters and not ("extent" in found and {"crs", "extent_crs"} & set(found)):
        raise QgsProcessingException(
            tr(
                "No raster is given, so the place must be: set EXTENT with its CRS, as in "
                "600000,602560,5297440,5300000 [EPSG:32632], or give an input."
            )
        )
    return found


def _meaning(
    algorithm: QgsProcessingAlgorithm,
    parameters: dict[str, Any],
    modality: str,
    context: QgsProcessingContext,
) -> dict[str, str]:
    if modality in _UNITS:
        return {"units": algorithm.parameterAsEnumString(parameters, _UNITS[modality], context)}
    if modality == "lulc":
        legend = algorithm.parameterAsEnumString(parameters, "LULC_LEGEND", context)
        return {} if legend == MODEL_CODES else {"legend": legend}
    return {}


def _other_inputs(
    algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext
) -> list[tuple[str, str]]:
    words = algorithm.parameterAsMatrix(parameters, "OTHER_INPUTS", context)
    cells = [str(word or "").strip() for word in words]
    if not any(cells):  # an empty table may be one empty cell
        return []
    pairs = [pair for pair in zip(cells[::2], cells[1::2]) if any(pair)]
    if len(cells) % 2 or not all(all(pair) for pair in pairs):
        raise QgsProcessingException(
            tr(
                "OTHER_INPUTS must be modalities and rasters in turn, as in canopy,/data/canopy.tif; found "
                "{found}."
            ).format(found=", ".join(cells))
        )
    value = next((modality for modality, _ in pairs if modality in VALUES), None)
    if value is not None:
        raise QgsProcessingException(
            tr("OTHER_INPUTS names {name}, which is no raster; use the parameter {name_upper}.").format(
                name=value, name_upper=value.upper()
            )
        )
    return pairs


def _layer(place: str, context: QgsProcessingContext) -> QgsRasterLayer:
    layer = QgsProcessingUtils.mapLayerFromString(place, context)
    if not isinstance(layer, QgsRasterLayer) or not layer.isValid():
        problem = tr("OTHER_INPUTS names {place}, which is no raster layer or file.")
        raise QgsProcessingException(problem.format(place=Path(place)))
    return layer


def _date(
    algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext
) -> dict[str, str]:
    if not is_given(parameters, "DATE"):
        return {}
    return {DATE: algorithm.parameterAsDateTime(parameters, "DATE", context).toString("yyyy-MM-dd")}


def _position(
    algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext
) -> dict[str, Any]:
    how = algorithm.parameterAsEnumString(parameters, "POSITION", context)
    if (how == POINT) != is_given(parameters, "POINT"):
        raise QgsProcessingException(
            tr("POSITION is {how}; a POINT belongs to POSITION = point, and to nothing else.").format(how=how)
        )
    if how == UNKNOWN:
        return {}
    if how == SCENE:
        return {POSITION: SCENE}
    degrees = QgsCoordinateReferenceSystem("EPSG:4326")
    place = algorithm.parameterAsPoint(parameters, "POINT", context, degrees)
    return {POSITION: [place.y(), place.x()]}


def _text_of(crs: QgsCoordinateReferenceSystem) -> str:
    """A code that others know, else the definition."""
    authority = crs.authid()
    return authority if authority.startswith("EPSG:") else crs.toWkt()
