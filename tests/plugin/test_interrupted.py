"""Interrupted runs: what the journal is read as, and what a user is told and offered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
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
    journal(tmp_path / "o.tif", HEAD, *chunks(3), *chunks(3), {"chunk": 64}, {"chunk": -1}, {"chunk": True})
    assert interrupted.find(str(tmp_path / "o.tif")).done == 3


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"not a journal\n", b'{"chunks": "64"}\n{"chunk": 1}\n', b"\x00" * 3_000_000]
)
def test_anything_else_is_no_interrupted_run(tmp_path, content):
    (tmp_path / "o.tif.part.jsonl").write_bytes(content)
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
