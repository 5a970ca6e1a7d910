"""Runs engine requests for Processing: progress, messages, cancelling and errors in the terms of QGIS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingException, QgsProcessingFeedback

from .environment import EngineMissingError, engine_parent, find_interpreter, log_path
from .translate import tr
from .worker_client import WorkerClient, shared
from .worker_process import EngineError, Event

# A worker that was killed or died could not remove its unfinished files.
_ENDED_BY_FORCE = ("cancelled", "crash", "hang")


def engine_client() -> WorkerClient:
    """The warm engine.

    Raises:
        EngineMissingError: There is no interpreter for it.
    """
    return shared(find_interpreter().path, engine_parent(), log_path())


def run_job(job: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
    """Runs a job and returns the fields of the engine's ``RunResult``.

    Raises:
        QgsProcessingException: The job failed or was cancelled; the message is one sentence.
    """
    progress = _Progress(feedback)
    feedback.setProgressText(tr("Starting the engine"))
    try:
        return engine_client().request("run", progress.take, feedback.isCanceled, job=job)
    except EngineMissingError as error:
        raise QgsProcessingException(str(error)) from None
    except EngineError as error:
        if error.code in _ENDED_BY_FORCE:
            _remove_partial_files(job)
        raise QgsProcessingException(str(error)) from None


def describe_model(model: str) -> dict[str, Any]:
    """A model's identity and output, as its package declares them.

    Raises:
        QgsProcessingException: The model is unknown or damaged.
    """
    try:
        return engine_client().request("describe_model", model=model)
    except (EngineError, EngineMissingError) as error:
        raise QgsProcessingException(str(error)) from None


class _Progress:
    """Hands the worker's events to a feedback; the bar never moves backwards."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._percent = 0.0
        self._text = ""

    def take(self, event: Event) -> None:
        if event["event"] == "progress":
            self._percent = max(self._percent, min(100.0, 100.0 * event["fraction"]))
            self._feedback.setProgress(self._percent)
            if event["text"] != self._text:
                self._text = event["text"]
                self._feedback.setProgressText(self._text)
        elif event["event"] == "log" and event["level"] == "warning":
            self._feedback.pushWarning(event["text"])
        elif event["event"] == "log":
            self._feedback.pushInfo(event["text"])


def _remove_partial_files(job: dict[str, Any]) -> None:
    """Removes what a killed or crashed worker could not remove itself."""
    for path in filter(None, (job["output"], job.get("uncertainty"))):
        target = Path(path)
        for file in target.parent.iterdir():
            if file.name.startswith(f"{target.name}.part"):
                file.unlink(missing_ok=True)
