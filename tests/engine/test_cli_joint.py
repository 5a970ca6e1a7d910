"""The options of ``eo-translate run`` for any-to-any models."""

import json
import sys

import numpy as np
import pytest
import rasterio
import tiny_models
from rasters import sar_values, write
from typer.testing import CliRunner

import engine.cli
from engine import cli_options
from engine.errors import InputError
from engine.spec import InputRaster


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    tiny_models.package(tmp_path / "models", "radar")
    write(tmp_path / "sar.tif", sar_values())
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(engine.cli.app, ["run", "--model", "radar", *arguments])


def test_modalities_are_a_list_with_commas_and_may_be_repeated():
    assert cli_options.names(["s2_l2a, dem", "dem", "s1_rtc,"]) == ["s2_l2a", "dem", "s1_rtc"]
    assert cli_options.names(None) == []


def test_a_folder_gets_a_file_a_modality():
    made = ["dem", "s2_l2a"]
    assert cli_options.places("here", "--output", made, ".tif") == {
        "dem": "here/dem.tif",
        "s2_l2a": "here/s2_l2a.tif",
    }
    assert cli_options.places("here", "--uncertainty", ["dem"], ".vrt") == {"dem": "here/dem_uncertainty.vrt"}
    assert cli_options.places("here/x.TIF", "--output", ["dem"], ".tif") == "here/x.TIF"
    # Feed-forward models write one file, whatever its name.
    assert cli_options.places("here", "--output", [], ".tif") == "here"


def test_one_file_for_two_modalities_is_refused(place):
    result = invoke("--generate", "dem,s2_l2a", "--output", "all.tif")
    assert result.exit_code == 1
    assert "name a folder" in result.stderr


@pytest.mark.parametrize(
    ("text", "units"), [("dB", "db"), ("dn", "DN"), ("DN+1000", "DN + 1000"), ("Reflectance", "reflectance")]
)
def test_units_are_taken_in_any_case(text, units):
    given = cli_options.inputs(["s=a.tif"], None, [f"s={text}"], None, None, None)
    assert InputRaster.model_validate(given["s"]).units == units


@pytest.mark.parametrize("text", ["1", "a,b", "91,0", "0,181", "1,2,3"])
def test_a_position_is_latitude_and_longitude(text):
    with pytest.raises(InputError, match="latitude,longitude"):
        cli_options.position(text)


def test_positions_that_can_be_read():
    assert cli_options.position("46.5,7.9") == (46.5, 7.9)
    assert cli_options.position("Scene") == "scene"
    assert cli_options.position(None) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--input is missing"),
        (["--input", "sar=sar.tif", "--generate", "dem"], "does not make dem"),
        (["--input", "sar=sar.tif", "--date", "May"], "setting date is invalid"),
        (["--input", "sar=sar.tif", "--solver", "euler"], "setting solver is invalid"),
        (["--input", "sar=sar.tif", "--steps", "0"], "setting steps is invalid"),
    ],
)
def test_wrong_options_are_a_sentence(place, options, words):
    result = invoke(*options, "--output", "a.tif")
    assert result.exit_code == 1, result.output
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not (place / "a.tif").exists()


# With a model


@pytest.fixture(scope="module")
def beta(tmp_path_factory):
    """A tiny any-to-any model of display values."""
    pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")
    pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")
    from joint_packages import beta_package

    place = tmp_path_factory.mktemp("beta")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(place / "home"))
        return beta_package(place / "files").folder


@pytest.fixture
def joint(place, beta):
    """``joint(OPTION ...)``: runs the tiny model from radar, quickly."""
    write(place / "s1.tif", sar_values(32, 32), names=["VV", "VH"])
    quick = ["--steps", "2", "--stages", "1", "--threads", "1", "--seed", "3"]
    return lambda *options: CliRunner().invoke(
        engine.cli.app, ["run", "--model", str(beta), "--input", "s1_rtc=s1.tif", *quick, *options]
    )


def test_a_folder_and_a_file_and_a_job_hold_the_same_pixels(place, joint, beta):
    two = ["--samples", "2", "--all-samples", "--uncertainty", "made"]
    folder = joint("--generate", "s2_l2a,dem", "--output", "made", *two)
    assert folder.exit_code == 0, folder.stderr
    names = [f"{name}{ending}.tif" for name in ("dem", "s2_l2a") for ending in ("", "_v2", "_uncertainty")]
    assert sorted(folder.stdout.split()) == sorted(f"made/{name}" for name in names)
    assert sorted(path.name for path in (place / "made").iterdir()) == sorted(names)

    fields = {"steps": 2, "stages": 1, "threads": 1, "seed": 3, "inputs": {"s1_rtc": {"path": "s1.tif"}}}
    outputs = {"dem": "job-dem.tif", "s2_l2a": "job-s2.tif"}
    (place / "job.json").write_text(json.dumps({"model": str(beta), "output": outputs, **fields}))
    job = CliRunner().invoke(engine.cli.app, ["run", "job.json", "--json"])
    assert job.exit_code == 0, job.stderr
    files = json.loads(job.stdout)["files"]
    assert [(f["path"], f["modality"], f["kind"], f["sample"]) for f in files] == [
        ("job-dem.tif", "dem", "sample", 1),
        ("job-s2.tif", "s2_l2a", "sample", 1),
    ]
    for modality, path in outputs.items():
        with rasterio.open(place / "made" / f"{modality}.tif") as made, rasterio.open(path) as again:
            np.testing.assert_array_equal(made.read(), again.read())


def test_doctor_tries_an_any_to_any_model(beta, monkeypatch):
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(beta.parent))
    result = CliRunner().invoke(engine.cli.app, ["doctor", "--json"])
    (finding,) = (entry for entry in json.loads(result.stdout) if entry["what"] == "model beta")
    assert finding["ok"], finding
    assert "tried on" in finding["detail"]


def test_doctor_is_content_without_torch(beta, monkeypatch):
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(beta.parent))
    monkeypatch.setitem(sys.modules, "safetensors", None)
    result = CliRunner().invoke(engine.cli.app, ["doctor", "--json"])
    (finding,) = (entry for entry in json.loads(result.stdout) if entry["what"] == "model beta")
    assert finding["ok"], finding
    assert "not tried" in finding["detail"]
    assert "eo-translate[diffusion]" in finding["detail"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--generate", "s2_l2a", "--output", "no/where"], "where does not exist; make it first"),
        (["--generate", "s1_rtc", "--output", "a.tif"], "given and generated at once"),
        (["--generate", "lulc", "--output", "a.tif"], "does not make lulc"),
        (["--output", "a.tif"], "generate at least one of dem"),
        (["--generate", "dem", "--output", "a.tif", "--steps", "2", "--stages", "3"], "fewer stages"),
        (["--generate", "dem", "--output", "a.tif", "--date", "2024-05-01"], "date"),
    ],
)
def test_what_a_model_cannot_do_is_a_sentence(place, joint, options, words):
    result = joint(*options)
    assert result.exit_code == 1, result.output
    assert words in result.stderr
    assert "fault" not in result.stderr
    assert not (place / "a.tif").exists()


def test_a_refused_job_leaves_no_folder(place, joint):
    result = joint("--generate", "lulc", "--output", "made")
    assert result.exit_code == 1
    assert "does not make lulc" in result.stderr
    assert not (place / "made").exists()
