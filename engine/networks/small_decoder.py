"""A small decoder of latents, after TAESD (Bohan, github.com/madebyollin/taesd): convolutions alone.

Neither norms nor attention look across the image: a pixel depends on the latent cells within ``halo`` of its
own and on nothing else, so a scene decoded in parts equals the scene decoded at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import ModelError
from engine.networks.state_dicts import check_tensors

_BOUND = 3.0  # latents have deviation 1; what lies beyond is bent back softly
_MAX_LEVELS, _MAX_BLOCKS, _MAX_WIDTH = 8, 16, 1024


class SmallBlock(nn.Module):
    """Two convolutions with a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return F.relu(x + self.second(F.relu(self.first(x))))


class SmallDecoder(nn.Module):
    """Latents of the denoiser to an image.

    Args:
        latent: Channels of the latent.
        channels: Bands of the image.
        widths: Channels of each level, coarsest first; each but the first doubles the resolution.
        blocks: Residual blocks of each level.
    """

    def __init__(self, latent: int, channels: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        befores = (latent, *widths)
        self.enter = nn.ModuleList(
            nn.Conv2d(before, width, 3, padding=1) for before, width in zip(befores, widths, strict=False)
        )
        self.levels = nn.ModuleList(
            nn.Sequential(*(SmallBlock(width) for _ in range(count)))
            for width, count in zip(widths, blocks, strict=True)
        )
        self.leave = nn.Conv2d(widths[-1], channels, 3, padding=1)

    @property
    def factor(self) -> int:
        """Pixels a latent cell, in each direction."""
        return 2 ** (len(self.enter) - 1)

    @property
    def halo(self) -> int:
        """Latent cells around a cell on which the cell's pixels depend."""
        reach = 1
        for level in range(len(self.levels) - 1, -1, -1):
            reach += 1 + 2 * len(self.levels[level])
            if level:
                reach = -(-reach // 2)
        return reach

    def forward(self, latent: Tensor) -> Tensor:
        """(B, z, h, w) -> (B, C, f h, f w), about [-1, 1], not clamped."""
        x = torch.tanh(latent / _BOUND) * _BOUND
        for number, (enter, level) in enumerate(zip(self.enter, self.levels, strict=True)):
            if number:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = level(F.relu(enter(x)))
        return self.leave(x)


def small_decoder_from_tensors(tensors: Mapping[str, Tensor], where: str) -> SmallDecoder:
    """The decoder that these weights belong to, in float32; its sizes are read from the shapes.

    Args:
        tensors: State dict of ``SmallDecoder``.
        where: Name of the file for error messages.

    Raises:
        ModelError: A tensor is missing, unexpected, misshapen or not of floating point, and its name.
    """
    with torch.device("meta"):
        decoder = SmallDecoder(*_sizes(tensors, where))
    shapes = {name: tuple(tensor.shape) for name, tensor in decoder.state_dict().items()}
    check_tensors(tensors, shapes, where, "the small decoder")
    decoder.load_state_dict({name: tensors[name].float() for name in shapes}, assign=True)
    return decoder.requires_grad_(False).eval()


def _sizes(tensors: Mapping[str, Tensor], where: str) -> tuple[int, int, list[int], list[int]]:
    """Arguments of ``SmallDecoder``."""
    levels = 1 + max((int(m[1]) for n in tensors if (m := re.match(r"enter\.(\d+)\.", n))), default=-1)
    blocks = [
        len({m[1] for name in tensors if (m := re.match(rf"levels\.{level}\.(\d+)\.", name))})
        for level in range(min(levels, _MAX_LEVELS))
    ]
    needed = [f"enter.{level}.weight" for level in range(max(1, len(blocks)))] + ["leave.weight"]
    odd = [name for name in needed if name not in tensors or tensors[name].ndim != 4]
    if odd or not 0 < levels <= _MAX_LEVELS or max(blocks) > _MAX_BLOCKS:
        raise ModelError(
            f"The file {where} is not a small decoder: it has {levels} levels of {blocks} blocks, or one of "
            f"{', '.join(needed)} is missing or has not 4 dimensions."
        )
    widths = [tensors[name].shape[0] for name in needed[:-1]]
    if max(widths) > _MAX_WIDTH:
        raise ModelError(f"The file {where} is not a small decoder: a level has {max(widths)} channels.")
    return tensors["enter.0.weight"].shape[1], tensors["leave.weight"].shape[0], widths, blocks
