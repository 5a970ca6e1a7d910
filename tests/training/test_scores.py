from __future__ import annotations

import numpy as np
import pytest
import torch
from made_pairs import make_pair

from engine.evaluation.spectrum import radial_power, wasserstein
from training.metrics import baselines
from training.metrics.scores import Scores, histogram


def image(seed: int, size: int = 64) -> torch.Tensor:
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed)) * 0.5


def scores(predicted: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    found = Scores()
    found.update(predicted, truth)
    return found.compute()


def test_a_perfect_image():
    found = scores(image(0), image(0))
    assert found["ssim"] == pytest.approx(1, abs=1e-5)
    assert found["scc"] == pytest.approx(1, abs=1e-4)
    assert found["sam"] < 1e-3
    assert found["wasserstein"] == found["spectrum"] == 0


def test_psnr_of_a_known_error():
    assert scores(image(0) + 0.1, image(0))["psnr"] == pytest.approx(20, abs=1e-3)


def test_angle_ignores_brightness_and_sees_colour():
    grey = torch.full((3, 32, 32), 0.2)
    assert scores(0.5 * grey + 0 * image(1, 32), grey)["sam"] < 1e-3
    red = grey * torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    assert scores(red, grey)["sam"] == pytest.approx(np.arccos(1 / np.sqrt(3)), abs=1e-3)


@pytest.mark.parametrize("steps", [1, 13])
def test_wasserstein_of_a_shift_is_the_shift(steps):
    stored = (image(2) * 200).round() / 255
    assert scores(stored + steps / 255, stored)["wasserstein"] == pytest.approx(steps, abs=1e-6)


def test_wasserstein_agrees_with_scipy():
    from scipy.stats import wasserstein_distance

    first, second = image(3), image(4) * 0.7 + 0.05
    found = wasserstein(histogram(first).numpy(), histogram(second).numpy())
    for band in range(3):
        values = [(x[band].flatten() * 255).round().numpy() for x in (first, second)]
        assert found[band] == pytest.approx(wasserstein_distance(*values), abs=0.01)


def test_spectrum_of_twice_the_contrast():
    base = image(5)
    assert scores(0.5 * base, base)["spectrum"] == pytest.approx(np.log(4), abs=1e-4)


def test_power_of_one_wave_is_at_its_frequency():
    x = torch.arange(64) / 64
    wave = (0.5 + 0.2 * torch.sin(2 * torch.pi * 9 * x)).expand(3, 64, 64)
    assert (radial_power(wave.numpy()).argmax(axis=1) == 9 - 1).all()


def test_power_is_pooled_before_the_logarithm():
    found = Scores()
    found.update(image(0), image(1))
    found.update(image(1), image(0))
    assert found.compute()["spectrum"] == pytest.approx(0, abs=1e-9)


def test_regression_finds_a_linear_law():
    pairs = [make_pair(seed) for seed in range(6)]
    fitted = baselines.regression(pairs[:5], pairs[5:]).compute()
    flat = baselines.constant(pairs[:5], pairs[5:]).compute()
    assert fitted["psnr"] > flat["psnr"] + 3
    assert fitted["wasserstein"] < flat["wasserstein"]


def test_other_places_are_never_the_tested_one():
    pairs = [make_pair(seed) for seed in range(3)]
    found = baselines.other_places(pairs[:2], pairs[2:]).compute()
    assert found["psnr"] < 40
