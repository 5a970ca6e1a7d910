"""What every algorithm of the engine shares: identity, help, and checks before anything runs."""

from __future__ import annotations

import difflib
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsRasterLayer,
)
from qgis.PyQt.QtGui import QIcon

from ..environment import PLUGIN_FOLDER, EngineMissingError, find_interpreter, resource
from ..translate import tr


class EngineAlgorithm(QgsProcessingAlgorithm):
    """An algorithm whose work the engine does."""

    def createInstance(self) -> EngineAlgorithm:
        return type(self)()

    def icon(self) -> QIcon:
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:
        return str(resource("icons", f"{self.name()}.svg"))

    def shortHelpString(self) -> str:
        return (PLUGIN_FOLDER / "help" / f"{self.name()}.html").read_text(encoding="utf-8")

    def raster(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext) -> QgsRasterLayer:
        """A raster parameter's layer.

        Raises:
            QgsProcessingException: It is not a valid raster.
        """
        layer = self.parameterAsRasterLayer(parameters, name, context)
        if layer is None or not layer.isValid():
            raise QgsProcessingException(self.invalidRasterError(parameters, name))
        return layer

    def canExecute(self) -> tuple[bool, str]:
        try:
            find_interpreter()
        except EngineMissingError as error:
            return False, str(error)
        return True, ""

    def checkParameterValues(
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        problem = self._unknown_parameter(parameters)
        if problem:
            return False, problem
        accepted, problem = super().checkParameterValues(parameters, context)
        if not accepted:
            return False, problem
        try:
            self.check(parameters, context)
        except QgsProcessingException as error:
            return False, str(error)
        return True, ""

    def check(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Rules beyond the single parameter's own.

        Raises:
            QgsProcessingException: One of them is broken.
        """
        self._check_extensions(parameters, context)
        self.check_engine()

    def check_engine(self) -> None:
        """Whether there is an engine.

        Raises:
            QgsProcessingException: There is none; what to do.
        """
        # qgis_process of QGIS 3.22 never asks ``canExecute``.
        can_run, problem = self.canExecute()
        if not can_run:
            raise QgsProcessingException(problem)

    def _unknown_parameter(self, parameters: dict[str, Any]) -> str:
        known = [definition.name() for definition in self.parameterDefinitions()]
        unknown = next((key for key in parameters if key not in known), None)
        if unknown is None:
            return ""
        near = difflib.get_close_matches(unknown.upper(), known, 1)
        hint = tr("did you mean {name}?").format(name=near[0]) if near else ", ".join(known)
        return tr("{algorithm} has no parameter {key}; {hint}").format(
            algorithm=self.id(), key=unknown, hint=hint
        )

    def _check_extensions(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        # QGIS asks the provider for this in its dialogs only, not in qgis_process.
        for definition in self.destinationParameterDefinitions():
            value = parameters.get(definition.name())
            if value and self.provider() is not None:
                supported, problem = self.provider().isSupportedOutputValue(value, definition, context)
                if not supported:
                    raise QgsProcessingException(problem)
