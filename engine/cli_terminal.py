"""A run on a terminal: a progress bar, messages on stderr, Ctrl-C."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from engine.job import RunResult
    from engine.spec import Job

_POLL_S = 0.2


def run_interruptibly(job: Job, where: dict[str, Any]) -> RunResult:
    """Runs in a second thread, so that Ctrl-C is seen while the network works."""
    from concurrent.futures import ThreadPoolExecutor
    from concurrent.futures import TimeoutError as NotYet

    from engine import job as engine_job

    cancelled = threading.Event()
    with (
        _quiet_libraries(),
        progress() as (on_progress, log),
        _signals(cancelled),
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(engine_job.run, job, on_progress, cancelled.is_set, log, **where)
        while True:
            try:
                return running.result(timeout=_POLL_S)
            except NotYet:
                if running.done():
                    raise


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keeps what C libraries print by themselves (libtiff on a full disk) off the terminal."""
    if sys.stderr is not sys.__stderr__:
        yield
        return
    terminal = os.dup(2)
    with open(os.devnull, "wb") as nowhere, open(terminal, "w", encoding=sys.stderr.encoding) as own:
        os.dup2(nowhere.fileno(), 2)
        sys.stderr = own
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            sys.stderr = sys.__stderr__


@contextmanager
def _signals(cancelled: threading.Event) -> Iterator[None]:
    """Ctrl-C and a polite kill cancel the run, which then cleans up."""
    import signal

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: cancelled.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def progress() -> Iterator[tuple[Callable[[float, str], None], Callable[[str, str], None]]]:
    """A progress bar on a terminal; messages go to stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())

    def log(level: Literal["info", "warning"] | str, text: str) -> None:
        console.print(f"Warning: {text}" if level == "warning" else text, markup=False)

    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("Opening", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text), log
