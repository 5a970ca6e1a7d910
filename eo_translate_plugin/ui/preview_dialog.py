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
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from ..preview.choice import ALGORITHMS, LEFT_OUT, Choice, remembered
from ..translate import tr
from .model_widget import ModelWidgetWrapper

_ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced


class PreviewDialog(QDialog):
    """One page an algorithm, with the same widgets as its Processing dialog.

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
        self._kind, self._stack = QComboBox(), QStackedWidget()
        self._pages: list[_Page] = []
        for name in ALGORITHMS:
            shown = choice if choice is not None and choice.name == name else _suggestion(name, layer_id)
            self._pages.append(_Page(iface, shown))
            self._kind.addItem(shown.algorithm.displayName(), name)
            self._stack.addWidget(self._pages[-1])
        self._kind.currentIndexChanged.connect(self._stack.setCurrentIndex)
        last = choice or remembered(QgsProject.instance())
        self._kind.setCurrentIndex(list(ALGORITHMS).index(last.name) if last else 0)
        self._arrange()

    def _arrange(self) -> None:
        form = QFormLayout()
        form.addRow(tr("What to make"), self._kind)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        button = buttons.addButton(tr("Preview"), QDialogButtonBox.ButtonRole.ActionRole)
        button.setDefault(True)
        button.clicked.connect(self._preview)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self._stack)
        layout.addWidget(buttons)
        self.resize(460, self.sizeHint().height())

    def _preview(self) -> None:
        self._on_preview(self._pages[self._stack.currentIndex()].choice())


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
        form.setContentsMargins(0, 0, 0, 0)
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
