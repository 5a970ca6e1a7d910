"""One pass through an ONNX graph, on onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.errors import CancelledError, DeviceError, ModelError
from engine.models.item import ModelItem
from engine.models.onnx_graph import external_files, tensors
from engine.translators.batching import check_precision, is_out_of_memory, out_of_memory, padded

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"


class FeedForward:
    """An ONNX graph on one device.

    On the CPU the result of a pixel does not depend, bit by bit, on the window's size or place where
    onnxruntime takes its blocked (NCHWc) convolutions, as for the bundled models. Other convolutions become
    matrix products that are cut by window size and thread number, so that last bits can differ;
    ``fixed_window`` in the item rules that out.

    Attributes:
        device, batch: See ``Translator``.
    """

    def __init__(self, item: ModelItem, session: onnxruntime.InferenceSession) -> None:
        self.item = item
        self.device = "cuda" if session.get_providers()[0] == _CUDA else "cpu"
        self._session = session
        self._options = onnxruntime.RunOptions()
        fed, _ = tensors(session)
        self._dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in fed}
        self._channels_last = {entry.tensor for entry in item.inputs if entry.layout == "NHWC"}
        self._fixed_batch = fed[0].shape[0] if fed[0].shape else None
        self.batch = self._fixed_batch or 1

    def translate(self, tensors: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """See ``Translator.translate``."""
        shape = next(iter(tensors.values())).shape
        self._options = onnxruntime.RunOptions()
        try:
            feed = {name: self._fed(name, padded(array, self.batch)) for name, array in tensors.items()}
            (result,) = self._session.run([self.item.output.tensor], feed, self._options)
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            raise self._explained(error, shape) from None
        if self.item.output.layout == "NHWC":
            result = result.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(result[: shape[0]], dtype=np.float32)

    def shrink(self) -> bool:
        """See ``Translator.shrink``."""
        if self._fixed_batch or self.batch == 1:
            return False
        self.batch //= 2
        return True

    def terminate(self) -> None:
        """See ``Translator.terminate``."""
        self._options.terminate = True

    def close(self) -> None:
        """See ``Translator.close``."""
        del self._session

    def _fed(self, name: str, array: NDArray[np.float32]) -> NDArray[np.generic]:
        if name in self._channels_last:
            array = array.transpose(0, 2, 3, 1)
        dtype = self._dtypes[name]
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            array = np.clip(np.rint(array), limits.min, limits.max)
        return np.ascontiguousarray(array, dtype=dtype)

    def _explained(self, error: Exception, shape: tuple[int, ...]) -> Exception:
        if self._options.terminate:
            return CancelledError("The run was cancelled.")
        if is_out_of_memory(error):
            return out_of_memory(self.item, self.device, shape)
        text = " ".join(str(error).split())
        return ModelError(
            f"The model {self.item.id} failed on a window of {shape[3]} x {shape[2]} pixels ({text[:200]}); "
            "its description (window size, stride_multiple, tensor sizes) may not fit its weights."
        )


def open(
    item: ModelItem,
    device: str = "auto",
    threads: int | None = None,
    precision: str = "float32",
    profile: str = "deterministic",
) -> FeedForward:
    """Loads a package with ``.onnx`` weights.

    Args:
        item: The package; its files' hashes are checked by the caller.
        device: ``auto`` takes CUDA where onnxruntime has it and it works.
        threads: CPU threads; None: all cores.
        precision: The graph's own; another than ``float32`` is refused.
        profile: See ``warm_translator``.

    Raises:
        ModelError: The graph is damaged or lacks its external data.
        DeviceError: CUDA was asked for and does not work.
        InputError: Another precision was asked for.
    """
    check_precision(item, precision)
    missing = [
        name for name in external_files(item.weights_path) if not (item.weights_path.parent / name).is_file()
    ]
    if missing:
        raise ModelError(
            f"The model {item.id} keeps weights in {missing[0]}, which is missing in "
            f"{item.weights_path.parent}; install the "
            "model again."
        )
    _check_device(device)
    session = _session(item, _providers(device, profile), threads, profile)
    if device == "cuda" and session.get_providers()[0] != _CUDA:
        raise DeviceError(
            "The device cuda was asked for, but onnxruntime could not start it (driver, CUDA or cuDNN "
            "libraries missing); run on "
            "the CPU, or mend the CUDA installation."
        )
    return FeedForward(item, session)


def _check_device(device: str) -> None:
    if device == "cuda" and _CUDA not in onnxruntime.get_available_providers():
        raise DeviceError(
            "The device cuda was asked for, and the installed onnxruntime has no CUDA; run on the CPU, "
            "or install "
            "onnxruntime-gpu in place of onnxruntime."
        )


def _providers(device: str, profile: str) -> list[tuple[str, dict[str, str]]]:
    if device == "cpu" or _CUDA not in onnxruntime.get_available_providers():
        return [(_CPU, {})]
    return [(_CUDA, cuda_options(profile)), (_CPU, {})]


def cuda_options(profile: str) -> dict[str, str]:
    """Onnxruntime's CUDA options of a profile."""
    fast = profile == "fast"
    return {
        # TF32 and algorithms chosen by measuring would make the same job give other pixels from run to run.
        "use_tf32": str(int(fast)),
        "cudnn_conv_algo_search": "EXHAUSTIVE" if fast else "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    }


def _session(
    item: ModelItem, providers: list[tuple[str, dict[str, str]]], threads: int | None, profile: str
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = profile == "deterministic" or providers[0][0] == _CPU
    # Planning memory for a whole run ahead holds twice as much of it on the CPU, and is no faster there.
    options.enable_mem_pattern = providers[0][0] != _CPU
    if threads:
        options.intra_op_num_threads = threads
    if providers[0][0] == _CUDA and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    try:
        return onnxruntime.InferenceSession(str(item.weights_path), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"The weights of the model {item.id} ({item.weights_path}) cannot be opened ({reason}); "
            "install the model again."
        ) from None
