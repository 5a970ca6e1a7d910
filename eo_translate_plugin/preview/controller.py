"""From a click to the layer: one preview at a time, shown in the message bar, never in the way."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProject,
    QgsRasterLayer,
)
from qgis.gui import QgisInterface
from qgis.PyQt.QtCore import QObject, QTimer

from ..engine_bridge import engine_is_busy
from ..job_files import absolute
from ..translate import tr
from ..ui.progress_message import ProgressMessage
from .choice import Choice, remember, remembered
from .layer import PreviewLayer
from .task import PreviewTask
from .view import View, look

_TITLE = "EO Translate"
# A preview needs no creation options, and its file a name only once it runs.
_NO_FILES = {"OUTPUT": "TEMPORARY_OUTPUT"}


class PreviewController(QObject):
    """Previews on one QGIS window.

    Args:
        iface: The window.
    """

    def __init__(self, iface: QgisInterface) -> None:
        super().__init__()
        self._iface = iface
        self._shown = PreviewLayer()
        self._task: PreviewTask | None = None
        self._unended: list[PreviewTask] = []
        self._choice: Choice | None = None
        self._view: View | None = None
        self._message: ProgressMessage | None = None
        self._dialog = None
        project = QgsProject.instance()
        project.layersWillBeRemoved.connect(self._layers_go)
        project.layersRemoved.connect(self._layers_gone)
        project.writeProject.connect(self._shown.stay_out_of)
        project.projectSaved.connect(self._shown.come_back)

    @property
    def is_running(self) -> bool:
        """Whether a preview is under way."""
        return self._task is not None

    def preview_layer(self, name: str, layer: QgsRasterLayer) -> None:
        """Previews a layer with an algorithm; asks for what only the user can know, once a project.

        Args:
            name: A key of ``choice.ALGORITHMS``.
            layer: A raster layer; the preview itself stands for the layer that it shows.
        """
        if self._shown.layer is not None and layer.id() == self._shown.layer.id():
            self.preview_again()
            return
        known = remembered(QgsProject.instance(), name)
        choice = (known or Choice(name, {})).of_layer(layer.id())
        if known is None and "LEGEND" in (p.name() for p in choice.algorithm.parameterDefinitions()):
            self.choose(choice)
        else:
            self.start(choice)

    def preview_again(self) -> None:
        """Previews the same as the last time; asks where there is no last time."""
        choice = remembered(QgsProject.instance())
        if choice is None or not choice.layer_id:
            self.choose()
        else:
            self.start(choice)

    def choose(self, choice: Choice | None = None) -> None:
        """Opens the settings."""
        from ..ui.preview_dialog import PreviewDialog

        if self._dialog is not None:
            self._dialog.close()
        self._dialog = PreviewDialog(self._iface, choice, self._active_layer_id(), self.start)
        self._dialog.finished.connect(self._dialog_closed)
        self._dialog.show()

    def start(self, choice: Choice) -> None:
        """Previews what the map shows; a preview that still runs is cancelled."""
        waits = not self.is_running and engine_is_busy()
        self.cancel()
        try:
            job, view = self._job(choice)
        except QgsProcessingException as error:
            self._say(str(error), Qgis.MessageLevel.Warning)
            return
        remember(QgsProject.instance(), choice)
        self._choice, self._view = choice, view
        self._task = PreviewTask(self._name(), job, self._ended)
        text = tr("Previewing; it waits for the run in progress.") if waits else tr("Previewing")
        self._message = ProgressMessage(self._iface.messageBar(), _TITLE, text, self.cancel)
        self._task.progressChanged.connect(self._message.set_percent)
        self._unended.append(self._task)
        QgsApplication.taskManager().addTask(self._task)

    def cancel(self) -> None:
        """Stops the preview that runs; what is shown stays."""
        task = self._let_go()
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Ends everything and removes every trace; for when the plugin is unloaded."""
        project = QgsProject.instance()
        project.layersWillBeRemoved.disconnect(self._layers_go)
        project.layersRemoved.disconnect(self._layers_gone)
        project.writeProject.disconnect(self._shown.stay_out_of)
        project.projectSaved.disconnect(self._shown.come_back)
        if self._dialog is not None:
            self._dialog.close()
        self._let_go()
        for task in self._unended:
            task.stop()
        self._shown.remove()

    def _job(self, choice: Choice) -> tuple[dict[str, Any], View]:
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        parameters = {**choice.parameters, **_NO_FILES}
        accepted, problem = choice.algorithm.checkParameterValues(parameters, context)
        if not accepted:
            raise QgsProcessingException(problem)
        layer = choice.algorithm.raster(parameters, choice.reference, context)
        view = look(self._iface.mapCanvas().mapSettings(), layer)
        job = choice.algorithm.job({**parameters, "EXTENT": view.extent}, context)
        if view.resolution is not None:
            job["resolution"] = view.resolution
        return absolute({**job, "output": "", "uncertainty": None}), view

    def _ended(self, task: PreviewTask) -> None:
        self._unended.remove(task)
        if task is not self._task:
            task.discard()
            return
        self._let_go()
        if task.problem:
            self._say(task.problem, Qgis.MessageLevel.Critical)
        elif not task.isCanceled():
            self._shown.show(task.output, self._name(), task.shown, self._choice.layer_id)
            # Last, so that it lies above what QGIS itself says of a task that has ended.
            view, warnings = self._view, task.warnings
            QTimer.singleShot(0, lambda: self._comment(view, warnings))

    def _comment(self, view: View, warnings: list[str]) -> None:
        if view.resolution is None:
            for warning in warnings:
                self._say(warning, Qgis.MessageLevel.Warning)
            return
        # The engine's warnings are about the coarse pixels, so they say nothing about the final run.
        self._say(
            tr(
                "A coarse preview: each pixel stands for {count} x {count} of the layer. For the pixels of "
                "the final run, zoom in (View > Zoom to Native Resolution) and preview again."
            ).format(count=f"{view.coarseness:.3g}"),
            Qgis.MessageLevel.Info,
        )

    def _name(self) -> str:
        layer = QgsProject.instance().mapLayer(self._choice.layer_id)
        name = tr("Preview: {layer}").format(layer=layer.name() if layer is not None else "")
        return name if self._view.resolution is None else tr("{name} (coarse)").format(name=name)

    def _let_go(self) -> PreviewTask | None:
        task, self._task = self._task, None
        message, self._message = self._message, None
        if message is not None:
            message.close()
        return task

    def _layers_go(self, layer_ids: list[str]) -> None:
        if self._task is not None and self._choice.layer_id in layer_ids:
            self.cancel()

    def _layers_gone(self, layer_ids: list[str]) -> None:
        if self._shown.layer is None:
            self._shown.forget()

    def _dialog_closed(self) -> None:
        self._dialog = None

    def _active_layer_id(self) -> str:
        layer = self._iface.activeLayer()
        shown = self._shown.layer
        usable = isinstance(layer, QgsRasterLayer) and (shown is None or shown.id() != layer.id())
        return layer.id() if usable else ""

    def _say(self, text: str, level: Qgis.MessageLevel) -> None:
        self._iface.messageBar().pushMessage(_TITLE, text, level)
