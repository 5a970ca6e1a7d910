"""Where things are: the engine's source, its interpreter, its data folder and log."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from qgis.core import QgsSettings

PLUGIN_FOLDER = Path(__file__).resolve().parent
PYTHON_SETTING = "eo_translate/python"
PYTHON_VARIABLE = "EO_TRANSLATE_PYTHON"


class EngineMissingError(Exception):
    """No interpreter for the engine; the message says what to do."""


class Interpreter(NamedTuple):
    """A Python interpreter for the engine and who named it."""

    path: Path
    origin: str


def engine_parent() -> Path:
    """The folder of ``engine`` and ``resources``: the plugin's own in the zip, its parent in a checkout."""
    return PLUGIN_FOLDER if (PLUGIN_FOLDER / "engine").is_dir() else PLUGIN_FOLDER.parent


def resource(*parts: str) -> Path:
    """A file of ``resources``."""
    return engine_parent().joinpath("resources", *parts)


def data_folder() -> Path:
    """The folder for models, environment and logs: what platformdirs calls the user's data folder."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(local, "eo-translate", "eo-translate")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "eo-translate"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share", "eo-translate")


def environment_folder() -> Path:
    """The virtual environment that the options page makes."""
    return data_folder() / "environment"


def log_path() -> Path:
    """The worker's log."""
    return data_folder() / "logs" / "worker.log"


def venv_python(folder: Path) -> Path:
    """The interpreter inside a virtual environment."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def find_interpreter() -> Interpreter:
    """The engine's interpreter.

    Order: ``EO_TRANSLATE_PYTHON``, the options page's setting, the environment that it made, the
    interpreter behind ``eo-translate`` on PATH. A named place that does not exist is an error, not skipped.

    Raises:
        EngineMissingError: There is none.
    """
    named = os.environ.get(PYTHON_VARIABLE, "").strip()
    if named:
        return _existing(named, f"the variable {PYTHON_VARIABLE}")
    chosen = str(QgsSettings().value(PYTHON_SETTING, "") or "").strip()
    if chosen:
        return _existing(chosen, "Settings > Options > EO Translate")
    own = venv_python(environment_folder())
    if own.is_file() and is_complete(environment_folder()):
        return Interpreter(own, "the environment made by Settings > Options > EO Translate")
    script = shutil.which("eo-translate")
    behind = _interpreter_of_script(Path(script)) if script else None
    if behind is not None:
        return Interpreter(behind, "eo-translate on PATH")
    raise EngineMissingError(
        "The engine of EO Translate is not installed yet; create it in Settings > Options > EO Translate, or "
        f"set {PYTHON_VARIABLE} to a Python interpreter that has its packages."
    )


def shown(path: Path) -> str:
    """A path for people, with ``~`` for their home."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except ValueError:
        return str(path)


def completion_marker(folder: Path) -> Path:
    """The file that marks an environment whose installation ran to its end."""
    return folder / "eo-translate-requirements.txt"


def is_complete(folder: Path) -> bool:
    """Whether the installation of an environment ran to its end."""
    return completion_marker(folder).is_file()


def has_diffusion(folder: Path) -> bool:
    """Whether an environment was made with the packages for diffusion models."""
    return is_complete(folder) and "\ntorch" in completion_marker(folder).read_text(encoding="utf-8")


def _existing(text: str, origin: str) -> Interpreter:
    path = Path(text).expanduser()
    if path.is_dir():
        path = venv_python(path)
    if not path.is_file():
        raise EngineMissingError(
            f"There is no Python interpreter at {path}, which {origin} names; correct it or clear it."
        )
    # Not resolved: the interpreter of a virtual environment is a link, and works by where it lies.
    return Interpreter(Path(os.path.abspath(path)), origin)


def _interpreter_of_script(script: Path) -> Path | None:
    """The interpreter in the first line of a console script, else the one beside the script (Windows)."""
    with script.open("rb") as file:
        match = re.match(rb"#!\s*(\S.*?)\s*$", file.readline(512).rstrip())
    candidates = [Path(os.fsdecode(match.group(1)))] if match else []
    real = script.resolve()
    candidates += [real.with_name("python.exe" if os.name == "nt" else "python")]
    return next((path for path in candidates if path.is_absolute() and path.is_file()), None)


def requirements(variant: str) -> list[str]:
    """The engine's packages for ``cpu`` or ``cuda``, or those that ``diffusion`` models need too.

    They are written when the plugin is packaged (``engine-requirements.txt``), from ``pyproject.toml``.
    """
    lines = (PLUGIN_FOLDER / "engine-requirements.txt").read_text(encoding="utf-8").splitlines()
    start = lines.index(f"[{variant}]") + 1
    return list(itertools.takewhile(lambda line: not line.startswith("["), lines[start:]))
