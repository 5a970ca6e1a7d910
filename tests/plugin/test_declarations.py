"""What the algorithms declare: ids, parameters, help; and what they refuse before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from qgis.core import QgsProcessing, QgsProcessingContext, QgsProcessingParameterDefinition

GOLDEN = Path(__file__).with_name("golden") / "algorithms.json"
ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced
OPTIONAL = QgsProcessingParameterDefinition.Flag.FlagOptional
IDS = ["eo_translate:masktoimage", "eo_translate:sartooptical", "eo_translate:translate"]

# Definitions belong to their algorithm, and Python would drop it in the middle of an expression.
_kept = []

pytestmark = pytest.mark.usefixtures("provider")


def algorithm(identifier: str):
    from qgis.core import QgsApplication

    _kept.append(QgsApplication.processingRegistry().createAlgorithmById(identifier))
    return _kept[-1]


def declaration(identifier: str) -> dict:
    alg = algorithm(identifier)
    return {
        "group": alg.groupId(),
        "parameters": [_parameter(p) for p in alg.parameterDefinitions()],
        "outputs": [[o.name(), o.type()] for o in alg.outputDefinitions()],
    }


def _parameter(p) -> dict:
    found = {"name": p.name(), "type": p.type(), "default": p.defaultValue()}
    found["flags"] = [w for w, flag in (("advanced", ADVANCED), ("optional", OPTIONAL)) if p.flags() & flag]
    if p.type() == "enum":
        found["options"] = p.options()
    if p.type() == "number":
        found["range"] = [p.minimum(), p.maximum()]
    if p.isDestination():
        found["created by default"] = p.createByDefault()
    return found


@pytest.mark.parametrize("identifier", IDS)
def test_names_types_and_defaults_are_those_that_scripts_rely_on(identifier):
    assert declaration(identifier) == json.loads(GOLDEN.read_text(encoding="utf-8"))[identifier]


@pytest.mark.parametrize("identifier", IDS)
def test_everything_is_explained(identifier):
    alg = algorithm(identifier)
    assert alg.displayName().startswith("Translate ")
    assert alg.shortDescription().endswith(".")
    assert len(alg.tags()) > 10
    assert not alg.icon().isNull()
    assert Path(alg.svgIconPath()).is_file()
    for parameter in alg.parameterDefinitions():
        assert len(parameter.help()) > 20, parameter.name()
        assert parameter.help().endswith("."), parameter.name()


@pytest.mark.parametrize("identifier", IDS)
@pytest.mark.parametrize(
    "word",
    ["synthetic", "false colour", "reflectance", "10 m", "Time", "Citation", "DEVICE"],
)
def test_the_help_says_what_a_user_must_know(identifier, word):
    assert word in algorithm(identifier).shortHelpString()


def test_sar_help_says_that_the_scale_is_relative():
    assert "scene-relative" in algorithm("eo_translate:sartooptical").shortHelpString()


def test_every_bundled_legend_is_explained_and_offered(plugin_folder):
    alg = algorithm("eo_translate:masktoimage")
    bundled = {p.stem for p in (plugin_folder / "resources" / "legends").glob("*.json")}
    assert bundled
    assert set(alg.parameterDefinition("LEGEND").options()) == bundled | {"model", "custom"}
    assert all(name in alg.shortHelpString() for name in bundled)


def test_default_models_are_bundled(plugin_folder):
    for identifier in (SAR, MASK, "eo_translate:translate"):
        model = algorithm(identifier).parameterDefinition("MODEL").defaultValue()
        assert (plugin_folder / "resources" / "models" / model / "item.json").is_file()


def test_instances_share_nothing():
    one = algorithm("eo_translate:sartooptical")
    assert one.createInstance() is not one
    assert one.createInstance()._job is not one._job


def test_copy_as_python_runs_what_was_set():
    command = algorithm("eo_translate:sartooptical").asPythonCommand(
        {"SAR": "/d/sar.tif", "DEVICE": "cpu", "SEED": 4, "OUTPUT": QgsProcessing.TEMPORARY_OUTPUT},
        QgsProcessingContext(),
    )
    assert command == (
        "processing.run(\"eo_translate:sartooptical\", {'SAR':'/d/sar.tif','SEED':4,'DEVICE':'cpu',"
        "'OUTPUT':'TEMPORARY_OUTPUT'})"
    )


BASE = {"OUTPUT": "TEMPORARY_OUTPUT"}
SAR = "eo_translate:sartooptical"
MASK = "eo_translate:masktoimage"


@pytest.mark.parametrize(
    ("identifier", "given", "words"),
    [
        (SAR, {"SAR": "sar"}, None),
        (SAR, {"SAR": "sar", "DEM": "dem", "VV_BAND": 1, "VH_BAND": 2, "SAR_UNITS": "linear"}, None),
        (SAR, {"SAR": "sar", "OUTPUT": "/tmp/a.tif"}, None),
        (SAR, {"SAR": "sar", "OUTPUT": "/tmp/a.TIFF"}, None),
        (SAR, {"SAR": "sar", "SAMPLES": 2, "UNCERTAINTY": "/tmp/b.tif"}, None),
        (MASK, {"MASK": "mask", "LEGEND": "custom", "MAPPING": "1=water; 2 = trees;"}, None),
        (MASK, {"MASK": "mask", "LEGEND": "custom", "MAPPING": "-1=nodata"}, None),
        (SAR, {}, ["SAR"]),
        (SAR, {"SAR": "/no/such.tif"}, ["/no/such.tif"]),
        (SAR, {"SAR": "sar", "SEEDS": 1}, ["SEEDS", "did you mean SEED"]),
        (SAR, {"SAR": "sar", "sar": "sar"}, ["no parameter sar", "SAR"]),
        (SAR, {"SAR": "sar", "OUTPUT": "/tmp/a.png"}, [".png"]),
        (SAR, {"SAR": "sar", "SAMPLES": 2, "UNCERTAINTY": "/tmp/b.jpg"}, [".jpg"]),
        (SAR, {"SAR": "sar", "UNCERTAINTY": "/tmp/b.tif"}, ["SAMPLES to 2 or more"]),
        (SAR, {"SAR": "sar", "DEVICE": "tpu"}, ["DEVICE"]),
        (SAR, {"SAR": "sar", "DEVICE": 0}, ["DEVICE"]),
        (SAR, {"SAR": "sar", "SAMPLES": 0}, ["SAMPLES"]),
        (SAR, {"SAR": "sar", "SEED": -1}, ["SEED"]),
        (SAR, {"SAR": "sar", "MODEL": ""}, ["MODEL"]),
        (SAR, {"SAR": "sar", "VH_BAND": 2}, ["VV_BAND"]),
        (SAR, {"SAR": "sar", "CREATION_OPTIONS": "COMPRESS"}, ["COMPRESS", "NAME=VALUE"]),
        (MASK, {"MASK": "mask", "LEGEND": "custom"}, ["MAPPING"]),
        (MASK, {"MASK": "mask", "MAPPING": "1=water"}, ["custom"]),
        (MASK, {"MASK": "mask", "LEGEND": "custom", "MAPPING": "1=water;1=trees"}, ["1=trees", "once"]),
        (MASK, {"MASK": "mask", "LEGEND": "custom", "MAPPING": "water=1"}, ["water=1"]),
        (MASK, {"MASK": "mask", "LEGEND": "custom", "MAPPING": "1"}, ["part 1"]),
        (MASK, {"MASK": "mask", "LEGEND": "nlcd2"}, ["LEGEND"]),
    ],
)
def test_parameters_are_checked_before_anything_runs(identifier, given, words, scene):
    parameters = {**BASE, **{k: scene.get(v, v) if isinstance(v, str) else v for k, v in given.items()}}
    accepted, problem = algorithm(identifier).checkParameterValues(parameters, QgsProcessingContext())
    if words is None:
        assert accepted, problem
    else:
        assert not accepted
        assert problem
        assert "\n" not in problem
        assert all(word in problem for word in words), problem


def test_without_an_engine_the_algorithms_are_listed_and_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv("EO_TRANSLATE_PYTHON")
    monkeypatch.setenv("PATH", str(tmp_path))
    for identifier in IDS:
        can_run, problem = algorithm(identifier).canExecute()
        assert not can_run
        assert "Settings > Options > EO Translate" in problem
        assert "EO_TRANSLATE_PYTHON" in problem


def test_with_an_engine_they_can_run():
    assert all(algorithm(identifier).canExecute()[0] for identifier in IDS)
