"""The client of the worker: crash, hang, cancel, environment; with real workers and no QGIS at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eo_translate_plugin.worker_client import WorkerClient
from eo_translate_plugin.worker_process import EngineCancelledError, EngineError, clean_environment

PYTHON = Path(os.environ["EO_TRANSLATE_PYTHON"])
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture
def client(plugin_folder, tmp_path) -> Iterator[WorkerClient]:
    client = WorkerClient(PYTHON, plugin_folder, tmp_path / "logs" / "worker.log")
    yield client
    client.close()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where results go; apart from the log."""
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def job(scene, folder: Path, which: str = "large") -> dict:
    return {
        "model": "sar-to-optical",
        "inputs": {"sar": {"path": scene[which]}},
        "output": str(folder / "o.tif"),
    }


class Run(threading.Thread):
    """A run in a thread of its own, returned once it is at work; ``error`` or ``result`` at its end."""

    def __init__(self, client: WorkerClient, job: dict) -> None:
        super().__init__()
        self.client, self.job = client, job
        self.started, self.cancelled = threading.Event(), threading.Event()
        self.result = self.error = None
        self.start()
        assert self.started.wait(60), "the run did not start"
        time.sleep(0.3)

    def run(self) -> None:
        def watch(event) -> None:
            # The last message before the first chunk goes into the network.
            if "taken for" in event["text"]:
                self.started.set()

        try:
            self.result = self.client.request("run", watch, self.cancelled.is_set, job=self.job)
        except EngineError as error:
            self.error = error
        finally:
            self.started.set()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_worker_stays_warm_between_requests(client):
    first = client.request("hello")
    assert client.request("hello")["pid"] == first["pid"] == client.pid


def test_errors_of_the_engine_arrive_as_they_are_and_the_worker_lives_on(client, folder, scene):
    with pytest.raises(EngineError, match="no-such-model") as caught:
        client.request("run", job={**job(scene, folder), "model": "no-such-model"})
    assert caught.value.code == "model"
    assert client.pid is not None


@posix
@pytest.mark.parametrize("sent", ["SIGSEGV", "SIGKILL"])
def test_a_crash_is_one_sentence_with_signal_and_log_and_the_next_run_works(client, folder, scene, sent):
    run = Run(client, job(scene, folder))
    pid = client.pid
    os.kill(pid, getattr(signal, sent))
    run.join(5)
    assert not run.is_alive()
    assert run.error.code == "crash"
    assert sent in str(run.error)
    assert str(client._log_path) in str(run.error)
    assert "\n" not in str(run.error)
    assert client.request("run", job=job(scene, folder, "sar"))["output"].endswith("o.tif")
    assert client.pid != pid


@posix
def test_a_crash_while_idle_is_not_even_noticed(client):
    first = client.request("hello")["pid"]
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while client.pid is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert client.request("hello")["pid"] != first


@posix
def test_a_native_crash_leaves_its_traceback_in_the_log(client, folder, scene):
    run = Run(client, job(scene, folder))
    os.kill(client.pid, signal.SIGSEGV)
    run.join(5)
    log = client._log_path.read_text()
    assert "Fatal Python error: Segmentation fault" in log
    assert "engine/job.py" in log


@posix
def test_a_hanging_worker_is_killed_and_said(client, folder, scene):
    client.heartbeat_timeout_s = 2.5
    run = Run(client, job(scene, folder))
    pid, start = client.pid, time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    run.join(10)
    assert not run.is_alive()
    assert 2 < time.monotonic() - start < 6
    assert run.error.code == "hang"
    assert "no sign of life for 2 s" in str(run.error)
    assert not is_running(pid)


def test_cancelling_takes_less_than_a_second_leaves_nothing_and_keeps_the_worker(client, folder, scene):
    run = Run(client, job(scene, folder))
    pid, start = client.pid, time.monotonic()
    run.cancelled.set()
    run.join(5)
    assert time.monotonic() - start < 1
    assert isinstance(run.error, EngineCancelledError)
    assert list(folder.iterdir()) == []
    assert client.request("hello")["pid"] == pid


@posix
def test_cancelling_kills_a_worker_that_does_not_listen(client, folder, scene):
    run = Run(client, job(scene, folder))
    pid = client.pid
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    run.cancelled.set()
    run.join(5)
    assert time.monotonic() - start < 1
    assert isinstance(run.error, EngineCancelledError)
    assert not is_running(pid)


def test_runs_from_two_threads_take_turns(client, folder, scene):
    first = Run(client, job(scene, folder))
    waiting = []
    second = threading.Thread(target=lambda: waiting.append(client.request("hello")))
    second.start()
    time.sleep(0.3)
    assert waiting == []
    first.cancelled.set()
    first.join(5)
    second.join(5)
    assert waiting[0]["pid"] == client.pid


def test_a_request_can_be_cancelled_while_it_waits_for_its_turn(client, folder, scene):
    first = Run(client, job(scene, folder))
    with pytest.raises(EngineCancelledError):
        client.request("hello", is_cancelled=lambda: True)
    first.cancelled.set()
    first.join(5)


def test_an_idle_worker_ends_and_the_next_request_starts_another(client):
    client.idle_s = 0.3
    pid = client.request("hello")["pid"]
    deadline = time.monotonic() + 5
    while client.pid is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.pid is None
    client.idle_s = 60
    assert client.request("hello")["pid"] != pid


def test_closing_ends_the_worker(client):
    pid = client.request("hello")["pid"]
    start = time.monotonic()
    client.close()
    assert not is_running(pid)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("/no/such/python", ["/no/such/python", "No such file"]),
        ("/etc/passwd", ["/etc/passwd", "Permission denied"]),
        ("/bin/true", ["/bin/true", "exit code 0"]),
        ("/bin/echo", ["answered with", "engine.worker"]),
    ],
)
def test_what_is_no_engine_is_said_in_one_sentence(plugin_folder, tmp_path, python, words):
    client = WorkerClient(Path(python), plugin_folder, tmp_path / "worker.log")
    with pytest.raises(EngineError) as caught:
        client.request("hello")
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)
    client.close()


def test_a_python_without_the_packages_is_told_which_is_missing(plugin_folder, tmp_path):
    environment = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    client = WorkerClient(environment / "bin" / "python", plugin_folder, tmp_path / "worker.log")
    with pytest.raises(EngineError, match="lacks the package numpy") as caught:
        client.request("hello")
    assert caught.value.code == "package"
    assert str(environment) in str(caught.value)
    client.close()


def test_the_environment_is_cleaned_of_everything_that_is_qgis():
    dirty = {
        "PYTHONHOME": "/q", "PYTHONPATH": "/q", "PYTHONSTARTUP": "/q", "PROJ_LIB": "/q", "PROJ_DATA": "/q",
        "GDAL_DATA": "/q", "GDAL_DRIVER_PATH": "/q", "PATH": "/bin", "HOME": "/h", "HTTPS_PROXY": "p",
    }  # fmt: skip
    assert clean_environment(dirty, Path("/engine")) == {
        "PATH": "/bin", "HOME": "/h", "HTTPS_PROXY": "p", "PYTHONPATH": "/engine", "PYTHONUTF8": "1",
    }  # fmt: skip


def test_hostile_variables_do_not_reach_the_worker(client, monkeypatch, folder, scene):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PROJ_LIB", "/nowhere")
    monkeypatch.setenv("GDAL_DATA", "/nowhere")
    result = client.request("run", job=job(scene, folder, "sar"))
    assert result["crs"] == "EPSG:32632"


@posix
def test_the_worker_ends_when_its_qgis_is_killed(plugin_folder, tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        f"sys.path.insert(0, {str(plugin_folder.parent)!r})\n"
        "from eo_translate_plugin.worker_client import WorkerClient\n"
        f"places = [Path(p) for p in {[str(PYTHON), str(plugin_folder), str(tmp_path / 'log')]}]\n"
        "client = WorkerClient(*places)\n"
        "print(client.request('hello')['pid'], flush=True); time.sleep(60)\n"
    )
    qgis = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    pid = int(qgis.stdout.readline())
    assert is_running(pid)
    qgis.kill()
    qgis.wait()
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def test_the_worker_outlives_the_thread_that_asked_for_it(client):
    """QGIS's pool threads end after 30 s of rest, and Linux's parent-death signal goes by thread."""
    pids = []
    thread = threading.Thread(target=lambda: pids.append(client.request("hello")["pid"]))
    thread.start()
    thread.join()
    time.sleep(0.5)
    assert client.request("hello")["pid"] == pids[0]


def test_the_client_needs_the_standard_library_only(plugin_folder):
    code = (
        f"import sys; sys.path.insert(0, {str(plugin_folder.parent)!r})\n"
        "import eo_translate_plugin.worker_client\n"
        "foreign = {m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(foreign - {'eo_translate_plugin', '__main__'}))\n"
    )
    out = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
