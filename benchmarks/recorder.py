"""Runners that see every window that the network is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.inputs import Log
from engine.models.item import ModelItem
from engine.runner import LocalRunner
from engine.spec import Job

Tensors = dict[str, NDArray[np.float32]]


class Recorder:
    """A translator that keeps what the network is given."""

    def __init__(self, translator: Any) -> None:
        self.translator = translator
        self.windows: list[Tensors] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.translator, name)

    def translate(self, tensors: Tensors) -> NDArray[np.float32]:
        """Passes on; as the wrapped one."""
        self.windows.append({name: tensor.copy() for name, tensor in tensors.items()})
        return self.translator.translate(tensors)


class Counter(Recorder):
    """A translator that counts the pixels that it is given, and makes zeros without the network."""

    pixels = 0

    def translate(self, tensors: Tensors) -> NDArray[np.float32]:
        """Zeros in the shape of a result."""
        batch, _, height, width = next(iter(tensors.values())).shape
        self.pixels += batch * height * width
        output = self.translator.item.output
        factor = output.scale_factor
        return np.zeros((batch, len(output.bands), height * factor, width * factor), dtype=np.float32)


class RecordingRunner(LocalRunner):
    """The usual runner with a recorder before the network; use as ``open_runner``.

    Attributes:
        recorder: The latest run's.
    """

    kind: type[Recorder] = Recorder
    recorder: Recorder

    def __init__(self, job: Job, item: ModelItem, log: Log) -> None:
        super().__init__(job, item, log)
        self._translator = type(self).recorder = self.kind(self._translator)


class CountingRunner(RecordingRunner):
    """The usual runner that counts instead of translating."""

    kind = Counter
