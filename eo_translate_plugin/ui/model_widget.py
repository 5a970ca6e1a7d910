"""The widget of the MODEL parameter: installed models to choose from, and free text for a folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingParameterDefinition
from qgis.gui import QgsAbstractProcessingParameterWidgetWrapper, QgsGui, QgsProcessingGui
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QComboBox, QDialog, QWidget

from ..model_packages import ModelPackage, installed


class ModelWidgetWrapper:
    """What Processing makes for the parameter: QGIS's own string widget in the modeler, else ours."""

    def __new__(
        cls,
        parameter: QgsProcessingParameterDefinition,
        dialog: QDialog,
        row: int,
        column: int,
        modality: str,
    ) -> Any:
        return for_dialog(
            parameter, dialog, lambda kind: ModelChooser(parameter, kind, lambda: installed(modality))
        )


def for_dialog(
    parameter: QgsProcessingParameterDefinition,
    dialog: QDialog,
    make: Callable[[QgsProcessingGui.WidgetType], QgsAbstractProcessingParameterWidgetWrapper],
) -> QgsAbstractProcessingParameterWidgetWrapper:
    """QGIS's own widget for the model designer, where values may come from elsewhere; else what is made."""
    name = type(dialog).__name__
    if name == "ModelerParametersDialog":
        registry = QgsGui.processingGuiRegistry()
        return registry.createModelerParameterWidget(dialog.model, dialog.childId, parameter, dialog.context)
    batch = name == "BatchAlgorithmDialog"
    return make(QgsProcessingGui.WidgetType.Batch if batch else QgsProcessingGui.WidgetType.Standard)


class ModelChooser(QgsAbstractProcessingParameterWidgetWrapper):
    """An editable list of models.

    Args:
        parameter: Of the algorithm.
        kind: Dialog or row of a batch.
        offered: Gives the models of the list.
    """

    def __init__(
        self,
        parameter: QgsProcessingParameterDefinition,
        kind: QgsProcessingGui.WidgetType,
        offered: Callable[[], list[ModelPackage]],
    ) -> None:
        super().__init__(parameter, kind)
        self._offered = offered

    def createWidget(self) -> QWidget:
        combo = QComboBox()
        combo.setEditable(True)
        combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        for package in self._offered():
            combo.addItem(package.name)
            combo.setItemData(combo.count() - 1, package.title, Qt.ItemDataRole.ToolTipRole)
        combo.setToolTip(self.parameterDefinition().toolTip())
        combo.editTextChanged.connect(lambda: self.widgetValueHasChanged.emit(self))
        return combo

    # The widget is asked for anew each time: QGIS took over the object that ``createWidget`` returned, and a
    # reference kept from there is dead.

    def setWidgetValue(self, value: Any, context: QgsProcessingContext) -> None:
        self.wrappedWidget().setEditText("" if value is None else str(value))

    def widgetValue(self) -> str:
        return self.wrappedWidget().currentText().strip()
