"""Feed-forward networks of ``engine.networks`` with ``.safetensors`` weights, run by torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CancelledError, DeviceError, MissingPackageError, ModelError
from engine.models.item import ModelItem

if TYPE_CHECKING:
    import torch


class TorchTranslator:
    """A network on one device.

    Args:
        item: The model package.
        network: (tensors by input name) -> (1, C_out, H * f, W * f) in the item's output units.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, item: ModelItem, network: torch.nn.Module, device: str, precision: str) -> None:
        import torch

        self.item, self.device = item, device
        self._dtype = getattr(torch, precision)
        self._network = network.to(device=device, dtype=self._dtype)
        self._finish = _FINISH[item.network]
        self._terminated = False
        for module in self._network.modules():
            module.register_forward_pre_hook(self._stop_if_terminated)

    def translate(self, tensors: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """One window: float32 (1, C, H, W) a tensor -> float32 (1, C_out, H * f, W * f).

        Raises:
            CancelledError: ``terminate`` was called meanwhile.
            DeviceError: The device has too little memory.
        """
        import torch

        self._terminated = False
        arguments = [tensors[entry.tensor] for entry in self.item.inputs]
        try:
            with torch.inference_mode():
                fed = [torch.from_numpy(a).to(device=self.device, dtype=self._dtype) for a in arguments]
                return self._finish(self._network(*fed).float()).cpu().numpy()
        except torch.OutOfMemoryError:
            size = " x ".join(str(n) for n in arguments[0].shape[2:])
            raise DeviceError(
                f"The device {self.device} has too little memory for the model {self.item.id} on a "
                f"window of {size} "
                "pixels; close other programs that use it, or run on the CPU."
            ) from None

    def terminate(self) -> None:
        """Ends a running ``translate`` at its next layer; may be called from any thread."""
        self._terminated = True

    def close(self) -> None:
        """Frees the network's memory."""
        self._network.to("meta")

    def _stop_if_terminated(self, *_: Any) -> None:
        if self._terminated:
            raise CancelledError("The run was cancelled.")


def open(
    item: ModelItem, device: str = "auto", threads: int | None = None, precision: str = "float32"
) -> TorchTranslator:
    """Loads a package with ``.safetensors`` weights.

    Raises:
        MissingPackageError: torch or safetensors is not installed.
        ModelError: The weights do not fit the network.
        DeviceError: CUDA was asked for and does not work.
    """
    network = load_network(item)
    import torch

    if threads:
        torch.set_num_threads(threads)
    # TF32 would make the same job give other pixels on another GPU.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "The device cuda was asked for and torch finds none; run on the CPU, or install torch for CUDA."
        )
    chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    return TorchTranslator(item, network, chosen, precision)


def load_network(item: ModelItem) -> torch.nn.Module:
    """Reads the weights of a package and puts them into its network, every tensor or none.

    Raises:
        MissingPackageError: torch or safetensors is not installed.
        ModelError: The file is damaged, or a tensor is missing, unexpected or misshapen.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise MissingPackageError(
            f"The model {item.id} needs torch and safetensors, which are not installed; "
            "run: pip install 'eo-translate[diffusion]'."
        ) from None
    try:
        tensors = load_file(item.weights_path)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"The weights {item.weights_path} cannot be read ({error}); install the model again."
        ) from None
    return _BUILDERS[item.network](tensors, str(item.weights_path))


def _aras400k(tensors: dict[str, torch.Tensor], where: str) -> torch.nn.Module:
    from engine.networks.aras400k import generator_from_tensors

    return generator_from_tensors(tensors, where)


def _display_values(image: torch.Tensor) -> torch.Tensor:
    from engine.networks.aras400k import to_uint8

    return to_uint8(image).float()


_BUILDERS: dict[str | None, Callable[..., Any]] = {"aras400k-spade": _aras400k}
_FINISH: dict[str | None, Callable[..., Any]] = {"aras400k-spade": _display_values}
