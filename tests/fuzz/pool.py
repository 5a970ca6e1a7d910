"""Runs cases in one subprocess at a time, which is replaced when it hangs or dies."""

from __future__ import annotations

import collections
import contextlib
import faulthandler
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASE_S = 60.0
_START_S = 120.0
_ADDRESS_BYTES = 6 << 30
_GROWTH_BYTES = 1536 << 20
SEED = 20


@dataclass
class Tally:
    """What became of a target's cases."""

    cases: int = 0
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    peak_bytes: int = 0
    findings: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: collections.defaultdict(list))


def fuzz(target, numbers, tell=None):
    """Runs cases of a target.

    Args:
        target: Key of ``targets.TARGETS``.
        numbers: Case numbers; with the seed they say everything about a case.
        tell: Called with each finding's line.
    """
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="eo-fuzz-") as place, Worker(target, Path(place)) as worker:
        for number in numbers:
            started = time.monotonic()
            outcome, detail, peak = worker.run(number)
            seconds = time.monotonic() - started
            tally.cases += 1
            tally.seconds += seconds
            tally.slowest_s = max(tally.slowest_s, seconds)
            tally.peak_bytes = max(tally.peak_bytes, peak)
            tally.accepted += outcome == "accepted"
            tally.refused += outcome == "refused"
            if outcome not in {"accepted", "refused"}:
                tally.findings[outcome].append((number, detail))
                if tell:
                    tell(f"{target} {number}: {outcome}")
    return tally


class Worker:
    """A subprocess that runs the cases of one target."""

    def __init__(self, target, place):
        self._target, self._place = target, place
        self._context = multiprocessing.get_context("spawn")
        self._process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    def run(self, number):
        """(outcome, detail, peak memory in bytes) of a case."""
        if self._process is None:
            self._start()
        self._pipe.send(number)
        return self._answer(CASE_S)

    def _answer(self, limit_s):
        try:
            if self._pipe.poll(limit_s):
                return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            self._process = None
            name = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
            return f"process died: {name}", (self._place / "stderr").read_text(errors="replace")[:3000], 0
        self._end()
        return f"no answer within {limit_s:.0f} s", "", 0

    def _start(self):
        self._pipe, theirs = self._context.Pipe()
        arguments = (theirs, self._target, str(self._place))
        self._process = self._context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        outcome, detail, _ = self._answer(_START_S)
        if outcome != "ready":
            raise RuntimeError(f"the fuzzing process did not start: {outcome} {detail}")

    def _end(self):
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _serve(pipe, target_name, place):
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(HERE), str(HERE.parent / "engine")]
    place = Path(place)
    _confine(place)
    from guard import Guard
    from targets import TARGETS, verify, write_seeds

    seeds, outside = place / "seeds", place / "outside"
    if not seeds.exists():
        seeds.mkdir()
        write_seeds(seeds)
        outside.mkdir()
        (outside / "canary").write_text('{"secret": 1}')
    # Libraries look around when they are first used, which is none of the cases' doing.
    verify(seeds / "sar")
    target, guard = TARGETS[target_name](seeds), Guard(outside / "canary")
    pipe.send(("ready", "", 0))
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        pipe.send(_case(target, target_name, number, place, guard))


def _confine(place):
    """Bounds memory, keeps native chatter apart, and uses one core."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_BYTES, _ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[0]])
    chatter = os.open(place / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(chatter, 2)
    faulthandler.enable(chatter)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    (place / "temp").mkdir(exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(place / "temp")


def _case(target, name, number, place, guard):
    from guard import peak_bytes, reset_peak
    from targets import Finding, check_sentence

    from engine.errors import EOTranslateError

    folder = place / "cases" / f"{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "here").mkdir()
    os.chdir(folder / "here")
    os.environ.update(
        XDG_DATA_HOME=str(folder / "data"), XDG_STATE_HOME=str(folder / "state"), EO_TRANSLATE_MODELS=""
    )
    before, listing = peak_bytes(), _listing(place)
    with contextlib.suppress(OSError):
        reset_peak()
        before = peak_bytes()
    guard.watch((folder, place / "temp"), (target.seeds,) if target.only_package else None)
    outcome, detail, problem = "accepted", "", None
    try:
        if not target.run(random.Random(f"{SEED} {name} {number}"), folder):
            outcome = "refused"
    except BaseException as error:
        problem = error
    touched = guard.findings()
    if isinstance(problem, EOTranslateError):
        outcome = "refused"
        try:
            check_sentence(str(problem))
        except Finding as finding:
            problem = finding
    if (problem is not None and outcome != "refused") or isinstance(problem, Finding):
        text = str(problem) if isinstance(problem, Finding) else "".join(traceback.format_exception(problem))
        outcome, detail = _key(text), text
    if touched:
        outcome, detail = "; ".join(touched)[:300], "\n".join(touched)
    elif new := sorted(_listing(place) - listing):
        outcome, detail = f"leaves {', '.join(new)[:200]}", ""
    peak = peak_bytes()
    if peak - before > _GROWTH_BYTES:
        outcome, detail = f"takes {(peak - before) / 2**30:.1f} GiB", detail
    os.chdir(place)
    shutil.rmtree(folder, ignore_errors=True)
    return outcome, detail[-6000:], peak


def _listing(place):
    """What lies in the fuzzing folder beside the case itself."""
    return {entry.name for entry in os.scandir(place)} | {
        f"outside/{e.name}" for e in os.scandir(place / "outside")
    }


def _key(text):
    """Where in the engine a traceback ends, and in what; else the first words."""
    lines = text.strip().splitlines()
    ours = [i for i, line in enumerate(lines) if line.lstrip().startswith("File ") and "/engine/" in line]
    ours = [i for i in ours if "/tests/" not in lines[i]]
    if not ours:
        return " ".join(text.split())[:160]
    path, line, function = lines[ours[-1]].strip().split(", ")[:3]
    file = path.rsplit("/engine/", 1)[1].rstrip('"')
    return f"{lines[-1][:110]} [{file}:{line.split()[1]} {function.removeprefix('in ')}]"
