from __future__ import annotations

import pytest
import torch

from training.losses.adversarial import (
    PatchDiscriminator,
    feature_matching,
    hinge_discriminator,
    hinge_generator,
)
from training.losses.reconstruction import energy, masked_mean, spectral_angle

SIZE = (4, 3, 64, 64)


def normal(seed: int, size: tuple[int, ...] = SIZE) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def weight(size: tuple[int, ...] = SIZE) -> torch.Tensor:
    return torch.ones(size[0], 1, *size[2:])


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_energy_is_least_at_the_promised_deviation(spread):
    truth, first, second = normal(0), normal(1), normal(2)
    tried = torch.linspace(0, 2, 41)
    losses = [energy(s * first, s * second, truth, weight(), spread, {1: 1.0}) for s in tried]
    best = tried[int(torch.stack(losses).argmin())]
    assert best == pytest.approx(spread / (2 - spread**2) ** 0.5, abs=0.08)


def test_energy_of_one_draw_is_l1():
    image, truth = normal(1), normal(2)
    found = energy(image, None, truth, weight(), 0.7, {1: 1.0})
    assert found == pytest.approx(float((image - truth).abs().mean()), rel=1e-5)


def test_distance_may_be_measured_on_a_part_of_the_batch():
    image, other, truth = normal(1), normal(2), normal(3)
    found = energy(image, other[:1], truth, weight(), 0.5, {1: 1.0})
    expected = (image - truth).abs().mean() - 0.25 * (image[:1] - other[:1]).abs().mean()
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_unknown_pixels_do_not_count_at_any_scale():
    truth, known = normal(3), weight()
    known[..., :24] = 0
    changed = truth.clone()
    changed[..., :24] += 100
    image, other = normal(4), normal(5)
    scales = {1: 1.0, 8: 1.0}
    spoiled = image.clone()
    spoiled[..., :24] -= 50
    first = energy(image, other, truth, known, 0.5, scales)
    second = energy(spoiled, other, changed, known, 0.5, scales)
    assert first == pytest.approx(float(second), rel=1e-5)


def test_mean_of_nothing_is_zero():
    assert masked_mean(normal(0), torch.zeros(4, 1, 64, 64)) == 0


def test_spectral_angle_of_orthogonal_and_equal_spectra():
    red, green = (torch.eye(3)[k].view(1, 3, 1, 1).expand(1, 3, 8, 8) for k in (0, 1))
    one = torch.ones(1, 1, 8, 8)
    assert spectral_angle(red, green, one) == pytest.approx(torch.pi / 2, abs=1e-3)
    assert spectral_angle(0.3 * red, red, one) < 0.02
    leaf = (0.3 * red).clone().requires_grad_()
    spectral_angle(leaf, red, one).backward()
    assert torch.isfinite(leaf.grad).all()


def test_discriminators_learn_to_tell_and_the_generator_to_please():
    torch.manual_seed(0)
    critic = PatchDiscriminator(4, widths=(8, 16), scales=2)
    optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3)
    condition = torch.zeros(4, 1, 32, 32)
    real, fake = 0.2 + 0.1 * normal(1, (4, 3, 32, 32)), torch.full((4, 3, 32, 32), 0.2)
    start = float(hinge_discriminator(critic(condition, real), critic(condition, fake)).detach())
    for _ in range(60):
        loss = hinge_discriminator(critic(condition, real), critic(condition, fake))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5 * start
    critic.eval()  # spectral norm iterates in training
    with torch.no_grad():
        assert hinge_generator(critic(condition, real)) < hinge_generator(critic(condition, fake))
        assert feature_matching(critic(condition, real), critic(condition, real)) == 0
