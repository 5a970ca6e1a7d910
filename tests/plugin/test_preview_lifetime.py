"""Previews that are cancelled, overtaken, removed or unloaded, and what they leave behind."""

from __future__ import annotations

import time
from pathlib import Path

from preview_window import (
    active,
    add,
    finish,
    pixels,
    previews,
    settle,
    show,
    temporary,
)
from qgis.core import (
    QgsApplication,
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt.QtWidgets import QProgressBar, QPushButton


def test_cancel_is_a_button_and_takes_less_than_a_second(window, controller, slow):
    from eo_translate_plugin.engine_bridge import engine_is_busy

    task, item = controller._task, window.bar.currentItem()
    (button,) = [b for b in item.findChildren(QPushButton) if b.text() == "Cancel"]
    start = time.monotonic()
    button.click()
    settle(lambda: not engine_is_busy())
    assert time.monotonic() - start < 1
    settle(lambda: not active(task))
    assert not controller.is_running
    assert not task.output.parent.exists()
    assert previews() == []
    assert window.texts() == []


def test_cancelling_in_the_task_manager_is_the_same(window, controller, slow):
    task = controller._task
    task.cancel()
    finish(controller)
    assert not task.output.parent.exists()
    assert window.texts() == []


def test_progress_moves_the_bar(window, controller, slow):
    (progress,) = window.bar.currentItem().findChildren(QProgressBar)
    settle(lambda: progress.maximum() == 100 and progress.value() > 0)
    controller.cancel()


def test_removing_the_source_cancels(window, controller, slow):
    task = controller._task
    QgsProject.instance().removeMapLayer(slow.id())
    assert not controller.is_running
    settle(lambda: not active(task))
    assert not task.output.parent.exists()
    assert previews() == []


def test_closing_the_project_while_it_runs_leaves_nothing(window, controller, slow):
    task = controller._task
    QgsProject.instance().clear()
    assert not controller.is_running
    settle(lambda: not active(task))
    assert not task.output.parent.exists()
    assert previews() == []


def test_unloading_while_it_runs_is_quick_and_leaves_nothing(window, controller, slow):
    task, start = controller._task, time.monotonic()
    window.plugin.unload()
    assert time.monotonic() - start < 3
    assert not task.output.parent.exists()
    assert window.entries == []
    settle(lambda: not active(task))
    assert previews() == []
    assert window.texts() == []


def test_removing_the_preview_removes_its_file_and_the_next_makes_a_new_one(window, controller, scene):
    layer = add(scene["sar"], "sar")
    show(window, (501000, 4999000), 10)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    (preview,) = previews()
    source = Path(preview.source())
    QgsProject.instance().removeMapLayer(preview.id())
    assert not source.parent.exists()
    controller.preview_again()
    finish(controller)
    assert len(previews()) == 1
    QgsProject.instance().clear()
    assert temporary() == set()


def test_removing_the_preview_while_the_next_runs_adds_it_anew(window, controller, scene):
    layer = add(scene["sar"], "sar")
    show(window, (501000, 4999000), 10)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    controller.preview_again()
    QgsProject.instance().removeMapLayer(previews()[0].id())
    finish(controller)
    assert len(previews()) == 1
    assert previews()[0].isValid()


def test_a_saved_project_does_not_hold_the_preview_and_the_map_still_does(
    window, controller, scene, tmp_path
):
    project = QgsProject.instance()
    layer = QgsRasterLayer(scene["sar"], "sar")
    project.addMapLayer(layer, False)
    add(scene["dem"], "dem")
    project.layerTreeRoot().addGroup("inner").addLayer(layer)
    show(window, (501000, 4999000), 10)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    project.layerTreeRoot().findLayer(previews()[0].id()).setItemVisibilityChecked(False)
    before = project.layerTreeRoot().dump()
    for name in ("project.qgs", "project.qgz"):
        assert project.write(str(tmp_path / name))
        assert not project.isDirty()
        assert project.layerTreeRoot().dump() == before
        assert pixels(previews()[0].source()).any()
        assert not project.layerTreeRoot().findLayer(previews()[0].id()).itemVisibilityChecked()
    assert "Preview: " not in (tmp_path / "project.qgs").read_text(encoding="utf-8")
    opened = QgsProject()
    assert opened.read(str(tmp_path / "project.qgs"))
    assert [node.name() for node in opened.layerTreeRoot().findLayers()] == ["dem", "sar"]


def test_a_project_that_cannot_be_saved_keeps_the_preview(window, controller, scene, tmp_path):
    layer = add(scene["sar"], "sar")
    show(window, (501000, 4999000), 10)
    controller.preview_layer("sartooptical", layer)
    finish(controller)
    assert not QgsProject.instance().write(str(tmp_path / "no folder" / "project.qgs"))
    QgsApplication.processEvents()
    assert len(previews()) == 1
    assert previews()[0].isValid()
