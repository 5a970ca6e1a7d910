"""The options page: which engine is used, and creating, checking and removing its environment."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgis.core import QgsApplication, QgsSettings, QgsTask
from qgis.gui import QgsFileWidget, QgsOptionsPageWidget
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QDesktopServices, QFontDatabase
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..engine_setup import EnvironmentInstaller, disk_use_bytes
from ..environment import (
    PYTHON_SETTING,
    EngineMissingError,
    data_folder,
    environment_folder,
    find_interpreter,
    has_diffusion,
    is_complete,
    shown,
)
from ..translate import tr

_SHOWN_LOG_LINES = 2000


class OptionsPage(QgsOptionsPageWidget):
    """Settings > Options > EO Translate.

    Args:
        installer: Builds and checks the environment; it outlives this page.
    """

    def __init__(self, installer: EnvironmentInstaller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._installer = installer
        self._disk_task: QgsTask | None = None
        layout = QVBoxLayout(self)
        layout.addWidget(self._engine_group())
        layout.addWidget(self._environment_group())
        layout.addWidget(self._log_view(), 1)
        installer.line.connect(self._log.appendPlainText)
        installer.step.connect(self._step.setText)
        installer.step.connect(self._refresh)
        installer.finished.connect(self._finished)
        self._refresh()
        self._measure_disk_use()

    def apply(self) -> None:
        """Saves the interpreter; called by QGIS for OK and Apply."""
        QgsSettings().setValue(PYTHON_SETTING, self._python.filePath().strip())
        self._refresh()

    def _engine_group(self) -> QGroupBox:
        group, form = QGroupBox(tr("Engine")), QFormLayout()
        group.setLayout(form)
        self._status = QLabel()
        self._status.setWordWrap(True)
        self._python = QgsFileWidget()
        self._python.setStorageMode(QgsFileWidget.StorageMode.GetFile)
        self._python.setFilePath(str(QgsSettings().value(PYTHON_SETTING, "") or ""))
        self._python.lineEdit().setPlaceholderText(tr("automatic"))
        self._python.setToolTip(
            tr(
                "A Python 3.10 or newer that has the engine's packages. Empty: the environment below, else "
                "the interpreter of eo-translate on PATH. The variable EO_TRANSLATE_PYTHON goes before both."
            )
        )
        self._test = QPushButton(tr("Test"))
        self._test.setToolTip(
            tr("Runs eo-translate doctor: versions, devices, models and a small self-test.")
        )
        self._test.clicked.connect(self._run_test)
        form.addRow(tr("In use"), self._status)
        form.addRow(tr("Python interpreter"), self._python)
        form.addRow("", _row(self._test))
        return group

    def _environment_group(self) -> QGroupBox:
        group, form = QGroupBox(tr("Environment made by this page")), QFormLayout()
        group.setLayout(form)
        self._disk_use = QLabel()
        self._disk_use.setWordWrap(True)
        self._variant = QComboBox()
        self._variant.addItem(tr("CPU (about 100 MB to download)"), "cpu")
        self._variant.addItem(tr("NVIDIA graphics card, CUDA (about 1.5 GB to download)"), "cuda")
        self._diffusion = QCheckBox(tr("Diffusion models (torch; about 1 GB more)"))
        self._diffusion.setToolTip(
            tr("For Translate any modality to any other; to add them later, tick this and press Repair.")
        )
        self._diffusion.setChecked(has_diffusion(environment_folder()))
        self._create = QPushButton(tr("Create"))
        self._create.clicked.connect(self._start)
        self._cancel = QPushButton(tr("Cancel"))
        self._cancel.clicked.connect(self._installer.cancel)
        self._remove = QPushButton(tr("Remove..."))
        self._remove.clicked.connect(self._ask_remove)
        self._progress = QProgressBar()
        self._step = QLabel()
        self._step.setWordWrap(True)
        form.addRow(tr("Folder"), self._disk_use)
        form.addRow(tr("Device"), self._variant)
        form.addRow("", self._diffusion)
        form.addRow("", _row(self._create, self._cancel, self._remove))
        form.addRow("", self._progress)
        form.addRow("", self._step)
        return group

    def _log_view(self) -> QGroupBox:
        group, layout = QGroupBox(tr("Messages")), QVBoxLayout()
        group.setLayout(layout)
        self._log = QPlainTextEdit()
        self._log.setReadOnly(True)
        self._log.setMaximumBlockCount(_SHOWN_LOG_LINES)
        self._log.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._logs = QPushButton(tr("Open the folder of models and logs"))
        self._logs.clicked.connect(_open_data_folder)
        layout.addWidget(self._log)
        layout.addWidget(_row(self._logs))
        return group

    def _refresh(self) -> None:
        running, folder = self._installer.is_running, environment_folder()
        try:
            interpreter = find_interpreter()
            self._status.setText(f"{shown(interpreter.path)} ({interpreter.origin})")
        except EngineMissingError as error:
            self._status.setText(str(error))
        incomplete = folder.is_dir() and not is_complete(folder)
        self._create.setText(
            tr("Go on creating") if incomplete else tr("Repair") if folder.is_dir() else tr("Create")
        )
        self._create.setEnabled(not running)
        self._test.setEnabled(not running)
        self._remove.setEnabled(not running and folder.is_dir())
        self._cancel.setEnabled(running)
        self._progress.setRange(0, 0 if running else 1)
        self._progress.setVisible(running)

    def _start(self) -> None:
        from ..worker_client import close_shared

        close_shared()
        self._log.clear()
        self._installer.install(self._variant.currentData(), diffusion=self._diffusion.isChecked())
        self._refresh()

    def _run_test(self) -> None:
        self.apply()
        self._log.clear()
        try:
            self._installer.check(find_interpreter().path)
        except EngineMissingError as error:
            self._step.setText(str(error))
        self._refresh()

    def _finished(self, worked: bool, sentence: str) -> None:
        self._step.setText(sentence)
        self._refresh()
        self._measure_disk_use()

    def _ask_remove(self) -> None:
        folder = environment_folder()
        question = tr("Delete {folder} and everything in it?").format(folder=folder)
        if QMessageBox.question(self, "EO Translate", question) == QMessageBox.StandardButton.Yes:
            self.remove_environment()

    def remove_environment(self) -> None:
        """Ends the engine and deletes the environment, away from the GUI thread."""
        from ..worker_client import close_shared

        close_shared()
        self._step.setText(tr("Removing..."))
        self._run_in_background(
            lambda: shutil.rmtree(environment_folder(), ignore_errors=True),
            lambda result: self._finished(True, tr("The environment was removed.")),
        )

    def _measure_disk_use(self) -> None:
        folder = environment_folder()
        if not folder.is_dir():
            self._disk_use.setText(tr("{folder} (not there yet)").format(folder=shown(folder)))
            return
        self._run_in_background(
            lambda: disk_use_bytes(folder), lambda size: self._show_disk_use(folder, size)
        )

    def _show_disk_use(self, folder: Path, size: int) -> None:
        self._disk_use.setText(f"{shown(folder)} ({size / 1e6:.0f} MB)")

    def _run_in_background(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        def finished(exception: Exception | None, result: object = None) -> None:
            # The options may have been closed meanwhile.
            if exception is None and not sip.isdeleted(self):
                done(result)

        # Kept, because the task manager does not keep the Python half of a task.
        self._disk_task = QgsTask.fromFunction("EO Translate", lambda task: work(), on_finished=finished)
        QgsApplication.taskManager().addTask(self._disk_task)


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch(1)
    return row


def _open_data_folder() -> None:
    data_folder().mkdir(parents=True, exist_ok=True)
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(data_folder())))
