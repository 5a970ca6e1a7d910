import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from e2e_rasters import assert_same_grid, digest, open_raster, pixels, write_raster

CASES = {
    "sartooptical": ("sar-to-optical", ("SAR", "DEM"), "sar"),
    "masktoimage": ("mask-to-image", ("MASK",), "mask"),
}
algorithms = pytest.mark.parametrize("algorithm", CASES)


def inputs_of(algorithm, scene):
    return {name: scene[name.lower()] for name in CASES[algorithm][1]}


@pytest.fixture(scope="module")
def results(qgis, scene, tmp_path_factory):
    """Each algorithm once, with its defaults."""
    folder = tmp_path_factory.mktemp("results")
    made = {}
    for algorithm in CASES:
        output = folder / f"{algorithm}.tif"
        made[algorithm] = qgis.run(f"eo_translate:{algorithm}", **inputs_of(algorithm, scene), OUTPUT=output)
        assert made[algorithm].code == 0, made[algorithm].stderr
    return made


def image_of(results, algorithm):
    return Path(results[algorithm].results["OUTPUT"])


def test_the_plugin_lists_its_algorithms(qgis):
    listed = json.loads(qgis.call("--json", "list").stdout)
    assert set(listed["providers"]["eo_translate"]["algorithms"]) >= {
        f"eo_translate:{name}" for name in CASES
    }


@algorithms
def test_help_names_the_parameters_and_says_that_the_image_is_synthetic(qgis, algorithm):
    answer = qgis.call("--json", "help", f"eo_translate:{algorithm}")
    assert answer.returncode == 0
    document = json.loads(answer.stdout)
    wanted = {*CASES[algorithm][1], "MODEL", "EXTENT", "SEED", "SAMPLES", "DEVICE", "OUTPUT", "UNCERTAINTY"}
    assert wanted <= set(document["parameters"])
    assert "synthetic" in qgis.call("help", f"eo_translate:{algorithm}").stdout.lower()


@algorithms
def test_a_run_answers_in_pure_json_and_leaves_one_file(results, algorithm):
    outcome = results[algorithm]
    document = json.loads(outcome.stdout)
    assert document["results"]["OUTPUT"] == str(image_of(results, algorithm))
    assert document["results"]["USED_MODEL"] == CASES[algorithm][0]
    assert outcome.errors == []
    left = sorted(path.name for path in image_of(results, algorithm).parent.iterdir())
    assert left == sorted(f"{name}.tif" for name in CASES)


@algorithms
def test_the_image_lies_on_the_inputs_grid_and_describes_itself(results, scene, plugins, algorithm):
    model, _, modality = CASES[algorithm]
    package = plugins / "eo_translate_plugin" / "resources" / "models" / model
    item = json.loads((package / "item.json").read_text())
    output = item["properties"]["eo_translate:output"]
    assert_same_grid(image_of(results, algorithm), scene[modality])
    with open_raster(image_of(results, algorithm)) as image:
        assert image.descriptions == tuple(band["name"] for band in output["bands"])
        assert [color.name for color in image.colorinterp] == [band["color"] for band in output["bands"]]
        assert (image.dtypes[0], image.nodata) == (output["dtype"], output["nodata"])
        assert image.scales[0] == pytest.approx(output["scale"])
        assert image.profile["tiled"]
        assert image.tags()["SYNTHETIC"] == "yes"
        tags = image.tags(ns="EO_TRANSLATE")
        checksum = item["assets"]["model"]["file:checksum"]
        assert checksum == "1220" + tags["MODEL_SHA256"]
        assert tags["MODEL"] == model
        assert json.loads(tags["JOB"])["inputs"][modality]["path"] == str(scene[modality])


@algorithms
def test_the_image_shows_the_scene(results, scene, algorithm):
    """Water is darker than fields in the near infrared, as in the truth."""
    image, cover = pixels(image_of(results, algorithm)), pixels(scene["mask"])[0]
    assert np.all(image != 0)
    assert image.std(axis=(1, 2)).min() > 2
    water, fields = cover == 80, cover == 40
    limit = 0.95 if algorithm == "sartooptical" else 0.6  # a narrow river is hard to see through speckle
    assert image[1, water].mean() < limit * image[1, fields].mean()


@algorithms
def test_the_same_run_again_gives_the_same_pixels_and_another_seed_others(
    qgis, scene, results, out, algorithm
):
    run = {"OUTPUT": out / "again.tif", **inputs_of(algorithm, scene)}
    assert qgis.run(f"eo_translate:{algorithm}", **run).code == 0
    assert digest(out / "again.tif") == digest(image_of(results, algorithm))
    assert qgis.run(f"eo_translate:{algorithm}", SEED=7, **run).code == 0
    assert digest(out / "again.tif") != digest(image_of(results, algorithm))


TOOLBOX = """
import json, sys
from qgis.core import QgsApplication
application = QgsApplication([], True)
application.initQgis()
import processing
from processing.core.Processing import Processing
Processing.initialize()
import eo_translate_plugin
plugin = eo_translate_plugin.classFactory(None)
plugin.initProcessing()
print(json.dumps(processing.run(sys.argv[1], json.loads(sys.argv[2]))), file=sys.stderr)
plugin.unload()
application.exitQgis()
"""
PYTHON = """
import sys
from engine.job import run
from engine.spec import Job
run(Job.model_validate_json(sys.argv[1]))
"""


def _toolbox(qgis, algorithm, parameters):
    environment = dict(qgis.environment)
    qgis_python = Path("/usr/share/qgis/python/plugins")
    environment["PYTHONPATH"] = os.pathsep.join([str(qgis_python), environment["QGIS_PLUGINPATH"]])
    command = [sys.executable, "-c", TOOLBOX, f"eo_translate:{algorithm}", json.dumps(parameters)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)


def _python(engine_python, plugins, job):
    environment = {**os.environ, "PYTHONPATH": str(plugins / "eo_translate_plugin")}
    command = [str(engine_python), "-c", PYTHON, json.dumps(job)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)


@algorithms
def test_toolbox_command_line_and_python_give_the_pixels_of_qgis_process(
    qgis, scene, results, out, eo_translate, engine_python, plugins, algorithm
):
    model, names, _ = CASES[algorithm]
    inputs = {name.lower(): str(scene[name.lower()]) for name in names}
    wanted = digest(image_of(results, algorithm))

    pairs = [word for name, path in inputs.items() for word in ("--input", f"{name}={path}")]
    answer = eo_translate("run", "--model", model, *pairs, "--output", out / "shell.tif")
    assert answer.returncode == 0, answer.stderr
    assert digest(out / "shell.tif") == wanted

    settings = {"mask": {"legend": "esa-worldcover"}}
    job = {
        "model": model,
        "inputs": {name: {"path": path, **settings.get(name, {})} for name, path in inputs.items()},
        "output": str(out / "python.tif"),
    }
    _python(engine_python, plugins, job)
    assert digest(out / "python.tif") == wanted

    parameters = {name: inputs[name.lower()] for name in names}
    _toolbox(qgis, algorithm, {**parameters, "OUTPUT": str(out / "toolbox.tif")})
    assert digest(out / "toolbox.tif") == wanted


def test_the_job_in_a_results_tags_runs_again_to_the_same_pixels(results, out, eo_translate):
    with open_raster(image_of(results, "sartooptical")) as image:
        job = json.loads(image.tags(ns="EO_TRANSLATE")["JOB"])
    (out / "job.json").write_text(json.dumps({**job, "output": str(out / "again.tif")}))
    answer = eo_translate("run", out / "job.json")
    assert answer.returncode == 0, answer.stderr
    assert digest(out / "again.tif") == digest(image_of(results, "sartooptical"))


@algorithms
def test_a_part_is_equal_to_the_same_part_of_the_whole(qgis, scene, results, out, algorithm):
    extent = "600500,601300,5298100,5299200"
    outcome = qgis.run(
        f"eo_translate:{algorithm}", **inputs_of(algorithm, scene), EXTENT=extent, OUTPUT=out / "part.tif"
    )
    assert outcome.code == 0, outcome.stderr
    whole = pixels(image_of(results, algorithm))
    with rasterio.open(out / "part.tif") as part:
        assert part.bounds == (600500, 5298100, 601300, 5299200)
        assert np.array_equal(part.read(), whole[:, 80:190, 50:130])


@algorithms
def test_samples_differ_by_noise_and_their_spread_is_written(qgis, scene, results, out, algorithm):
    outcome = qgis.run(
        f"eo_translate:{algorithm}",
        **inputs_of(algorithm, scene),
        SAMPLES=3,
        OUTPUT=out / "first.tif",
        UNCERTAINTY=out / "spread.tif",
    )
    assert outcome.code == 0, outcome.stderr
    assert digest(out / "first.tif") == digest(image_of(results, algorithm))
    assert_same_grid(out / "spread.tif", image_of(results, algorithm))
    with rasterio.open(out / "spread.tif") as spread:
        values = dict(zip(spread.descriptions, spread.read()))
    assert len(values) == 6
    for band in (0, 1, 2):
        mean, deviation = list(values.values())[2 * band : 2 * band + 2]
        assert deviation.min() >= 0
        assert deviation.mean() > 0
        first = pixels(out / "first.tif")[band] / 255
        # Three draws: the first is within sqrt(2) deviations (N - 1 ... N) of their mean, up to rounding.
        assert np.all(np.abs(first - mean) <= 1.5 * deviation + 2.5 / 255)


def test_nodata_stays_nodata_and_does_not_bleed(qgis, scene, out):
    with rasterio.open(scene["sar"]) as file:
        sar, names = file.read(), file.descriptions
    sar[:, :90] = np.nan
    sar[:, 200:210, 100:130] = np.nan
    source = write_raster(out.parent / "holes.tif", sar, names, nodata=np.nan)
    outcome = qgis.run("eo_translate:sartooptical", SAR=source, OUTPUT=out / "image.tif")
    assert outcome.code == 0, outcome.stderr
    image = pixels(out / "image.tif")
    hole = np.isnan(sar[0])
    assert np.all(image[:, hole] == 0)
    assert np.all(image[:, ~hole] > 0)


def test_paths_with_spaces_and_umlauts(qgis, scene, results, tmp_path):
    folder = tmp_path / "Zürich und Söhne (2026)"
    folder.mkdir()
    source = folder / "Übersicht SAR.tif"
    source.write_bytes(scene["sar"].read_bytes())
    outcome = qgis.run(
        "eo_translate:sartooptical", SAR=source, DEM=scene["dem"], OUTPUT=folder / "große Bilder.tif"
    )
    assert outcome.code == 0, outcome.stderr
    assert digest(folder / "große Bilder.tif") == digest(image_of(results, "sartooptical"))


def test_a_temporary_output_and_relative_paths(qgis, scene, results, tmp_path):
    outcome = qgis.run("eo_translate:masktoimage", MASK=scene["mask"], OUTPUT="TEMPORARY_OUTPUT")
    assert outcome.code == 0, outcome.stderr
    made = Path(outcome.results["OUTPUT"])
    assert made.suffix == ".tif"
    (tmp_path / "mask.tif").write_bytes(scene["mask"].read_bytes())
    answer = qgis.call(
        "run", "eo_translate:masktoimage", "--MASK=mask.tif", "--OUTPUT=image.tif", cwd=tmp_path
    )
    assert answer.returncode == 0, answer.stderr
    assert digest(tmp_path / "image.tif") == digest(image_of(results, "masktoimage"))


def test_creation_options_reach_the_file(qgis, scene, results, out):
    outcome = qgis.run(
        "eo_translate:masktoimage",
        MASK=scene["mask"],
        CREATION_OPTIONS="COMPRESS=LZW",
        OUTPUT=out / "image.tif",
    )
    assert outcome.code == 0, outcome.stderr
    with rasterio.open(out / "image.tif") as image:
        assert image.compression.name == "lzw"
    assert digest(out / "image.tif") == digest(image_of(results, "masktoimage"))


def _children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task")
    texts = [(task / "children").read_text() for task in tasks.iterdir()]
    return [int(word) for text in texts for word in text.split()]


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc to find the worker")
@pytest.mark.parametrize("whole_group", [True, False], ids=["as Ctrl-C does", "QGIS alone"])
def test_an_interrupt_ends_the_run_and_its_worker_and_leaves_nothing(qgis, scene, out, whole_group):
    parameters = {"SAR": scene["sar"], "SAMPLES": 500, "OUTPUT": out / "a.tif", "UNCERTAINTY": out / "b.tif"}
    words = [f"--{name}={value}" for name, value in parameters.items()]
    process = subprocess.Popen(
        [qgis.program, "run", "eo_translate:sartooptical", *words],
        env=qgis.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until(lambda: any(out.iterdir()), "The run wrote nothing.")
        workers = _children(process.pid)
        assert workers
        send, target = (os.killpg, process.pid) if whole_group else (os.kill, process.pid)
        send(target, signal.SIGINT)
        assert process.wait(timeout=20) != 0
        _wait_until(lambda: not any(map(_is_running, workers)), "The worker lives on.")
        assert list(out.iterdir()) == []
    finally:
        process.kill()


def _wait_until(condition, complaint, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)
