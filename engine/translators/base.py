"""What every family of models offers to the main path."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.models.item import ModelItem

_Key = tuple[str, str, str, "int | None", str]
_warm: dict[_Key, Translator] = {}


class Translator(Protocol):
    """A model on a device, ready to run windows.

    Attributes:
        device: What it runs on, for people and tags: ``cpu``, ``cuda``.
    """

    device: str

    def translate(self, tensors: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """One window: tensor name -> float32 (1, C, H, W); gives float32 (1, C_out, H * f, W * f).

        Raises:
            CancelledError: ``terminate`` was called meanwhile.
            DeviceError: Not enough memory.
            ModelError: The network fails on this window.
        """

    def terminate(self) -> None:
        """Stops a running ``translate``; may be called from any thread."""

    def close(self) -> None:
        """Frees the device."""


def warm_translator(item: ModelItem, device: str, threads: int | None, precision: str) -> Translator:
    """The translator of a package, kept until another one is asked for: a batch loads its model once.

    Raises:
        ModelError, DeviceError, MissingPackageError: It cannot be opened.
    """
    key = (str(item.weights_path), item.sha256, device, threads, precision)
    if key not in _warm:
        close_warm()
        _warm[key] = _open(item, device, threads, precision)
    return _warm[key]


def close_warm() -> None:
    """Frees what ``warm_translator`` keeps."""
    while _warm:
        _warm.popitem()[1].close()


def _open(item: ModelItem, device: str, threads: int | None, precision: str) -> Translator:
    if item.weights_path.suffix == ".onnx":
        from engine.translators import feed_forward

        return feed_forward.open(item, device, threads, precision)
    from engine.translators import torch_networks

    return torch_networks.open(item, device, threads, precision)
