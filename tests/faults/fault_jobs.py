"""A job of many small chunks, processes that run it, and what they leave on the disk."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import rasterio
import tiny_models
from rasters import sar_values, write

CHUNK = 512
WIDTH = 40


class Place:
    """A folder with a model and a radar scene of ``count`` chunks, one above the other.

    Attributes:
        count: Chunks of the job.
        document: The job, as JSON types; its output does not exist yet.
    """

    def __init__(self, folder, count, output="out.tif", **fields):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.count, self.out = folder, count, folder / "out"
        self.out.mkdir()
        self.sar = write(folder / "sar.tif", sar_values(CHUNK * count - 7, WIDTH))
        self.document = {
            "model": tiny_models.package(folder, norm=False),
            "inputs": {"sar": {"path": self.sar, "units": "db"}},
            "output": str(self.out / output),
            "seed": 5,
            "chunk_px": CHUNK,
            "threads": 1,
            **fields,
        }

    @property
    def files(self):
        """What the job writes."""
        names = (self.document["output"], self.document.get("uncertainty"))
        return [Path(name) for name in names if name]

    def changed(self, **fields):
        """The job with other settings."""
        return {**self.document, **fields}

    def digest(self):
        """SHA-256 of the decoded pixels of everything that the job writes."""
        return digest(*self.files)

    def names(self):
        """What lies in the output folder."""
        return sorted(path.name for path in self.out.iterdir())


def digest(*files):
    """SHA-256 of the decoded pixels of rasters."""
    found = hashlib.sha256()
    for file in files:
        with rasterio.open(file) as dataset:
            found.update(dataset.read().tobytes())
    return found.hexdigest()


def journal_of(output):
    """Indices of the chunks in the journal, in its order; empty: there is none."""
    try:
        lines = Path(f"{output}.part.jsonl").read_bytes().split(b"\n")[:-1]
    except OSError:
        return []
    return [json.loads(line)["chunk"] for line in lines[1:]]


class Run:
    """A process that runs a job: the worker (``worker``), the worker below a parent that can be killed
    (``parent``), or the command line (``cli``).
    """

    def __init__(self, document, kind="worker", options=("--resume",), environment=None):
        self.document, self.kind, self.started = document, kind, time.monotonic()
        self.output = document["output"]
        python = sys.executable
        if kind == "cli":
            file = Path(document["model"]).parent / "job.json"
            file.write_text(json.dumps({k: v for k, v in document.items() if k != "resume"}))
            command = [python, "-m", "engine.cli", "run", str(file), "--json", *options]
        elif kind == "parent":
            code = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'engine.worker'])"
            command = [python, "-c", code]
        else:
            command = [python, "-m", "engine.worker"]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if kind == "cli" else subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
        if kind != "cli":
            request = {"id": 1, "type": "run", "job": document}
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()

    @property
    def running(self):
        """Whether it has not ended by itself yet."""
        return self.process.poll() is None

    def journalled(self):
        """Chunks in the journal now."""
        return len(journal_of(self.output))

    def published(self):
        """Whether the result is there, and nothing of the run beside it."""
        return Path(self.output).exists() and not Path(f"{self.output}.part.jsonl").exists()

    def kill(self, number=signal.SIGKILL):
        """Kills it; gives its events (worker) once everything of it has ended."""
        self.process.send_signal(number)
        return self.events()

    def events(self):
        """All events until its end; a worker below a parent may outlive that for a moment."""
        out, _ = self.process.communicate()
        lines = out.split(b"\n")[:-1]
        return [json.loads(line) for line in lines] if self.kind != "cli" else []


def finished(run, timeout_s=120):
    """Waits for the end of a worker's only request; gives (result or error event, all events)."""
    events = []
    for line in run.process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] in ("result", "error"):
            break
    run.process.stdin.close()
    run.process.wait(timeout_s)
    return events[-1], events


def wait_for(condition, timeout_s=60, poll_s=0.002):
    """Waits until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for does not happen"
        time.sleep(poll_s)


def moments(seed):
    """Endless random moments: (kind, chunks, seconds)."""
    rng = random.Random(seed)
    while True:
        kind = rng.choices(["start", "fill", "finish"], [2, 6, 2])[0]
        yield kind, rng.randint(1, 5), rng.random()
