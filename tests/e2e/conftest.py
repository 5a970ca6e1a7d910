"""The plugin as users get it, run by ``qgis_process`` in a profile of its own, on the sample scene."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / ".ci"), str(ROOT / "tests" / "plugin")]

from headless_qgis import HeadlessQgis  # noqa: E402
from joint_models import joint_models  # noqa: E402, F401 (fixture)

SIZE = 320


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """The interpreter of the light environment, which is what users have."""
    named = os.environ.get("EO_TRANSLATE_PYTHON")
    candidates = (
        [Path(named)] if named else [ROOT / name / "bin" / "python" for name in (".venv-base", ".venv")]
    )
    found = next((path for path in candidates if path.is_file()), None)
    assert found, "There is no environment of the engine; run: make .venv-base/.installed"
    return found


@pytest.fixture(scope="session")
def plugins(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    package = [sys.executable, str(ROOT / ".ci" / "package.py"), "--folder", str(folder)]
    subprocess.run(package, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def qgis(tmp_path_factory, plugins, engine_python) -> HeadlessQgis:
    session = HeadlessQgis(tmp_path_factory.mktemp("profile"), plugins, engine_python)
    session.enable_plugin()
    return session


@pytest.fixture(scope="session")
def eo_translate(engine_python, plugins):
    """``eo-translate ARGUMENTS`` with the plugin's own copy of the engine."""

    def call(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(plugins / "eo_translate_plugin")}
        command = [str(engine_python), "-m", "engine.cli", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=cwd)

    return call


@pytest.fixture(scope="session")
def scene(tmp_path_factory, eo_translate) -> dict[str, Path]:
    """SAR, DEM, mask and truth of a simulated place."""
    folder = tmp_path_factory.mktemp("scene")
    answer = eo_translate("sample", folder, "--size", SIZE)
    assert answer.returncode == 0, answer.stderr
    return {path.stem: path for path in map(Path, answer.stdout.split())}


@pytest.fixture(scope="session")
def data() -> Path:
    """Real rasters, which are no part of the repository."""
    folder = Path(os.environ.get("EO_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "README.md").is_file():
        pytest.skip(f"There are no real rasters in {folder}; set EO_DATA to a folder that has them.")
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    """An empty folder for results."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder
