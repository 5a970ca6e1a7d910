"""Settings of the preview: what to make, of which layers, and how; stays open beside the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingParameterDefinition, QgsProject
from qgis.gui import (
    QgisInterface,
    QgsCollapsibleGroupBox,
    QgsGui,
    QgsProcessingContextGenerator,
    QgsProcessingGui,
    QgsProcessingParameterWidgetContext,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from ..preview.choice import ALGORITHMS, LEFT_OUT, Choice, remembered
from ..translate import tr
from .model_widget import ModelWidgetWrapper

_ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced


class PreviewDialog(QDialog):
    """One tab an algorithm, with the same widgets as its Processing dialog.

    Args:
        iface: The QGIS window.
        choice: What to show first; None: what the project remembers.
        layer_id: A layer to suggest where the project remembers none.
        on_preview: Called with the choice each time the user asks for a preview.
    """

    def __init__(
        self,
        iface: QgisInterface,
        choice: Choice | None,
        layer_id: str,
        on_preview: Callable[[Choice], None],
    ) -> None:
        super().__init__(iface.mainWindow())
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("EO Translate: preview"))
        self._on_preview = on_preview
        self._tabs = QTabWidget()
        for name in ALGORITHMS:
            shown = choice if choice is not None and choice.name == name else _suggestion(name, layer_id)
            self._tabs.addTab(_Page(iface, shown), shown.algorithm.displayName())
        last = choice or remembered(QgsProject.instance())
        self._tabs.setCurrentIndex(list(ALGORITHMS).index(last.name) if last else 0)
        self._arrange()

    def choice(self) -> Choice:
        """What is chosen now."""
        return self._tabs.currentWidget().choice()

    def _arrange(self) -> None:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        button = buttons.addButton(tr("Preview"), QDialogButtonBox.ButtonRole.ActionRole)
        button.setDefault(True)
        button.clicked.connect(self._preview)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self._tabs)
        layout.addWidget(buttons)
        self.resize(460, self.sizeHint().height())

    def _preview(self) -> None:
        self._on_preview(self.choice())


class _Page(QWidget):
    """The parameters of one algorithm."""

    def __init__(self, iface: QgisInterface, choice: Choice) -> None:
        super().__init__()
        # Definitions belong to their algorithm, so it has to live as long as the widgets.
        self._choice = choice
        self._generator = _ContextOfProject()
        self._context = self._generator.processingContext()
        definitions = [d for d in choice.algorithm.parameterDefinitions() if d.name() not in LEFT_OUT]
        self._wrappers = {d.name(): self._wrapper(d, iface) for d in definitions}
        self._lay_out(definitions)
        for wrapper in self._wrappers.values():
            wrapper.postInitialize(list(self._wrappers.values()))
        for name, value in choice.parameters.items():
            self._wrappers[name].setParameterValue(value, self._context)

    def choice(self) -> Choice:
        """What the widgets show."""
        values = {name: wrapper.parameterValue() for name, wrapper in self._wrappers.items()}
        return Choice(self._choice.name, {k: v for k, v in values.items() if v not in (None, "")})

    def _wrapper(self, definition: QgsProcessingParameterDefinition, iface: QgisInterface) -> Any:
        own = definition.metadata().get("widget_wrapper")
        if own:
            wrapper = ModelWidgetWrapper(definition, self, 0, 0, own["modality"])
        else:
            wrapper = QgsGui.processingGuiRegistry().createParameterWidgetWrapper(
                definition, QgsProcessingGui.WidgetType.Standard
            )
        context = QgsProcessingParameterWidgetContext()
        context.setProject(QgsProject.instance())
        context.setMapCanvas(iface.mapCanvas())
        context.setMessageBar(iface.messageBar())
        wrapper.setWidgetContext(context)
        wrapper.registerProcessingContextGenerator(self._generator)
        return wrapper

    def _lay_out(self, definitions: list[QgsProcessingParameterDefinition]) -> None:
        form, box = QFormLayout(self), QgsCollapsibleGroupBox(tr("Advanced parameters"))
        box.setCollapsed(True)
        inner = QFormLayout(box)
        for definition in definitions:
            wrapper = self._wrappers[definition.name()]
            target = inner if definition.flags() & _ADVANCED else form
            widget = wrapper.createWrappedWidget(self._context)
            target.addRow(wrapper.createWrappedLabel(), widget)
        if inner.rowCount():
            form.addRow(box)


class _ContextOfProject(QgsProcessingContextGenerator):
    """Lets the widgets find layers by their ids."""

    def __init__(self) -> None:
        super().__init__()
        self._context = QgsProcessingContext()
        self._context.setProject(QgsProject.instance())

    def processingContext(self) -> QgsProcessingContext:
        return self._context


def _suggestion(name: str, layer_id: str) -> Choice:
    known = remembered(QgsProject.instance(), name) or Choice(name, {})
    return known if known.layer_id or not layer_id else known.of_layer(layer_id)
