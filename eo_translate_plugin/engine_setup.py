"""Creates the engine's virtual environment and its packages, in processes that never block QGIS."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QObject, QProcess, QProcessEnvironment, pyqtSignal
from qgis.PyQt.QtNetwork import QNetworkProxy

from .environment import (
    completion_marker,
    data_folder,
    engine_parent,
    environment_folder,
    requirements,
    venv_python,
)
from .translate import tr
from .worker_process import clean_environment

VARIANTS = ("cpu", "cuda")
DIFFUSION = "diffusion"
# On Linux, torch of the package index brings 3 GB of CUDA, whatever the machine has.
_TORCH_FOR_CPU = ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]
OLDEST_PYTHON = (3, 10)
_NEWEST_PYTHON = 14
# Prints nothing and fails where the interpreter is too old or cannot make environments.
_CAN_MAKE_ENVIRONMENTS = f"import sys, venv, ensurepip; sys.exit(sys.version_info < {OLDEST_PYTHON})"
_DOCTOR = ["-m", "engine.cli", "doctor"]


class Step(NamedTuple):
    """One process of an installation."""

    title: str
    command: list[str]
    on_failure: Callable[[str], None]


class EnvironmentInstaller(QObject):
    """Builds, repairs or checks the environment, one process after the other.

    An interrupted installation is taken up where it stopped: what is installed stays, and pip keeps its
    downloads.

    Signals:
        line: A line of output.
        step: What is being done now.
        finished: Whether it worked, and a sentence.
    """

    line = pyqtSignal(str)
    step = pyqtSignal(str)
    finished = pyqtSignal(bool, str)

    def __init__(self, folder: Path | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = folder or environment_folder()
        self.log_path = data_folder() / "logs" / "install.log"
        self._variant, self._diffusion = "cpu", False
        self._pythons: list[Path] = []
        self._tried: list[Path] = []
        self._steps: list[Step] = []
        self._process: QProcess | None = None
        self._tail: list[str] = []

    @property
    def is_running(self) -> bool:
        """Whether an installation or a check is under way."""
        return self._process is not None

    def install(self, variant: str, python: Path | None = None, diffusion: bool = False) -> None:
        """Starts an installation.

        Args:
            variant: One of ``VARIANTS``.
            python: The interpreter to build with; None looks for one.
            diffusion: Whether to install what diffusion models need, too.
        """
        self._variant, self._diffusion = variant, diffusion
        self._tried = []
        self._pythons = [python] if python is not None else base_pythons()
        completion_marker(self.folder).unlink(missing_ok=True)
        self._start_log()
        if venv_python(self.folder).is_file():
            self._run([*self._package_steps()])
        else:
            self._try_next_python()

    def check(self, python: Path) -> None:
        """Starts ``eo-translate doctor`` with an interpreter."""
        self._start_log()
        step = Step(tr("Checking the engine"), [str(python), *_DOCTOR], self._fail_check)
        self._run([step], tr("The engine works."))

    def cancel(self) -> None:
        """Stops what runs; what has been installed stays."""
        if self._process is not None:
            self._steps = []
            self._stop_process()
            self._end(False, tr("Cancelled; press Create to go on from here."))

    def _start_log(self) -> None:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self.log_path.write_bytes(b"")

    def _try_next_python(self) -> None:
        if not self._pythons:
            self._end(False, self._no_python_sentence())
            return
        python = self._pythons.pop(0)
        self._tried.append(python)
        self._run(
            [
                Step(
                    tr("Looking at {python}").format(python=python),
                    [str(python), "-c", _CAN_MAKE_ENVIRONMENTS],
                    lambda tail: self._try_next_python(),
                ),
                Step(
                    tr("Creating {folder}").format(folder=self.folder),
                    [str(python), "-m", "venv", str(self.folder)],
                    self._fail,
                ),
                *self._package_steps(),
            ]
        )

    def _package_steps(self) -> list[Step]:
        pip = [str(venv_python(self.folder)), "-m", "pip", "--disable-pip-version-check", "--no-input"]
        other = "onnxruntime" if self._variant == "cuda" else "onnxruntime-gpu"
        install = ["install", "--progress-bar", "off", "--only-binary", ":all:", *self._requirements()]
        if self._diffusion and self._variant == "cpu" and sys.platform == "linux":
            install += _TORCH_FOR_CPU
        return [
            # Both variants are the same Python package: one would overwrite the other's files.
            Step(tr("Preparing"), [*pip, "uninstall", "--yes", other], self._fail),
            Step(tr("Downloading and installing packages"), [*pip, *install], self._fail_install),
            Step(tr("Checking the engine"), [str(venv_python(self.folder)), *_DOCTOR], self._fail_check),
        ]

    def _requirements(self) -> list[str]:
        return requirements(self._variant) + (requirements(DIFFUSION) if self._diffusion else [])

    def _run(self, steps: list[Step], success: str = "") -> None:
        self._steps = steps
        self._success = success
        self._next()

    def _next(self) -> None:
        if not self._steps:
            self._complete()
            return
        step = self._steps.pop(0)
        self._tail = []
        self.step.emit(step.title)
        process = self._process = QProcess(self)
        process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        process.setProcessEnvironment(_process_environment())
        process.setWorkingDirectory(str(engine_parent()))
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(lambda code, status: self._step_ended(process, step, code == 0))
        process.errorOccurred.connect(lambda error: self._start_failed(process, step, error))
        process.start(step.command[0], step.command[1:])

    def _start_failed(self, process: QProcess, step: Step, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._tail.append(process.errorString())
            self._step_ended(process, step, False)

    def _step_ended(self, process: QProcess, step: Step, worked: bool) -> None:
        if process is not self._process:
            return
        self._read()
        self._process = None
        process.deleteLater()
        if worked:
            self._next()
        else:
            step.on_failure(_last_error(self._tail))

    def _read(self) -> None:
        text = bytes(self._process.readAllStandardOutput()).decode(errors="replace")
        if not text:
            return
        with self.log_path.open("a", encoding="utf-8") as log:
            log.write(text)
        for line in filter(None, (line.rstrip() for line in text.splitlines())):
            self._tail = [*self._tail[-50:], line]
            self.line.emit(line)

    def _stop_process(self) -> None:
        process, self._process = self._process, None
        process.kill()
        process.waitForFinished(1000)
        process.deleteLater()

    def _complete(self) -> None:
        if self._success:
            self._end(True, self._success)
            return
        text = "\n".join([f"# {self._variant}", *self._requirements()])
        completion_marker(self.folder).write_text(text + "\n", encoding="utf-8")
        self._end(True, tr("The engine is installed and works."))

    def _end(self, worked: bool, sentence: str) -> None:
        self._process = None
        self.finished.emit(worked, sentence)

    def _fail(self, tail: str) -> None:
        self._end(
            False,
            tr("The environment could not be made ({reason}); the log is {log}.").format(
                reason=tail, log=self.log_path
            ),
        )

    def _fail_install(self, tail: str) -> None:
        self._end(
            False,
            tr(
                "The packages could not be installed ({reason}); check the network and Settings > Options > "
                "Network > proxy, and press Create to go on; the log is {log}."
            ).format(reason=tail, log=self.log_path),
        )

    def _fail_check(self, tail: str) -> None:
        self._end(
            False,
            tr("The engine does not work ({reason}); the log is {log}.").format(
                reason=tail, log=self.log_path
            ),
        )

    def _no_python_sentence(self) -> str:
        return tr(
            "No Python {oldest} or newer that can make environments was found (tried {tried}); install one, "
            "on Debian and Ubuntu with 'apt install python3-venv', and press Create again."
        ).format(oldest=".".join(map(str, OLDEST_PYTHON)), tried=", ".join(map(str, self._tried)) or "-")


def base_pythons() -> list[Path]:
    """Interpreters that an environment could be built with, the one that QGIS runs on first."""
    prefixes = [Path(p) for p in (sys.prefix, sys.exec_prefix, sys.base_prefix)]
    names = ["python.exe", "python3.exe"] if os.name == "nt" else ["bin/python3", "bin/python"]
    found = [Path(sys.executable or "")] if "python" in Path(sys.executable or "").name.lower() else []
    found += [prefix / name for prefix in prefixes for name in names]
    # QGIS.app keeps its interpreter beside the executable.
    found += [Path(sys.executable or "").with_name("bin") / "python3"]
    commands = [f"python3.{minor}" for minor in range(_NEWEST_PYTHON, OLDEST_PYTHON[1] - 1, -1)]
    found += [Path(p) for p in map(shutil.which, ["python3", *commands, "python"]) if p]
    return list(dict.fromkeys(path for path in found if path.is_file()))


def disk_use_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    return sum(
        entry.lstat().st_size for entry in folder.rglob("*") if entry.is_file() and not entry.is_symlink()
    )


def _process_environment() -> QProcessEnvironment:
    environment = QProcessEnvironment()
    values = {**clean_environment(dict(os.environ), engine_parent()), **proxy_variables()}
    for name, value in values.items():
        environment.insert(name, value)
    return environment


def proxy_variables() -> dict[str, str]:
    """The proxy of Settings > Options > Network as environment variables; empty where QGIS uses none."""
    proxy = QgsNetworkAccessManager.instance().fallbackProxy()
    schemes = {
        QNetworkProxy.ProxyType.HttpProxy: "http",
        QNetworkProxy.ProxyType.HttpCachingProxy: "http",
        QNetworkProxy.ProxyType.Socks5Proxy: "socks5",
    }
    if proxy.type() not in schemes or not proxy.hostName():
        return {}
    user = f"{quote(proxy.user(), '')}:{quote(proxy.password(), '')}@" if proxy.user() else ""
    port = f":{proxy.port()}" if proxy.port() else ""
    text = f"{schemes[proxy.type()]}://{user}{proxy.hostName()}{port}"
    return {"HTTP_PROXY": text, "HTTPS_PROXY": text, "http_proxy": text, "https_proxy": text}


def _last_error(lines: list[str]) -> str:
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [tr("no message")])[-1].strip().rstrip(".")
