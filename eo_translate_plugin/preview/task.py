"""A preview in the background."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgis.core import (
    Qgis,
    QgsMessageLog,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingUtils,
    QgsTask,
)
from qgis.PyQt import sip

from ..engine_bridge import describe_model, run_job


class PreviewTask(QgsTask):
    """Runs a job into a temporary file, which is gone again when it does not succeed.

    Attributes:
        output: The file.
        problem: Why there is none, in one sentence; empty: it was cancelled, or has not ended.
        warnings: What the engine warned about.
        shown: How the model's result is shown: ``describe_model``.
    """

    def __init__(self, title: str, job: dict[str, Any], on_end: Callable[[PreviewTask], None]) -> None:
        super().__init__(title, QgsTask.Flag.CanCancel | QgsTask.Flag.CancelWithoutPrompt)
        self.output = Path(QgsProcessingUtils.generateTempFilename("preview.tif"))
        self.problem = ""
        self.shown: dict[str, Any] = {}
        self._job = {**job, "output": str(self.output), "uncertainty": None}
        self._on_end = on_end
        self._idle = threading.Event()
        self._idle.set()
        self._feedback = _Feedback()
        self._feedback.progressChanged.connect(self.setProgress)

    @property
    def warnings(self) -> list[str]:
        return self._feedback.warnings

    def run(self) -> bool:
        """In a thread of the pool."""
        self._idle.clear()
        worked = False
        try:
            if not self.isCanceled():
                run_job(self._job, self._feedback)
                (self.shown,) = describe_model(self._job["model"])["outputs"].values()
                worked = not self.isCanceled()
        except QgsProcessingException as error:
            self.problem = "" if self.isCanceled() else str(error)
        finally:
            if not worked:
                self.discard()
            self._idle.set()
        return worked

    def cancel(self) -> None:
        """Asks the engine to stop, which takes less than a second."""
        self._feedback.cancel()
        super().cancel()

    def finished(self, result: bool) -> None:
        """In the main thread, whether it ran or was cancelled before."""
        self._on_end(self)

    def stop(self, timeout_s: float = 3.0) -> None:
        """Cancels, and waits until nothing is written any more."""
        if not sip.isdeleted(self):
            self.cancel()
        self._idle.wait(timeout_s)
        self.discard()

    def discard(self) -> None:
        """Removes the file and its folder."""
        shutil.rmtree(self.output.parent, ignore_errors=True)


class _Feedback(QgsProcessingFeedback):
    """Keeps warnings; all messages go to QGIS's log panel."""

    def __init__(self) -> None:
        super().__init__(False)
        self.warnings: list[str] = []

    def pushInfo(self, info: str) -> None:
        QgsMessageLog.logMessage(info, "EO Translate", Qgis.MessageLevel.Info, False)

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)
        QgsMessageLog.logMessage(warning, "EO Translate", Qgis.MessageLevel.Warning, False)
