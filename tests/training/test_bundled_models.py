from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.models.verify import verify
from training.datasets import ombria
from training.datasets.crops import cell_noise, whole
from training.metrics.scores import Scores

MODELS = Path(__file__).resolve().parents[2] / "resources" / "models"
NAMES = ("sar-to-optical", "mask-to-image")
HELD_OUT = {"o032", "o074", "2021_ALBANIA"}


@pytest.fixture(scope="module", params=NAMES)
def item(request):
    return verify(MODELS / request.param).item


def session(item):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(item.weights_path, options, providers=["CPUExecutionProvider"])


def test_small_enough_for_the_zip(item):
    assert item.weights_path.stat().st_size <= 10_000_000


def test_says_what_it_is_and_where_it_comes_from(item):
    assert "false colour" in item.title
    assert "Contains modified Copernicus Sentinel data" in item.training["notice"]
    assert len(item.training["commit"].rstrip("+")) == 40
    assert set(item.training["never_trained_on"]) >= HELD_OUT
    assert set(item.metrics["places"]) == HELD_OUT


def test_crops_with_halo_are_bit_identical(item):
    """Windows at other offsets and of other sizes, the engine's way of cutting a scene."""
    run, halo = session(item), item.tiling.halo_px
    rng = np.random.default_rng(0)
    feed = {
        x.name: rng.standard_normal((1, x.shape[1], 320, 320), dtype=np.float32) for x in run.get_inputs()
    }
    full = run.run(None, feed)[0]
    for row, col, height, width in ((0, 0, 160, 320), (56, 104, 200, 144), (16, 8, 304, 312)):
        part = run.run(None, {k: v[:, :, row : row + height, col : col + width] for k, v in feed.items()})[0]
        top, left = (0 if start == 0 else halo for start in (row, col))
        bottom, right = (
            extent if start + extent == 320 else extent - halo
            for start, extent in ((row, height), (col, width))
        )
        inner = part[:, :, top:bottom, left:right]
        np.testing.assert_array_equal(inner, full[:, :, row + top : row + bottom, col + left : col + right])


def test_samples_differ(item):
    run = session(item)
    rng = np.random.default_rng(1)
    feed = {x.name: np.zeros((1, x.shape[1], 64, 64), np.float32) for x in run.get_inputs()}
    first = item.inputs[0].tensor
    feed[first][:, 0] = 1
    draws = []
    for _ in range(2):
        feed["noise"] = rng.standard_normal(feed["noise"].shape, dtype=np.float32)
        draws.append(run.run(None, feed)[0])
    assert np.abs(draws[0] - draws[1]).mean() > 0.5 / 255


def test_sar_model_meets_its_aim():
    """On places never trained on: closer in colour, texture and distribution than the regression."""
    metrics = verify(MODELS / "sar-to-optical").item.metrics
    model, regression = metrics["model"], metrics["local_regression"]
    for name in ("sam", "spectrum", "wasserstein"):
        assert model[name] < regression[name], name
    assert model["psnr"] > regression["psnr"] - 1.5


def test_mask_model_keeps_to_the_mask():
    fidelity = verify(MODELS / "mask-to-image").item.metrics["mask_fidelity"]
    assert fidelity["model"]["mean_iou"] > 0.4
    assert fidelity["model"]["accuracy"] > 0.7


def test_sar_scores_can_be_measured_again(eo_data):
    """Score every tenth held-out image and find the item's figures within sampling error."""
    item = verify(MODELS / "sar-to-optical").item
    run, scores, halo = session(item), Scores(), item.tiling.halo_px
    pairs = [pair for pair in ombria.load(eo_data) if pair.location in HELD_OUT]
    assert len(pairs) == item.metrics["images"]
    for number, pair in list(enumerate(pairs))[::10]:
        sample = whole(pair, 0, halo, ("sar", "dem"))
        sample["noise"] = cell_noise(np.random.default_rng(number), 256 + 2 * halo, item.noise.cells_px)
        image = run.run(None, {x.name: sample[x.name][None] for x in run.get_inputs()})[0][0]
        scores.update(torch.from_numpy(image[:, halo:-halo, halo:-halo]), torch.from_numpy(pair.optical))
    found = scores.compute()
    assert found["psnr"] == pytest.approx(item.metrics["model"]["psnr"], abs=1.5)
    assert found["sam"] == pytest.approx(item.metrics["model"]["sam"], abs=0.05)
