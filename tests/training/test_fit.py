from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from made_pairs import write_data_set

from engine.models.verify import verify
from training.calibrate import calibrate
from training.evaluate import evaluate
from training.export import load_run, package, random_inputs, to_onnx
from training.figures import figures

TINY = (
    "threads=1",
    "network.widths=[8,8,8]",
    "network.depths=[1,1,1]",
    "data.validation=[place0]",
    "data.ignored=[place1]",
    "data.pad_px=8",
    "data.sampling.size=48",
    "data.sampling.batch_size=2",
    "data.sampling.steps_per_epoch=3",
    "task.objectives.0.inset_px=8",
    "task.objectives.1.inset_px=8",
    "task.objectives.1.from_epoch=1",
    "trainer.max_epochs=3",
)


def start(output: Path, data_set: Path, experiment: str = "sar_to_optical", *more: str) -> subprocess.Popen:
    words = [f"experiment={experiment}", f"output={output}", f"data.sets=[{data_set}]", *TINY, *more]
    return subprocess.Popen(
        [sys.executable, "-m", "training.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return text


def weights(run: Path) -> dict:
    return torch.load(run / "last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory, request):
    """One finished run, and the data set it was fitted on."""
    folder = tmp_path_factory.mktemp("fit")
    index = write_data_set(folder)
    finish(start(folder / "whole", index))
    return folder / "whole", index


def test_a_killed_run_ends_as_if_it_had_not_been(run, tmp_path):
    whole, index = run
    process = start(tmp_path / "killed", index)
    deadline = time.monotonic() + 200
    while not (tmp_path / "killed" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert weights(tmp_path / "killed")["epoch"] < 2
    finish(start(tmp_path / "killed", index))
    first, second = weights(whole), weights(tmp_path / "killed")
    assert first["state_dict"].keys() == second["state_dict"].keys()
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name
    assert int(first["state_dict"]["steps"]) == 9


def test_training_changes_all_three_networks(run):
    config, average, state = load_run(run[0], "last.ckpt")
    from training.fit import build

    fresh = build(config)[0].state_dict()
    for part in ("network", "average", "discriminator"):
        names = [n for n in fresh if n.startswith(part + ".") and n.endswith(("weight", "original"))]
        assert names
        assert any((state["state_dict"][n] != fresh[n]).any() for n in names)
    assert all(torch.isfinite(p).all() for p in average.parameters())


def test_package_is_valid_and_tells_its_origin(run, tmp_path):
    scores = evaluate(run[0])
    assert scores["places"] == ["place0"]
    assert {"model", "constant_colour", "local_regression", "other_real_images"} <= scores.keys()
    assert scores["other_modalities"]["1_s2.tif"].keys() == {"VV", "VV+VH", "VV+VH+DEM"}
    package(run[0], tmp_path / "tiny-model", scores)
    report = verify(tmp_path / "tiny-model")
    item = report.item
    assert item.metrics["model"] == scores["model"]
    assert item.training["seed"] == 2026
    assert item.training["steps"] > 0
    assert item.training["onnx_difference"] < 1e-4
    assert item.tiling.halo_px % 8 == 0
    assert not (tmp_path / "tiny-model.part").exists()


def test_calibration_is_measured_exported_and_told(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run[0], copy)
    found = calibrate(copy)
    angles = {float(share): angle for share, angle in found["angles"].items()}
    assert angles[found["share"]] == min(angles.values())
    plain, mixed = load_run(run[0])[1], load_run(copy)[1]
    inputs = random_inputs(plain, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain(*inputs), mixed(*inputs)) == (found["share"] == 0)
    package(copy, tmp_path / "calibrated")
    assert verify(tmp_path / "calibrated").item.training["colour_shrinkage"] == found


def test_the_graph_takes_any_multiple_of_eight(run, tmp_path):
    import onnxruntime

    _, network, _ = load_run(run[0])
    to_onnx(network, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for size in ((8, 8), (40, 200), (256, 16)):
        inputs = random_inputs(network, *size)
        feed = {name: x.numpy() for name, x in zip(network.inputs, inputs, strict=True)}
        assert session.run(None, feed)[0].shape == (1, 3, *size)


def test_pictures_show_input_output_and_truth(run, tmp_path):
    from PIL import Image

    paths = figures(run[0], tmp_path)
    assert [p.name for p in paths] == [f"sar_to_optical_{word}.png" for word in ("best", "median", "worst")]
    assert Image.open(paths[0]).size == (3 * 96 + 2 * 8, 96)


def test_masks_train_too(data_set, tmp_path):
    finish(start(tmp_path / "mask", data_set, "mask_to_image", "trainer.max_epochs=2"))
    scores = evaluate(tmp_path / "mask")
    assert 0 <= scores["mask_fidelity"]["model"]["mean_iou"] <= 1
    assert scores["mask_fidelity"]["real_images"]["mean_iou"] > 0.9


def test_an_unknown_run_is_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "training.cli", "evaluate", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is not a training run" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
