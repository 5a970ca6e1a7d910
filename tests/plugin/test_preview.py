"""Preview here: its pixels, its layer, and what is said where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from plugin_rasters import speckle, write_geotiff
from preview_window import (
    CANVAS,
    active,
    add,
    begun,
    final_run,
    finish,
    pixels,
    previews,
    same_place,
    settle,
    show,
    temporary,
)
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsProject,
    QgsRasterLayer,
)


@pytest.mark.parametrize("pixel", [4.0, 10.0, 10.09])
def test_at_native_resolution_the_pixels_are_those_of_the_final_run(
    window, controller, scene, tmp_path, pixel
):
    layer = add(scene["sar"], "sar")
    show(window, (501000, 4999000), pixel)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    (preview,) = previews()
    assert preview.name() == "Preview: sar"
    whole = final_run("sartooptical", tmp_path, SAR=scene["sar"])
    assert np.array_equal(pixels(preview.source()), same_place(preview.source(), whole))
    assert pixels(preview.source()).size > 3 * 100 * 100
    assert window.texts() == []


def test_every_setting_of_the_choice_reaches_the_pixels(window, controller, scene, tmp_path):
    from eo_translate_plugin.preview.choice import Choice

    mask = add(scene["mask"], "mask")
    show(window, (500600, 4999300), 5)
    mapping = "80=water;10=built;50=trees"
    given = {"LEGEND": "custom", "MAPPING": mapping, "SEED": 5}
    controller.start(Choice("masktoimage", {"MASK": mask.id(), **given}))
    finish(controller)
    (preview,) = previews()
    whole = final_run("masktoimage", tmp_path, MASK=scene["mask"], **given)
    assert np.array_equal(pixels(preview.source()), same_place(preview.source(), whole))
    plain = tmp_path / "plain"
    plain.mkdir()
    other = final_run("masktoimage", plain, MASK=scene["mask"])
    assert not np.array_equal(pixels(preview.source()), same_place(preview.source(), other))


@pytest.mark.parametrize("epsg", [4326, 3857, 25833])
def test_a_map_in_another_crs_gives_the_same_pixels(window, controller, scene, tmp_path, epsg):
    layer = add(scene["sar"], "sar")
    target = QgsCoordinateReferenceSystem.fromEpsgId(epsg)
    to_map = QgsCoordinateTransform(layer.crs(), target, QgsProject.instance())
    place = to_map.transform(layer.extent().center())
    show(window, (place.x(), place.y()), 5e-5 if epsg == 4326 else 6.0, epsg)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    (preview,) = previews()
    assert preview.crs() == layer.crs()
    whole = final_run("sartooptical", tmp_path, SAR=scene["sar"])
    assert np.array_equal(pixels(preview.source()), same_place(preview.source(), whole))
    seen = to_map.transformBoundingBox(preview.extent())
    assert seen.contains(window.mapCanvas().extent().intersect(to_map.transformBoundingBox(layer.extent())))


def test_zoomed_out_it_is_coarse_and_says_so(window, controller, scene):
    layer = add(scene["large"], "large")
    show(window, (520480, 4979520), 45)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    (preview,) = previews()
    assert preview.name() == "Preview: large (coarse)"
    assert preview.rasterUnitsPerPixelX() == pytest.approx(45, rel=0.01)
    assert preview.width() <= CANVAS[0] + 2
    (text,) = window.texts()
    assert "4.5 x 4.5 of the layer" in text
    assert "Native Resolution" in text


def test_the_map_decides_the_resolution_in_the_units_of_the_layer(window, scene, qgis_app):
    from eo_translate_plugin.preview.view import look

    layer = add(scene["large"], "large")
    show(window, (9.26, 44.97), 45 / 111_320, 4326)
    view = look(window.mapCanvas().mapSettings(), layer)
    # A degree of longitude is shorter than one of latitude by cos(45 deg).
    assert view.resolution == pytest.approx(45 * np.sqrt(np.cos(np.radians(45))), rel=0.01)
    assert view.coarseness == pytest.approx(view.resolution / 10)
    assert layer.extent().contains(view.extent)


def test_the_layer_is_shown_like_a_result_above_its_source(window, controller, scene):
    from eo_translate_plugin.engine_bridge import describe_model

    layer, top = add(scene["sar"], "sar"), add(scene["dem"], "dem")
    QgsProject.instance().layerTreeRoot().addGroup("group")
    show(window, (501000, 4999000), 10)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    (preview,) = previews()
    order = [node.name() for node in QgsProject.instance().layerTreeRoot().children()]
    assert order.index(preview.name()) == order.index("sar") - 1
    assert order.index(top.name()) < order.index(preview.name())
    output = describe_model("sar-to-optical")["outputs"]["optical"]
    stretch = preview.renderer().redContrastEnhancement()
    expected = [value * output["scale"] + output["offset"] for value in output["display"]]
    assert [stretch.minimumValue(), stretch.maximumValue()] == pytest.approx(expected)


def test_the_next_preview_takes_the_place_of_the_last(window, controller, scene):
    layer = add(scene["sar"], "sar")
    show(window, (500300, 4999700), 2)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    (first,) = previews()
    source, extent = first.source(), first.extent()
    show(window, (501500, 4998500), 2)
    controller.preview_again()
    finish(controller)
    (second,) = previews()
    assert second.id() == first.id()
    assert second.isValid()
    assert not second.extent().intersects(extent)
    assert not Path(source).exists()
    assert len([p for p in temporary() if p.suffix == ".tif"]) == 1


def test_a_second_request_cancels_the_first(window, controller, scene):
    from eo_translate_plugin.preview.choice import Choice

    large, small = add(scene["large"], "large"), add(scene["sar"], "sar")
    show(window, (520480, 4979520), 10)
    window.resize(1600, 1600)
    controller.start(Choice("sartooptical", {"SAR": large.id()}))
    first = controller._task
    begun(controller)
    show(window, (501000, 4999000), 10)
    controller.start(Choice("sartooptical", {"SAR": small.id()}))
    assert window.bar.items() == [window.bar.currentItem()]
    finish(controller)
    settle(lambda: not active(first))
    assert not first.output.parent.exists()
    assert [preview.name() for preview in previews()] == ["Preview: sar"]


def test_the_preview_of_the_preview_is_that_of_its_source(window, controller, scene):
    layer = add(scene["sar"], "sar")
    show(window, (501000, 4999000), 10)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    controller.preview_layer("masktoimage", previews()[0])
    finish(controller)
    assert [preview.name() for preview in previews()] == ["Preview: sar"]
    assert window.texts() == []


def test_the_choice_is_remembered_in_the_project(window, controller, scene, tmp_path):
    from eo_translate_plugin.preview.choice import Choice, remembered

    project = QgsProject.instance()
    sar, dem = add(scene["sar"], "sar"), add(scene["dem"], "dem")
    show(window, (501000, 4999000), 10)
    given = {"SAR": sar.id(), "DEM": dem.id(), "SEED": 7, "VV_BAND": 1}
    controller.start(Choice("sartooptical", given))
    finish(controller)
    file = str(tmp_path / "project.qgs")
    project.removeMapLayers([preview.id() for preview in previews()])
    assert project.write(file)
    project.clear()
    assert remembered(project) is None
    assert project.read(file)
    assert remembered(project).parameters == given
    other = remembered(project).of_layer("another")
    assert other.parameters == {"SAR": "another", "DEM": given["DEM"], "SEED": 7}
    project.removeMapLayer(given["DEM"])
    assert "DEM" not in remembered(project).parameters


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"last": 3}', '{"last": "x", "x": {}}', '{"last": "sartooptical"}']
)
def test_a_project_with_a_strange_entry_remembers_nothing(qgis_app, text):
    from eo_translate_plugin.preview.choice import remembered

    project = QgsProject()
    project.writeEntry("eo_translate", "/preview", text)
    assert remembered(project) is None


def test_the_same_choice_leaves_the_project_untouched(qgis_app):
    from eo_translate_plugin.preview.choice import Choice, remember

    project = QgsProject()
    remember(project, Choice("sartooptical", {"SAR": "a"}))
    assert project.isDirty()
    project.setDirty(False)
    remember(project, Choice("sartooptical", {"SAR": "a"}))
    assert not project.isDirty()
    assert json.loads(project.readEntry("eo_translate", "/preview")[0])["last"] == "sartooptical"


@pytest.mark.parametrize(
    ("centre", "pixel", "words"),
    [((900000, 4999000), 10, ["nothing of the layer sar"]), ((501000, 4999000), 400, ["only 4 pixels"])],
)
def test_what_cannot_be_previewed_is_one_sentence(window, controller, scene, centre, pixel, words):
    layer = add(scene["sar"], "sar")
    show(window, centre, pixel)
    controller.preview_layer("sartooptical", layer)
    assert not controller.is_running
    (text,) = window.texts()
    assert all(word in text for word in words), text


def test_a_refusal_of_the_engine_is_one_sentence_and_leaves_nothing(window, controller, scene):
    from eo_translate_plugin.preview.choice import Choice

    layer = add(scene["sar"], "sar")
    show(window, (501000, 4999000), 10)
    controller.start(Choice("sartooptical", {"SAR": layer.id(), "MODEL": "no-such-model"}))
    finish(controller)
    (text,) = window.texts()
    assert "no-such-model" in text
    assert temporary() == set()


def test_layers_without_a_file_and_a_missing_engine_are_said(
    window, controller, scene, monkeypatch, tmp_path
):
    tiles = QgsRasterLayer(
        "type=xyz&url=http://localhost:1/{z}/{x}/{y}.png&zmin=0&zmax=1&crs=EPSG:3857", "tiles", "wms"
    )
    QgsProject.instance().addMapLayer(tiles)
    controller.preview_layer("sartooptical", tiles)
    assert "Save As" in window.texts()[0]
    monkeypatch.delenv("EO_TRANSLATE_PYTHON")
    monkeypatch.setenv("PATH", str(tmp_path))
    controller.preview_layer("sartooptical", add(scene["sar"], "sar"))
    assert "Settings > Options > EO Translate" in window.texts()[0]


def test_a_preview_waits_for_a_run_and_says_so(window, controller, scene):
    from eo_translate_plugin.engine_bridge import engine_client

    layer = add(scene["sar"], "sar")
    show(window, (501000, 4999000), 10)
    with engine_client()._turn(lambda: False):
        controller.preview_layer("sartooptical", layer)
        assert "waits for the run" in window.bar.currentItem().text()
    finish(controller)
    assert len(previews()) == 1


def test_the_entries_preview_the_active_layer_and_open_the_settings(window, scene):
    sar, mask = add(scene["sar"], "sar"), add(scene["mask"], "mask")
    show(window, (501000, 4999000), 10)
    actions = window.plugin._preview_actions
    again, settings, (of_sar, of_mask) = actions._again, actions._settings, actions._on_layers
    window.active = sar
    again.trigger()
    controller = actions.controller
    assert controller._dialog is not None
    assert not controller.is_running
    of_sar.trigger()
    finish(controller)
    assert [preview.name() for preview in previews()] == ["Preview: sar"]
    window.active = mask
    of_mask.trigger()
    dialog = controller._dialog
    assert dialog.choice().name == "masktoimage"
    dialog._preview()
    finish(controller)
    assert [preview.name() for preview in previews()] == ["Preview: mask"]
    dialog.close()
    QgsApplication.processEvents()
    assert controller._dialog is None
    again.trigger()
    assert controller.is_running
    finish(controller)
    settings.trigger()
    assert controller._dialog.choice().name == "masktoimage"


def test_the_settings_give_back_what_they_show(window, controller, scene):
    from eo_translate_plugin.preview.choice import Choice

    sar, dem = add(scene["sar"], "sar"), add(scene["dem"], "dem")
    given = {
        "SAR": sar.id(), "DEM": dem.id(), "MODEL": "/models/of my own", "SEED": 11, "DEVICE": "cpu",
        "SAR_UNITS": "linear", "VV_BAND": 2,
    }  # fmt: skip
    controller.choose(Choice("sartooptical", given))
    assert controller._dialog.choice().parameters == given
    assert controller._dialog.choice().name == "sartooptical"


def test_a_preview_of_a_raster_in_a_folder_with_spaces_and_umlauts(window, controller, tmp_path):
    folder = tmp_path / "Szenen für später"
    folder.mkdir()
    layer = add(write_geotiff(folder / "sär 1.tif", speckle(64)), "sär")
    show(window, (500320, 4999680), 4)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    assert [preview.name() for preview in previews()] == ["Preview: sär"]
