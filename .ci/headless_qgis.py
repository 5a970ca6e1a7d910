"""QGIS without a window, in a profile of its own: for the demo, the end-to-end tests and the benchmarks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = "eo_translate_plugin"
DROPPED = re.compile(r"^(PYTHON|QGIS_|PROJ_|GDAL_|VIRTUAL_ENV|EO_TRANSLATE_)")


class QgisMissingError(Exception):
    """No ``qgis_process`` on this machine."""


@dataclass(frozen=True)
class Outcome:
    """What one call of ``qgis_process --json run`` gave.

    Attributes:
        code: Exit status.
        results: The algorithm's outputs.
        errors: Lines of its log.
        info: Lines of its log.
        warnings: Lines of its log.
        stdout: As written.
        stderr: As written.
        seconds: Wall time.
    """

    code: int
    results: dict[str, Any]
    errors: list[str]
    info: list[str]
    warnings: list[str]
    stdout: str
    stderr: str
    seconds: float

    @property
    def sentence(self) -> str:
        """The last error, on one line."""
        said = self.errors or [line for line in self.stderr.splitlines() if line.strip()] or ["no message"]
        return " ".join(said[-1].split())


def find_qgis_process() -> str:
    """``$QGIS_PROCESS``, ``qgis_process.bin`` (Debian 12's wrapper script is broken) or ``qgis_process``.

    Raises:
        QgisMissingError: There is none.
    """
    named = os.environ.get("QGIS_PROCESS")
    for name in (named,) if named else ("qgis_process.bin", "qgis_process"):
        found = shutil.which(name)
        if found:
            return found
    raise QgisMissingError(
        f"QGIS was not found ({named or 'qgis_process'}); install the package qgis or set QGIS_PROCESS."
    )


class HeadlessQgis:
    """A QGIS profile with the plugin enabled.

    Args:
        profile: Folder of the profile, made if absent; HOME points there too.
        plugins: Folder that holds the plugin's folder.
        engine_python: Interpreter of the engine's environment.
    """

    def __init__(self, profile: Path, plugins: Path, engine_python: Path) -> None:
        self.program = find_qgis_process()
        self.profile = profile
        self.environment = {key: value for key, value in os.environ.items() if not DROPPED.match(key)}
        self.environment |= {
            "HOME": str(profile),
            "QGIS_CUSTOM_CONFIG_PATH": str(profile / "qgis"),
            "QGIS_PLUGINPATH": str(plugins),
            "QT_QPA_PLATFORM": "offscreen",
            "XDG_RUNTIME_DIR": str(profile / "runtime"),
            "EO_TRANSLATE_PYTHON": str(engine_python),
        }
        (profile / "runtime").mkdir(parents=True, exist_ok=True, mode=0o700)

    def call(
        self, *arguments: str, extra: dict[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """``qgis_process ARGUMENTS``; ``extra`` goes on top of the environment."""
        return subprocess.run(
            [self.program, *arguments],
            env={**self.environment, **(extra or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    def enable_plugin(self) -> None:
        """Switches the plugin on in this profile."""
        answer = self.call("plugins", "enable", PLUGIN)
        said = answer.stdout + answer.stderr
        if answer.returncode and "already enabled" not in said:
            raise RuntimeError(f"The plugin cannot be enabled: {said}")

    def run(self, algorithm: str, extra: dict[str, str] | None = None, **parameters: Any) -> Outcome:
        """``qgis_process --json run ALGORITHM --NAME=VALUE ...``."""
        pairs = [f"--{name}={value}" for name, value in parameters.items()]
        started = time.perf_counter()
        answer = self.call("--json", "run", algorithm, *pairs, extra=extra)
        seconds = time.perf_counter() - started
        try:
            document = json.loads(answer.stdout)
        except json.JSONDecodeError:
            document = {}
        log = document.get("log", {})
        return Outcome(
            code=answer.returncode,
            results=document.get("results", {}),
            errors=log.get("errors", []),
            info=log.get("info", []),
            warnings=log.get("warnings", []),
            stdout=answer.stdout,
            stderr=answer.stderr,
            seconds=seconds,
        )

    def run_live(self, algorithm: str, **parameters: Any) -> tuple[int, str]:
        """As ``run``, with the messages and progress of QGIS on stdout; exit status and last error."""
        pairs = [f"--{name}={value}" for name, value in parameters.items()]
        answer = subprocess.run(
            [self.program, "run", algorithm, *pairs],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        said = [line for line in answer.stderr.splitlines() if line.strip()] or ["no message"]
        return answer.returncode, " ".join(said[-1].split())


def start_packaged(folder: Path, engine_python: Path) -> HeadlessQgis:
    """The plugin as users get it, built into ``folder``, in a profile beside it.

    Raises:
        QgisMissingError: There is no QGIS.
        RuntimeError: The plugin cannot be built or enabled.
    """
    plugins = folder / "plugins"
    package = [sys.executable, str(ROOT / ".ci" / "package.py"), "--folder", str(plugins)]
    built = subprocess.run(package, capture_output=True, text=True, check=False)
    if built.returncode:
        raise RuntimeError(f"The plugin cannot be built: {built.stderr.strip().splitlines()[-1]}")
    qgis = HeadlessQgis(folder / "profile", plugins, engine_python)
    qgis.enable_plugin()
    return qgis
