from __future__ import annotations

import pytest
import torch

from engine.networks.local_spade import LocalSpade
from engine.networks.local_unet import LocalUNet
from training.export import random_inputs, receptive_radius

HALO_PX = 48


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """Blocks start as the identity; with random weights everywhere nothing hides."""
    torch.manual_seed(0)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.15 if p.dim() == 1 else (1.0 / p[0].numel()) ** 0.5)
    return network.eval()


NETWORKS = [LocalUNet((16, 24, 32)), LocalSpade(widths=(16, 24, 32), hidden=16)]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: type(n).__name__)
def test_receptive_radius_fits_the_halo(network):
    assert 24 <= receptive_radius(lively(network)) <= HALO_PX


@pytest.mark.parametrize("network", [LocalUNet(), LocalSpade()], ids=lambda n: type(n).__name__)
def test_bundled_sizes_stay_within_the_radius(network):
    assert receptive_radius(lively(network), 160) <= HALO_PX


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: type(n).__name__)
def test_a_window_with_halo_gives_what_the_whole_gives(network):
    network = lively(network)
    inputs = random_inputs(network, 192, 192)
    with torch.no_grad():
        full = network(*inputs)[:, :, 56:120, 56:120]
        part = network(*(x[:, :, 8:168, 8:168] for x in inputs))[:, :, 48:112, 48:112]
    torch.testing.assert_close(part, full, atol=1e-6, rtol=0)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: type(n).__name__)
def test_every_input_matters_and_the_result_is_reflectance(network):
    network = lively(network)
    inputs = random_inputs(network, 64, 64)
    with torch.no_grad():
        base = network(*inputs)
        assert base.shape == (1, 3, 64, 64)
        assert 0 <= base.min() <= base.max() <= 1
        for k in range(len(inputs)):
            changed = [x + 1 if j == k else x for j, x in enumerate(inputs)]
            assert (network(*changed) - base).abs().max() > 1e-4


def test_coarse_noise_reaches_all_scales_with_unit_variance():
    network = LocalSpade(noise_cells=(1, 32))
    noise = torch.randn(1, 2, 256, 256, generator=torch.Generator().manual_seed(0))
    noise[:, 1] = torch.nn.functional.interpolate(noise[:, 1:, ::32, ::32], scale_factor=32)[0]
    pooled = network._pooled(torch.zeros(1, 7, 256, 256), noise, 8)[:, 7:]
    assert pooled[:, 0].std() == pytest.approx(1, abs=0.1)
    assert pooled[:, 1].std() == pytest.approx(float(noise[:, 1].std()), rel=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_colours_shrink_toward_one_and_brightness_stays(share):
    network = lively(LocalUNet((16, 24, 32)))
    inputs = random_inputs(network, 32, 32)
    colour = torch.tensor([0.27, 0.29, 0.11])
    with torch.no_grad():
        before = network(*inputs)
        network.head.shrink_colours(colour.tolist(), share)
        after = network(*inputs)
    brightness = before.mean(dim=1, keepdim=True)
    torch.testing.assert_close(after.mean(dim=1, keepdim=True), brightness, atol=1e-6, rtol=0)
    goal = brightness * (colour / colour.mean()).view(1, 3, 1, 1)
    torch.testing.assert_close(after, (1 - share) * before + share * goal, atol=1e-6, rtol=0)
