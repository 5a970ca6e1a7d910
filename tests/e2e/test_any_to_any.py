"""Any modality to any other through ``qgis_process``: real rasters, a tiny model of random weights."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from e2e_rasters import digest, open_raster, pixels
from headless_qgis import HeadlessQgis
from joint_models import engine_with_torch

TRANSLATE = "eo_translate:translate"
TILE = "282D_485L_3_3.tif"
QUICK = {"MODEL": "tiny-beta", "STEPS": 2, "STAGES": 1, "DEVICE": "cpu", "SEED": 5}
PART_PX = (60, 80, 40, 32)  # column, row, width, height


@pytest.fixture(scope="module")
def environment(joint_models):
    return {"EO_TRANSLATE_MODELS": str(joint_models), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def translate(tmp_path_factory, plugins, environment):
    """``translate(NAME=value ...)``: one call of ``qgis_process``, in a profile whose engine has torch."""
    session = HeadlessQgis(tmp_path_factory.mktemp("profile"), plugins, engine_with_torch())
    session.enable_plugin()
    return lambda **given: session.run(TRANSLATE, environment, **{**QUICK, **given})


@pytest.fixture(scope="module")
def inputs(data):
    return {"DEM": data / "terramind" / "DEM" / TILE, "S1_RTC": data / "terramind" / "S1RTC" / TILE}


@pytest.fixture(scope="module")
def part(inputs):
    """A part of the inputs, as QGIS writes it: xmin, xmax, ymin, ymax; and its place in their pixels."""
    column, row, width, height = PART_PX
    with open_raster(inputs["DEM"]) as raster:
        left, top = raster.xy(row, column, offset="ul")
        right, bottom = raster.xy(row + height, column + width, offset="ul")
        return f"{left!r},{right!r},{bottom!r},{top!r} [{raster.crs}]", (left, bottom, right, top)


@pytest.fixture(scope="module")
def made(translate, inputs, part, tmp_path_factory):
    """Optical images from elevation and radar, two samples and where they differ."""
    folder = tmp_path_factory.mktemp("made") / "results"
    outcome = translate(
        **inputs,
        GENERATE="s2_l1c,s2_l2a",
        EXTENT=part[0],
        SAMPLES=2,
        ALL_SAMPLES="true",
        UNCERTAINTY="true",
        OUTPUT=folder,
    )
    assert outcome.code == 0, outcome.stderr
    return outcome, folder


def test_every_file_is_there_on_the_inputs_grid_and_describes_itself(made, inputs, part):
    outcome, folder = made
    names = {f"{name}{ending}.tif" for name in ("s2_l1c", "s2_l2a") for ending in ("", "_v2", "_uncertainty")}
    assert {path.name for path in folder.iterdir()} == names
    assert outcome.results["OUTPUT"] == str(folder)
    assert outcome.results["OUTPUT_S2_L2A"] == str(folder / "s2_l2a.tif")
    assert {Path(path).name for path in outcome.results["LAYERS"]} == names
    for name in names:
        with open_raster(folder / name) as raster, open_raster(inputs["DEM"]) as given:
            assert raster.crs == given.crs
            assert raster.shape == PART_PX[:1:-1]
            assert tuple(raster.bounds) == pytest.approx(part[1])
            assert raster.tags()["SYNTHETIC"] == "yes"
            tags = raster.tags(ns="EO_TRANSLATE")
            assert tags["MODALITY"] == name[:6]
            job = json.loads(tags["JOB"])
        assert job["inputs"]["dem"]["path"] == str(inputs["DEM"])
        assert (job["steps"], job["seed"], job["samples"]) == (2, 5, 2)
    first, second = (pixels(folder / f"s2_l2a{ending}.tif") for ending in ("", "_v2"))
    assert first.std() > 1
    assert (first != second).any()


def test_the_spread_is_that_of_the_samples(made):
    _, folder = made
    drawn = np.stack([pixels(folder / f"s2_l2a{ending}.tif") for ending in ("", "_v2")]).astype(float)
    spread = pixels(folder / "s2_l2a_uncertainty.tif")
    # Samples are stored as whole display values, their spread is not.
    np.testing.assert_allclose(spread[::2], drawn.mean(axis=0), atol=1.01)
    np.testing.assert_allclose(spread[1::2], drawn.std(axis=0, ddof=1), atol=1.01)


def test_the_command_line_gives_the_same_pixels_and_another_seed_others(
    made, translate, inputs, part, plugins, environment, out
):
    _, folder = made
    other = translate(**inputs, GENERATE="s2_l1c,s2_l2a", EXTENT=part[0], SEED=6, OUTPUT=out / "other")
    assert other.code == 0, other.stderr
    (out / "shell").mkdir()
    arguments = [
        *("--model", "tiny-beta", "--steps", "2", "--stages", "1", "--device", "cpu", "--seed", "5"),
        *("--input", f"dem={inputs['DEM']}", "--input", f"s1_rtc={inputs['S1_RTC']}"),
        *("--generate", "s2_l1c,s2_l2a", "--output", str(out / "shell")),
        *("--extent", ",".join(map(repr, part[1]))),
    ]
    answer = subprocess.run(
        [str(engine_with_torch()), "-m", "engine.cli", "run", *arguments],
        env={**os.environ, **environment, "PYTHONPATH": str(plugins / "eo_translate_plugin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    for name in ("s2_l1c.tif", "s2_l2a.tif"):
        assert digest(out / "shell" / name) == digest(folder / name)
        assert digest(out / "other" / name) != digest(folder / name)


def test_nothing_given_makes_a_place_over_the_extent(translate, out):
    outcome = translate(GENERATE="dem", EXTENT="600000,600320,5299680,5300000 [EPSG:32632]", OUTPUT=out)
    assert outcome.code == 0, outcome.stderr
    with open_raster(out / "dem.tif") as raster:
        assert raster.bounds == (600000, 5299680, 600320, 5300000)
        assert raster.crs == "EPSG:32632"
        assert raster.read().std() > 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"GENERATE": "lulc"}, "does not make lulc"),
        ({"GENERATE": "dem,s2_l2a"}, "dem is given"),
        ({"MODEL": "no-such-model"}, "no-such-model"),
        ({"STAGES": 3}, "stages"),
        ({"OUTPUT": "/no/such/folder"}, "/no/such/folder"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(translate, inputs, out, given, words):
    parameters = {**inputs, "GENERATE": "s2_l2a", "OUTPUT": out / "results", **given}
    outcome = translate(**parameters)
    assert outcome.code != 0
    assert words in outcome.stderr + " ".join(outcome.errors)
    assert "Traceback" not in outcome.stderr
    assert list(out.iterdir()) == []
