"""Tiny any-to-any models with random weights, made by the engine's own import, and an engine for them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Four groups of display values, and twelve in physical units.
_MAKE = """
import sys
from pathlib import Path
import joint_packages
from engine.models.joint_import import import_joint
folder = Path(sys.argv[1])
joint_packages.beta_package(folder / "beta", "tiny-beta")
files = joint_packages.cop_gen_files(folder / "cop-gen")
import_joint("cop-gen", *files, "tiny-cop-gen", heads=joint_packages.HEADS)
"""


def engine_with_torch() -> Path | None:
    """The interpreter that the engine's tests run on; the light one has no torch."""
    python = ROOT / ".venv" / "bin" / "python"
    return python if python.is_file() else None


def make_models(folder: Path) -> Path:
    """The folder of the packages ``tiny-beta`` and ``tiny-cop-gen``."""
    python = engine_with_torch()
    if python is None:
        pytest.skip("the environment .venv, which has torch, is not there: make .venv/.installed")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "EO_TRANSLATE"))},
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "engine")]),
        "XDG_DATA_HOME": str(folder / "data"),
        "OMP_NUM_THREADS": "1",
    }
    command = [str(python), "-c", _MAKE, str(folder)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return folder / "data" / "eo-translate" / "models"


@pytest.fixture(scope="session")
def joint_models(tmp_path_factory) -> Path:
    """Where the tiny models are."""
    return make_models(tmp_path_factory.mktemp("joint-models"))


@pytest.fixture(scope="module")
def joint_engine(joint_models) -> Iterator[None]:
    """An engine with torch that knows the tiny models, and no other before or after."""
    from eo_translate_plugin.worker_client import close_shared

    with pytest.MonkeyPatch.context() as patch:
        close_shared()
        patch.setenv("EO_TRANSLATE_PYTHON", str(engine_with_torch()))
        patch.setenv("EO_TRANSLATE_MODELS", str(joint_models))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
        close_shared()
