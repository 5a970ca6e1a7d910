"""``eo-translate run`` and ``doctor`` as a user calls them."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tiny_models
from rasters import run, sar_values, write
from typer.testing import CliRunner

import engine.cli


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_models.package(folder, "radar")
    return folder


@pytest.fixture
def place(tmp_path, models, monkeypatch):
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(models))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "sar.tif", sar_values())
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(engine.cli.app, [str(a) for a in arguments])


def test_options_and_job_file_and_python_give_the_same_pixels(place):
    options = [
        "--model",
        "radar",
        "--input",
        "sar=sar.tif",
        "--bands",
        "sar=2,1",
        "--units",
        "sar=db",
        "--seed",
        "9",
    ]
    first = invoke("run", *options, "--extent", "500100,4999000,500900,4999800", "--output", "a.tif")
    assert first.exit_code == 0, first.stderr
    assert first.stdout == "a.tif\n"
    fields = {
        "inputs": {"sar": {"path": "sar.tif", "bands": [2, 1], "units": "db"}},
        "seed": 9,
        "extent": [500100, 4999000, 500900, 4999800],
    }
    (place / "job.json").write_text(json.dumps({"model": "radar", "output": "b.tif", **fields}))
    second = invoke("run", "job.json", "--json")
    assert second.exit_code == 0, second.stderr
    result = json.loads(second.stdout)
    assert (result["model"], result["width"], result["height"], result["seed"]) == ("radar", 80, 80, 9)
    pixels, _, _ = run("c.tif", "radar", **fields)
    for name in ("a.tif", "b.tif"):
        with rasterio.open(name) as dataset:
            np.testing.assert_array_equal(dataset.read(), pixels)


def test_warnings_are_in_the_result(place):
    write(place / "coarse.tif", sar_values(), rasterio.Affine(100, 0, 5e5, 0, -100, 5e6))
    options = ["--model", "radar", "--input", "sar=coarse.tif", "--output", "a.tif", "--samples", "3"]
    result = invoke("run", *options, "--json")
    notes = json.loads(result.stdout)["notes"]
    assert any("100 m" in note for note in notes)
    assert any("only the first" in note for note in notes)


def test_version_is_that_of_the_package():
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"eo-translate {metadata.version('eo-translate')}\n")


def test_doctor_runs_every_model(place, models):
    result = invoke("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert findings["model radar"]["ok"], findings
    assert "tried on" in findings["model radar"]["detail"]
    assert {"numpy", "onnxruntime", "devices"} <= set(findings)


def test_doctor_fails_on_a_broken_model(tmp_path, monkeypatch):
    folder = Path(tiny_models.package(tmp_path, "broken"))
    (folder / "model.onnx").write_bytes(b"")
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(tmp_path))
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "FAIL  model broken" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing(place, number):
    write(place / "large.tif", sar_values(3000, 3000))
    arguments = ["run", "--model", "radar", "--input", "sar=large.tif", "--output", "out.tif"]
    command = [sys.executable, "-m", "engine.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(engine.cli.__file__).parents[1])}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 60
    while not (place / "out.tif.part").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "cancelled" in stderr
    assert "Traceback" not in stderr
    assert not list(place.glob("out*"))
