"""Stages of work, each in a thread of its own, joined by bounded queues.

Memory is bounded by the queues, not by the raster; an error in any stage comes out at the end of the chain.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import rasterio

from engine.errors import OutOfMemoryError
from engine.raster.source import GDAL_OPTIONS

_T = TypeVar("_T")
_POLL_S = 0.05
_NICER = 10
_END = object()
_NO_MEMORY = (
    "This machine has too little memory for the model's windows and the chunk size; close other programs, "
    "or ask for smaller chunks."
)


def give_way() -> None:
    """Lowers this thread's priority, where a system knows priorities of threads: on Linux.

    The network's own threads wait for each other, so one of them that is held up holds up all.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICER)


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class Pipeline:
    """Owns the threads of its stages: leaving it stops and joins them.

    ``with Pipeline() as pipeline: for item in pipeline.stage(work(pipeline.stage(source, 2)), 2): ...``
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def stage(
        self,
        source: Iterable[_T],
        depth: int,
        on_wait: Callable[[], None] | None = None,
        yielding: bool = False,
    ) -> Iterator[_T]:
        """Runs an iterator in a thread; gives its items in order.

        Args:
            source: What is run; closed in its own thread.
            depth: Items that may wait before it pauses.
            on_wait: Called in the consumer's thread every moment that it waits for an item.
            yielding: It gives way to other stages where cores are short.
        """
        items: queue.Queue[Any] = queue.Queue(depth)
        thread = threading.Thread(target=self._work, args=(iter(source), items, yielding), daemon=True)
        self._threads.append(thread)
        thread.start()
        return self._items(items, on_wait)

    def _work(self, source: Iterator[Any], items: queue.Queue[Any], yielding: bool) -> None:
        if yielding:
            give_way()
        # rasterio keeps GDAL's options by thread.
        with rasterio.Env(**GDAL_OPTIONS):
            try:
                for item in source:
                    if not self._put(items, item):
                        break
                else:
                    self._put(items, _END)
            except MemoryError:
                self._put(items, _Failure(OutOfMemoryError(_NO_MEMORY)))
            except BaseException as error:  # handed to the consumer, whatever it is
                self._put(items, _Failure(error))
            finally:
                if hasattr(source, "close"):
                    source.close()

    def _put(self, items: queue.Queue[Any], item: Any) -> bool:
        while not self._stopped.is_set():
            try:
                items.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def _items(self, items: queue.Queue[Any], on_wait: Callable[[], None] | None) -> Iterator[Any]:
        while not self._stopped.is_set():
            try:
                item = items.get(timeout=_POLL_S)
            except queue.Empty:
                if on_wait is not None:
                    on_wait()
                continue
            if item is _END:
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item
