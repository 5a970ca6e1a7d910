"""PatchGAN discriminators, hinge loss and feature matching."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

Features = list[Tensor]


class PatchDiscriminator(nn.Module):
    """Critic of patches at several resolutions (Isola et al. 2017; Wang et al. 2018, section 3.2).

    Args:
        channels: Of condition and image together.
        widths: Channels after each stride-2 convolution.
        scales: Number of resolutions, each half of the one before.
        mean, std: What standardises the image's reflectance. Spectral norm bounds how much the score can
            change with the input: unscaled reflectance, all of it near 0.2, would leave it nothing to tell
            by.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int] = (48, 96, 192),
        scales: int = 2,
        mean: float = 0.2,
        std: float = 0.12,
    ) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.critics = nn.ModuleList(_critic(channels, widths) for _ in range(scales))

    def forward(self, condition: Tensor, image: Tensor) -> list[Features]:
        """Features of every layer for each scale; the last is the patches' score, (B, 1, h, w)."""
        x = torch.cat([condition, (image - self.mean) / self.std], dim=1)
        results = []
        for critic in self.critics:
            features, y = [], x
            for layer in critic:
                y = layer(y)
                features.append(y)
            results.append(features)
            x = F.avg_pool2d(x, 2)
        return results


def _critic(channels: int, widths: Sequence[int]) -> nn.ModuleList:
    layers = []
    for before, after in zip((channels, *widths), widths, strict=False):
        convolution = spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1))
        layers.append(nn.Sequential(convolution, nn.LeakyReLU(0.2)))
    return nn.ModuleList([*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))])


def hinge_discriminator(real: list[Features], fake: list[Features]) -> Tensor:
    """Hinge loss of the critics (Lim and Ye 2017, arXiv:1705.02894)."""
    terms = [F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def hinge_generator(fake: list[Features]) -> Tensor:
    """The generator's side: the critics' mean score, negated."""
    return torch.stack([-features[-1].mean() for features in fake]).mean()


def feature_matching(real: list[Features], fake: list[Features]) -> Tensor:
    """L1 distance between the critics' inner features (Wang et al. 2018, arXiv:1711.11585, equation 4)."""
    terms = [
        F.l1_loss(f, r.detach())
        for rs, fs in zip(real, fake, strict=True)
        for r, f in zip(rs[:-1], fs[:-1], strict=True)
    ]
    return torch.stack(terms).mean()
