"""The temporary layer that shows the preview, and the file behind it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from qgis.core import QgsLayerTreeGroup, QgsLayerTreeNode, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtXml import QDomDocument, QDomElement

from ..style import style_result


class _Place(NamedTuple):
    """Where a layer was in the project; ``path`` leads to it from the root of the tree."""

    layer: QgsRasterLayer
    path: list[int]
    visible: bool
    expanded: bool


class PreviewLayer:
    """At most one layer of the project; each preview takes the place of the one before."""

    def __init__(self) -> None:
        self._layer_id = ""
        self._folder: Path | None = None
        self._aside: _Place | None = None

    @property
    def layer(self) -> QgsRasterLayer | None:
        """The layer, as long as it is in the project."""
        return QgsProject.instance().mapLayer(self._layer_id) if self._layer_id else None

    def show(self, path: Path, name: str, output: dict[str, Any], source_id: str) -> None:
        """Shows a file, which the layer now owns with its folder.

        Args:
            path: A GeoTIFF alone in its folder.
            name: Of the layer.
            output: How the model's result is shown: ``describe_model``.
            source_id: The layer to be laid over, where there is no preview yet.
        """
        layer = self.layer
        if layer is None:
            self.forget()
            layer = QgsRasterLayer(str(path), name, "gdal")
            self._layer_id = layer.id()
            _mark_as_temporary(layer)
            style_result(layer, output)
            _add_above(layer, source_id)
        else:
            layer.setDataSource(str(path), name, "gdal")
            style_result(layer, output)
            self._remove_file()
        self._folder = path.parent

    def remove(self) -> None:
        """Takes the layer out of the project, and removes its file."""
        self.come_back()
        if self.layer is not None:
            QgsProject.instance().removeMapLayer(self._layer_id)
        self.forget()

    def forget(self) -> None:
        """Removes the file of a layer that has left the project."""
        if self._aside is not None:
            return
        self._layer_id = ""
        self._remove_file()

    def stay_out_of(self, document: QDomDocument) -> None:
        """Keeps the layer out of a project file that is being written, where it would become a dead link."""
        layer = self.layer
        if layer is None:
            return
        node = QgsProject.instance().layerTreeRoot().findLayer(layer.id())
        if node is None:
            return
        self._aside = _Place(layer, _path(node), node.itemVisibilityChecked(), node.isExpanded())
        QgsProject.instance().takeMapLayer(layer)
        for element in _elements(document, "layer-tree-layer"):
            if element.attribute("id") == layer.id():
                element.parentNode().removeChild(element)
        for element in _elements(document, "legendlayer"):
            if element.firstChildElement().firstChildElement().attribute("layerid") == layer.id():
                element.parentNode().removeChild(element)
        # For a project that could not be written; QGIS only tells of those that were.
        QTimer.singleShot(0, self.come_back)

    def come_back(self) -> None:
        """Puts the layer back where it was."""
        place, self._aside = self._aside, None
        if place is None:
            return
        project = QgsProject.instance()
        was_dirty = project.isDirty()
        project.addMapLayer(place.layer, False)
        group = project.layerTreeRoot()
        for index in place.path[:-1]:
            below = group.children()[index : index + 1]
            group = below[0] if below and isinstance(below[0], QgsLayerTreeGroup) else group
        node = group.insertLayer(place.path[-1], place.layer)
        node.setItemVisibilityChecked(place.visible)
        node.setExpanded(place.expanded)
        project.setDirty(was_dirty)

    def _remove_file(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _mark_as_temporary(layer: QgsRasterLayer) -> None:
    # A preview can be had again by one click: QGIS need not ask about it when the project is closed.
    layer.setCustomProperty("skipMemoryLayersCheck", 1)


def _add_above(layer: QgsRasterLayer, source_id: str) -> None:
    project = QgsProject.instance()
    source = project.layerTreeRoot().findLayer(source_id)
    project.addMapLayer(layer, False)
    if source is None:
        project.layerTreeRoot().insertLayer(0, layer).setExpanded(False)
        return
    group = source.parent()
    group.insertLayer(group.children().index(source), layer).setExpanded(False)


def _elements(document: QDomDocument, name: str) -> list[QDomElement]:
    found = document.elementsByTagName(name)
    return [found.at(i).toElement() for i in range(found.count())]


def _path(node: QgsLayerTreeNode) -> list[int]:
    """Positions in the tree's groups, from the root down to a node."""
    path: list[int] = []
    while node.parent() is not None:
        path.insert(0, node.parent().children().index(node))
        node = node.parent()
    return path
