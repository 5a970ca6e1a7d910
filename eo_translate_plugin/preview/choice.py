"""What to preview: an algorithm and its parameters, remembered in the project."""

from __future__ import annotations

import json
from typing import Any

from qgis.core import QgsProcessingParameterBand, QgsProject

from ..algorithms.base import TranslationAlgorithm
from ..algorithms.mask_to_image import MaskToImage
from ..algorithms.sar_to_optical import SarToOptical

ALGORITHMS = {"sartooptical": SarToOptical, "masktoimage": MaskToImage}
# Of the whole run, and not of a look at it.
LEFT_OUT = ("EXTENT", "SAMPLES", "CREATION_OPTIONS", "RESUME", "OUTPUT", "UNCERTAINTY")
_SCOPE, _KEY = "eo_translate", "/preview"


class Choice:
    """One algorithm, ready to be asked for its job, and values of its parameters.

    Attributes:
        name: A key of ``ALGORITHMS``.
        algorithm: The algorithm itself.
        parameters: As Processing takes them; layers by their id.
    """

    def __init__(self, name: str, parameters: dict[str, Any]) -> None:
        self.name = name
        self.algorithm: TranslationAlgorithm = ALGORITHMS[name]()
        self.algorithm.initAlgorithm()
        known = [definition.name() for definition in self.algorithm.parameterDefinitions()]
        self.parameters = {k: v for k, v in parameters.items() if k in known and k not in LEFT_OUT}

    @property
    def layer_id(self) -> str:
        """The layer to translate, whose grid the result has; empty where none was chosen."""
        return str(self.parameters.get(self.reference) or "")

    @property
    def reference(self) -> str:
        """The name of that layer's parameter."""
        return self.algorithm.parameterDefinitions()[0].name()

    def of_layer(self, layer_id: str) -> Choice:
        """The same for another layer; band numbers of the old one are left out."""
        if layer_id == self.layer_id:
            return self
        bands = [
            definition.name()
            for definition in self.algorithm.parameterDefinitions()
            if isinstance(definition, QgsProcessingParameterBand)
        ]
        kept = {k: v for k, v in self.parameters.items() if k not in bands}
        return Choice(self.name, {**kept, self.reference: layer_id})


def remembered(project: QgsProject, name: str = "") -> Choice | None:
    """The project's last choice, of one algorithm or of all; layers that have gone are left out."""
    stored = _read(project)
    name = name or str(stored.get("last"))
    parameters = stored.get(name)
    if name not in ALGORITHMS or not isinstance(parameters, dict):
        return None
    choice = Choice(name, parameters)
    for key in (choice.reference, "DEM"):
        if project.mapLayer(str(choice.parameters.get(key))) is None:
            choice.parameters.pop(key, None)
    return choice


def remember(project: QgsProject, choice: Choice) -> None:
    """Keeps a choice in the project, which is not touched where nothing is new."""
    stored = _read(project)
    new = {**stored, "last": choice.name, choice.name: choice.parameters}
    if new != stored:
        project.writeEntry(_SCOPE, _KEY, json.dumps(new, sort_keys=True))


def _read(project: QgsProject) -> dict[str, Any]:
    text, _ = project.readEntry(_SCOPE, _KEY, "")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
