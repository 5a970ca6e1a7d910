"""Local SPADE generator: class masks to optical bands."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.networks.local_blocks import SLOPE, PixelHead, SpadeBlock

SMOOTH_GAIN = 2.0  # a 5 x 5 mean shrinks cells of one to four pooled pixels by 5 to 1.3


class LocalSpade(nn.Module):
    """Generator conditioned on a class mask at every scale (Park et al. 2019, arXiv:1903.07291).

    Starts from mask and noise at 1/8 of the resolution and grows to full size. Label features are computed
    once a scale and shared by its blocks; at 1/2 they keep the full-resolution mask (pixel unshuffle). Pixel
    norm and no attention, so it is local. Noise planes that are constant over large cells vary the tone from
    place to place; a 5 x 5 mean at 1/8 takes the cells' square edges away.

    Inputs are float32 with H and W multiples of 8: ``mask`` (B, classes, H, W) one-hot, all 0 where there is
    no class; ``noise`` (B, noise_planes, H, W), standard normal. Output: (B, bands, H, W), reflectance 0..1.

    Args:
        classes: Number of mask classes.
        widths: Channels at 1/2, 1/4 and 1/8.
        depths: SPADE blocks at 1/2, 1/4 and 1/8.
        hidden: Channels of the label features.
        noise_cells: Cell size of each noise plane (px); averaging over a block of the mask shrinks planes
            with smaller cells, which is undone.
        bands: Number of output bands.
    """

    stride_multiple = 8
    inputs = ("mask", "noise")

    def __init__(
        self,
        classes: int = 7,
        widths: Sequence[int] = (48, 96, 160),
        depths: Sequence[int] = (2, 2, 2),
        hidden: int = 64,
        noise_cells: Sequence[int] = (1, 2, 8, 8, 32, 32),
        bands: int = 3,
    ) -> None:
        super().__init__()
        w2, w4, w8 = widths
        d2, d4, d8 = depths
        planes = len(noise_cells)
        self.noise_planes = planes
        for factor in (4, 8):
            gains = torch.tensor([max(1.0, factor / cell) for cell in noise_cells]).view(1, -1, 1, 1)
            self.register_buffer(f"gain{factor}", gains, persistent=False)
        self.labels2 = nn.Conv2d(4 * (classes + planes), hidden, 3, padding=1)
        self.labels4 = nn.Conv2d(classes + planes, hidden, 3, padding=1)
        self.labels8 = nn.Conv2d(classes + 2 * planes, hidden, 1)
        self.start = nn.Conv2d(hidden, w8, 1)
        self.blocks8 = nn.ModuleList(SpadeBlock(w8, hidden) for _ in range(d8))
        self.to4 = nn.Conv2d(w8, 4 * w4, 1)
        self.blocks4 = nn.ModuleList(SpadeBlock(w4, hidden) for _ in range(d4))
        self.to2 = nn.Conv2d(w4, 4 * w2, 1)
        self.blocks2 = nn.ModuleList(SpadeBlock(w2, hidden) for _ in range(d2))
        self.head = PixelHead(w2, bands)

    def forward(self, mask: Tensor, noise: Tensor) -> Tensor:
        """Generate one batch; shapes and ranges as in the class docstring."""
        full = torch.cat([mask, noise], dim=1)
        labels2 = F.leaky_relu(self.labels2(F.pixel_unshuffle(full, 2)), SLOPE)
        labels4 = F.leaky_relu(self.labels4(self._pooled(mask, noise, 4)), SLOPE)
        pooled = self._pooled(mask, noise, 8)
        smooth = F.avg_pool2d(pooled[:, mask.shape[1] :], 5, stride=1, padding=2)
        labels8 = F.leaky_relu(self.labels8(torch.cat([pooled, SMOOTH_GAIN * smooth], dim=1)), SLOPE)
        x = _run(self.blocks8, self.start(labels8), labels8)
        x = _run(self.blocks4, F.pixel_shuffle(self.to4(x), 2), labels4)
        x = _run(self.blocks2, F.pixel_shuffle(self.to2(x), 2), labels2)
        return self.head(x)

    def _pooled(self, mask: Tensor, noise: Tensor, factor: int) -> Tensor:
        gain = getattr(self, f"gain{factor}")
        return torch.cat([F.avg_pool2d(mask, factor), F.avg_pool2d(noise, factor) * gain], dim=1)


def _run(blocks: nn.ModuleList, x: Tensor, labels: Tensor) -> Tensor:
    for block in blocks:
        x = block(x, labels)
    return x
