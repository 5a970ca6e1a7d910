"""Small real rasters and tiny networks for the training tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("lightning", reason="needs the [train] extra")

from made_pairs import make_pair, write_data_set  # noqa: E402

from training.datasets.pairs import Pair  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture
def pair() -> Pair:
    return make_pair(1)


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    return write_data_set(tmp_path)


@pytest.fixture
def eo_data() -> Path:
    root = Path(os.environ.get("EO_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    if not (root / "ombria" / "index.csv").is_file():
        pytest.skip(f"no OMBRIA data at {root}; set EO_DATA")
    return root
