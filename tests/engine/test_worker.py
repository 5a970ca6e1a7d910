"""The worker's protocol, spoken to a real worker process."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux sends signals on the death of a parent")


class Worker:
    """A worker and a thread that reads its stdout."""

    def __init__(self, stderr=subprocess.PIPE) -> None:
        command = [sys.executable, "-m", "engine.worker"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        self.lines: queue.Queue[bytes] = queue.Queue()
        self.heartbeats: list[float] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            if json.loads(line) == {"event": "heartbeat"}:
                self.heartbeats.append(time.monotonic())
            else:
                self.lines.put(line)

    def send(self, **request) -> None:
        self.send_raw(json.dumps(request).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def next(self, timeout: float = 60) -> dict:
        return json.loads(self.lines.get(timeout=timeout))

    def until(self, *events: str) -> dict:
        while (event := self.next())["event"] not in events:
            pass
        return event


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.process.kill()
    worker.process.wait()


def write_sar(path, size: int) -> str:
    noise = np.random.default_rng(1).gamma(4.4, 0.02, (size, size)).astype("float32")
    profile = {"driver": "GTiff", "height": size, "width": size, "count": 1, "dtype": "float32"}
    with rasterio.open(
        path, "w", **profile, crs="EPSG:32632", transform=from_origin(5e5, 5e6, 10, 10), tiled=True
    ) as raster:
        raster.write(noise, 1)
    return str(path)


@pytest.fixture(scope="session")
def small_sar(tmp_path_factory) -> str:
    return write_sar(tmp_path_factory.mktemp("small") / "sar.tif", 128)


@pytest.fixture(scope="session")
def large_sar(tmp_path_factory) -> str:
    return write_sar(tmp_path_factory.mktemp("large") / "sar.tif", 4096)


def job(sar: str, output, **more) -> dict:
    return {"model": "sar-to-optical", "inputs": {"sar": {"path": sar}}, "output": str(output), **more}


def test_hello_names_versions_devices_and_place(worker):
    worker.send(id=1, type="hello")
    event = worker.next()
    assert (event["id"], event["event"]) == (1, "result")
    result = event["result"]
    assert result["pid"] == worker.process.pid
    assert {"eo-translate", "python", "numpy", "rasterio", "onnxruntime"} <= set(result["versions"])
    assert "cpu" in result["devices"]
    assert os.path.isfile(os.path.join(result["engine"], "worker.py"))


def test_heartbeats_come_each_second_while_idle(worker):
    worker.send(id=1, type="hello")
    worker.next()
    time.sleep(2.5)
    gaps = np.diff(worker.heartbeats)
    assert len(gaps) >= 2
    assert gaps.max() < 1.5


@pytest.mark.parametrize(
    ("line", "answered_id"),
    [
        (b"junk\n", None),
        (b"[1, 2]\n", None),
        (b"null\n", None),
        (b"\xff\xfe\n", None),
        (b'{"type": "hello"}\n', None),
        (b'{"id": [1], "type": "hello"}\n', None),
        (b'{"id": 4, "type": "dance"}\n', 4),
        (b"[" * 100_000 + b"\n", None),
    ],
)
def test_malformed_lines_are_answered_and_the_worker_lives_on(worker, line, answered_id):
    worker.send_raw(line)
    event = worker.next()
    assert (event["event"], event["code"], event.get("id")) == ("error", "protocol", answered_id)
    worker.send(id=9, type="hello")
    assert worker.next()["id"] == 9


def test_raster_without_a_grid_leaves_no_warning_on_stderr(worker, tmp_path):
    values = np.random.default_rng(0).integers(1, 255, (64, 80)).astype("uint8")
    profile = {"driver": "PNG", "height": 64, "width": 80, "count": 1, "dtype": "uint8"}
    with (
        pytest.warns(NotGeoreferencedWarning),
        rasterio.open(tmp_path / "bare.png", "w", **profile) as raster,
    ):
        raster.write(values, 1)
    worker.send(id=1, type="run", job=job(str(tmp_path / "bare.png"), tmp_path / "out.tif"))
    result = worker.until("error", "result")["result"]
    assert sum("has no CRS" in note for note in result["notes"]) == 1
    worker.send(id=2, type="shutdown")
    assert worker.process.stderr.read() == b""


def test_unknown_model_is_one_sentence(worker):
    worker.send(id=2, type="describe_model", model="no-such-model")
    event = worker.next()
    assert (event["event"], event["code"]) == ("error", "model")
    assert "no-such-model" in event["message"]
    assert event["message"].count("\n") == 0


def test_describe_model_says_how_to_display_its_output(worker):
    worker.send(id=2, type="describe_model", model="sar-to-optical")
    result = worker.next()["result"]
    assert (result["is_joint"], result["takes"], result["needs"]) == (False, ["sar", "dem"], ["sar"])
    output = result["outputs"]["optical"]
    assert output["classes"] == []
    low, high = output["display"]
    assert low < high
    assert len(output["bands"]) == 3


def test_an_invalid_job_names_its_setting(worker, small_sar, tmp_path):
    worker.send(id=3, type="run", job=job(small_sar, tmp_path / "o.tif", samples="many"))
    event = worker.next()
    assert (event["event"], event["code"]) == ("error", "input")
    assert "samples" in event["message"]
    assert "many" in event["message"]


def test_run_reports_progress_and_writes_the_raster_and_stays_warm(worker, small_sar, tmp_path):
    seconds = []
    for number in (1, 2):
        output = tmp_path / f"{number}.tif"
        start = time.monotonic()
        worker.send(id=number, type="run", job=job(small_sar, output, seed=7))
        fractions = []
        while (event := worker.next())["event"] != "result":
            assert event["event"] in ("progress", "log"), event
            if event["event"] == "progress":
                fractions.append(event["fraction"])
        seconds.append(time.monotonic() - start)
        assert fractions == sorted(fractions)
        assert fractions[0] >= 0
        assert fractions[-1] <= 1
        assert event["result"]["output"] == str(output)
        assert event["result"]["seed"] == 7
    with rasterio.open(tmp_path / "1.tif") as one, rasterio.open(tmp_path / "2.tif") as two:
        assert np.array_equal(one.read(), two.read())
    assert seconds[1] < seconds[0]


def test_cancel_takes_effect_within_a_second_and_leaves_nothing(worker, large_sar, tmp_path):
    worker.send(id=5, type="run", job=job(large_sar, tmp_path / "o.tif"))
    while "taken for" not in worker.until("log")["text"]:
        pass
    time.sleep(0.3)
    start = time.monotonic()
    worker.send(id=6, type="cancel", target=5)
    event = worker.until("error", "result")
    assert time.monotonic() - start < 1
    assert (event["event"], event["code"], event["id"]) == ("error", "cancelled", 5)
    assert list(tmp_path.iterdir()) == []
    worker.send(id=7, type="hello")
    assert worker.next()["event"] == "result"


def test_a_request_that_waits_can_be_cancelled_too(worker, large_sar, small_sar, tmp_path):
    worker.send(id=1, type="run", job=job(large_sar, tmp_path / "first.tif"))
    worker.send(id=2, type="run", job=job(small_sar, tmp_path / "second.tif"))
    worker.send(id=3, type="cancel", target=2)
    worker.send(id=4, type="cancel", target=1)
    ends = [worker.until("error", "result") for _ in range(2)]
    assert [(e["id"], e["code"]) for e in ends] == [(1, "cancelled"), (2, "cancelled")]
    assert list(tmp_path.iterdir()) == []


def test_shutdown_ends_the_process_quickly(worker):
    worker.send(id=1, type="hello")
    worker.next()
    start = time.monotonic()
    worker.send(id=2, type="shutdown")
    assert worker.process.wait(5) == 0
    assert time.monotonic() - start < 1


def test_a_closed_stdin_ends_a_run_and_leaves_nothing(worker, large_sar, tmp_path):
    worker.send(id=5, type="run", job=job(large_sar, tmp_path / "o.tif"))
    worker.until("log")
    time.sleep(0.5)
    worker.process.stdin.close()
    worker.process.wait(5)
    assert list(tmp_path.iterdir()) == []


@linux
def test_a_killed_parent_takes_the_worker_along(tmp_path):
    parent = (
        "import subprocess, sys, time;"
        "p = subprocess.Popen([sys.executable, '-m', 'engine.worker'], stdout=subprocess.DEVNULL);"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    # Its stdin stays open here, so that nothing but the death of its parent can end the worker.
    command = [sys.executable, "-c", parent]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        pid = int(process.stdout.readline())
        time.sleep(1.0)
        assert _is_running(pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 5
        while _is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _is_running(pid)
    finally:
        process.kill()
        process.wait()


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_prints_of_any_kind_never_reach_the_protocol(tmp_path):
    """Python's print, a raw write to file descriptor 1 and C's puts, all in the worker's own process."""
    code = (
        "import ctypes, os, sys\n"
        "import engine.worker as w\n"
        "def noisy(self, request):\n"
        "    print('from print')\n"
        "    os.write(1, b'from os.write')\n"
        "    libc = ctypes.CDLL(None); libc.puts(b'from puts'); libc.fflush(None)\n"
        "    return {'done': True}\n"
        "w.Worker._hello = noisy\n"
        "w.main()\n"
    )
    requests = b'{"id": 1, "type": "hello"}\n{"id": 2, "type": "hello"}\n'
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdin.write(requests)
    process.stdin.flush()
    events = [json.loads(process.stdout.readline()) for _ in range(3)]
    _, err = process.communicate(b'{"id": 3, "type": "shutdown"}\n', timeout=20)
    assert [e["result"] for e in events if e["event"] == "result"] == [{"done": True}] * 2
    assert err.count(b"from print") == err.count(b"from os.write") == err.count(b"from puts") == 2


def test_a_bug_is_one_sentence_with_its_traceback_in_the_log_only(tmp_path):
    code = (
        "import engine.worker as w\n"
        "def broken(self, request): raise ZeroDivisionError('of ours')\n"
        "w.Worker._hello = broken\n"
        "w.main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input=b'{"id": 1, "type": "hello"}\n', capture_output=True, timeout=20
    )
    event = next(e for e in map(json.loads, result.stdout.splitlines()) if e["event"] == "error")
    assert event["code"] == "bug"
    assert "ZeroDivisionError: of ours" in event["message"]
    assert "\n" not in event["message"]
    assert b"Traceback" in result.stderr


def test_importing_the_worker_loads_nothing_heavy():
    code = (
        "import sys, engine.worker\n"
        "heavy = {'numpy', 'rasterio', 'onnxruntime', 'pydantic', 'torch', 'pystac', 'typer'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
