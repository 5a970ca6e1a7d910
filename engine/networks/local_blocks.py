"""Building blocks of the bundled generators.

Every output pixel depends on inputs at most a few dozen pixels away: there is no attention and no
normalisation across pixels, so any window with enough context gives the same values as the whole scene.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.1  # of the leaky ReLU; onnxruntime fuses it into the convolution before it


class PixelNorm(nn.Module):
    """Each pixel's features over their root mean square (Karras et al. 2018, arXiv:1710.10196, 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same shape."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-6)


class ResidualBlock(nn.Module):
    """``x + conv1x1(lrelu(conv3x3(x)))``, the identity at initialisation.

    Args:
        channels: Width of ``x``.
        expansion: Width between the two convolutions, as a multiple of ``channels``.
    """

    def __init__(self, channels: int, expansion: int = 1) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels * expansion, 3, padding=1)
        self.mix = nn.Conv2d(channels * expansion, channels, 1)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same shape."""
        return x + self.mix(F.leaky_relu(self.spatial(x), SLOPE))


class SpadeBlock(nn.Module):
    """Residual block whose pixel-normalised input is scaled and shifted by the label map.

    Park et al. 2019 (arXiv:1903.07291), equation 1, with pixel norm in place of batch norm.

    Args:
        channels: Width of ``x``.
        hidden: Width of the label features.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = PixelNorm()
        self.modulation = nn.Conv2d(hidden, 2 * channels, 1)
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1)
        self.mix = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """(B, C, H, W), (B, hidden, H, W) -> (B, C, H, W)."""
        gamma, beta = self.modulation(labels).chunk(2, dim=1)
        y = F.leaky_relu(self.norm(x) * (1 + gamma) + beta, SLOPE)
        return x + self.mix(F.leaky_relu(self.spatial(y), SLOPE))


class PixelHead(nn.Module):
    """Features at half resolution to bands in 0..1 at full resolution.

    The last convolution is at full resolution: it hides the 2 x 2 pattern that pixel shuffle alone leaves.

    Args:
        channels: Width of the features.
        bands: Number of output bands.
        hidden: Width at full resolution.
        initial: Value of every band before training (0..1).
    """

    def __init__(self, channels: int, bands: int, hidden: int = 16, initial: float = 0.2) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 4 * hidden, 3, padding=1)
        self.conv = nn.Conv2d(hidden, bands, 3, padding=1)
        self.colours: Tensor | None = None
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.constant_(self.conv.bias, torch.logit(torch.tensor(initial)).item())

    def shrink_colours(self, colour: Sequence[float], share: float) -> None:
        """From now on mix every pixel with ``colour`` at the pixel's own brightness (mean of the bands).

        With c the colour divided by its mean and b a pixel's brightness, x becomes (1 - share) x + share b c.

        Args:
            colour: Reflectance of each band.
            share: 0 (no change) to 1 (one colour everywhere).
        """
        goal = torch.tensor(colour, dtype=torch.float32)
        bands = len(goal)
        matrix = (1 - share) * torch.eye(bands) + share * (goal / goal.mean())[:, None] / bands
        self.colours = matrix[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, bands, 2H, 2W)."""
        full = F.pixel_shuffle(F.leaky_relu(self.expand(x), SLOPE), 2)
        image = torch.sigmoid(self.conv(full))
        return image if self.colours is None else F.conv2d(image, self.colours)
