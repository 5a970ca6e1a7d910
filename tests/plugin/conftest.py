"""A packaged plugin in a real QGIS with settings of its own, and an engine in another interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SCRATCH = Path(tempfile.mkdtemp(prefix="eo-translate-plugin-tests-"))

# Before QGIS starts: nothing of the user's own profile is read or written.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["QGIS_CUSTOM_CONFIG_PATH"] = str(_SCRATCH / "profile")
os.environ["XDG_DATA_HOME"] = str(_SCRATCH / "data")
os.environ["XDG_CONFIG_HOME"] = str(_SCRATCH / "config")
os.environ["EO_TRANSLATE_PYTHON"] = os.environ.get("EO_TRANSLATE_PYTHON") or str(ROOT / ".venv/bin/python")
subprocess.run(
    [sys.executable, ROOT / ".ci" / "package.py", "--folder", _SCRATCH / "plugins"],
    check=True,
    stdout=subprocess.DEVNULL,
)
# What users get is tested, not the checkout.
sys.path.insert(0, str(_SCRATCH / "plugins"))

import shutil  # noqa: E402
from collections.abc import Iterator  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from plugin_rasters import speckle, write_geotiff  # noqa: E402
from preview_window import controller, slow, window  # noqa: E402, F401 (fixtures)
from qgis.PyQt.QtCore import QSettings  # noqa: E402

for _format in (QSettings.Format.NativeFormat, QSettings.Format.IniFormat):
    QSettings.setPath(_format, QSettings.Scope.UserScope, str(_SCRATCH / "settings"))


def pytest_unconfigure() -> None:
    shutil.rmtree(_SCRATCH, ignore_errors=True)


@pytest.fixture(scope="session")
def plugin_folder() -> Path:
    return _SCRATCH / "plugins" / "eo_translate_plugin"


@pytest.fixture
def provider(qgis_app, qgis_processing) -> Iterator:
    """The provider, registered as QGIS does it for ``qgis_process``."""
    from qgis.core import QgsApplication

    from eo_translate_plugin import classFactory

    plugin = classFactory(None)
    plugin.initProcessing()
    yield QgsApplication.processingRegistry().providerById("eo_translate")
    plugin.unload()


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> dict[str, str]:
    """Paths of a small SAR scene, DEM and WorldCover mask on one grid, and of a large, slow SAR scene."""
    folder = tmp_path_factory.mktemp("scene")
    dem = np.add.outer(np.arange(192), np.arange(192)).astype(np.int16)[None]
    mask = np.full((1, 192, 192), 80, np.uint8)
    mask[:, 60:] = 10
    mask[:, 130:, 90:] = 50
    return {
        "sar": write_geotiff(folder / "sar.tif", speckle(192)),
        "dem": write_geotiff(folder / "dem.tif", dem),
        "mask": write_geotiff(folder / "mask.tif", mask),
        "large": write_geotiff(folder / "large.tif", speckle(4096, 1)),
    }
