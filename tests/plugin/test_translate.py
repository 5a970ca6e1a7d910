"""Any modality to any other: what the algorithm refuses, its dialogs, its runs and what is put on the map."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from joint_models import joint_engine, joint_models  # noqa: F401 (fixtures)
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterRasterLayer,
    QgsProcessingUtils,
    QgsProject,
)
from qgis.gui import QgsBrowserGuiModel

from eo_translate_plugin.engine_bridge import engine_client

TRANSLATE = "eo_translate:translate"
# Inside one window of the lattice that tiny-beta works on, and of tiny-cop-gen's.
PLACE = "500320,500640,4999680,5000000 [EPSG:32632]"
LARGER_PLACE = "500160,500640,4998720,4999200 [EPSG:32632]"
# A model that is quick: two evaluations and no reconciling.
QUICK = {"MODEL": "tiny-beta", "STEPS": 2, "STAGES": 1, "DEVICE": "cpu", "LOAD": False}

pytestmark = pytest.mark.usefixtures("provider", "joint_engine")
_kept = []


@pytest.fixture(scope="module")
def provider(qgis_app, qgis_processing):
    """As elsewhere, but one for all: unloading ends the engine, and torch takes seconds to load."""
    from eo_translate_plugin import classFactory

    plugin = classFactory(None)
    plugin.initProcessing()
    yield QgsApplication.processingRegistry().providerById("eo_translate")
    plugin.unload()


@pytest.fixture
def _browser(qgis_iface, monkeypatch):
    """The stub window has no browser model; Processing's file widgets want a real one."""
    model = QgsBrowserGuiModel()
    monkeypatch.setattr(qgis_iface, "browserModel", lambda: model, raising=False)


def algorithm():
    _kept.append(QgsApplication.processingRegistry().createAlgorithmById(TRANSLATE))
    return _kept[-1]


def run(**parameters):
    import processing

    return processing.run(TRANSLATE, {**QUICK, **parameters}, feedback=QgsProcessingFeedback())


def pixels(path) -> np.ndarray:
    return gdal.Open(str(path)).ReadAsArray()


# What is refused


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"S1_RTC": "sar"}, None),
        ({"S1_RTC": "sar", "DEM": "dem", "GENERATE": " s2_l1c, s2_l2a,"}, None),
        ({"EXTENT": PLACE}, None),
        ({"EXTENT": "500000,500640,4999360,5000000", "CRS": "EPSG:32632"}, None),
        ({"OTHER_INPUTS": ["s1_rtc", "sar"]}, None),
        ({"MODEL": "tiny-cop-gen", "S1_RTC": "sar", "DATE": "2024-05-31"}, None),
        ({"MODEL": "tiny-cop-gen", "S1_RTC": "sar", "POSITION": "point", "POINT": "9,45 [EPSG:4326]"}, None),
        ({"MODEL": "no-such-model", "S1_RTC": "sar"}, None),  # the engine says it
        ({}, ["EXTENT", "EPSG"]),
        ({"EXTENT": "500000,500640,4999360,5000000"}, ["EXTENT with its CRS"]),
        ({"S1_RTC": "sar", "GENERATE": " , "}, ["GENERATE names nothing"]),
        ({"S1_RTC": "sar", "GENERATE": "s2_l3"}, ["does not make s2_l3", "s2_l2a"]),
        ({"S1_RTC": "sar", "GENERATE": "s1_rtc"}, ["s1_rtc is given"]),
        ({"S1_RTC": "sar", "LULC": "mask"}, ["tiny-beta knows no lulc"]),
        ({"S1_RTC": "sar", "DATE": "2024-05-31"}, ["tiny-beta knows no date"]),
        ({"S1_RTC": "sar", "POSITION": "scene"}, ["tiny-beta knows no position"]),
        ({"MODEL": "tiny-cop-gen", "S1_RTC": "sar", "GENERATE": "date,position"}, None),
        ({"MODEL": "tiny-cop-gen", "S1_RTC": "sar", "GENERATE": "date", "DATE": "2024-05-31"}, ["date is"]),
        ({"MODEL": "tiny-beta", "S1_RTC": "sar", "GENERATE": "date"}, ["does not make date"]),
        ({"MODEL": "tiny-cop-gen", "S1_RTC": "sar", "DATE": "2024-02-30"}, ["DATE"]),
        ({"MODEL": "tiny-cop-gen", "S1_RTC": "sar", "POSITION": "point"}, ["POINT"]),
        ({"MODEL": "tiny-cop-gen", "S1_RTC": "sar", "POINT": "9,45"}, ["POINT"]),
        ({"MODEL": "sar-to-optical", "S1_RTC": "sar"}, ["no any-to-any model"]),
        ({"S1_RTC": "sar", "UNCERTAINTY": True}, ["UNCERTAINTY", "SAMPLES to 2 or more"]),
        ({"S1_RTC": "sar", "ALL_SAMPLES": True}, ["ALL_SAMPLES"]),
        ({"S1_RTC": "sar", "OTHER_INPUTS": ["dem"]}, ["OTHER_INPUTS must be"]),
        ({"S1_RTC": "sar", "OTHER_INPUTS": ["s1_rtc", "sar"]}, ["s1_rtc is given twice"]),
        ({"S1_RTC": "sar", "OTHER_INPUTS": ["dem", "/no/such.tif"]}, ["/no/such.tif"]),
        ({"S1_RTC": "sar", "OTHER_INPUTS": ["date", "sar"]}, ["parameter DATE"]),
        ({"S1_RTC": "/no/such.tif"}, ["/no/such.tif"]),
        ({"S1_RTC": "sar", "STEPS": 0}, ["STEPS"]),
        ({"S1_RTC": "sar", "STEP": 3}, ["did you mean STEPS"]),
    ],
)
def test_parameters_are_checked_before_anything_runs(given, words, scene):
    def filled(value):
        return [filled(v) for v in value] if isinstance(value, list) else scene.get(value, value)

    base = {"MODEL": "tiny-beta", "GENERATE": "s2_l2a", "OUTPUT": "TEMPORARY_OUTPUT"}
    parameters = {**base, **{k: filled(v) if isinstance(v, str | list) else v for k, v in given.items()}}
    accepted, problem = algorithm().checkParameterValues(parameters, QgsProcessingContext())
    if words is None:
        assert accepted, problem
    else:
        assert not accepted
        assert "\n" not in problem
        assert all(word in problem for word in words), problem


def test_the_job_says_what_was_chosen(scene):
    alg = algorithm()
    given = {
        "MODEL": "tiny-cop-gen",
        "S1_RTC": scene["sar"],
        "S1_UNITS": "linear",
        "LULC": scene["mask"],
        "LULC_LEGEND": "esa-worldcover",
        "GENERATE": "s2_l2a,dem",
        "DATE": "2024-05-31",
        "POSITION": "point",
        "POINT": "9.5,45.5 [EPSG:4326]",
        "EXTENT": PLACE,
        "CRS": "EPSG:32633",
        "RESOLUTION": 20,
        "SAMPLES": 3,
        "ALL_SAMPLES": True,
        "STEPS": 7,
        "STAGES": 2,
        "ANCHOR": "scene",
        "CONTEXT": 4,
        "GUIDANCE": 1.5,
        "SOLVER": "multistep",
        "PRECISION": "bfloat16",
    }
    job = alg.job(given, QgsProcessingContext())
    assert job["inputs"] == {
        "s1_rtc": {"path": scene["sar"], "units": "linear"},
        "lulc": {"path": scene["mask"], "legend": "esa-worldcover"},
    }
    assert job["generate"] == ["s2_l2a", "dem"]
    assert (job["date"], job["position"]) == ("2024-05-31", [45.5, 9.5])
    assert (job["extent"], job["extent_crs"]) == ([500320, 4999680, 500640, 5000000], "EPSG:32632")
    assert (job["crs"], job["resolution"]) == ("EPSG:32633", 20)
    assert (job["samples"], job["all_samples"], job["anchor"]) == (3, True, "scene")
    sampler = {key: job[key] for key in ("steps", "stages", "context", "guidance", "solver", "precision")}
    assert sampler == {
        "steps": 7,
        "stages": 2,
        "context": 4,
        "guidance": 1.5,
        "solver": "multistep",
        "precision": "bfloat16",
    }
    left_out = alg.job({"MODEL": "tiny-beta", "GENERATE": "dem", "EXTENT": PLACE}, QgsProcessingContext())
    assert not {"steps", "stages", "guidance", "solver", "date", "position", "crs"} & set(left_out)


# Dialogs


@pytest.mark.usefixtures("_browser")
def test_the_dialog_enables_what_the_model_knows_and_gives_back_what_was_set(scene):
    import processing

    given = {
        "MODEL": "tiny-beta",
        "S1_RTC": scene["sar"],
        "GENERATE": "s2_l2a,dem",
        "STEPS": 3,
        "UNCERTAINTY": True,
    }
    dialog = processing.createAlgorithmDialog(TRANSLATE, given)
    found = dialog.createProcessingParameters()
    assert set(found.pop("GENERATE").split(",")) == {"s2_l2a", "dem"}
    assert {key: found[key] for key in given if key != "GENERATE"} == {
        key: given[key] for key in given if key != "GENERATE"
    }
    wrappers = dialog.mainWidget().wrappers

    def enabled(name):
        return wrappers[name].wrappedWidget().isEnabled()

    assert [name for name in ("DEM", "S1_RTC", "S2_L1C", "S2_L2A") if enabled(name)] == [
        "DEM", "S1_RTC", "S2_L1C", "S2_L2A",
    ]  # fmt: skip
    assert not any(enabled(name) for name in ("LULC", "CLOUD_MASK", "DATE", "POSITION"))
    context = QgsProcessingContext()
    wrappers["MODEL"].setParameterValue("tiny-cop-gen", context)
    assert all(enabled(name) for name in ("DEM", "LULC", "CLOUD_MASK", "DATE", "POSITION"))
    wrappers["GENERATE"].setParameterValue("lulc,s2_l2a", context)
    wrappers["MODEL"].setParameterValue("tiny-beta", context)
    assert wrappers["GENERATE"].parameterValue() == "s2_l2a"
    dialog.close()


@pytest.mark.usefixtures("_browser")
def test_the_dialog_offers_any_to_any_models_alone():
    import processing

    dialog = processing.createAlgorithmDialog(TRANSLATE, {})
    combo = dialog.mainWidget().wrappers["MODEL"].wrappedWidget()
    offered = [combo.itemText(index) for index in range(combo.count())]
    assert {"tiny-beta", "tiny-cop-gen"} <= set(offered)
    assert "sar-to-optical" not in offered
    dialog.close()


# Runs


def test_what_is_missing_is_made_on_the_grid_of_what_is_there(scene, tmp_path):
    folder = tmp_path / "made"
    results = run(
        S1_RTC=scene["sar"],
        DEM=scene["dem"],
        GENERATE="s2_l2a,s2_l1c",
        SAMPLES=2,
        ALL_SAMPLES=True,
        UNCERTAINTY=True,
        EXTENT=PLACE,
        OUTPUT=str(folder),
    )
    names = {f"{name}{ending}.tif" for name in ("s2_l1c", "s2_l2a") for ending in ("", "_v2", "_uncertainty")}
    assert {path.name for path in folder.iterdir()} == names
    assert results["OUTPUT_S2_L2A"] == str(folder / "s2_l2a.tif")
    assert "OUTPUT_DEM" not in results
    assert {Path(path).name for path in results["LAYERS"]} == names
    assert (results["USED_MODEL"], results["USED_SEED"]) == ("tiny-beta", 0)
    raster = gdal.Open(results["OUTPUT_S2_L2A"])
    given = gdal.Open(scene["sar"])
    left, width, *_ = given.GetGeoTransform()
    assert raster.GetGeoTransform() == (left + 32 * width, *given.GetGeoTransform()[1:])
    assert (raster.RasterXSize, raster.RasterYSize) == (32, 32)
    assert raster.GetMetadataItem("SYNTHETIC") == "yes"
    job = json.loads(raster.GetMetadata("EO_TRANSLATE")["JOB"])
    assert (job["steps"], job["generate"]) == (2, ["s2_l2a", "s2_l1c"])
    assert (pixels(folder / "s2_l2a.tif") != pixels(folder / "s2_l2a_v2.tif")).any()


def test_nothing_given_makes_a_place_of_its_own_in_a_temporary_folder():
    results = run(GENERATE="dem", EXTENT=PLACE, SEED=4, OUTPUT="TEMPORARY_OUTPUT")
    raster = gdal.Open(results["OUTPUT_DEM"])
    assert raster.GetGeoTransform() == (500320.0, 10.0, 0.0, 5000000.0, 0.0, -10.0)
    assert (raster.RasterXSize, raster.RasterYSize) == (32, 32)
    assert pixels(results["OUTPUT_DEM"]).std() > 0
    assert results["OUTPUT_DEM"].startswith(QgsProcessingUtils.tempFolder())


class _Cancelling(QgsProcessingFeedback):
    """Cancels once the network has begun."""

    def __init__(self) -> None:
        super().__init__(False)
        self.cancelled_s = 0.0
        self.percents = []

    def setProgressText(self, text) -> None:
        if "Part" in text and not self.cancelled_s:
            time.sleep(1)
            self.cancelled_s = time.monotonic()
            self.cancel()


def test_cancelling_stops_between_two_evaluations_and_leaves_nothing(scene, tmp_path):
    import processing

    feedback = _Cancelling()
    parameters = {
        **QUICK,
        "S1_RTC": scene["sar"],
        "GENERATE": "s2_l2a",
        "STEPS": 1000,
        "OUTPUT": str(tmp_path / "made"),
    }
    with pytest.raises(QgsProcessingException, match="cancelled"):
        processing.run(TRANSLATE, parameters, feedback=feedback)
    assert time.monotonic() - feedback.cancelled_s < 2
    assert list(tmp_path.iterdir()) == []


class _Killing(QgsProcessingFeedback):
    """Ends the engine by force once the network has begun."""

    def setProgressText(self, text) -> None:
        if "Part" in text:
            os.kill(engine_client().pid, signal.SIGKILL)


def test_an_engine_that_dies_leaves_nothing_of_any_sample(scene, tmp_path):
    import processing

    parameters = {
        **QUICK,
        "S1_RTC": scene["sar"],
        "GENERATE": "s2_l1c,s2_l2a",
        "SAMPLES": 2,
        "ALL_SAMPLES": True,
        "STEPS": 1000,
        "OUTPUT": str(tmp_path / "made"),
    }
    with pytest.raises(QgsProcessingException, match="SIGKILL"):
        processing.run(TRANSLATE, parameters, feedback=_Killing(False))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_beside_any_of_the_outputs_is_offered(scene, tmp_path):
    head = {"journal": 1, "chunks": 8, "identity": {}, "starts": []}
    journal = tmp_path / "s2_l1c.tif.part.jsonl"
    journal.write_text("".join(json.dumps(line) + "\n" for line in (head, {"chunk": 0}, {"chunk": 1})))
    given = {
        "MODEL": "tiny-beta",
        "S1_RTC": scene["sar"],
        "GENERATE": "s2_l2a,s2_l1c",
        "OUTPUT": str(tmp_path),
    }
    accepted, problem = algorithm().checkParameterValues(given, QgsProcessingContext())
    assert not accepted
    assert "s2_l1c.tif holds an interrupted run, 2 of 8 parts done" in problem
    assert algorithm().checkParameterValues({**given, "RESUME": "continue"}, QgsProcessingContext())[0]


def test_a_folder_that_cannot_be_made_is_one_sentence(scene, tmp_path):
    with pytest.raises(QgsProcessingException, match="cannot be made"):
        run(S1_RTC=scene["sar"], GENERATE="dem", OUTPUT=str(tmp_path / "no" / "such"))


# On the map


def test_results_are_named_grouped_and_styled(scene, tmp_path):
    from processing.gui.Postprocessing import handleAlgorithmResults

    context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
    context.setProject(QgsProject.instance())
    alg = algorithm()
    parameters = {
        **QUICK,
        "MODEL": "tiny-cop-gen",
        "DEM": scene["dem"],
        "GENERATE": "s1_rtc,s2_l2a,lulc,date",
        "SAMPLES": 2,
        "UNCERTAINTY": True,
        "LOAD": True,
        "EXTENT": LARGER_PLACE,
        "OUTPUT": str(tmp_path),
    }
    _, worked = alg.run(parameters, context, feedback)
    assert worked
    assert handleAlgorithmResults(alg, context, feedback, False)
    layers = {layer.name(): layer for layer in QgsProject.instance().mapLayers().values()}
    shown = {name: layer.renderer().type() for name, layer in layers.items()}
    assert shown == {
        "Sentinel-1 RTC (synthetic)": "singlebandgray",
        "Sentinel-2 L2A (synthetic)": "multibandcolor",
        "Land cover (synthetic)": "paletted",
        "Date (synthetic)": "multibandcolor",
        "Sentinel-1 RTC (uncertainty)": "singlebandpseudocolor",
        "Sentinel-2 L2A (uncertainty)": "singlebandpseudocolor",
        "Land cover (uncertainty)": "singlebandpseudocolor",
        "Date (uncertainty)": "singlebandpseudocolor",
    }
    optical = layers["Sentinel-2 L2A (synthetic)"]
    renderer = optical.renderer()
    bands = (renderer.redBand(), renderer.greenBand(), renderer.blueBand())
    # GDAL's name of a band may carry more than the model's.
    assert [optical.bandName(band).split(": ")[-1].split()[0] for band in bands] == ["B04", "B03", "B02"]
    radar = layers["Sentinel-1 RTC (synthetic)"].renderer().contrastEnhancement()
    assert (radar.minimumValue(), radar.maximumValue()) == (-25, 5)
    classes = {entry.label for entry in layers["Land cover (synthetic)"].renderer().classes()}
    assert {"Water", "Trees"} <= classes
    (group,) = QgsProject.instance().layerTreeRoot().findGroups()
    assert group.name() == "tiny-cop-gen, seed 0"
    names = [node.name() for node in group.findLayers()]
    assert len(names) == len(layers)
    assert [name.endswith("(uncertainty)") for name in names] == [False] * 4 + [True] * 4
    QgsProject.instance().clear()


def test_heights_are_shown_as_a_ramp(scene):
    from qgis.core import QgsRasterLayer

    from eo_translate_plugin.engine_bridge import describe_model
    from eo_translate_plugin.style import style_result

    layer = QgsRasterLayer(scene["dem"], "dem")
    style_result(layer, describe_model("tiny-cop-gen")["outputs"]["dem"])
    renderer = layer.renderer()
    assert renderer.type() == "singlebandpseudocolor"
    found = layer.dataProvider().bandStatistics(1)
    limits = (renderer.classificationMin(), renderer.classificationMax())
    assert limits == (found.minimumValue, found.maximumValue)
    image = renderer.block(1, layer.extent(), 32, 32).image()
    assert len({image.pixelColor(i, i).name() for i in range(32)}) > 10


# Batch and models


@pytest.mark.usefixtures("_browser")
def test_a_row_of_a_batch_runs(scene, tmp_path):
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog

    dialog = BatchAlgorithmDialog(algorithm())
    panel = dialog.mainWidget()
    context = QgsProcessingContext()
    wanted = {"MODEL": "tiny-beta", "S1_RTC": scene["sar"], "GENERATE": "dem", "STEPS": 2, "LOAD": False}
    wrappers = {w.parameterDefinition().name(): w for w in panel.wrappers[0] if w is not None}
    for name, value in wanted.items():
        wrappers[name].setParameterValue(value, context)
    row, worked = panel.parametersForRow(0, destinationProject=None, warnOnInvalid=False)
    assert worked
    assert {key: row[key] for key in wanted} == wanted
    results = run(**{**row, "EXTENT": PLACE, "STAGES": 1, "OUTPUT": str(tmp_path)})
    assert Path(results["OUTPUT_DEM"]).is_file()
    dialog.close()


def test_a_saved_model_runs_and_hands_the_result_on(scene, tmp_path):
    """As the model designer keeps it: elevation from radar, and its slope."""
    import processing

    model = QgsProcessingModelAlgorithm("slope from radar", "tests")
    model.addModelParameter(QgsProcessingParameterRasterLayer("radar"), QgsProcessingModelParameter("radar"))
    source = QgsProcessingModelChildParameterSource
    child = QgsProcessingModelChildAlgorithm(TRANSLATE)
    child.setChildId("translate")
    child.addParameterSources("S1_RTC", [source.fromModelParameter("radar")])
    for name, value in {**QUICK, "GENERATE": "dem", "EXTENT": PLACE}.items():
        child.addParameterSources(name, [source.fromStaticValue(value)])
    model.addChildAlgorithm(child)
    slope = QgsProcessingModelChildAlgorithm("native:slope")
    slope.setChildId("slope")
    slope.addParameterSources("INPUT", [source.fromChildOutput("translate", "OUTPUT_DEM")])
    output = QgsProcessingModelOutput("slope")
    output.setChildId("slope")
    output.setChildOutputName("OUTPUT")
    slope.setModelOutputs({"slope": output})
    model.addChildAlgorithm(slope)
    saved = tmp_path / "slope.model3"
    assert model.toFile(str(saved))
    loaded = QgsProcessingModelAlgorithm()
    assert loaded.fromFile(str(saved))
    target = tmp_path / "slope.tif"
    processing.run(
        loaded, {"radar": scene["sar"], "slope:slope": str(target)}, context=QgsProcessingContext()
    )
    assert pixels(target).max() > 0


# Last, because it starts another engine


def test_an_engine_without_torch_says_what_to_do(scene, tmp_path, monkeypatch):
    light = Path(__file__).resolve().parents[2] / ".venv-base" / "bin" / "python"
    if not light.is_file():
        pytest.skip("the light environment .venv-base is not there")
    monkeypatch.setenv("EO_TRANSLATE_PYTHON", str(light))
    with pytest.raises(QgsProcessingException, match=r"torch.*tick Diffusion models"):
        run(S1_RTC=scene["sar"], GENERATE="dem", OUTPUT=str(tmp_path / "made"))
    assert list(tmp_path.iterdir()) == []
