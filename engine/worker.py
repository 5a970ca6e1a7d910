"""The worker: one warm process that runs jobs for a front end which must not load NumPy, GDAL or CUDA itself.

``python -m engine.worker`` reads requests from stdin and writes events to stdout, one JSON object a line
(docs/contracts.md, "Worker"). The main thread executes requests in order; a reader thread takes ``cancel`` at
once; a third thread sends a heartbeat each second and watches the parent process.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

PROTOCOL_VERSION = 1
HEARTBEAT_S = 1.0
# Time for a cancelled run to remove what it has written, once nobody is left to listen.
GRACE_S = 2.0
_PROGRESS_INTERVAL_S = 0.1
_PR_SET_PDEATHSIG = 1
_LINE_BYTES = 16 << 20  # no job comes near


class EventStream:
    """Writes events to the protocol's own file descriptor; safe to call from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, event: str, request_id: Any = None, **fields: Any) -> None:
        """Writes one event; a front end that has gone is noticed by the reader, not here."""
        head = {} if request_id is None else {"id": request_id}
        line = json.dumps({**head, "event": event, **fields}, default=str) + "\n"
        data = memoryview(line.encode())
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                return


class Worker:
    """Executes the requests of one front end.

    Attributes:
        events: Where events go.
    """

    def __init__(self, events: EventStream) -> None:
        self.events = events
        self._requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._cancelled: dict[Any, threading.Event] = {}
        self._handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "hello": self._hello,
            "describe_model": self._describe_model,
            "run": self._run,
            "evaluate": self._evaluate,
        }

    def serve(self) -> None:
        """Executes requests until ``shutdown`` or ``stop``."""
        while (request := self._requests.get()) is not None:
            self._execute(request)

    def stop(self) -> None:
        """Cancels everything and lets ``serve`` return."""
        for cancelled in list(self._cancelled.values()):
            cancelled.set()
        self._requests.put(None)

    def accept(self, line: bytes) -> None:
        """Takes one line of the front end; called by the reader thread."""
        try:
            request = json.loads(line)
            request_id, kind, target = request["id"], request["type"], request.get("target")
            hash((request_id, kind, target))
        except (ValueError, TypeError, KeyError, RecursionError):
            self._protocol_error(None, "a JSON object with an id and a type on each line", line[:80])
            return
        if kind == "cancel":
            if (cancelled := self._cancelled.get(target)) is not None:
                cancelled.set()
        elif kind == "shutdown":
            self.stop()
        elif kind in self._handlers and request_id in self._cancelled:
            self._protocol_error(request_id, "an id of its own for each request", request_id)
        elif kind in self._handlers:
            self._cancelled[request_id] = threading.Event()
            self._requests.put(request)
        else:
            self._protocol_error(request_id, f"one of {', '.join(self._handlers)}, cancel, shutdown", kind)

    def _protocol_error(self, request_id: Any, expected: str, found: Any) -> None:
        message = f"The engine expected {expected} and got {repr(found)[:200]}."
        self.events.send("error", request_id, code="protocol", message=message)

    def _execute(self, request: dict[str, Any]) -> None:
        request_id = request["id"]
        try:
            result = self._handlers[request["type"]](request)
            self.events.send("result", request_id, result=result)
        except Exception as error:
            self.events.send("error", request_id, **_describe_error(error))
        finally:
            del self._cancelled[request_id]

    def _hello(self, request: dict[str, Any]) -> dict[str, Any]:
        from engine.diagnostics import devices, versions

        return {
            "protocol": PROTOCOL_VERSION,
            "pid": os.getpid(),
            "python": sys.executable,
            "engine": os.path.dirname(os.path.abspath(__file__)),
            "versions": versions(),
            "devices": devices(),
        }

    def _describe_model(self, request: dict[str, Any]) -> dict[str, Any]:
        from engine.models.describe import outputs
        from engine.models.store import find

        item = find(str(request.get("model", "")))
        return {
            "id": item.id,
            "title": item.title,
            "folder": str(item.folder),
            "is_joint": item.is_joint,
            "takes": item.takes,
            "needs": item.needs,
            "outputs": outputs(item),
        }

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        from engine.spec import Job

        request_id, job = request["id"], Job.model_validate(request.get("job"))
        from engine import job as engine_job

        result = engine_job.run(
            job,
            on_progress=self._throttled_progress(request_id),
            is_cancelled=self._cancelled[request_id].is_set,
            log=lambda level, text: self.events.send("log", request_id, level=level, text=text),
        )
        return _as_plain(result)

    def _evaluate(self, request: dict[str, Any]) -> dict[str, Any]:
        from engine.evaluation.request import Comparison

        request_id, comparison = request["id"], Comparison.model_validate(request.get("comparison"))
        from engine.evaluation.evaluate import evaluate

        report = evaluate(
            comparison, self._throttled_progress(request_id), self._cancelled[request_id].is_set
        )
        return report.as_dict()

    def _throttled_progress(self, request_id: Any) -> Callable[[float, str], None]:
        last_text, last_s = "", 0.0

        def report(fraction: float, text: str) -> None:
            nonlocal last_text, last_s
            now = time.monotonic()
            if text != last_text or fraction >= 1 or now - last_s >= _PROGRESS_INTERVAL_S:
                last_text, last_s = text, now
                self.events.send("progress", request_id, fraction=fraction, text=text)

        return report


def _as_plain(result: Any) -> dict[str, Any]:
    """A ``RunResult`` as JSON types."""
    import dataclasses

    return json.loads(json.dumps(dataclasses.asdict(result), default=os.fspath))


def _describe_error(error: Exception) -> dict[str, str]:
    """Code and sentence of an error event; anything unforeseen also leaves its traceback in the log."""
    from engine.errors import EOTranslateError

    if isinstance(error, EOTranslateError):
        return {"code": error.code, "message": str(error)}
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("engine"):
        return {"code": "package", "message": _missing_package(str(error.name))}
    if type(error).__name__ == "ValidationError":
        return {"code": "input", "message": _invalid_job(error)}
    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
    what = " ".join(str(error).split())
    return {
        "code": "bug",
        "message": f"The engine met an error it did not expect ({type(error).__name__}: {what}).",
    }


def _missing_package(name: str) -> str:
    return (
        f"The engine's Python environment at {sys.prefix} lacks the package {name}; install EO Translate's "
        "requirements there, or create an environment in Settings > Options > EO Translate."
    )


def _invalid_job(error: Any) -> str:
    from engine.models.item import clipped

    first = error.errors()[0]
    where = clipped(".".join(str(part) for part in first["loc"])) or "as a whole"
    return f"The job's setting {where} is invalid: {first['msg']}, found {clipped(repr(first['input']))}."


def _claim_stdout() -> int:
    """Reserves the real stdout for the protocol; later prints, native ones too, go to stderr (the log)."""
    protocol_fd = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return protocol_fd


def _end_with_parent(parent_pid: int) -> None:
    """Asks Linux for SIGTERM when the thread that started this process ends."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)


def _leave(worker: Worker) -> None:
    """Cancels, waits for the running job to clean up, and ends the process whatever native code does."""
    worker.stop()
    time.sleep(GRACE_S)
    os._exit(1)


def _read_requests(worker: Worker) -> None:
    while line := sys.stdin.buffer.readline(_LINE_BYTES):
        if line.strip():
            worker.accept(line)
        while len(line) == _LINE_BYTES and not line.endswith(b"\n"):
            line = sys.stdin.buffer.readline(_LINE_BYTES)  # the rest of what has been refused
    _leave(worker)


def _beat(worker: Worker, parent_pid: int) -> None:
    while True:
        worker.events.send("heartbeat")
        time.sleep(HEARTBEAT_S)
        if os.getppid() != parent_pid:
            _leave(worker)


def _in_background(target: Callable[..., None], *args: Any) -> None:
    threading.Thread(target=target, args=args, daemon=True).start()


def main() -> None:
    """Serves one front end until it says ``shutdown``, closes stdin or dies."""
    events, parent_pid = EventStream(_claim_stdout()), os.getppid()
    faulthandler.enable()
    if sys.version_info < (3, 10):
        found = ".".join(map(str, sys.version_info[:3]))
        message = f"The engine needs Python 3.10 or newer, and {sys.executable} is Python {found}."
        events.send("error", code="package", message=message)
        return
    worker = Worker(events)
    # A front end that is interrupted sends ``cancel`` itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _in_background(_leave, worker))
    _end_with_parent(parent_pid)
    _in_background(_read_requests, worker)
    _in_background(_beat, worker, parent_pid)
    worker.serve()
    sys.stderr.flush()
    # Skips the slow teardown of native libraries; every file has been closed by its job.
    os._exit(0)


if __name__ == "__main__":
    main()
