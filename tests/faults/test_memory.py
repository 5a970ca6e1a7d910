"""Too little memory, on the device or in the machine: smaller pieces with the same pixels, or a sentence."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import tiny_models
from fault_jobs import digest
from rasters import sar_values, write

from engine import job as engine_job
from engine import runner
from engine.errors import OutOfMemoryError
from engine.spec import Job


class Short:
    """A real translator on a device that holds few windows, or small ones only."""

    def __init__(self, translator, batch, holds, largest_px):
        self._translator, self.device, self.batch = translator, "cuda", batch
        self._holds, self._largest_px = holds, largest_px
        self.refused, self.fed = 0, []

    def translate(self, tensors):
        count, _, height, width = next(iter(tensors.values())).shape
        assert count <= self.batch
        if self.batch > self._holds or height * width > self._largest_px**2:
            self.refused += 1
            raise OutOfMemoryError("The device cuda has too little memory.")
        self.fed.append((count, height, width))
        singles = [{name: array[i : i + 1] for name, array in tensors.items()} for i in range(count)]
        return np.concatenate([self._translator.translate(single) for single in singles])

    def shrink(self):
        if self.batch == 1:
            return False
        self.batch //= 2
        return True

    def terminate(self):
        self._translator.terminate()


@pytest.fixture
def scene(tmp_path):
    model = tiny_models.package(tmp_path)
    sar = write(tmp_path / "sar.tif", sar_values(700, 600))
    return {"model": model, "inputs": {"sar": {"path": sar, "units": "db"}}, "seed": 3, "chunk_px": 512}


def run(document, output, monkeypatch=None, **short):
    """Runs a job; gives (pixels, what was said, the translator that was short of memory)."""
    said, made = [], []
    if monkeypatch is not None:
        real = runner.warm_translator
        monkeypatch.setattr(
            runner, "warm_translator", lambda *key: made.append(Short(real(*key), **short)) or made[0]
        )
    job = Job.model_validate({**document, "output": str(output)})
    engine_job.run(job, log=lambda level, text: said.append((level, text)))
    with rasterio.open(output) as dataset:
        return dataset.read(), said, made[0] if made else None


@pytest.mark.parametrize(
    ("short", "words"),
    [
        ({"batch": 8, "holds": 2, "largest_px": 999}, ["with 4 windows", "with 2 windows"]),
        ({"batch": 4, "holds": 1, "largest_px": 999}, ["with 2 windows", "with 1 windows"]),
        ({"batch": 1, "holds": 1, "largest_px": 150}, ["going on with halves"]),
        ({"batch": 4, "holds": 2, "largest_px": 100}, ["with 2 windows", "with 1 windows", "with halves"]),
    ],
    ids=["batches", "single windows", "halves", "both"],
)
def test_a_device_short_of_memory_gets_less_at_once(scene, tmp_path, monkeypatch, short, words):
    whole, _, _ = run(scene, tmp_path / "whole.tif")
    parts, said, translator = run(scene, tmp_path / "parts.tif", monkeypatch, **short)
    np.testing.assert_array_equal(parts, whole)
    warnings = [text for level, text in said if level == "warning"]
    for word in words:
        assert any(word in text for text in warnings), (word, warnings)
    assert translator.refused <= 8, "what does not fit must not be tried for each window anew"
    if short["largest_px"] == 999:
        assert max(count for count, _, _ in translator.fed) == short["holds"]


def test_a_device_with_no_room_at_all_is_a_sentence(scene, tmp_path, monkeypatch):
    with pytest.raises(OutOfMemoryError, match="too little memory"):
        run(scene, tmp_path / "out.tif", monkeypatch, batch=2, holds=1, largest_px=4)
    assert not list(tmp_path.glob("out*"))


LIMITED = """
import resource, sys
import rasterio, numpy, onnxruntime
import engine.cli, engine.job, engine.translators.feed_forward
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = size + int(sys.argv.pop(1)) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.argv[0] = "eo-translate"
engine.cli.main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
@pytest.mark.parametrize("extra_mb", [60, 300, 900])
def test_a_machine_short_of_memory_is_a_sentence(tmp_path, extra_mb):
    tiling = {**tiny_models.CROP, "window_px": 1600}
    document = {
        "model": tiny_models.package(tmp_path, tiling=tiling),
        "inputs": {"sar": {"path": write(tmp_path / "sar.tif", sar_values(1500, 1500)), "units": "db"}},
        "output": str(tmp_path / "out.tif"),
        "threads": 1,
        "chunk_px": 1536,
    }
    file = tmp_path / "job.json"
    file.write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(extra_mb), "run", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    words = done.stderr.strip()
    assert "Traceback" not in words
    if done.returncode == 0:
        engine_job.run(Job.model_validate({**document, "output": str(tmp_path / "free.tif")}))
        assert digest(tmp_path / "out.tif") == digest(tmp_path / "free.tif")
        return
    assert done.returncode == 1
    assert "too little memory" in words.splitlines()[-1]
    assert not list(tmp_path.glob("out*"))
