"""Dialogs of QGIS on our algorithms: single run, batch, model designer."""

from __future__ import annotations

import pytest
from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterRasterLayer,
)
from qgis.gui import QgsBrowserGuiModel
from qgis.PyQt.QtWidgets import QComboBox

IDS = ["eo_translate:masktoimage", "eo_translate:sartooptical", "eo_translate:translate"]


@pytest.fixture(autouse=True)
def _browser(qgis_iface, monkeypatch):
    """The stub window has no browser model; Processing's file widgets want a real one."""
    model = QgsBrowserGuiModel()
    monkeypatch.setattr(qgis_iface, "browserModel", lambda: model, raising=False)


def test_the_dialog_shows_what_a_run_is_given_and_gives_it_back(provider, scene):
    import processing

    given = {
        "SAR": scene["sar"],
        "MODEL": "/models/of my own",
        "SEED": 11,
        "SAMPLES": 3,
        "DEVICE": "cpu",
        "SAR_UNITS": "linear",
        "VV_BAND": 2,
        "CREATION_OPTIONS": "COMPRESS=LZW",
    }
    dialog = processing.createAlgorithmDialog("eo_translate:sartooptical", given)
    found = dialog.createProcessingParameters()
    assert {k: found[k] for k in given} == given
    dialog.close()


@pytest.mark.parametrize(
    ("identifier", "model"),
    [("eo_translate:sartooptical", "sar-to-optical"), ("eo_translate:masktoimage", "mask-to-image")],
)
def test_the_dialog_offers_the_installed_models_that_take_the_input(provider, identifier, model):
    import processing

    dialog = processing.createAlgorithmDialog(identifier, {})
    combos = [c for c in dialog.findChildren(QComboBox) if c.isEditable() and c.findText(model) >= 0]
    assert len(combos) == 1
    assert combos[0].currentText() == model
    others = {"sar-to-optical", "mask-to-image"} - {model}
    assert all(combos[0].findText(other) < 0 for other in others)
    dialog.close()


@pytest.mark.parametrize("identifier", IDS)
def test_the_batch_dialog_builds_and_reads_back_a_row(provider, identifier):
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog

    dialog = BatchAlgorithmDialog(QgsApplication.processingRegistry().createAlgorithmById(identifier))
    row = dialog.mainWidget().parametersForRow(0, destinationProject=None, warnOnInvalid=False)[0]
    assert row["DEVICE"] == "auto"
    assert row["MODEL"] in ("sar-to-optical", "mask-to-image", "any-to-any")
    dialog.close()


@pytest.mark.parametrize("identifier", IDS)
def test_the_model_designer_builds_its_dialog(provider, identifier):
    from processing.modeler.ModelerParametersDialog import ModelerParametersDialog

    algorithm = QgsApplication.processingRegistry().createAlgorithmById(identifier)
    dialog = ModelerParametersDialog(algorithm, QgsProcessingModelAlgorithm("model", "group"))
    assert "MODEL" in dialog.widget.widget.wrappers
    dialog.close()


def test_a_model_with_our_algorithm_runs(provider, scene, tmp_path):
    import processing

    model = QgsProcessingModelAlgorithm("scene to optical", "tests")
    model.addModelParameter(QgsProcessingParameterRasterLayer("scene"), QgsProcessingModelParameter("scene"))
    child = QgsProcessingModelChildAlgorithm("eo_translate:sartooptical")
    child.setChildId("translate")
    source = QgsProcessingModelChildParameterSource
    child.addParameterSources("SAR", [source.fromModelParameter("scene")])
    child.addParameterSources("SEED", [source.fromStaticValue(2)])
    output = QgsProcessingModelOutput("optical")
    output.setChildId("translate")
    output.setChildOutputName("OUTPUT")
    child.setModelOutputs({"optical": output})
    model.addChildAlgorithm(child)
    target = tmp_path / "optical.tif"
    results = processing.run(
        model, {"scene": scene["sar"], "translate:optical": str(target)}, context=QgsProcessingContext()
    )
    assert results["translate:optical"] == str(target)
    assert target.is_file()
