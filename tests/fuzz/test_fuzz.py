"""A small share of the fuzzing in every test run; ``make fuzz`` runs all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="needs the [train] extra")
if sys.platform != "linux":
    pytest.skip("Linux tells who opens a file, and limits memory", allow_module_level=True)
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "engine")]

import pool  # noqa: E402
import targets  # noqa: E402

from engine.models import store  # noqa: E402
from engine.models.onnx_import import import_onnx  # noqa: E402
from engine.raster.source import open_raster  # noqa: E402

CASES = {"item": 120, "onnx": 80, "geotiff": 100, "job": 60, "protocol": 60, "joint": 40}


@pytest.mark.parametrize("target", CASES)
def test_mutations_are_refused_in_a_sentence(target):
    tally = pool.fuzz(target, range(CASES[target]))
    assert not tally.findings, "\n".join(f"{kind}: {cases[0]}" for kind, cases in tally.findings.items())
    assert tally.refused > tally.cases / 4, "the mutations change nothing"


def test_what_is_mutated_is_valid(tmp_path, monkeypatch):
    """Otherwise everything would be refused for one and the same reason."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    targets.write_seeds(tmp_path)
    for name in ("sar", "mask"):
        assert store.install(tmp_path / name, replace=True).id == "tiny"
    for graph in sorted((tmp_path / "onnx").glob("*.onnx")):
        assert import_onnx(graph, graph.stem).id == graph.stem
    for raster in sorted((tmp_path / "tiff").glob("*.tif")):
        open_raster(str(raster), "sar").close()


def test_guard_tells_of_every_kind_of_trespass(tmp_path):
    """The guard itself, in a process of its own: an audit hook stays for good."""
    script = (
        "import json, os, sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1]); from guard import Guard\n"
        "place = Path(sys.argv[2]); (place / 'mine').mkdir(); (place / 'canary').write_text('x')\n"
        "guard = Guard(place / 'canary'); found = []\n"
        "def case(act):\n"
        "    guard.watch([place / 'mine'], [place / 'mine']); act(); found.append(guard.findings())\n"
        "case(lambda: (place / 'mine' / 'a').write_text('x'))\n"
        "case(lambda: (place / 'b').write_text('x'))\n"
        "case(lambda: (place / 'mine' / '..' / 'b').unlink())\n"
        "case(lambda: (place / 'mine' / 'link').symlink_to('../canary'))\n"
        "case(lambda: (place / 'mine' / 'link').read_text())\n"
        "case(lambda: os.system('true'))\n"
        "case(lambda: __import__('numpy').fromfile(place / 'canary'))\n"
        "print(json.dumps([bool(one) for one in found]))\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == [False, True, True, False, True, True, True]
