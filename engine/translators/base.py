"""What every family of models offers to the main path."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.models.item import ModelItem
from engine.translators.batching import check_precision

Profile = Literal["deterministic", "fast"]
_Key = tuple[str, str, str, "int | None", str, str]
_warm: dict[_Key, Translator] = {}


class Translator(Protocol):
    """A model on a device, ready to run windows.

    Attributes:
        device: What it runs on, for people and tags: ``cpu``, ``cuda``.
        batch: How many windows of one size are best run at once, >= 1.
    """

    device: str
    batch: int

    def translate(self, tensors: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Windows of one size: tensor name -> float32 (B, C, H, W); gives float32 (B, C_out, H * f, W * f).

        B is at most ``batch``. The network itself always sees ``batch`` windows, since the last bits of a
        result may depend on their number; they do not depend on what the other windows hold.

        Raises:
            CancelledError: ``terminate`` was called meanwhile.
            OutOfMemoryError: Not enough memory.
            ModelError: The network fails on these windows.
        """

    def shrink(self) -> bool:
        """Halves ``batch`` after an ``OutOfMemoryError``; False: it is 1 already, or the graph fixes it."""

    def terminate(self) -> None:
        """Stops a running ``translate``; may be called from any thread."""

    def close(self) -> None:
        """Frees the device."""


def warm_translator(
    item: ModelItem,
    device: str,
    threads: int | None,
    precision: str,
    profile: Profile = "deterministic",
) -> Translator:
    """The translator of a package, kept until another one is asked for: a batch loads its model once.

    Args:
        item: The package; its files' hashes are checked by the caller.
        device: ``auto`` takes CUDA where it works.
        threads: CPU threads; None: all cores.
        precision: One of ``item.precisions``.
        profile: ``deterministic``: the same windows give the same bits on the same device, versions and
            batch; ``fast``: libraries choose algorithms by measuring them and may round products to TF32.

    Raises:
        ModelError, DeviceError, MissingPackageError: It cannot be opened.
        InputError: The model does not allow the precision.
    """
    key = (str(item.weights_path), item.sha256, device, threads, precision, profile)
    if key not in _warm:
        check_precision(item, precision)
        close_warm()
        _warm[key] = _open(item, device, threads, precision, profile)
    return _warm[key]


def close_warm() -> None:
    """Frees what ``warm_translator`` keeps."""
    while _warm:
        _warm.popitem()[1].close()


def _open(item: ModelItem, device: str, threads: int | None, precision: str, profile: Profile) -> Translator:
    if item.weights_path.suffix == ".onnx":
        from engine.translators import feed_forward

        return feed_forward.open(item, device, threads, precision, profile)
    if item.is_joint:
        from engine.models.tensor_files import require_torch

        require_torch(f"The model {item.id}")
        from engine.translators import joint_diffusion

        return joint_diffusion.open(item, device, threads, precision, profile)
    from engine.translators import torch_networks

    return torch_networks.open(item, device, threads, precision, profile)
