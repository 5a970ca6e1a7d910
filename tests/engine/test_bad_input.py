"""What a user can get wrong, through the command line: one sentence, an exit code, nothing left behind."""

import json
import os
import re
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tiny_models
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning
from rasters import NORTH_UP, sar_values, write
from typer.testing import CliRunner

import engine.cli


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_models.package(folder, "radar")
    tiny_models.package(folder, "land", inputs=(tiny_models.MASK_INPUT,))
    return folder


@pytest.fixture
def place(tmp_path, models, monkeypatch):
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(models))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "out").mkdir()
    write(tmp_path / "sar.tif", sar_values(60, 70))
    return tmp_path


def command(place, *arguments, output=None):
    """Runs ``eo-translate run``; gives (exit code, standard error)."""
    target = str(output or place / "out" / "out.tif")
    result = subprocess.run(
        [sys.executable, "-m", "engine.cli", "run", *map(str, arguments), "--output", target],
        capture_output=True,
        text=True,
        cwd=place,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(engine.cli.__file__).parents[1])},
    )
    return result.returncode, result.stderr, result.stdout


def missing(place):
    return "no-such.tif", "does not exist"


def no_raster(place):
    (place / "text.tif").write_text("not a raster")
    return "text.tif", "not a raster"


def vector(place):
    (place / "points.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    return "points.geojson", "not a raster"


def truncated(place):
    data = (place / "sar.tif").read_bytes()
    (place / "cut.tif").write_bytes(data[: len(data) // 2])
    return "cut.tif", "damaged|not a raster"


def ground_control_points(place):
    write(place / "gcp.tif", sar_values(60, 70), Affine.identity(), None)
    points = [GroundControlPoint(r, c, 15 + c / 1e3, 45 - r / 1e3) for r in (0, 59) for c in (0, 69)]
    with rasterio.open(place / "gcp.tif", "r+") as dataset:
        dataset.gcps = (points, rasterio.CRS.from_epsg(4326))
    return "gcp.tif", "ground control points"


def complex_radar(place):
    write(place / "slc.tif", (sar_values(60, 70, bands=1) * (1 + 2j)).astype(np.complex64))
    return "slc.tif", "DERIVED_SUBDATASET:INTENSITY"


def all_nodata(place):
    write(place / "empty.tif", np.full((2, 60, 70), np.nan, np.float32))
    return "empty.tif", "no valid pixels"


def three_bands(place):
    write(place / "three.tif", sar_values(60, 70, bands=3))
    return "three.tif", "3 bands"


def web_layer(place):
    return "https://example.com/wms?service=WMS&layers=a", "web"


def wms_source(place):
    return "crs=EPSG:3857&format=image/png&layers=a&url=http://example.com/wms", "web"


def wms_document(place):
    (place / "wms.xml").write_text('<GDAL_WMS><Service name="TMS"></Service></GDAL_WMS>')
    return "wms.xml", "web layer"


def remote_file(place):
    return "/vsicurl/http://example.com/a.tif", "web"


def empty_path(place):
    return " ", "does not exist"


SAR_CASES = [
    missing,
    no_raster,
    vector,
    truncated,
    ground_control_points,
    complex_radar,
    all_nodata,
    three_bands,
    web_layer,
    wms_source,
    wms_document,
    remote_file,
    empty_path,
]


def assert_refused(outcome, word, place, code=None):
    returncode, stderr, stdout = outcome
    news = ("taken for", "runs on", "are read as", "normalise the input", "is resampled")
    lines = [line for line in stderr.strip().splitlines() if not any(words in line for words in news)]
    assert returncode != 0
    assert returncode == code or code is None
    assert len(lines) == 1, stderr
    assert lines[0].endswith(".")
    assert "Traceback" not in stderr
    assert "fault of EO Translate" not in stderr, stderr
    assert re.search(word, lines[0]), lines[0]
    assert stdout == ""
    assert not list((place / "out").iterdir())
    assert not list(place.rglob("*.part*"))
    assert not list(place.rglob("*.aux.xml"))


@pytest.mark.parametrize("case", SAR_CASES, ids=lambda case: case.__name__)
def test_radar_that_cannot_be_used(place, case):
    path, word = case(place)
    assert_refused(command(place, "--model", "radar", "--input", f"sar={path}"), word, place)


def no_crs_beside_one(place):
    write(place / "bare.tif", sar_values(60, 70, bands=1), crs=None)
    return ["--input", "sar=sar.tif", "--input", "dem=bare.tif"], "no CRS"


def bare_and_different(place):
    write(place / "bare.tif", sar_values(60, 70), crs=None)
    write(place / "small.tif", sar_values(50, 70, bands=1), crs=None)
    return ["--input", "sar=bare.tif", "--input", "dem=small.tif"], "cannot be aligned"


def no_overlap(place):
    write(place / "far.tif", sar_values(60, 70, bands=1), NORTH_UP * Affine.translation(500, 0))
    return ["--input", "sar=sar.tif", "--input", "dem=far.tif"], "does not overlap"


def no_overlap_in_another_crs(place):
    write(place / "far.tif", sar_values(60, 70, bands=1), Affine(1e-4, 0, -70, 0, -1e-4, 10), "EPSG:4326")
    return ["--input", "sar=sar.tif", "--input", "dem=far.tif"], "does not overlap|outside"


def extent_elsewhere(place):
    return ["--input", "sar=sar.tif", "--extent", "0,0,10,10"], "does not meet"


def extent_upside_down(place):
    return ["--input", "sar=sar.tif", "--extent", "10,0,0,10"], "empty"


def extent_of_three(place):
    return ["--input", "sar=sar.tif", "--extent", "1,2,3"], "four numbers"


def unknown_modality(place):
    return ["--input", "sar=sar.tif", "--input", "lidar=sar.tif"], "no input called lidar"


def lacking_modality(place):
    return ["--input", "dem=sar.tif"], "needs the input sar"


def band_beyond(place):
    return ["--input", "sar=sar.tif", "--bands", "sar=7"], "bands 1 to 2"


def unknown_units(place):
    return ["--input", "sar=sar.tif", "--units", "sar=watts"], "units"


def legend_for_radar(place):
    return ["--input", "sar=sar.tif", "--legend", "sar=corine"], "no class mask"


def unknown_option(place):
    return ["--input", "sar=sar.tif", "--colour", "red"], "--colour"


def unknown_device(place):
    return ["--input", "sar=sar.tif", "--device", "abacus"], "device"


def unknown_crs(place):
    return ["--input", "sar=sar.tif", "--crs", "EPSG:1"], "coordinate reference system"


def wrong_creation_option(place):
    return ["--input", "sar=sar.tif", "--co", "COMPRESSION=LZW"], "creation option"


def uncertainty_of_one(place):
    return ["--input", "sar=sar.tif", "--uncertainty", "out/u.tif"], "at least 2 samples"


def no_samples(place):
    return ["--input", "sar=sar.tif", "--samples", "0"], "samples"


def resolution_in_metres_of_a_geographic_grid(place):
    write(place / "geo.tif", sar_values(60, 70), Affine(1e-4, 0, 15, 0, -1e-4, 45), "EPSG:4326")
    return ["--input", "sar=geo.tif", "--resolution", "10"], "unit is the degree"


OTHER_CASES = [
    resolution_in_metres_of_a_geographic_grid,
    no_crs_beside_one,
    bare_and_different,
    no_overlap,
    no_overlap_in_another_crs,
    extent_elsewhere,
    extent_upside_down,
    extent_of_three,
    unknown_modality,
    lacking_modality,
    band_beyond,
    unknown_units,
    legend_for_radar,
    unknown_option,
    unknown_device,
    unknown_crs,
    wrong_creation_option,
    uncertainty_of_one,
    no_samples,
]


@pytest.mark.parametrize("case", OTHER_CASES, ids=lambda case: case.__name__)
def test_arguments_that_do_not_fit(place, case):
    arguments, word = case(place)
    assert_refused(command(place, "--model", "radar", *arguments), word, place)


def test_mask_class_outside_the_legend(place):
    write(place / "mask.tif", np.array([[[0, 1, 9, 9]]], np.uint8).repeat(30, 1).repeat(9, 2))
    assert_refused(command(place, "--model", "land", "--input", "mask=mask.tif"), "9.*50 %", place)


def test_mask_with_another_legend_is_told_which(place):
    write(place / "mask.tif", np.array([[[11, 42, 42, 24]]], np.uint8).repeat(30, 1).repeat(9, 2))
    options = ["--model", "land", "--input", "mask=mask.tif", "--legend", "mask=esa-worldcover"]
    assert_refused(command(place, *options), r"nlcd knows? them", place)


def test_unknown_model(place):
    assert_refused(command(place, "--model", "nothing", "--input", "sar=sar.tif"), "no model named", place)


def damaged_weights(folder):
    weights = folder / "model.onnx"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 0xFF
    weights.write_bytes(data)
    return "damaged"


def cut_weights(folder):
    weights = folder / "model.onnx"
    weights.write_bytes(weights.read_bytes()[:100])
    return "damaged"


def no_weights(folder):
    (folder / "model.onnx").unlink()
    return "missing"


def garbage_with_the_right_hash(folder):
    from engine.models.weights import sha256_file

    (folder / "model.onnx").write_bytes(zlib.compress(b"no protobuf" * 100))
    document = json.loads((folder / "item.json").read_text())
    asset = document["assets"]["model"]
    asset["file:size"] = (folder / "model.onnx").stat().st_size
    asset["file:checksum"] = "1220" + sha256_file(folder / "model.onnx")
    (folder / "item.json").write_text(json.dumps(document))
    return "not an ONNX|cannot be opened"


@pytest.mark.parametrize("harm", [damaged_weights, cut_weights, no_weights, garbage_with_the_right_hash])
def test_damaged_model(place, harm):
    folder = Path(tiny_models.package(place, "harmed"))
    word = harm(folder)
    assert_refused(command(place, "--model", folder, "--input", "sar=sar.tif"), word, place)


def test_onnx_without_its_external_data(place):
    import onnx

    from engine.models.build import write_item

    folder = Path(tiny_models.package(place, "external"))
    document = json.loads((folder / "item.json").read_text())
    model = onnx.load(folder / "model.onnx")
    onnx.save_model(
        model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    fields = {
        k: v
        for k, v in document["properties"].items()
        if k.startswith("eo_translate:") or k in ("title", "description", "license")
    }
    fields |= {"mlm:architecture": "tiny", "mlm:total_parameters": 1}
    write_item(folder, "external", "model.onnx", fields)
    (folder / "weights.bin").unlink()
    assert_refused(command(place, "--model", folder, "--input", "sar=sar.tif"), "weights.bin", place)


def test_wrong_hash_in_the_job(place):
    document = {
        "model": "radar",
        "model_sha256": "0" * 64,
        "inputs": {"sar": {"path": str(place / "sar.tif")}},
        "output": str(place / "out" / "out.tif"),
    }
    (place / "job.json").write_text(json.dumps(document))
    result = CliRunner().invoke(engine.cli.app, ["run", str(place / "job.json")])
    assert_refused((result.exit_code, result.stderr, result.stdout), "SHA-256", place)


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ("{", "not valid JSON"),
        ("[]", "one JSON object"),
        ('{"model": "radar", "inputs": {}, "output": "a.tif", "sample": 3}', "sample is not known"),
        ('{"model": "radar", "output": "a.tif"}', "input sar"),
    ],
)
def test_job_file_that_is_wrong(place, document, word):
    (place / "job.json").write_text(document)
    result = CliRunner().invoke(engine.cli.app, ["run", str(place / "job.json")])
    assert_refused((result.exit_code, result.stderr, result.stdout), word, place)


@pytest.mark.parametrize(
    ("output", "word"),
    [
        ("no/such/folder/out.tif", "does not exist"),
        ("out/out.png", ".tif or .tiff"),
        ("sar.tif", "also an input"),
        ("/proc/out.tif", "free|permission denied|could not be written"),
    ],
)
def test_output_that_cannot_be(place, output, word):
    before = (place / "sar.tif").read_bytes()
    assert_refused(command(place, "--model", "radar", "--input", "sar=sar.tif", output=output), word, place)
    assert (place / "sar.tif").read_bytes() == before


def test_output_is_replaced_only_at_the_end(place):
    target = place / "keep.tif"
    target.write_bytes(b"precious")
    write(place / "empty.tif", np.full((2, 60, 70), np.nan, np.float32))
    code, _, _ = command(place, "--model", "radar", "--input", "sar=empty.tif", output=target)
    assert code != 0
    assert target.read_bytes() == b"precious"
    code, _, _ = command(place, "--model", "radar", "--input", "sar=sar.tif", output=target)
    assert code == 0
    with rasterio.open(target) as dataset:
        assert dataset.count == 3


def test_one_grid_without_a_crs_runs_with_a_note(place):
    write(place / "bare.tif", sar_values(60, 70), Affine.identity(), None)
    write(place / "dem.tif", sar_values(60, 70, bands=1), Affine.identity(), None)
    code, stderr, _ = command(place, "--model", "radar", "--input", "sar=bare.tif", "--input", "dem=dem.tif")
    assert code == 0
    assert "no CRS" in stderr
    with rasterio.open(place / "out" / "out.tif") as dataset:
        assert dataset.crs is None
        assert dataset.shape == (60, 70)


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX")
@pytest.mark.parametrize("limit", [3_000, 60_000, 180_000])
def test_disk_that_fills_up_during_the_run(place, limit):
    """A file size limit makes every write beyond it fail, as a full disk does."""
    write(place / "large.tif", sar_values(500, 520))
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "from engine.cli import main; sys.argv[0] = 'eo-translate'; main()"
    )
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "run",
            "--model",
            "radar",
            "--input",
            "sar=large.tif",
            "--output",
            "out/out.tif",
        ],
        capture_output=True,
        text=True,
        cwd=place,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(engine.cli.__file__).parents[1])},
    )
    assert_refused((result.returncode, result.stderr, result.stdout), "could not be written", place)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_raster_without_a_grid_is_said_in_our_words_alone(place, suffix):
    values = np.random.default_rng(0).integers(1, 255, (1, 60, 1100)).astype(np.uint8)
    driver = {"png": "PNG", "tif": "GTiff"}[suffix]
    profile = {"driver": driver, "count": 1, "height": 60, "width": 1100, "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(place / f"bare.{suffix}", "w", **profile) as dataset:
            dataset.write(values)
    code, err, _ = command(place, "--model", "radar", "--input", f"sar=bare.{suffix}")
    assert code == 0
    assert err.count("has no CRS") == 1
    assert "NotGeoreferenced" not in err
    assert ".py:" not in err
