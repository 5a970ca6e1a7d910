"""What ``make demo`` refuses, before QGIS is started."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"SAR": "/no/such/scene.tif"},
            "SAR=/no/such/scene.tif does not exist; give the path of a raster file.",
        ),
        ({"DEM": "README.md"}, "DEM goes with a SAR scene; give SAR=path too."),
        ({"LEGEND": "corine"}, "LEGEND explains a mask; give MASK=path too."),
        (
            {"MASK": "README.md", "LEGEND": "moon"},
            "There is no legend moon; choose one of aras400k, corine, ",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_argument_is_one_sentence(engine_python, asked, sentence):
    answer = subprocess.run(
        [engine_python, ROOT / ".ci" / "demo.py"],
        env={**os.environ, **asked},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith(sentence)
    assert len(answer.stderr.splitlines()) == 1
