"""Puts the results of an any-to-any run on the map: named, grouped and styled."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsLayerTreeLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
)

from .modalities import title
from .style import SPREAD, ResultStyle, style_when_loaded
from .translate import tr


def load_on_completion(
    result: dict[str, Any], described: dict[str, Any], context: QgsProcessingContext
) -> None:
    """Asks Processing to load every file of a run once the algorithm has ended.

    Args:
        result: The engine's ``RunResult``.
        described: What ``describe_model`` says of its model.
        context: Of the run; it has a project.
    """
    group = tr("{model}, seed {seed}").format(model=described["id"], seed=result["seed"])
    for file in result["files"]:
        details = QgsProcessingContext.LayerDetails(_name(file), context.project(), file["modality"])
        if hasattr(details, "groupName"):  # QGIS 3.32 and newer
            details.groupName = group
        context.addLayerToLoadOnCompletion(file["path"], details)
        style = _GroupedStyle(described["outputs"][file["modality"]], file["kind"], group)
        style_when_loaded(context, file["path"], style)


class _GroupedStyle(ResultStyle):
    """The style of a result, and its place in the layer tree where QGIS does not see to that."""

    def __init__(self, output: dict[str, Any], kind: str, group: str) -> None:
        super().__init__(output, kind)
        self._group = group

    def postProcessLayer(
        self, layer: QgsRasterLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        super().postProcessLayer(layer, context, feedback)
        if not hasattr(QgsProcessingContext.LayerDetails(), "groupName"):
            _move(layer, self._group, self._kind, context.project())


def _name(file: dict[str, Any]) -> str:
    if file["kind"] == SPREAD:
        return tr("{modality} (uncertainty)").format(modality=title(file["modality"]))
    if file["sample"] > 1:
        name = tr("{modality} (synthetic, sample {number})")
        return name.format(modality=title(file["modality"]), number=file["sample"])
    return tr("{modality} (synthetic)").format(modality=title(file["modality"]))


def _move(layer: QgsRasterLayer, name: str, kind: str, project: QgsProject) -> None:
    """Into the group: images on top, where they differ below."""
    root = project.layerTreeRoot()
    group = root.findGroup(name) or root.insertGroup(0, name)
    node = root.findLayer(layer.id())
    if node is not None:
        group.insertChildNode(-1 if kind == SPREAD else 0, QgsLayerTreeLayer(layer))
        node.parent().removeChildNode(node)
