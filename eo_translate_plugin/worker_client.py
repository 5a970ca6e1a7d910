"""Client of the engine's worker process; standard library only.

The engine runs in its own interpreter: its NumPy, GDAL and CUDA never meet those of QGIS, a native crash
there is one sentence here, and cancelling can always kill. One worker stays warm and serves run after run.
"""

from __future__ import annotations

import atexit
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .worker_process import EngineCancelledError, EngineError, Event, WorkerProcess

PROTOCOL_VERSION = 1
_POLL_S = 0.05


class WorkerClient:
    """Sends requests to one warm worker, started when needed; from any thread, one request at a time.

    Attributes:
        heartbeat_timeout_s: A worker that is silent for so long hangs, and is killed.
        start_timeout_s: The same for a worker that has not said anything yet (cold disks, virus scanners).
        cancel_timeout_s: A worker that has not ended a cancelled run after so long is killed.
        idle_s: A worker without work ends after so long.
    """

    heartbeat_timeout_s = 30.0
    start_timeout_s = 120.0
    cancel_timeout_s = 0.7
    idle_s = 600.0

    def __init__(self, python: Path, engine_parent: Path, log_path: Path) -> None:
        self.python = python
        self._engine_parent = engine_parent
        self._log_path = log_path
        self._process: WorkerProcess | None = None
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._idle_timer: threading.Timer | None = None
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """Process id of the warm worker; None: none runs."""
        return self._process.pid if self._process is not None and self._process.is_alive else None

    @property
    def is_busy(self) -> bool:
        """Whether a request is being served."""
        return self._lock.locked()

    def request(
        self,
        kind: str,
        on_event: Callable[[Event], None] = lambda event: None,
        is_cancelled: Callable[[], bool] = lambda: False,
        **fields: Any,
    ) -> dict[str, Any]:
        """Sends one request and waits for its result.

        Args:
            kind: ``hello``, ``describe_model`` or ``run``.
            on_event: Called in the caller's thread with each ``progress`` and ``log`` event.
            is_cancelled: Polled in the caller's thread.
            **fields: The request's other fields.

        Raises:
            EngineCancelledError: ``is_cancelled`` returned True.
            EngineError: The engine refused, crashed, hung or could not be started.
        """
        with self._turn(is_cancelled):
            process = self._ready_process(is_cancelled)
            return self._exchange(process, kind, on_event, is_cancelled, self.heartbeat_timeout_s, fields)

    def close(self, timeout_s: float = 1.0) -> None:
        """Ends the worker; the next request starts a new one."""
        self._stop_idle_timer()
        process, self._process = self._process, None
        if process is not None:
            process.close(timeout_s)

    @contextmanager
    def _turn(self, is_cancelled: Callable[[], bool]) -> Iterator[None]:
        while not self._lock.acquire(timeout=_POLL_S):
            if is_cancelled():
                raise EngineCancelledError
        try:
            self._stop_idle_timer()
            yield
        finally:
            self._start_idle_timer()
            self._lock.release()

    def _ready_process(self, is_cancelled: Callable[[], bool]) -> WorkerProcess:
        if self._process is not None and self._process.is_alive:
            return self._process
        process = self._process = WorkerProcess(self.python, self._engine_parent, self._log_path)
        try:
            hello = self._exchange(process, "hello", lambda e: None, is_cancelled, self.start_timeout_s, {})
            if hello.get("protocol") != PROTOCOL_VERSION:
                raise EngineError(
                    f"The engine at {hello.get('engine')} is of another release than this plugin; install "
                    "the plugin again.",
                    "protocol",
                )
        except EngineError as error:
            self._process = None
            process.close(timeout_s=0.2)
            if error.code == "crash":
                what = f"The engine does not start with {self.python}: {process.describe_end()}."
                raise EngineError(what, "start") from None
            raise
        return process

    def _exchange(
        self,
        process: WorkerProcess,
        kind: str,
        on_event: Callable[[Event], None],
        is_cancelled: Callable[[], bool],
        timeout_s: float,
        fields: dict[str, Any],
    ) -> dict[str, Any]:
        request_id = next(self._ids)
        process.send(id=request_id, type=kind, **fields)
        watch = _Watch(process, request_id, timeout_s, self.cancel_timeout_s)
        while True:
            watch.check(is_cancelled)
            event = process.next_event(_POLL_S)
            if event is None or event.get("id") not in (request_id, None):
                continue
            if event["event"] == "result":
                return event["result"]
            if event["event"] == "error":
                raise _error_of(event, process)
            if event["event"] == "end":
                raise EngineError(_end_sentence(process), "crash")
            on_event(event)

    def _start_idle_timer(self) -> None:
        self._idle_timer = threading.Timer(self.idle_s, self._close_if_idle)
        self._idle_timer.daemon = True
        self._idle_timer.start()

    def _stop_idle_timer(self) -> None:
        timer, self._idle_timer = self._idle_timer, None
        if timer is not None:
            timer.cancel()

    def _close_if_idle(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._lock.release()


class _Watch:
    """Notices a cancelled request and a silent worker, and kills the worker where words do not help."""

    def __init__(
        self, process: WorkerProcess, request_id: int, timeout_s: float, cancel_timeout_s: float
    ) -> None:
        self._process = process
        self._request_id = request_id
        self._timeout_s = timeout_s
        self._cancel_timeout_s = cancel_timeout_s
        self._cancelled_s: float | None = None
        self._lines = process.lines
        self._silent_s = 0.0
        self._checked_s = time.monotonic()

    def check(self, is_cancelled: Callable[[], bool]) -> None:
        now = time.monotonic()
        if self._cancelled_s is None and is_cancelled():
            self._cancelled_s = now
            self._process.send(id=0, type="cancel", target=self._request_id)
        if self._cancelled_s is not None and now - self._cancelled_s > self._cancel_timeout_s:
            self._process.kill()
            raise EngineCancelledError
        if self._process.lines != self._lines:
            self._lines, self._silent_s = self._process.lines, 0.0
        # Capped, so that the hours of a suspended computer do not count as silence.
        self._silent_s += min(now - self._checked_s, 1.0)
        self._checked_s = now
        if self._silent_s > self._timeout_s:
            self._process.kill()
            raise EngineError(
                f"The engine gave no sign of life for {self._timeout_s:.0f} s and was stopped; its log is "
                f"{self._process.log_path}.",
                "hang",
            )


def _error_of(event: Event, process: WorkerProcess) -> EngineError:
    code, message = event.get("code", "error"), event.get("message", "")
    if code == "cancelled":
        return EngineCancelledError()
    return EngineError(f"{message} Its log is {process.log_path}." if code == "bug" else message, code)


def _end_sentence(process: WorkerProcess) -> str:
    return f"The engine ended unexpectedly: {process.describe_end()}."


_shared: WorkerClient | None = None


def shared(python: Path, engine_parent: Path, log_path: Path) -> WorkerClient:
    """The one client of this QGIS; replaced when the interpreter has changed."""
    global _shared
    if _shared is None or _shared.python != python:
        close_shared()
        _shared = WorkerClient(python, engine_parent, log_path)
    return _shared


def is_busy() -> bool:
    """Whether that client is at work."""
    return _shared is not None and _shared.is_busy


def close_shared() -> None:
    """Ends the warm worker, if there is one."""
    global _shared
    client, _shared = _shared, None
    if client is not None:
        atexit.unregister(client.close)
        client.close()
