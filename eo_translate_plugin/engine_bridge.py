"""Runs engine requests for Processing: progress, messages, cancelling and errors in the terms of QGIS."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingException, QgsProcessingFeedback, QgsProcessingUtils

from . import interrupted, job_files
from .environment import EngineMissingError, engine_parent, find_interpreter, log_path
from .translate import tr
from .worker_client import WorkerClient, is_busy, shared
from .worker_process import EngineError, Event

# A worker that was killed or died could not remove its unfinished files.
_ENDED_BY_FORCE = ("cancelled", "crash", "hang")
_DIED = ("crash", "hang")
_SAY_TIME_LEFT_S = 10.0


def engine_client() -> WorkerClient:
    """The warm engine.

    Raises:
        EngineMissingError: There is no interpreter for it.
    """
    return shared(find_interpreter().path, engine_parent(), log_path())


def engine_is_busy() -> bool:
    """Whether a run is in progress, so that the next one waits."""
    return is_busy()


def run_job(job: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
    """Runs a job and returns the fields of the engine's ``RunResult``.

    Raises:
        QgsProcessingException: The job failed or was cancelled; the message is one sentence.
    """
    progress = _Progress(feedback)
    earlier = interrupted.find(*job_files.outputs(job))
    feedback.setProgressText(tr("Starting the engine"))
    try:
        return engine_client().request("run", progress.take, feedback.isCanceled, job=job)
    except EngineMissingError as error:
        raise QgsProcessingException(str(error)) from None
    except EngineError as error:
        more = _tidy(job, error.code, earlier) if error.code in _ENDED_BY_FORCE else _advice(error)
        raise QgsProcessingException(" ".join(filter(None, (str(error), more)))) from None


def run_evaluation(comparison: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
    """Compares rasters and returns the engine's report as a dictionary.

    Raises:
        QgsProcessingException: They cannot be compared, or it was cancelled; the message is one sentence.
    """
    feedback.setProgressText(tr("Starting the engine"))
    take = _Progress(feedback).take
    try:
        return engine_client().request("evaluate", take, feedback.isCanceled, comparison=comparison)
    except (EngineError, EngineMissingError) as error:
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
    """Hands the worker's events to a feedback; the bar never moves backwards, and the time left is said."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._percent = 0.0
        self._text = ""
        self._clock = _Clock()

    def take(self, event: Event) -> None:
        if event["event"] == "progress":
            self._percent = max(self._percent, min(100.0, 100.0 * event["fraction"]))
            self._feedback.setProgress(self._percent)
            left = self._clock.news(event["fraction"])
            if left or event["text"] != self._text:
                self._text = event["text"]
                text = tr("{text}, about {time} left").format(text=self._text, time=left)
                self._feedback.setProgressText(text if left else self._text)
        elif event["event"] == "log" and event["level"] == "warning":
            self._feedback.pushWarning(event["text"])
        elif event["event"] == "log":
            self._feedback.pushInfo(event["text"])


class _Clock:
    """Tells the time left, as soon as it can be told and then now and again."""

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None
        self._said_s = 0.0

    def news(self, fraction: float) -> str:
        """The time left in words; empty where nothing is to be said."""
        now = time.monotonic()
        if self._start is None:
            # What an earlier run has done took no time of this one.
            self._start, self._said_s = (now, fraction), now
        started, first = self._start
        if now - self._said_s < _SAY_TIME_LEFT_S or not first < fraction < 1:
            return ""
        self._said_s = now
        return _in_words((now - started) * (1 - fraction) / (fraction - first))


def _in_words(seconds: float) -> str:
    if seconds < 100:
        return tr("{number} s").format(number=max(round(seconds), 1))
    if seconds < 100 * 60:
        return tr("{number} min").format(number=round(seconds / 60))
    return tr("{number} h").format(number=round(seconds / 3600))


def _advice(error: EngineError) -> str:
    """What helps in QGIS where the engine's own advice is for a shell."""
    if "[diffusion]" not in str(error):
        return ""
    return tr("In QGIS: tick Diffusion models in Settings > Options > EO Translate, and press Create.")


def _tidy(job: dict[str, Any], code: str, earlier: interrupted.Interrupted | None) -> str:
    """Removes what a dead worker has left, unless it is worth continuing; says what became of it."""
    files = job_files.outputs(job)
    found = interrupted.find(*files)
    wanted = job.get("resume") == "continue" or (code in _DIED and not _is_temporary(files[0]))
    # What was there before a run that only asks is not this run's to remove.
    if (found and wanted) or (earlier and "resume" not in job):
        return _continue_sentence(found) if found else ""
    _remove_partial_files(job)
    return tr("Nothing was written; run it again.") if code in _DIED else tr("Nothing was written.")


def _continue_sentence(found: interrupted.Interrupted) -> str:
    return tr(
        "{done} of {total} parts are done and kept; run it again with RESUME (Interrupted earlier run) set "
        "to continue."
    ).format(**found._asdict())


def _is_temporary(path: str) -> bool:
    return Path(QgsProcessingUtils.tempFolder()) in Path(path).parents


def _remove_partial_files(job: dict[str, Any]) -> None:
    """Removes what a killed or crashed worker could not remove itself."""
    for path in job_files.all_files(job):
        target = Path(path)
        for file in target.parent.iterdir():
            if file.name.startswith(f"{target.name}.part"):
                file.unlink(missing_ok=True)
