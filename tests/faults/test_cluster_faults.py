"""A cluster that loses its scheduler or a worker in the middle of a run."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fault_jobs import Place, journal_of, wait_for

from engine import job as engine_job
from engine.errors import ClusterError
from engine.spec import Job

pytest.importorskip("distributed", reason="dask.distributed comes with the extra [cluster]")

from engine import cluster

COUNT = 24


class Cluster:
    """A scheduler and workers as processes of their own.

    Attributes:
        address: Of the scheduler.
        scheduler, workers: Processes.
    """

    def __init__(self, folder, workers):
        self._folder = folder
        arguments = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
        self.scheduler = self._start(arguments)
        for line in self.scheduler.stderr:
            if found := re.search(r"Scheduler at:\s+(tcp://\S+)", line):
                self.address = found[1]
                break
        _drain(self.scheduler)
        self.workers = [self.add_worker() for _ in range(workers)]

    def add_worker(self):
        arguments = ["worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        arguments += ["--local-directory", str(self._folder), "--death-timeout", "10"]
        worker = self._start(arguments)
        for line in worker.stderr:
            if "Registered to" in line:
                break
        _drain(worker)
        return worker

    def end(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()

    def _start(self, arguments):
        code = f"import sys; from distributed.cli import dask_{arguments[0]} as cli; sys.exit(cli.main())"
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments[1:]],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=self._folder,
        )


def _drain(process):
    threading.Thread(target=process.stderr.read, daemon=True).start()


@pytest.fixture
def two_workers(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder, 2)
    yield made
    made.end()


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path / "place", COUNT)
    engine_job.run(Job.model_validate(place.document))
    place.expected = place.digest()
    place.files[0].unlink()
    return place


def run(place, found, disturb, chunks=3):
    """Runs the job on a cluster and disturbs it when some chunks are finished; gives what was said."""
    said, disturbed = [], []

    def on_progress(fraction, text):
        if not disturbed and len(journal_of(place.document["output"])) >= chunks:
            disturbed.append(disturb())

    with cluster.connected(found.address, None) as open_runner:
        engine_job.run(
            Job.model_validate(place.document),
            on_progress,
            log=lambda level, text: said.append(text),
            open_runner=open_runner,
        )
    assert disturbed
    return said


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_a_lost_scheduler_is_a_sentence_and_the_parts_are_finished_here(place, two_workers, number):
    def lose():
        two_workers.scheduler.send_signal(getattr(signal, number))
        two_workers.scheduler.wait()

    with pytest.raises(ClusterError) as caught:
        run(place, two_workers, lose)
    text = str(caught.value)
    done = len(journal_of(place.document["output"]))
    assert "scheduler" in text
    assert f"{done} of {COUNT} parts are finished and kept" in text
    assert 3 <= done < COUNT

    said = []
    here = {**place.document, "resume": "continue"}
    engine_job.run(Job.model_validate(here), log=lambda level, text: said.append(text))
    assert any(f"{done} of {COUNT} parts are done." in text for text in said)
    assert place.digest() == place.expected
    assert place.names() == ["out.tif"]


def test_a_worker_that_is_killed_costs_nothing(place, two_workers):
    run(place, two_workers, two_workers.workers[0].kill)
    assert place.digest() == place.expected
    assert place.names() == ["out.tif"]


def test_all_workers_killed_is_no_end_while_new_ones_come(place, two_workers):
    def lose():
        for worker in two_workers.workers:
            worker.kill()
            worker.wait()
        two_workers.workers.append(two_workers.add_worker())

    run(place, two_workers, lose)
    assert place.digest() == place.expected


def test_a_client_that_is_killed_leaves_parts_and_a_cluster_that_works(place, two_workers):
    file = place.folder / "job.json"
    file.write_text(Job.model_validate(place.document).model_dump_json(exclude_defaults=True))
    command = [sys.executable, "-m", "engine.cli", "run", str(file), "--scheduler", two_workers.address]
    client = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: len(journal_of(place.document["output"])) >= 3)
    client.kill()
    client.wait()
    with contextlib.suppress(FileNotFoundError):
        os.remove(file)
    place.document["resume"] = "continue"
    said = run(place, two_workers, lambda: None, 0)
    assert any("Continuing an interrupted run" in text for text in said)
    assert place.digest() == place.expected


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_of_a_killed_run_with_a_cluster_of_its_own_end_too(place):
    file = place.folder / "job.json"
    file.write_text(Job.model_validate(place.document).model_dump_json(exclude_defaults=True))
    command = [sys.executable, "-m", "engine.cli", "run", str(file), "--local-cluster", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as client:
        wait_for(lambda: journal_of(place.document["output"]))
        threads = Path(f"/proc/{client.pid}/task").iterdir()
        workers = [pid for thread in threads for pid in (thread / "children").read_text().split()]
        client.kill()
    assert workers
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), 20)
    engine_job.run(Job.model_validate({**place.document, "resume": "continue"}))
    assert place.digest() == place.expected
