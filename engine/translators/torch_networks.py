"""Feed-forward networks of ``engine.networks`` with ``.safetensors`` weights, run by torch."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CancelledError, DeviceError
from engine.models.item import ModelItem
from engine.models.tensor_files import read_package_tensors
from engine.translators.batching import (
    check_precision,
    is_out_of_memory,
    measured_batch,
    out_of_memory,
    padded,
)

if TYPE_CHECKING:
    import torch

_settings = threading.Lock()


class TorchTranslator:
    """A network on one device.

    Args:
        item: The model package.
        network: (tensors by input name) -> (B, C_out, H * f, W * f) in the item's output units.
        device: ``cpu`` or ``cuda``.
        precision: Of weights and arithmetic.
        profile: See ``warm_translator``.

    Attributes:
        device, batch: See ``Translator``.
    """

    def __init__(
        self,
        item: ModelItem,
        network: torch.nn.Module,
        device: str,
        precision: str,
        profile: str = "deterministic",
    ) -> None:
        import torch

        self.item, self.device, self.batch = item, device, 1
        self._dtype = getattr(torch, precision)
        self._layout = (
            torch.channels_last if profile == "fast" and device == "cuda" else torch.contiguous_format
        )
        self._network = network.to(device=device, dtype=self._dtype, memory_format=self._layout)
        self._profile = profile
        self._copies = torch.cuda.Stream() if device == "cuda" else None
        self._finish = _FINISH[item.network]
        self._terminated = False
        for module in self._network.modules():
            module.register_forward_pre_hook(self._stop_if_terminated)

    def translate(self, tensors: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """See ``Translator.translate``."""
        self._terminated = False
        arguments = [tensors[entry.tensor] for entry in self.item.inputs]
        shape = arguments[0].shape
        try:
            return self._evaluated([padded(array, self.batch) for array in arguments])[: shape[0]]
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise out_of_memory(self.item, self.device, shape) from None
            raise

    def shrink(self) -> bool:
        """See ``Translator.shrink``."""
        if self.batch == 1:
            return False
        self.batch //= 2
        if self.device == "cuda":
            import torch

            torch.cuda.empty_cache()
        return True

    def _evaluated(self, arguments: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        import torch

        upload = self._from_pinned if self.device == "cuda" else torch.from_numpy
        there = [upload(array) for array in arguments]
        with torch.inference_mode(), arithmetic(self._profile):
            fed = [array.to(dtype=self._dtype, memory_format=self._layout) for array in there]
            # Small dtypes are copied as they are, and widened here.
            result = self._finish(self._network(*fed).float()).to("cpu", non_blocking=True)
            if self.device == "cuda":
                torch.cuda.current_stream().synchronize()
        return result.numpy().astype(np.float32)

    def _from_pinned(self, array: NDArray[np.float32]) -> torch.Tensor:
        """Copied on a stream of its own, so that another thread's windows can run meanwhile."""
        import torch

        with torch.cuda.stream(self._copies):
            there = torch.from_numpy(array).pin_memory().to("cuda", non_blocking=True)
        torch.cuda.current_stream().wait_stream(self._copies)
        there.record_stream(torch.cuda.current_stream())
        return there

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
    item: ModelItem,
    device: str = "auto",
    threads: int | None = None,
    precision: str = "float32",
    profile: str = "deterministic",
) -> TorchTranslator:
    """Loads a package with ``.safetensors`` weights.

    Args:
        item: The package; its files' hashes are checked by the caller.
        device: ``auto`` takes CUDA where torch finds it.
        threads: CPU threads; None: all cores.
        precision: One of ``item.precisions``.
        profile: See ``warm_translator``.

    Raises:
        MissingPackageError: torch or safetensors is not installed.
        ModelError: The weights do not fit the network.
        DeviceError: CUDA was asked for and does not work.
        InputError: The model does not allow the precision.
    """
    check_precision(item, precision)
    # cuBLAS gives the same bits from run to run only with a workspace of a fixed size, set before it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    network = load_network(item)
    import torch

    if threads:
        torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "The device cuda was asked for and torch finds none; run on the CPU, or install torch for CUDA."
        )
    chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    translator = TorchTranslator(item, network, chosen, precision, profile)
    if chosen == "cuda":
        translator.batch = measured_batch(item, translator, lambda: torch.cuda.mem_get_info()[0])
    return translator


@contextlib.contextmanager
def arithmetic(profile: str) -> Iterator[None]:
    """Torch's settings for a profile, one thread at a time: they belong to the process, and are put back."""
    import torch

    if not torch.cuda.is_available():
        # A CPU's kernels are the same in both profiles, and the settings would load a compiler (2 s).
        with _settings:
            yield
        return
    fast, matmul = profile == "fast", torch.backends.cuda.matmul
    # TF32 would make the same job give other pixels on another GPU, and measured algorithms from run to run.
    with _settings, torch.backends.cudnn.flags(benchmark=fast, deterministic=not fast, allow_tf32=fast):
        before = matmul.allow_tf32, torch.are_deterministic_algorithms_enabled()
        try:
            matmul.allow_tf32 = fast
            torch.use_deterministic_algorithms(not fast)
            yield
        finally:
            matmul.allow_tf32 = before[0]
            torch.use_deterministic_algorithms(before[1])


def load_network(item: ModelItem) -> torch.nn.Module:
    """Reads the weights of a package and puts them into its network, every tensor or none.

    Raises:
        MissingPackageError: torch or safetensors is not installed.
        ModelError: The file is damaged, or a tensor is missing, unexpected or misshapen.
    """
    tensors = read_package_tensors(item.weights_path, item.id)
    return _BUILDERS[item.network](tensors, str(item.weights_path))


def _aras400k(tensors: dict[str, torch.Tensor], where: str) -> torch.nn.Module:
    from engine.networks.aras400k import generator_from_tensors

    return generator_from_tensors(tensors, where)


def _display_values(image: torch.Tensor) -> torch.Tensor:
    from engine.networks.aras400k import to_uint8

    return to_uint8(image)


_BUILDERS: dict[str | None, Callable[..., Any]] = {"aras400k-spade": _aras400k}
_FINISH: dict[str | None, Callable[..., Any]] = {"aras400k-spade": _display_values}
