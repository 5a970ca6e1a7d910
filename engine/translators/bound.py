"""Runs of an ONNX graph between buffers on the device that are made once for each shape."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict

import numpy as np
import onnxruntime
from numpy.typing import NDArray

# Windows at a job's edges have other sizes; buffers of the latest few are kept.
_SHAPES = 4
_TURNS = 2
_GRAPH_ID = "gpu_graph_id"
_NO_GRAPH = "-1"

Feed = dict[str, NDArray[np.generic]]


class Bound:
    """A session whose inputs and output stay in buffers on the device.

    Every shape has a ring of up to two sets of buffers: a second thread may copy while the windows of the
    first one run. The runs themselves take turns.

    Args:
        session: What is run.
        output: Name of the output.
        device: onnxruntime's name of the device: ``cpu``, ``cuda``.
        graphs: The session was made for CUDA graphs. Then the first shape, which most windows of a job share,
            is recorded once and replayed; other shapes run as usual.

    Attributes:
        graphs: Whether new buffers get a recorded graph.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, output: str, device: str, graphs: bool = False
    ) -> None:
        self._session, self._output, self._device, self.graphs = session, output, device, graphs
        self._rings: OrderedDict[tuple[int, ...], _Ring] = OrderedDict()
        self._graph_shape: tuple[int, ...] | None = None
        self._graph_ids = itertools.count(1)
        self._lock, self._running = threading.Lock(), threading.Lock()

    def run(
        self,
        feed: Feed,
        shape: tuple[int, ...],
        dtype: np.dtype,
        options: onnxruntime.RunOptions,
    ) -> NDArray[np.generic]:
        """One evaluation.

        Args:
            feed: In the graph's own shapes and dtypes, C-contiguous.
            shape: Of the output.
            dtype: Of the output.
            options: Of this run alone.

        Returns:
            The output, in memory of its own.

        Raises:
            Exception: onnxruntime's.
        """
        ring = self._ring(shape)
        with ring.turns:
            buffers = ring.free.pop() if ring.free else self._buffers(feed, shape, dtype)
            try:
                buffers.fill(feed)
                options.add_run_config_entry(_GRAPH_ID, buffers.graph)
                with self._running:
                    self._session.run_with_iobinding(buffers.binding, options)
                # On the CPU numpy() is a view of the buffer, which the next run overwrites.
                return np.array(buffers.result.numpy())
            finally:
                ring.free.append(buffers)

    def forget(self) -> None:
        """Frees the buffers that no thread is using."""
        with self._lock:
            self._rings.clear()
            self._graph_shape = None

    def _ring(self, shape: tuple[int, ...]) -> _Ring:
        with self._lock:
            self._graph_shape = self._graph_shape or shape
            ring = self._rings.setdefault(shape, _Ring())
            self._rings.move_to_end(shape)
            if len(self._rings) > _SHAPES:
                self._rings.popitem(last=False)
            return ring

    def _buffers(self, feed: Feed, shape: tuple[int, ...], dtype: np.dtype) -> _Buffers:
        # A graph is recorded with the addresses of its buffers, so each set of them has its own.
        graph = str(next(self._graph_ids)) if self.graphs and shape == self._graph_shape else _NO_GRAPH
        return _Buffers(self._session, self._output, self._device, feed, (shape, dtype), graph)


class _Ring:
    def __init__(self) -> None:
        self.turns = threading.Semaphore(_TURNS)
        self.free: list[_Buffers] = []


class _Buffers:
    """Inputs and output on the device, and their binding."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        output: str,
        device: str,
        feed: Feed,
        given: tuple[tuple[int, ...], np.dtype],
        graph: str,
    ) -> None:
        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        self.graph = graph
        self.binding = session.io_binding()
        self.result = make(*given, device, 0)
        self.binding.bind_ortvalue_output(output, self.result)
        self._inputs = {name: make(array.shape, array.dtype, device, 0) for name, array in feed.items()}
        for name, value in self._inputs.items():
            self.binding.bind_ortvalue_input(name, value)

    def fill(self, feed: Feed) -> None:
        for name, array in feed.items():
            self._inputs[name].update_inplace(array)
