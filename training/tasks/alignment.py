"""First weights that let small denoisers start from what their groups share: the place.

A U-ViT has to find out from data which tokens of two groups show the same place. On small data that takes
most of the training, so the recipe of the bundled model starts where it leads: positions as sines of the
place (Vaswani et al. 2017, section 3.5, in two dimensions), equal in all groups, and queries and keys that
look for similar tokens (mimetic initialisation, Trockman and Kolter 2023, arXiv:2305.09828).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from engine.networks.cop_gen import CopGen, LatentGroup
from training.tasks.joint_diffusion import denoiser

_PLACES = 64  # a window is so many units wide, whatever its tokens
_LONGEST = 100.0
_SHARPNESS = 1.1
_GROUP_DEVIATION = 0.2


def aligned_denoiser(groups: Any, width: int, depth: int, heads: int, **others: Any) -> CopGen:
    """As ``training.tasks.joint_diffusion.denoiser``; its first weights know which tokens lie together."""
    network = denoiser(groups, width, depth, heads, **others)
    with torch.no_grad():
        network.pos_embed.copy_(_positions(network.groups, width))
        for block in (*network.in_blocks, network.mid_block, *network.out_blocks):
            _look_for_similar(block.attn.qkv, heads)
    return network


def _positions(groups: tuple[LatentGroup, ...], width: int) -> Tensor:
    """(1, tokens, width): one token of time a group, then the squares of each group, row by row."""
    tokens = [torch.zeros(1, width)] * len(groups)
    tokens += [places(group.height // group.patch, group.width // group.patch, width) for group in groups]
    sizes = [1] * len(groups) + [group.tokens for group in groups]
    marks = _GROUP_DEVIATION * torch.randn(len(sizes), width)
    marked = [token + mark for token, mark in zip(tokens, marks, strict=True)]
    return torch.cat(marked)[None]


def places(rows: int, cols: int, width: int) -> Tensor:
    """(rows * cols, width): sines and cosines of the rows' and columns' centres within the window."""
    count = width // 4
    frequency = torch.exp(-math.log(_LONGEST) * torch.arange(count) / count)

    def waves(number: int) -> Tensor:
        centres = (torch.arange(number) + 0.5) / number * _PLACES / 4
        angles = centres[:, None] * frequency
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    down, across = waves(rows), waves(cols)
    grid = torch.cat([down[:, None].expand(-1, cols, -1), across[None].expand(rows, -1, -1)], dim=2)
    return nn.functional.pad(grid.flatten(0, 1), (0, width - grid.shape[2]))


def _look_for_similar(qkv: nn.Linear, heads: int) -> None:
    """Queries equal keys: each head compares tokens in a random subspace of its own."""
    width = qkv.in_features
    size = width // heads
    query, key, _ = qkv.weight.view(3, heads, size, width)
    for head in range(heads):
        basis = torch.linalg.qr(torch.randn(width, size)).Q.T
        query[head], key[head] = _SHARPNESS * basis, _SHARPNESS * basis
