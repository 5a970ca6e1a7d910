"""Runs through Processing: results, styles, cancelling, and what is refused in one sentence."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from plugin_rasters import speckle, write_geotiff
from qgis.core import (
    QgsApplication,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsRasterRange,
)

SAR = "eo_translate:sartooptical"
MASK = "eo_translate:masktoimage"

pytestmark = pytest.mark.usefixtures("provider")


class Messages(QgsProcessingFeedback):
    """Keeps what a user would see; cancels at a message that contains ``cancel_at``."""

    def __init__(self, cancel_at: str = "") -> None:
        super().__init__(False)
        self.infos, self.warnings, self.texts, self.percents = [], [], [], []
        self.cancel_at, self.cancelled_s = cancel_at, None
        self.progressChanged.connect(self.percents.append)

    def pushInfo(self, info) -> None:
        self.infos.append(info)
        if self.cancel_at and self.cancel_at in info:
            self.cancelled_s = time.monotonic()
            self.cancel()

    def pushWarning(self, warning) -> None:
        self.warnings.append(warning)

    def setProgressText(self, text) -> None:
        self.texts.append(text)


def run(identifier: str, **parameters):
    import processing

    feedback = parameters.pop("feedback", None) or Messages()
    return processing.run(identifier, parameters, feedback=feedback), feedback


def pixels(path: str) -> np.ndarray:
    return gdal.Open(path).ReadAsArray()


def geometry(path: str) -> tuple:
    raster = gdal.Open(path)
    return raster.GetGeoTransform(), raster.RasterXSize, raster.RasterYSize, raster.GetProjection()


def test_sar_becomes_an_image_on_exactly_its_grid(scene, tmp_path):
    results, feedback = run(SAR, SAR=scene["sar"], DEM=scene["dem"], SEED=3, OUTPUT=str(tmp_path / "o.tif"))
    assert set(results) == {
        "OUTPUT", "USED_MODEL", "USED_MODEL_SHA256", "USED_SEED", "USED_DEVICE", "SECONDS",
    }  # fmt: skip
    assert geometry(results["OUTPUT"]) == geometry(scene["sar"])
    assert results["USED_MODEL"] == "sar-to-optical"
    assert results["USED_SEED"] == 3
    assert results["USED_DEVICE"] in ("cpu", "cuda")
    raster = gdal.Open(results["OUTPUT"])
    assert raster.GetMetadataItem("SYNTHETIC") == "yes"
    assert pixels(results["OUTPUT"]).std(axis=(1, 2)).min() > 1
    assert feedback.percents == sorted(feedback.percents)
    assert feedback.percents[-1] == 100
    assert feedback.texts
    assert any("linear" in info for info in feedback.infos)


def test_a_mask_becomes_an_image_that_follows_its_classes(scene, tmp_path):
    results, _ = run(MASK, MASK=scene["mask"], OUTPUT=str(tmp_path / "o.tif"))
    assert geometry(results["OUTPUT"]) == geometry(scene["mask"])
    image, classes = pixels(results["OUTPUT"]).astype(float), pixels(scene["mask"])
    means = [image[:, classes == value].mean(axis=1) for value in (10, 50, 80)]
    assert all(np.abs(a - b).max() > 10 for a, b in [means[:2], means[1:], means[::2]])


def test_a_mapping_of_ones_own_equals_the_legend_that_says_the_same(scene, tmp_path):
    from_legend, _ = run(MASK, MASK=scene["mask"], OUTPUT=str(tmp_path / "a.tif"))
    legend = {80: "water", 10: "trees", 50: "built"}
    mapping = ";".join(f"{value}={name}" for value, name in legend.items())
    from_mapping, _ = run(
        MASK, MASK=scene["mask"], LEGEND="custom", MAPPING=mapping, OUTPUT=str(tmp_path / "b.tif")
    )
    assert np.array_equal(pixels(from_legend["OUTPUT"]), pixels(from_mapping["OUTPUT"]))


def test_an_extent_gives_the_same_pixels_as_the_whole(scene, tmp_path):
    whole, _ = run(SAR, SAR=scene["sar"], OUTPUT=str(tmp_path / "whole.tif"))
    part, _ = run(
        SAR,
        SAR=scene["sar"],
        EXTENT="500200,500900,4999000,4999700 [EPSG:32632]",
        OUTPUT=str(tmp_path / "part.tif"),
    )
    assert np.array_equal(pixels(part["OUTPUT"]), pixels(whole["OUTPUT"])[:, 30:100, 20:90])


def test_band_numbers_choose_the_bands(scene, tmp_path):
    swapped = write_geotiff(tmp_path / "swapped.tif", pixels(scene["sar"])[::-1])
    one, _ = run(SAR, SAR=scene["sar"], OUTPUT=str(tmp_path / "a.tif"))
    two, _ = run(SAR, SAR=swapped, VV_BAND=2, VH_BAND=1, OUTPUT=str(tmp_path / "b.tif"))
    assert np.array_equal(pixels(one["OUTPUT"]), pixels(two["OUTPUT"]))


def test_samples_give_mean_and_spread(scene, tmp_path):
    results, _ = run(
        MASK,
        MASK=scene["mask"],
        SAMPLES=2,
        OUTPUT=str(tmp_path / "o.tif"),
        UNCERTAINTY=str(tmp_path / "u.tif"),
    )
    spread = pixels(results["UNCERTAINTY"])
    assert spread.shape[0] == 2 * pixels(results["OUTPUT"]).shape[0]
    assert np.isfinite(spread).all()
    assert spread.max() > 0


def test_creation_options_are_used(scene, tmp_path):
    results, _ = run(
        SAR, SAR=scene["sar"], CREATION_OPTIONS="COMPRESS=LZW | TILED=YES", OUTPUT=str(tmp_path / "o.tif")
    )
    assert gdal.Open(results["OUTPUT"]).GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "LZW"


def test_a_temporary_output_is_a_file_that_qgis_made_a_name_for(scene):
    results, _ = run(SAR, SAR=scene["sar"], OUTPUT="TEMPORARY_OUTPUT")
    assert results["OUTPUT"].endswith("OUTPUT.tif")
    assert Path(results["OUTPUT"]).is_file()


def test_nodata_set_in_the_layer_properties_is_respected(tmp_path):
    bands = speckle(128, 1)
    bands[:, :40] = 0.5
    layer = QgsRasterLayer(write_geotiff(tmp_path / "sar.tif", bands), "sar")
    layer.dataProvider().setUserNoDataValue(1, [QgsRasterRange(0.5, 0.5)])
    results, _ = run(SAR, SAR=layer, OUTPUT=str(tmp_path / "o.tif"))
    made = pixels(results["OUTPUT"])
    assert (made[:, :40] == 0).all()
    assert (made[:, 41:] > 0).all()


def test_cancelling_takes_less_than_a_second_raises_and_leaves_nothing(scene, tmp_path):
    feedback = Messages(cancel_at="taken for")
    with pytest.raises(QgsProcessingException, match="cancelled"):
        run(SAR, SAR=scene["large"], OUTPUT=str(tmp_path / "o.tif"), feedback=feedback)
    assert time.monotonic() - feedback.cancelled_s < 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_crash_is_one_sentence_and_leaves_nothing(scene, tmp_path):
    from eo_translate_plugin.engine_bridge import engine_client

    class Killer(Messages):
        def pushInfo(self, info) -> None:
            if "taken for" in info:
                time.sleep(0.5)
                os.kill(engine_client().pid, signal.SIGSEGV)

    with pytest.raises(QgsProcessingException) as caught:
        run(SAR, SAR=scene["large"], OUTPUT=str(tmp_path / "o.tif"), feedback=Killer())
    assert "SIGSEGV" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_time_left_is_said_now_and_again(monkeypatch):
    from eo_translate_plugin import engine_bridge

    now = iter([0.0, 2.0, 10.0, 12.0, 20.0, 300.0, 300.0])
    monkeypatch.setattr(engine_bridge.time, "monotonic", lambda: next(now))
    feedback = Messages()
    progress = engine_bridge._Progress(feedback)
    for fraction in (0.2, 0.22, 0.3, 0.32, 0.4, 0.41, 1.0):
        progress.take({"event": "progress", "fraction": fraction, "text": "Part 1 of 1"})
    # What was done before the first word, by an interrupted run, took no time of this one.
    assert feedback.texts == [
        "Part 1 of 1",
        "Part 1 of 1, about 70 s left",
        "Part 1 of 1, about 60 s left",
        "Part 1 of 1, about 14 min left",
    ]


def test_files_with_a_similar_name_survive_a_cancelled_run(scene, tmp_path):
    (tmp_path / "o.tif2.part").touch()
    (tmp_path / "o.tif").write_bytes(b"an earlier result")
    with pytest.raises(QgsProcessingException, match="cancelled"):
        run(SAR, SAR=scene["large"], OUTPUT=str(tmp_path / "o.tif"), feedback=Messages("taken for"))
    assert {f.name for f in tmp_path.iterdir()} == {"o.tif", "o.tif2.part"}
    assert (tmp_path / "o.tif").read_bytes() == b"an earlier result"


def test_a_run_in_the_task_manager_is_styled_and_loaded(scene, tmp_path):
    """As the toolbox does it: in a thread of the pool, loaded and styled at the end."""
    from processing.gui.Postprocessing import handleAlgorithmResults

    context, feedback, done = QgsProcessingContext(), QgsProcessingFeedback(), []
    context.setProject(QgsProject.instance())
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(MASK)
    parameters = {
        "MASK": scene["mask"],
        "SAMPLES": 2,
        "OUTPUT": _loaded(tmp_path / "o.tif"),
        "UNCERTAINTY": _loaded(tmp_path / "u.tif"),
    }
    task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
    task.executed.connect(lambda worked, results: done.append((worked, results)))
    QgsApplication.taskManager().addTask(task)
    deadline = time.monotonic() + 60
    while not done and time.monotonic() < deadline:
        QgsApplication.processEvents()
        time.sleep(0.01)
    assert done[0][0]
    assert handleAlgorithmResults(algorithm, context, feedback, False)
    layers = {Path(layer.source()).name: layer for layer in QgsProject.instance().mapLayers().values()}
    _check_stretch(layers["o.tif"])
    assert layers["u.tif"].renderer().type() == "singlebandpseudocolor"
    assert "standard deviation" in layers["u.tif"].bandName(layers["u.tif"].renderer().band())
    QgsProject.instance().clear()


def _loaded(path: Path):
    from qgis.core import QgsProcessingOutputLayerDefinition

    return QgsProcessingOutputLayerDefinition(str(path), QgsProject.instance())


def _check_stretch(layer: QgsRasterLayer) -> None:
    from eo_translate_plugin.engine_bridge import describe_model

    output = describe_model("mask-to-image")["outputs"]["optical"]
    physical = [value * output["scale"] + output["offset"] for value in output["display"]]
    renderer = layer.renderer()
    assert renderer.type() == "multibandcolor"
    for stretch in (
        renderer.redContrastEnhancement(),
        renderer.greenContrastEnhancement(),
        renderer.blueContrastEnhancement(),
    ):
        assert [stretch.minimumValue(), stretch.maximumValue()] == pytest.approx(physical)
    image = layer.renderer().block(1, layer.extent(), 64, 64).image()
    brightness = np.mean([image.pixelColor(x, y).lightness() for x in range(64) for y in range(64)])
    assert 30 < brightness < 225


@pytest.mark.parametrize(
    ("source", "provider_name"),
    [
        ("type=xyz&url=http://localhost:1/{z}/{x}/{y}.png&zmin=0&zmax=1&crs=EPSG:3857", "wms"),
        ("?crs=EPSG:32632&extent=0,0,100,100&width=10&height=10&formula=1", "virtualraster"),
    ],
)
def test_layers_without_a_local_file_are_refused(source, provider_name, tmp_path):
    layer = QgsRasterLayer(source, "tiles", provider_name)
    assert layer.isValid()
    with pytest.raises(QgsProcessingException) as caught:
        run(SAR, SAR=layer, OUTPUT=str(tmp_path / "o.tif"))
    assert "The layer tiles" in str(caught.value)
    assert "Save As" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"MODEL": "no-such-model"}, ["no-such-model", "sar-to-optical"]),
        ({"MODEL": "/no/such/folder"}, ["/no/such/folder"]),
        ({"MODEL": "mask-to-image"}, ["mask"]),
        ({"OUTPUT": "/no/such/folder/o.tif"}, ["/no/such/folder"]),
        ({"EXTENT": "0,10,0,10 [EPSG:32632]"}, []),
        ({"CREATION_OPTIONS": "COMPRESS=NOTHING_LIKE_THAT"}, ["NOTHING_LIKE_THAT"]),
        ({"VV_BAND": 1, "SAR_UNITS": "linear", "SAR": "/no/such.tif"}, ["/no/such.tif"]),
    ],
)
def test_bad_input_is_one_sentence(scene, tmp_path, given, words):
    parameters = {"SAR": scene["sar"], "OUTPUT": str(tmp_path / "o.tif"), **given}
    with pytest.raises(QgsProcessingException) as caught:
        run(SAR, **parameters)
    message = str(caught.value)
    assert message
    assert "Traceback" not in message
    assert "did not expect" not in message
    assert all(word in message for word in words), message
    assert list(tmp_path.iterdir()) == []


def test_processing_keeps_temporary_files_where_qgis_wants_them(scene):
    results, _ = run(SAR, SAR=scene["sar"], OUTPUT="TEMPORARY_OUTPUT")
    assert results["OUTPUT"].startswith(QgsProcessingUtils.tempFolder())
