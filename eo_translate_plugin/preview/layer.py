"""The temporary layer that shows the preview, and the file behind it."""

from __future__ import annotations

import shutil
from pathlib import Path

from qgis.core import QgsProject, QgsRasterLayer

from ..style import stretch


class PreviewLayer:
    """At most one layer of the project; each preview takes the place of the one before."""

    def __init__(self) -> None:
        self._layer_id = ""
        self._folder: Path | None = None

    @property
    def layer(self) -> QgsRasterLayer | None:
        """The layer, as long as it is in the project."""
        return QgsProject.instance().mapLayer(self._layer_id) if self._layer_id else None

    def show(self, path: Path, name: str, display: tuple[float, float], source_id: str) -> None:
        """Shows a file, which the layer now owns with its folder.

        Args:
            path: A GeoTIFF alone in its folder.
            name: Of the layer.
            display: Stored values to stretch.
            source_id: The layer to be laid over, where there is no preview yet.
        """
        layer = self.layer
        if layer is None:
            self.forget()
            layer = QgsRasterLayer(str(path), name, "gdal")
            self._layer_id = layer.id()
            _mark_as_temporary(layer)
            stretch(layer, *display)
            _add_above(layer, source_id)
        else:
            layer.setDataSource(str(path), name, "gdal")
            stretch(layer, *display)
            self._remove_file()
        self._folder = path.parent

    def remove(self) -> None:
        """Takes the layer out of the project, and removes its file."""
        if self.layer is not None:
            QgsProject.instance().removeMapLayer(self._layer_id)
        self.forget()

    def forget(self) -> None:
        """Removes the file of a layer that has left the project."""
        self._layer_id = ""
        self._remove_file()

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
