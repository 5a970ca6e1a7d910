"""``eo-translate run`` and ``doctor`` as a user calls them."""

import json
import os
import re
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
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasters import NORTH_UP, UTM, run, sar_values, write
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


def test_overlapping_halves_with_shared_statistics_make_the_whole(place):
    """West, then east with the statistics of the west's result, then the whole with the numbers it logged."""
    values = sar_values(150, 300)
    write(place / "whole.tif", values)
    write(place / "west.tif", values[:, :, :160])
    write(place / "east.tif", values[:, :, 140:], NORTH_UP * rasterio.Affine.translation(140, 0))
    options = ["run", "--model", "radar", "--seed", "3"]
    west = invoke(*options, "--input", "sar=west.tif", "--output", "w.tif")
    logged = re.search(r"statistics (sar=\S+)", west.stderr.replace("\n", " "))[1]
    invoke(*options, "--input", "sar=east.tif", "--output", "e.tif", "--statistics", "sar=w.tif")
    shared = invoke(
        *options, "--input", "sar=whole.tif", "--output", "a.tif", "--statistics", logged, "--json"
    )
    assert json.loads(shared.stdout)["statistics"]["sar"].keys() == {"VV", "VH"}
    invoke(*options, "--input", "sar=whole.tif", "--output", "own.tif")
    pixels = {name: rasterio.open(f"{name}.tif").read() for name in ("w", "e", "a", "own")}
    # The tiny model's reach is 8 px, so 10 px from a file's cut its mirrored context is not seen.
    joined = np.concatenate([pixels["w"][:, :, :150], pixels["e"][:, :, 10:]], axis=2)
    np.testing.assert_array_equal(joined, pixels["a"])
    assert (joined != pixels["own"]).any()


@pytest.mark.parametrize(
    ("statistics", "words"),
    [
        ("sar=VV:-12", "a deviation above 0"),
        ("sar=no-such.tif", "neither"),
        ("sar=sar.tif", "records no statistics"),
        ("sar=VV:-12:3", "lack the band VH"),
        ("sar=VV:-12:0,VH:-18:3", "above 0"),
        ("dem=elevation:1:2", "not among the inputs"),
    ],
)
def test_wrong_statistics_are_a_sentence(place, statistics, words):
    options = ["--model", "radar", "--input", "sar=sar.tif", "--output", "a.tif"]
    result = invoke("run", *options, "--statistics", statistics)
    assert result.exit_code == 1
    assert words in result.stderr
    assert not (place / "a.tif").exists()


@pytest.mark.parametrize("order", [("VV", "VH"), ("VH", "VV")])
def test_a_band_a_file_is_the_same_as_one_file(place, order):
    values = sar_values()
    write(place / "S1A_2017_VV.tif", values[:1])
    write(place / "S1A_2017_VH.tif", values[1:])
    files = [word for band in order for word in ("--input", f"sar=S1A_2017_{band}.tif")]
    invoke("run", "--model", "radar", "--input", "sar=sar.tif", "--output", "one.tif")
    apart = invoke("run", "--model", "radar", *files, "--output", "two.tif")
    assert apart.exit_code == 0, apart.stderr
    with rasterio.open("one.tif") as one, rasterio.open("two.tif") as two:
        np.testing.assert_array_equal(one.read(), two.read())
        assert json.loads(two.tags(ns="EO_TRANSLATE")["JOB"])["inputs"]["sar"]["path"] == [
            f"S1A_2017_{band}.tif" for band in order
        ]


def test_files_on_other_grids_are_aligned_before_they_are_stacked(place):
    """VH at twice the pixel size: as the same VH resampled by hand to VV's grid."""
    values = sar_values(60, 80)
    write(place / "VV.tif", values[:1])
    coarse = values[1:, ::2, ::2]
    write(place / "VH.tif", coarse, NORTH_UP * rasterio.Affine.scale(2))
    fine = np.empty((1, 60, 80), np.float32)
    reproject(
        coarse,
        fine,
        src_transform=NORTH_UP * rasterio.Affine.scale(2),
        dst_transform=NORTH_UP,
        src_crs=UTM,
        dst_crs=UTM,
        resampling=Resampling.bilinear,
    )
    write(place / "both.tif", np.concatenate([values[:1], fine]))
    options = ["run", "--model", "radar", "--statistics", "sar=VV:-12:4,VH:-18:4"]
    apart = invoke(*options, "--input", "sar=VV.tif", "--input", "sar=VH.tif", "--output", "apart.tif")
    assert "VH.tif (EPSG:32633, pixels of 20) is resampled" in apart.stderr.replace("\n", " ")
    invoke(*options, "--input", "sar=both.tif", "--output", "both-out.tif")
    with rasterio.open("apart.tif") as first, rasterio.open("both-out.tif") as second:
        difference = np.abs(first.read().astype(int) - second.read())
    assert difference.max() <= 1


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        (("VV", "VV_2"), [], "could be VV"),
        (("VV", "B4"), [], "B4.tif is used"),
        (("VV", "VH", "B4"), ["--bands", "sar=1,2,3"], "3 bands"),
        (("VV", "gone"), [], "gone.tif does not exist"),
    ],
)
def test_files_that_do_not_stack_are_a_sentence(place, files, options, words):
    for name in files:
        if name != "gone":
            write(place / f"{name}.tif", sar_values(20, 20, bands=1))
    inputs = [word for name in files for word in ("--input", f"sar={name}.tif")]
    result = invoke("run", "--model", "radar", *inputs, *options, "--output", "out.tif")
    assert result.exit_code == 1
    assert words in result.stderr
    assert not (place / "out.tif").exists()


def test_a_mask_is_one_file(place, tmp_path_factory):
    model = tiny_models.package(tmp_path_factory.mktemp("land"), "land", inputs=(tiny_models.MASK_INPUT,))
    inputs = ["--input", "mask=a.tif", "--input", "mask=b.tif"]
    result = invoke("run", "--model", model, *inputs, "--output", "out.tif")
    assert result.exit_code == 1
    assert "a class mask is one file" in result.stderr


def test_warnings_are_in_the_result(place):
    write(place / "coarse.tif", sar_values(), rasterio.Affine(100, 0, 5e5, 0, -100, 5e6))
    options = ["--model", "radar", "--input", "sar=coarse.tif", "--output", "a.tif", "--samples", "3"]
    result = invoke("run", *options, "--json")
    notes = json.loads(result.stdout)["notes"]
    assert any("100 m" in note for note in notes)
    assert any("only the first" in note for note in notes)


def test_advice_on_the_resolution_is_in_units_of_the_crs(place):
    write(place / "geo.tif", sar_values(60, 60), rasterio.Affine(1e-3, 0, 15, 0, -1e-3, 45), "EPSG:4326")
    first = invoke("run", "--model", "radar", "--input", "sar=geo.tif", "--output", "a.tif")
    advice = re.search(r"set the resolution to (\S+)", first.stderr.replace("\n", " "))[1]
    assert 5e-5 < float(advice) < 2e-4
    options = ["--resolution", advice, "--extent", "15.01,44.98,15.02,44.99"]
    again = invoke("run", "--model", "radar", "--input", "sar=geo.tif", *options, "--output", "a.tif")
    assert again.exit_code == 0, again.stderr
    assert "set the resolution" not in again.stderr


def test_the_log_says_which_band_is_which(place):
    write(place / "three.tif", sar_values(40, 50, bands=3), names=["angle", "VH", "VV"])
    result = invoke("run", "--model", "radar", "--input", "sar=three.tif", "--output", "a.tif")
    assert "VV = band 3, VH = band 2 of three.tif" in result.stderr.replace("\n", " ")


def test_words_are_taken_in_any_case(place):
    words = ["--units", "sar=dB", "--device", "CPU", "--format", "COG"]
    result = invoke("run", "--model", "radar", "--input", "sar=sar.tif", *words, "--output", "a.tif")
    assert result.exit_code == 0, result.stderr
    with rasterio.open("a.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


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
