"""The widgets of an any-to-any algorithm: the model decides which inputs and outputs there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingParameterDefinition
from qgis.gui import QgsAbstractProcessingParameterWidgetWrapper, QgsCheckableComboBox
from qgis.PyQt import sip
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QDialog, QWidget

from ..modalities import DATE, POSITION, RASTERS, title
from ..model_packages import find, installed_joint
from ..translate import tr
from .model_widget import ModelChooser, for_dialog

# Parameter -> the modality without which it means nothing.
_OF_MODALITY = {
    **{name.upper(): name for name in RASTERS},
    "S1_UNITS": "s1_rtc",
    "LULC_LEGEND": "lulc",
    "DATE": DATE,
    "POSITION": POSITION,
    "POINT": POSITION,
}


class JointModelWrapper:
    """What Processing makes for MODEL."""

    def __new__(
        cls, parameter: QgsProcessingParameterDefinition, dialog: QDialog, row: int, column: int
    ) -> Any:
        return for_dialog(
            parameter, dialog, lambda kind: _JointModelChooser(parameter, kind, installed_joint)
        )


class GenerateWrapper:
    """What Processing makes for GENERATE."""

    def __new__(
        cls, parameter: QgsProcessingParameterDefinition, dialog: QDialog, row: int, column: int
    ) -> Any:
        return for_dialog(parameter, dialog, lambda kind: _GenerateChooser(parameter, kind))


class _JointModelChooser(ModelChooser):
    """A list of models that enables the other widgets for what the chosen model knows."""

    def postInitialize(self, wrappers: Iterable[QgsAbstractProcessingParameterWidgetWrapper]) -> None:
        super().postInitialize(wrappers)
        others = {wrapper.parameterDefinition().name(): wrapper for wrapper in wrappers}
        self.widgetValueHasChanged.connect(lambda: _follow(self.widgetValue(), others))
        _follow(self.widgetValue(), others)


class _GenerateChooser(QgsAbstractProcessingParameterWidgetWrapper):
    """A list of modalities to tick; the value is their names with commas between."""

    def createWidget(self) -> QWidget:
        combo = QgsCheckableComboBox()
        combo.setDefaultText(tr("choose what to make"))
        combo.setToolTip(self.parameterDefinition().toolTip())
        for name in RASTERS:
            combo.addItemWithCheckState(title(name), Qt.CheckState.Unchecked, name)
        combo.checkedItemsChanged.connect(lambda: self.widgetValueHasChanged.emit(self))
        return combo

    def setWidgetValue(self, value: Any, context: QgsProcessingContext) -> None:
        wanted = [word.strip() for word in str(value or "").split(",") if word.strip()]
        self._offer([*self._names(), *(name for name in wanted if name not in self._names())], wanted)

    def widgetValue(self) -> str:
        return ",".join(self._checked())

    def offer(self, names: Iterable[str]) -> None:
        """Offers these; what was chosen among them stays chosen."""
        self._offer(list(names), self._checked())

    def _offer(self, names: list[str], chosen: list[str]) -> None:
        combo = self._combo()
        combo.blockSignals(True)
        combo.clear()
        for name in names:
            state = Qt.CheckState.Checked if name in chosen else Qt.CheckState.Unchecked
            combo.addItemWithCheckState(title(name), state, name)
        combo.blockSignals(False)
        self.widgetValueHasChanged.emit(self)

    def _names(self) -> list[str]:
        combo = self._combo()
        return [combo.itemData(index) for index in range(combo.count())]

    def _checked(self) -> list[str]:
        combo = self._combo()
        checked = Qt.CheckState.Checked
        return [
            combo.itemData(index) for index in range(combo.count()) if combo.itemCheckState(index) == checked
        ]

    def _combo(self) -> QgsCheckableComboBox:
        # What QGIS gives back has lost its Python class, and sip takes it for the nearest that it knows.
        return sip.cast(self.wrappedWidget(), QgsCheckableComboBox)


def _follow(model: str, wrappers: dict[str, Any]) -> None:
    """Enables what a model knows; all of it while the model is not known."""
    package = find(model)
    if package is None or not package.is_joint:
        return
    for name, modality in _OF_MODALITY.items():
        if name in wrappers:
            _enable(wrappers[name], modality in package.takes)
    if "S2_UNITS" in wrappers:
        _enable(wrappers["S2_UNITS"], bool({"s2_l1c", "s2_l2a"} & set(package.takes)))
    if isinstance(wrappers.get("GENERATE"), _GenerateChooser):
        wrappers["GENERATE"].offer(package.takes)


def _enable(wrapper: QgsAbstractProcessingParameterWidgetWrapper, known: bool) -> None:
    for part in (wrapper.wrappedWidget(), wrapper.wrappedLabel()):
        if part is not None:
            part.setEnabled(known)
