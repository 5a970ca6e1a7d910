"""One pass through an ONNX graph, on onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.errors import CancelledError, DeviceError, ModelError, OutOfMemoryError
from engine.models.item import ModelItem
from engine.models.onnx_graph import external_files, tensors
from engine.translators.batching import (
    check_precision,
    is_out_of_memory,
    measured_batch,
    out_of_memory,
    padded,
)
from engine.translators.bound import Bound, Feed
from engine.translators.cuda_memory import free_bytes

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_GRAPHS = "enable_cuda_graph"
Providers = list[tuple[str, dict[str, str]]]
_CPU_ONLY: list[Providers] = [[(_CPU, {})]]


class FeedForward:
    """An ONNX graph on one device.

    On the CPU the result of a pixel does not depend, bit by bit, on the window's size or place where
    onnxruntime takes its blocked (NCHWc) convolutions, as for the bundled models. Other convolutions become
    matrix products that are cut by window size and thread number, so that last bits can differ;
    ``fixed_window`` in the item rules that out.

    On CUDA two threads may translate at once: one's copies then overlap with the other's run.

    Attributes:
        device, batch: See ``Translator``.
        fixed_batch: The only batch that the graph takes; None: any.
        bound: Runs the session in buffers on its device; None: onnxruntime copies as it sees fit.
    """

    def __init__(
        self, item: ModelItem, session: onnxruntime.InferenceSession, bound: Bound | None = None
    ) -> None:
        self.item = item
        self.device = "cuda" if session.get_providers()[0] == _CUDA else "cpu"
        self._session, self.bound = session, bound
        self._running: set[onnxruntime.RunOptions] = set()
        fed, given = tensors(session)
        if not fed:
            raise ModelError(f"The network of the model {item.id} takes no input; install the model again.")
        self._dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in fed + given}
        self._channels_last = {entry.tensor for entry in item.inputs if entry.layout == "NHWC"}
        self.fixed_batch = fed[0].shape[0] if fed[0].shape else None
        self.batch = self.fixed_batch or 1

    def translate(self, tensors: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """See ``Translator.translate``."""
        shape = next(iter(tensors.values())).shape
        options = onnxruntime.RunOptions()
        self._running.add(options)
        try:
            feed = {name: self._fed(name, padded(array, self.batch)) for name, array in tensors.items()}
            result = self._run(feed, shape, options)
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            raise self._explained(error, shape, options.terminate) from None
        finally:
            self._running.discard(options)
        if self.item.output.layout == "NHWC":
            result = result.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(result[: shape[0]], dtype=np.float32)

    def shrink(self) -> bool:
        """See ``Translator.shrink``."""
        if self.fixed_batch or self.batch == 1:
            return False
        self.resize(self.batch // 2)
        return True

    def resize(self, batch: int) -> None:
        """Sets the batch, and frees what was made for another one."""
        self.batch = batch
        if self.bound:
            self.bound.forget()

    def terminate(self) -> None:
        """See ``Translator.terminate``."""
        for options in list(self._running):
            options.terminate = True

    def close(self) -> None:
        """See ``Translator.close``."""
        del self._session, self.bound

    def _run(
        self, feed: Feed, shape: tuple[int, ...], options: onnxruntime.RunOptions
    ) -> NDArray[np.generic]:
        output = self.item.output
        if self.bound is None:
            return self._session.run([output.tensor], feed, options)[0]
        size = tuple(side * output.scale_factor for side in shape[2:])
        bands = (len(output.bands),)
        given = (*size, *bands) if output.layout == "NHWC" else (*bands, *size)
        batch = max(shape[0], self.batch)
        return self.bound.run(feed, (batch, *given), self._dtypes[output.tensor], options)

    def _fed(self, name: str, array: NDArray[np.float32]) -> NDArray[np.generic]:
        if name in self._channels_last:
            array = array.transpose(0, 2, 3, 1)
        dtype = self._dtypes[name]
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            array = np.clip(np.rint(array), limits.min, limits.max)
        return np.ascontiguousarray(array, dtype=dtype)

    def _explained(self, error: Exception, shape: tuple[int, ...], terminated: bool) -> Exception:
        if terminated:
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
    if device == "cpu" or _CUDA not in onnxruntime.get_available_providers():
        return FeedForward(item, _session(item, _CPU_ONLY, threads))
    session = _session(item, _cuda_choices(profile), threads)
    if session.get_providers()[0] == _CUDA:
        return _on_cuda(item, session)
    if device == "cuda":
        raise DeviceError(
            "The device cuda was asked for, but onnxruntime could not start it (driver, CUDA or cuDNN "
            "libraries missing); run on "
            "the CPU, or mend the CUDA installation."
        )
    return FeedForward(item, _session(item, _CPU_ONLY, threads))


def _on_cuda(item: ModelItem, session: onnxruntime.InferenceSession) -> FeedForward:
    graphs = session.get_provider_options()[_CUDA].get(_GRAPHS) == "1"
    translator = FeedForward(item, session, Bound(session, item.output.tensor, "cuda", graphs))
    if translator.fixed_batch is None:
        translator.resize(measured_batch(item, translator, free_bytes))
    return translator


def _check_device(device: str) -> None:
    if device == "cuda" and _CUDA not in onnxruntime.get_available_providers():
        raise DeviceError(
            "The device cuda was asked for, and the installed onnxruntime has no CUDA; run on the CPU, "
            "or install "
            "onnxruntime-gpu in place of onnxruntime."
        )


def _cuda_choices(profile: str) -> list[Providers]:
    """What is tried in turn: recorded graphs need every operator of the model on the device."""
    fast = profile == "fast"
    options = {
        # TF32 and algorithms chosen by measuring would make the same job give other pixels from run to run.
        "use_tf32": str(int(fast)),
        "cudnn_conv_algo_search": "EXHAUSTIVE" if fast else "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    }
    choices = [options | {_GRAPHS: "1"}, options] if fast else [options]
    return [[(_CUDA, choice), (_CPU, {})] for choice in choices]


def _session(item: ModelItem, choices: list[Providers], threads: int | None) -> onnxruntime.InferenceSession:
    """Opens the weights with the first choice of providers that takes them."""
    on_cpu = choices == _CPU_ONLY
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = on_cpu or choices[0][0][1]["use_tf32"] == "0"
    # Planning the memory of a whole run ahead takes up to twice as much of it on the CPU.
    options.enable_mem_pattern = not on_cpu
    if on_cpu:
        # Threads that wait by spinning take the cores from those that read, encode and write.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads:
        options.intra_op_num_threads = threads
    if not on_cpu and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    for providers in choices:
        try:
            return onnxruntime.InferenceSession(str(item.weights_path), options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            reason, no_memory = " ".join(str(error).split())[:200], is_out_of_memory(error)
    if no_memory:
        raise OutOfMemoryError(
            f"There is too little memory to load the model {item.id}; close other programs, or use a smaller "
            "model."
        )
    raise ModelError(
        f"The weights of the model {item.id} ({item.weights_path}) cannot be opened ({reason}); "
        "install the model again."
    )
