"""Local U-Net: SAR and elevation to optical bands."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.networks.local_blocks import PixelHead, ResidualBlock


class LocalUNet(nn.Module):
    """U-Net at 1/2, 1/4 and 1/8 of the resolution, without normalisation or attention.

    Inputs are float32 with H and W multiples of 8: ``sar`` (B, 4, H, W) = VV, VH, validity of VV, validity
    of VH; ``dem`` (B, 2, H, W) = elevation, its validity; ``noise`` (B, noise_planes, H, W), standard
    normal. Invalid values are 0 in value and validity. Output: (B, bands, H, W), reflectance 0..1.

    Args:
        widths: Channels at 1/2, 1/4 and 1/8.
        depths: Residual blocks at 1/2, 1/4, 1/8 on the way down; the way up mirrors the first two.
        noise_planes: Number of noise planes.
        bands: Number of output bands.
    """

    stride_multiple = 8
    inputs = ("sar", "dem", "noise")

    def __init__(
        self,
        widths: Sequence[int] = (48, 96, 192),
        depths: Sequence[int] = (2, 2, 2),
        noise_planes: int = 3,
        bands: int = 3,
    ) -> None:
        super().__init__()
        w2, w4, w8 = widths
        d2, d4, d8 = depths
        self.noise_planes = noise_planes
        self.stem = nn.Conv2d(4 * (4 + 2 + noise_planes), w2, 3, padding=1)
        self.down2 = _blocks(w2, d2)
        self.to4 = nn.Conv2d(w2, w4, 2, stride=2)
        self.down4 = _blocks(w4, d4)
        self.to8 = nn.Conv2d(w4, w8, 2, stride=2)
        self.middle = _blocks(w8, d8, expansion=2)
        self.from8 = nn.Conv2d(w8, 4 * w4, 1)
        self.up4 = _blocks(w4, d4)
        self.from4 = nn.Conv2d(w4, 4 * w2, 1)
        self.up2 = _blocks(w2, d2)
        self.head = PixelHead(w2, bands)

    def forward(self, sar: Tensor, dem: Tensor, noise: Tensor) -> Tensor:
        """Translate one batch; shapes and ranges as in the class docstring."""
        x2 = self.down2(self.stem(F.pixel_unshuffle(torch.cat([sar, dem, noise], dim=1), 2)))
        x4 = self.down4(self.to4(x2))
        x8 = self.middle(self.to8(x4))
        x4 = self.up4(x4 + F.pixel_shuffle(self.from8(x8), 2))
        x2 = self.up2(x2 + F.pixel_shuffle(self.from4(x4), 2))
        return self.head(x2)


def _blocks(channels: int, depth: int, expansion: int = 1) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels, expansion) for _ in range(depth)))
