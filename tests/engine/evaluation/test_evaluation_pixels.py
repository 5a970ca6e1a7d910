"""Streamed, masked scores are those of a whole array, and those of torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_rasters import field

from engine.evaluation import windows
from engine.evaluation.pixels import PixelScores
from engine.evaluation.spectrum import log_distance, radial_power

HALO = windows.HALO_PX


def scored(truth, made, valid=None, data_range=1.0, tile=None):
    """Scores of a whole image, or of its parts one by one."""
    valid = np.ones(truth.shape[1:], dtype=bool) if valid is None else valid
    margin = ((0, 0), (HALO, HALO), (HALO, HALO))
    images = [np.pad(image.astype(np.float64), margin) for image in (truth, made)]
    mask = np.pad(valid, margin[1:])
    scores = PixelScores(len(truth), data_range, [(-0.5, 1.5)] * len(truth))
    tile = tile or max(truth.shape[1:])
    for row in range(0, truth.shape[1], tile):
        for col in range(0, truth.shape[2], tile):
            bottom, right = min(row + tile, truth.shape[1]), min(col + tile, truth.shape[2])
            part = slice(row, bottom + 2 * HALO), slice(col, right + 2 * HALO)
            scores.update(images[0][:, part[0], part[1]], images[1][:, part[0], part[1]], mask[part])
    return scores


def test_the_scores_are_those_of_torchmetrics():
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: evaluate)")
    metrics = pytest.importorskip("torchmetrics.functional.image", reason="needs the extra evaluate")
    truth, made = field(1), field(2)
    pair = [torch.from_numpy(image)[None] for image in (made, truth)]
    found = scored(truth, made).scores()
    assert found["psnr"] == pytest.approx(
        metrics.peak_signal_noise_ratio(*pair, data_range=1.0).item(), abs=1e-4
    )
    # Theirs also counts windows that reach beyond the border, into the mirror image.
    _, ssim = metrics.structural_similarity_index_measure(*pair, data_range=1.0, return_full_image=True)
    assert found["ssim"] == pytest.approx(ssim[..., HALO:-HALO, HALO:-HALO].mean().item(), abs=1e-5)
    assert found["sam"] == pytest.approx(metrics.spectral_angle_mapper(*pair).item(), abs=1e-4)


def test_texture_correlation_is_that_of_torchmetrics_away_from_the_border():
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: evaluate)")
    metrics = pytest.importorskip("torchmetrics.functional.image", reason="needs the extra evaluate")
    # Beyond the border theirs is zero, so a flat frame makes both agree: only the frame's windows differ.
    truth, made = (np.pad(field(seed, 1), ((0, 0), (20, 20), (20, 20))) for seed in (3, 3))
    made = made + np.pad(field(4, 1), ((0, 0), (20, 20), (20, 20)))
    whole = metrics.spatial_correlation_coefficient(
        *(torch.from_numpy(i)[None] for i in (made, truth))
    ).item()
    mine = windows.scc_map(truth.astype(np.float64), made.astype(np.float64))
    assert mine.sum() / truth[0].size == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("tile", [17, 32, 50])
def test_parts_add_up_to_the_whole(tile):
    truth, made = field(1), field(2)
    valid = np.random.default_rng(3).random(truth.shape[1:]) > 0.001
    whole, parts = scored(truth, made, valid), scored(truth, made, valid, tile=tile)
    assert parts.pixels == whole.pixels
    assert parts.scores() == pytest.approx(whole.scores())
    for one, other in zip(parts.per_band(), whole.per_band(), strict=True):
        assert one == pytest.approx(other)


def test_what_is_invalid_changes_nothing():
    truth, made = field(1), field(2)
    valid = np.ones(truth.shape[1:], dtype=bool)
    valid[10:30, 5:40] = False
    clean = scored(truth, made, valid).scores()
    made[:, ~valid] = 1e6
    truth[:, ~valid] = -1e6
    assert scored(truth, made, valid).scores() == pytest.approx(clean)


def test_a_known_error():
    truth = field(5)
    found = scored(truth, truth + np.float32(0.1)).scores()
    assert found["psnr"] == pytest.approx(20, abs=1e-3)
    assert (found["rmse"], found["mae"], found["bias"]) == pytest.approx((0.1,) * 3, abs=1e-6)
    assert found["wasserstein"] == pytest.approx(0.1, abs=2 / 512)
    assert found["scc"] == pytest.approx(1, abs=1e-4)


def test_equal_images_have_no_finite_psnr():
    found = scored(field(1), field(1)).scores()
    assert found["psnr"] is None
    assert (found["ssim"], found["r2"]) == pytest.approx((1, 1))
    assert found["mae"] == found["wasserstein"] == 0


def test_one_band_has_no_angle():
    assert scored(field(1, 1), field(2, 1)).scores()["sam"] is None


def test_nothing_valid_scores_nothing():
    found = scored(field(1), field(2), np.zeros((96, 80), dtype=bool))
    assert set(found.scores().values()) == {None}
    assert set(found.per_band()[0].values()) == {None}


def test_twice_the_contrast_is_four_times_the_power():
    image = field(6).astype(np.float64)
    assert log_distance(radial_power(255 * image), radial_power(510 * image)) == pytest.approx(np.log(4))


def test_a_flat_image_correlates_with_nothing():
    flat = np.full((1, 20, 20), 0.3)
    assert (windows.scc_map(flat, field(1, 1, 20, 20).astype(np.float64)) == 0).all()
