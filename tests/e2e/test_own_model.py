"""A model of one's own: rasters to latents, a training killed and gone on with, a package, a run in QGIS."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from e2e_rasters import open_raster, pixels
from headless_qgis import HeadlessQgis
from joint_models import ROOT, engine_with_torch

PLACES = ("282D_485L_3_3", "38D_378R_2_3", "433D_629L_3_1")
SIDE = 16


def pixel_group(name, bands, **encoding):
    """A group without autoencoder: its pixels are the latent."""
    latent = {"channels": len(bands), "height": SIDE, "width": SIDE, "patch": 4}
    return {
        "name": name,
        "modality": name,
        "latent": latent,
        "encoding": encoding,
        "bands": [{"name": band} for band in bands],
    }


GROUPS = [
    pixel_group("dem", ["DEM"], kind="standardised", deviations=3.0, units="m"),
    pixel_group(
        "s2_rgb", ["B04", "B03", "B02"], kind="linear", scale=1 / 127.5, offset=-1.0, units="display value"
    ),
]
SETTINGS = (
    "threads=1",
    "network.width=32",
    "network.depth=3",
    "network.heads=2",
    f"data.validation=[{PLACES[2]}]",
    "data.drawing.batch_size=4",
    "data.drawing.workers=0",
    "data.drawing.steps_per_epoch=3",
    "task.checkpointing=false",
    "trainer.precision=32-true",
    "trainer.max_epochs=3",
    "grids.requests=[]",
    "autoencoders={}",
    "package.title=Own model",
)
SAME_WEIGHTS = """
import sys, torch
first, second = (torch.load(path, weights_only=True)["state_dict"] for path in sys.argv[1:])
assert first.keys() == second.keys()
assert all(torch.equal(first[name], second[name]) for name in first)
print(len(first))
"""


@pytest.fixture(scope="module")
def trainer():
    """``trainer(WORD ...)``: a process of ``eo-train`` in the engine's own environment."""
    python = engine_with_torch()
    if python is None:
        pytest.skip("the environment .venv, which has torch, is not there: make .venv/.installed")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "EO_TRANSLATE"))}
    environment = {**kept, "OMP_NUM_THREADS": "1"}

    def start(*words, module="training.cli"):
        command = [str(python), *(["-m", module] if module else ["-c"]), *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, env=environment, cwd=ROOT, **pipes)

    return start


def finished(process):
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return text


def killed_after_its_first_checkpoint(process, run: Path):
    deadline = time.monotonic() + 200
    while not (run / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_from_rasters_over_a_killed_training_to_an_image_in_qgis(trainer, data, plugins, tmp_path):
    places = tmp_path / "places.csv"
    folder = data / "terramind"
    rows = [f"{name},{folder}/DEM/{name}.tif,{folder}/S2RGB/{name}.tif,B04 B03 B02" for name in PLACES]
    places.write_text("\n".join(["location,dem,s2_rgb,s2_rgb_bands", *rows]) + "\n")
    (tmp_path / "groups.json").write_text(json.dumps(GROUPS))
    store = tmp_path / "store"
    finished(trainer("encode", places, store, "--groups", tmp_path / "groups.json"))

    def fit(name):
        told = (
            "experiment=cop_gen_beta",
            f"output={tmp_path / name}",
            f"data.store={store}",
            f"groups_from={store}",
        )
        return trainer(*told, *SETTINGS)

    finished(fit("whole"))
    killed_after_its_first_checkpoint(fit("killed"), tmp_path / "killed")
    finished(fit("killed"))
    checkpoints = tmp_path / "whole" / "last.ckpt", tmp_path / "killed" / "last.ckpt"
    assert int(finished(trainer(SAME_WEIGHTS, *checkpoints, module=None))) > 30

    finished(trainer("package", tmp_path / "killed", tmp_path / "own-model"))
    session = HeadlessQgis(tmp_path / "profile", plugins, engine_with_torch())
    session.enable_plugin()
    outcome = session.run(
        "eo_translate:translate",
        {"OMP_NUM_THREADS": "1"},
        MODEL=tmp_path / "own-model",
        DEM=folder / "DEM" / f"{PLACES[2]}.tif",
        GENERATE="s2_rgb",
        STEPS=2,
        DEVICE="cpu",
        OUTPUT=tmp_path / "made",
    )
    assert outcome.code == 0, outcome.stderr
    with (
        open_raster(folder / "DEM" / f"{PLACES[2]}.tif") as given,
        open_raster(tmp_path / "made" / "s2_rgb.tif") as made,
    ):
        assert (made.crs, made.shape, made.count) == (given.crs, given.shape, 3)
        assert tuple(made.bounds) == pytest.approx(tuple(given.bounds))
    assert pixels(tmp_path / "made" / "s2_rgb.tif").std() > 0
