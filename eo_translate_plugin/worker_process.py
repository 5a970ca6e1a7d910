"""The engine's worker as a child process (``python -m engine.worker``); standard library only."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess  # nosec B404 - the engine is a process of its own by design (worker_client.py)
import sys
import threading
import time
from pathlib import Path
from typing import Any

_MAX_LOG_BYTES = 5_000_000
_DROPPED_PREFIXES = ("PYTHON", "PROJ_", "GDAL_", "__PYVENV")

Event = dict  # one JSON object of the protocol


class EngineError(Exception):
    """The engine could not do what was asked; the message is one plain sentence for the user."""

    def __init__(self, message: str, code: str = "error") -> None:
        super().__init__(message)
        self.code = code


class EngineCancelledError(EngineError):
    """The user cancelled."""

    def __init__(self) -> None:
        super().__init__("The run was cancelled.", "cancelled")


def clean_environment(environ: dict[str, str], engine_parent: Path) -> dict[str, str]:
    """The environment for a foreign interpreter: nothing that would make it load QGIS's libraries or data."""
    kept = {k: v for k, v in environ.items() if not k.upper().startswith(_DROPPED_PREFIXES)}
    return {**kept, "PYTHONPATH": str(engine_parent), "PYTHONUTF8": "1"}


class WorkerProcess:
    """The child process, with the thread that starts it and reads its events.

    The same thread does both: Linux sends the parent-death signal when the *thread* that forked ends, and the
    pool threads of QGIS, where algorithms run, end after half a minute of rest.

    Attributes:
        lines: Lines received so far, heartbeats included: a sign of life.
    """

    def __init__(self, python: Path, engine_parent: Path, log_path: Path) -> None:
        self.log_path = log_path
        self.lines = 0
        self._command = [str(python), "-m", "engine.worker"]
        self._engine_parent = engine_parent
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._popen: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._started = threading.Event()
        self._log_start = 0
        self._thread = threading.Thread(target=self._start_and_read, name="eo-translate-worker", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise EngineError(
                f"The engine cannot be started with {python}: {self._failure.strerror}.", "start"
            )

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the worker runs."""
        return self._process.poll() is None

    def send(self, **request: Any) -> None:
        """Writes one request; that a worker has gone is told by its ``end`` event, after its last words."""
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            # ValueError: another thread has closed the worker meanwhile.
            return

    def next_event(self, timeout_s: float) -> Event | None:
        """The next event that is no heartbeat; ``{"event": "end"}``: the worker has gone; None: none yet."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def kill(self) -> None:
        """Ends the worker at once and waits until it has gone."""
        self._process.kill()
        self._process.wait()

    def close(self, timeout_s: float) -> None:
        """Asks the worker to end by closing its stdin; kills it after ``timeout_s``."""
        try:
            self.send(id=0, type="shutdown")
            self._process.stdin.close()
            self._process.wait(timeout_s)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self.kill()

    def describe_end(self) -> str:
        """How the process ended, with the last line it logged, as the second half of a sentence."""
        try:
            code = self._process.wait(2)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it closed its output"
        return f"{_describe_exit(code)}{self._last_logged()}; its log is {self.log_path}"

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise EngineError("The engine has not been started.", "start")
        return self._popen

    def _start_and_read(self) -> None:
        try:
            self._popen = self._start()
        except OSError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        for line in self._popen.stdout:
            self.lines += 1
            event = _parse(line)
            if event.get("event") != "heartbeat":
                self._events.put(event)
        self._events.put({"event": "end"})

    def _start(self) -> subprocess.Popen[bytes]:
        with _open_log(self.log_path) as log:
            self._log_start = log.tell()
            return subprocess.Popen(  # nosec B603 - a list, no shell, an interpreter that the user chose
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._engine_parent,
                env=clean_environment(dict(os.environ), self._engine_parent),
                # An interrupt of the terminal must reach the worker as ``cancel`` only.
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )

    def _last_logged(self) -> str:
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read()[-4096:].decode(errors="replace").split("\n")
        except OSError:
            return ""
        last = next((line.strip() for line in reversed(lines) if "Error" in line), "")
        return f" ({last})" if last else ""


def _describe_exit(code: int) -> str:
    if code < 0:
        names = {int(s): s.name for s in signal.Signals}
        return f"signal {-code} ({names.get(-code, 'unknown')})"
    # Windows reports native crashes as NTSTATUS codes, readable in hexadecimal only.
    return f"exit code {code:#x}" if code > 0xFFFF else f"exit code {code}"


def _parse(line: bytes) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or "event" not in event:
        text = line[:200].decode(errors="replace").strip()
        return {"event": "error", "code": "protocol", "message": f"The engine answered with {text!r}."}
    return event


def _open_log(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    too_long = path.exists() and path.stat().st_size > _MAX_LOG_BYTES
    log = path.open("wb" if too_long else "ab")
    log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} from {sys.prefix}\n".encode())
    log.flush()
    return log
