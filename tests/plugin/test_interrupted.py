"""Interrupted runs: what the journal is read as, and what a user is told and offered."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from plugin_rasters import speckle, write_geotiff
from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
)

from eo_translate_plugin import engine_bridge, interrupted
from eo_translate_plugin.worker_process import EngineCancelledError, EngineError

SAR = "eo_translate:sartooptical"
HEAD = {"journal": 1, "chunks": 64, "job": "ab" * 32}


def journal(output: Path, *lines: object, torn: bytes = b"") -> Path:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path = Path(f"{output}.part.jsonl")
    path.write_bytes(text.encode() + torn)
    return path


def chunks(count: int) -> list[dict]:
    return [{"chunk": i, "sha256": "cd" * 32} for i in range(count)]


def test_a_journal_says_how_far_a_run_got(tmp_path):
    output = tmp_path / "Luftbild von Kärnten.tif"
    journal(output, HEAD, *chunks(12))
    assert interrupted.find(str(output)) == (str(output), 12, 64)


@pytest.mark.parametrize("torn", [b'{"chunk": 12, "sha', b"\xff\x00", b"[" * 100_000, b"null\n12\n"])
def test_a_torn_end_does_not_count(tmp_path, torn):
    journal(tmp_path / "o.tif", HEAD, *chunks(12), torn=torn)
    assert interrupted.find(str(tmp_path / "o.tif")).done == 12


def test_a_part_counts_once_and_only_inside_the_run(tmp_path):
    journal(tmp_path / "o.tif", HEAD, *chunks(3), *chunks(4), {"chunk": 64})
    assert interrupted.find(str(tmp_path / "o.tif")).done == 4


@pytest.mark.parametrize("foreign", [{"chunk": -1}, {"chunk": True}, {"chunk": "3"}, {"part": 3}, 3])
def test_what_follows_a_foreign_line_does_not_count(tmp_path, foreign):
    journal(tmp_path / "o.tif", HEAD, *chunks(3), foreign, *chunks(9))
    assert interrupted.find(str(tmp_path / "o.tif")).done == 3


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"not a journal\n", b'{"chunks": "64"}\n{"chunk": 1}\n', b"\x00" * 3_000_000]
)
def test_anything_else_is_no_interrupted_run(tmp_path, content):
    (tmp_path / "o.tif.part.jsonl").write_bytes(content)
    assert interrupted.find(str(tmp_path / "o.tif")) is None


def test_the_journal_of_another_release_is_left_to_the_engine(tmp_path):
    journal(tmp_path / "o.tif", {**HEAD, "journal": 2}, *chunks(3))
    assert interrupted.find(str(tmp_path / "o.tif")) is None


def test_a_run_that_has_finished_no_part_is_not_offered(tmp_path):
    journal(tmp_path / "o.tif", HEAD)
    assert interrupted.find(str(tmp_path / "o.tif")) is None
    assert interrupted.find(str(tmp_path / "never.tif")) is None
    (tmp_path / "folder.tif.part.jsonl").mkdir()
    assert interrupted.find(str(tmp_path / "folder.tif")) is None


def check(parameters: dict) -> tuple[bool, str]:
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(SAR)
    return algorithm.checkParameterValues(parameters, QgsProcessingContext())


@pytest.mark.parametrize("definition", [False, True])
def test_the_dialog_offers_to_continue_and_names_file_and_progress(provider, scene, tmp_path, definition):
    output = tmp_path / "o.tif"
    journal(output, HEAD, *chunks(12))
    value = (
        QgsProcessingOutputLayerDefinition(str(output), QgsProject.instance()) if definition else str(output)
    )
    accepted, problem = check({"SAR": scene["sar"], "OUTPUT": value})
    assert not accepted
    assert all(word in problem for word in [str(output), "12 of 64 parts", "RESUME", "continue", "restart"])
    for choice in ("continue", "restart"):
        assert check({"SAR": scene["sar"], "OUTPUT": value, "RESUME": choice}) == (True, "")
    assert check({"SAR": scene["sar"], "OUTPUT": "TEMPORARY_OUTPUT"}) == (True, "")


@pytest.mark.parametrize(
    ("given", "passed"), [({}, None), ({"RESUME": "ask"}, None), ({"RESUME": "restart"}, "restart")]
)
def test_the_job_says_it_only_where_it_was_chosen(provider, scene, given, passed):
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(SAR)
    job = algorithm.job({"SAR": scene["sar"], **given}, QgsProcessingContext())
    assert job.get("resume") == passed


class Dying:
    """A client whose worker ends after it has done ``done`` parts of a job."""

    def __init__(self, error: EngineError, done: int) -> None:
        self.error, self.done = error, done

    def request(self, kind, on_event, is_cancelled, job) -> dict:
        Path(job["output"] + ".part").write_bytes(b"pixels")
        if self.done:
            journal(Path(job["output"]), HEAD, *chunks(self.done))
        raise self.error


@pytest.mark.parametrize(
    ("error", "done", "job", "left", "words"),
    [
        (EngineError("It crashed.", "crash"), 3, {}, 2, ["It crashed.", "3 of 64", "continue"]),
        (EngineError("It crashed.", "crash"), 0, {}, 0, ["Nothing was written"]),
        (EngineError("It hung.", "hang"), 3, {"resume": "restart"}, 2, ["3 of 64"]),
        (EngineCancelledError(), 3, {}, 0, ["cancelled", "Nothing was written"]),
        (EngineCancelledError(), 3, {"resume": "restart"}, 0, ["Nothing was written"]),
        (EngineCancelledError(), 3, {"resume": "continue"}, 2, ["cancelled", "3 of 64", "kept"]),
        (EngineError("A wrong legend.", "input"), 3, {}, 2, ["A wrong legend."]),
    ],
)
def test_what_a_dead_worker_left_is_kept_where_it_can_be_continued(
    monkeypatch, tmp_path, error, done, job, left, words
):
    monkeypatch.setattr(engine_bridge, "engine_client", lambda: Dying(error, done))
    with pytest.raises(QgsProcessingException) as caught:
        engine_bridge.run_job({"output": str(tmp_path / "o.tif"), **job}, QgsProcessingFeedback(False))
    assert len(list(tmp_path.iterdir())) == left
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_temporary_output_is_never_kept(monkeypatch, qgis_app):
    from qgis.core import QgsProcessingUtils

    output = Path(QgsProcessingUtils.generateTempFilename("o.tif"))
    monkeypatch.setattr(engine_bridge, "engine_client", lambda: Dying(EngineError("It crashed.", "crash"), 3))
    with pytest.raises(QgsProcessingException, match="Nothing was written"):
        engine_bridge.run_job({"output": str(output)}, QgsProcessingFeedback(False))
    assert list(output.parent.iterdir()) == []


def test_a_cancelled_run_that_only_asks_does_not_remove_an_earlier_one(monkeypatch, tmp_path):
    journal(tmp_path / "o.tif", HEAD, *chunks(5))
    monkeypatch.setattr(engine_bridge, "engine_client", lambda: Dying(EngineCancelledError(), 0))
    with pytest.raises(QgsProcessingException, match="cancelled"):
        engine_bridge.run_job({"output": str(tmp_path / "o.tif")}, QgsProcessingFeedback(False))
    assert interrupted.find(str(tmp_path / "o.tif")).done == 5


@pytest.fixture(scope="module")
def three_parts(tmp_path_factory) -> str:
    """A scene of three parts."""
    return write_geotiff(tmp_path_factory.mktemp("three") / "sar.tif", speckle(2560, 1)[:, :256])


def run(three_parts: str, output: Path, feedback=None, **parameters) -> dict:
    import processing

    given = {"SAR": three_parts, "DEVICE": "cpu", "OUTPUT": str(output), **parameters}
    return processing.run(SAR, given, feedback=feedback or QgsProcessingFeedback(False))


def once_a_part_is_done(output: Path, action) -> threading.Thread:
    def wait() -> None:
        while interrupted.find(str(output)) is None:
            time.sleep(0.005)
        action()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def pixels(path: Path) -> np.ndarray:
    return gdal.Open(str(path)).ReadAsArray()


@pytest.fixture(scope="module")
def uninterrupted(three_parts, tmp_path_factory, qgis_processing) -> np.ndarray:
    from eo_translate_plugin import classFactory

    plugin = classFactory(None)
    plugin.initProcessing()
    output = tmp_path_factory.mktemp("whole") / "o.tif"
    run(three_parts, output)
    plugin.unload()
    return pixels(output)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_run_is_offered_and_continued_to_the_same_pixels(
    provider, three_parts, uninterrupted, tmp_path
):
    output = tmp_path / "o.tif"
    once_a_part_is_done(output, lambda: os.kill(engine_bridge.engine_client().pid, signal.SIGKILL))
    with pytest.raises(QgsProcessingException, match=r"SIGKILL.* of 3 parts are done and kept"):
        run(three_parts, output)
    assert not output.exists()
    with pytest.raises(QgsProcessingException, match="of 3 parts done; set RESUME"):
        run(three_parts, output)
    feedback = Messages()
    run(three_parts, output, feedback, RESUME="continue")
    assert any("Continuing an interrupted run" in info for info in feedback.infos)
    assert np.array_equal(pixels(output), uninterrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["o.tif"]


class Messages(QgsProcessingFeedback):
    """Keeps what the log would show."""

    def __init__(self) -> None:
        super().__init__(False)
        self.infos = []

    def pushInfo(self, info) -> None:
        self.infos.append(info)


@pytest.mark.parametrize(("choice", "kept"), [("ask", False), ("continue", True), ("restart", False)])
def test_cancelling_keeps_parts_only_where_it_is_wanted(
    provider, three_parts, uninterrupted, tmp_path, choice, kept
):
    output, feedback, cancelled = tmp_path / "o.tif", QgsProcessingFeedback(False), []

    def cancel() -> None:
        cancelled.append(time.monotonic())
        feedback.cancel()

    once_a_part_is_done(output, cancel)
    with pytest.raises(QgsProcessingException, match="kept" if kept else "Nothing was written"):
        run(three_parts, output, feedback, RESUME=choice)
    assert time.monotonic() - cancelled[0] < 1
    assert bool(list(tmp_path.iterdir())) == kept
    assert (interrupted.find(str(output)) is not None) == kept
    if kept:
        run(three_parts, output, RESUME="continue")
        assert np.array_equal(pixels(output), uninterrupted)


def test_starting_over_removes_what_was_there(provider, three_parts, uninterrupted, tmp_path):
    output = tmp_path / "o.tif"
    journal(output, HEAD, *chunks(2))
    Path(f"{output}.part").write_bytes(b"something else")
    run(three_parts, output, RESUME="restart")
    assert np.array_equal(pixels(output), uninterrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["o.tif"]
