"""``eo_translate:evaluate`` through Processing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from plugin_rasters import write_geotiff
from qgis.core import QgsProcessingContext, QgsProcessingException, QgsProcessingFeedback
from test_declarations import algorithm, declaration

GOLDEN = Path(__file__).with_name("golden") / "evaluate.json"
IDENTIFIER = "eo_translate:evaluate"

pytestmark = pytest.mark.usefixtures("provider")


class Messages(QgsProcessingFeedback):
    """Keeps what a user would see."""

    def __init__(self) -> None:
        super().__init__(False)
        self.infos = []

    def pushInfo(self, info) -> None:
        self.infos.append(info)


@pytest.fixture(scope="module")
def rasters(tmp_path_factory) -> dict[str, str]:
    """A reference, three samples that differ from it by 0.01, 0.02 and 0.03, and two class maps."""
    folder = tmp_path_factory.mktemp("evaluate")
    truth = np.random.default_rng(1).random((3, 80, 90)).astype(np.float32)
    truth[0, 0, :2] = 0, 1
    classes = np.zeros((1, 80, 90), np.uint8)
    wrong = classes.copy()
    wrong[:, :20] = 1
    samples = [write_geotiff(folder / f"{n}.tif", truth + np.float32(n / 100)) for n in (1, 2, 3)]
    return {
        "truth": write_geotiff(folder / "truth.tif", truth),
        "samples": samples,
        "classes": write_geotiff(folder / "classes.tif", classes),
        "wrong": write_geotiff(folder / "wrong.tif", wrong),
    }


def run(**parameters):
    import processing

    feedback = Messages()
    return processing.run(IDENTIFIER, parameters, feedback=feedback), feedback


def test_names_types_and_defaults_are_those_that_scripts_rely_on():
    assert declaration(IDENTIFIER) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_everything_is_explained():
    alg = algorithm(IDENTIFIER)
    assert alg.displayName() == "Evaluate images against a reference"
    assert alg.shortDescription().endswith(".")
    assert not alg.icon().isNull()
    assert Path(alg.svgIconPath()).is_file()
    for parameter in alg.parameterDefinitions():
        assert len(parameter.help()) > 20, parameter.name()
        assert parameter.help().endswith("."), parameter.name()
    for word in ("resampled", "optimistic", "Nothing is downloaded", "QNR", "Time", "Citation"):
        assert word in alg.shortHelpString()


def test_numbers_for_the_model_designer_and_a_report(rasters, tmp_path):
    html, numbers = tmp_path / "report.html", tmp_path / "report.json"
    found, feedback = run(
        REFERENCE=rasters["truth"], RESULTS=rasters["samples"], HTML=str(html), JSON=str(numbers)
    )
    assert found["PIXELS"] == 80 * 90
    assert found["MAE"] == pytest.approx(0.02, abs=1e-6)
    assert found["PSNR"] == pytest.approx(np.mean([40, 33.979, 30.458]), abs=0.3)
    assert "ACCURACY" not in found
    assert "FID" not in found
    assert found["HTML"] == str(html)
    assert "data:image/png;base64," in html.read_text()
    assert json.loads(numbers.read_text())["samples"]["mae"]["best_result"] == 1
    assert any("inception" in info for info in feedback.infos)


def test_the_report_is_readable_in_qts_own_browser(rasters, tmp_path):
    from qgis.PyQt.QtWidgets import QTextBrowser

    html = tmp_path / "report.html"
    run(REFERENCE=rasters["truth"], RESULTS=rasters["samples"][:1], HTML=str(html))
    browser = QTextBrowser()
    browser.setHtml(html.read_text(encoding="utf-8"))
    shown = browser.toPlainText()
    assert "PSNR (dB)" in shown
    assert "higher is better" in shown
    assert "&" not in shown.replace("R&D", "")
    assert shown.count("\N{OBJECT REPLACEMENT CHARACTER}") == 6  # two images, a map, three histograms


def test_classes(rasters):
    found, _ = run(REFERENCE=rasters["classes"], RESULTS=[rasters["wrong"]], KIND="classes")
    assert found["ACCURACY"] == 0.75
    assert "PSNR" not in found


def test_bands_and_factors(rasters):
    given = {"REFERENCE": rasters["truth"], "RESULTS": rasters["samples"][:1]}
    found, _ = run(**given, BANDS="1", RESULT_BANDS="1", RESULT_SCALE=2.0)
    assert found["BIAS"] == pytest.approx(0.52, abs=0.05)
    assert "SAM" not in found


def test_a_temporary_report(rasters):
    found, _ = run(REFERENCE=rasters["truth"], RESULTS=rasters["samples"][:1], HTML="TEMPORARY_OUTPUT")
    assert Path(found["HTML"]).is_file()


def test_what_cannot_be_compared_is_one_sentence(rasters):
    with pytest.raises(QgsProcessingException, match="--result-bands") as raised:
        run(REFERENCE=rasters["truth"], RESULTS=[rasters["wrong"]])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ["RESULTS"]),
        ({"RESULTS": ["/no/such.tif"]}, ["RESULTS"]),
        ({"RESULTS": "truth", "KIND": "picture"}, ["KIND"]),
        ({"RESULTS": "truth", "TILE": 5}, ["TILE"]),
        ({"RESULTS": "truth", "RESULT": "truth"}, ["no parameter RESULT", "RESULTS"]),
    ],
)
def test_parameters_are_checked_before_anything_runs(given, words, rasters):
    parameters = {"REFERENCE": rasters["truth"], **given}
    if parameters.get("RESULTS") == "truth":
        parameters["RESULTS"] = [rasters["truth"]]
    accepted, problem = algorithm(IDENTIFIER).checkParameterValues(parameters, QgsProcessingContext())
    assert not accepted
    assert all(word in problem for word in words), problem
