"""First weights that let small denoisers start from what their groups share: the place.

A U-ViT has to find out from data which tokens of two groups show the same place, and which token tells a
group's time. On small data that takes most of the training, so the recipe of the bundled model starts where
it leads: positions as sines of the place (Vaswani et al. 2017, section 3.5, in two dimensions), equal in all
groups, and attention that looks for similar tokens (as in mimetic initialisation, Trockman and Kolter 2023,
arXiv:2305.09828).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from engine.networks.cop_gen import Block, CopGen, LatentGroup
from training.tasks.joint_diffusion import denoiser

_EXTENT = 12.0  # radians of the highest frequency across a window
_LONGEST = 20.0  # of the longest period over the shortest
_SHARPNESS = (2.5, 1.0)  # of the heads for places in turn: this one, and its surroundings
_TIME_SHARPNESS = 2.5
_CARRIED = 0.7  # of what a head sees, added to the token
_CONTENT_DEVIATION = 0.5  # of pixels in the model's range
_GROUP_DEVIATION = 0.3
_ASKS, _TELLS = (
    2.0,
    12.0,
)  # how strongly a token names its group, and how strongly the group's time token does


def aligned_denoiser(groups: Any, width: int, depth: int, heads: int, **others: Any) -> CopGen:
    """As ``training.tasks.joint_diffusion.denoiser``; its first weights know which tokens belong together.

    The first ``width // heads`` numbers of a token say where it lies, and which group it is of; the others
    what is there. Heads compare the former and carry the latter: the last head from a group's time token to
    its other tokens, the heads before it between places, of whatever groups.
    """
    network = denoiser(groups, width, depth, heads, **others)
    size = width // heads
    with torch.no_grad():
        network.pos_embed.copy_(_positions(network.groups, width, size))
        for embed, group in zip(network.patch_embeds, network.groups, strict=True):
            inputs = group.channels * group.patch**2
            embed.proj.weight.normal_(std=1 / (_CONTENT_DEVIATION * math.sqrt(inputs)))
            embed.proj.weight[:size] = 0
            embed.proj.bias[:size] = 0
        for block in (*network.in_blocks, network.mid_block, *network.out_blocks):
            _look_around(block, heads, len(network.groups))
    return network


def _positions(groups: tuple[LatentGroup, ...], width: int, size: int) -> Tensor:
    """(1, tokens, width): one token of time a group, then the squares of each group, row by row."""
    names, room = torch.eye(len(groups)), size - len(groups)
    marks = _GROUP_DEVIATION * torch.randn(len(groups), width - size)
    times = torch.cat([torch.zeros(len(groups), room), _TELLS * names, torch.zeros_like(marks)], dim=1)
    squares = [
        torch.cat(
            [
                places(group.height // group.patch, group.width // group.patch, room),
                (_ASKS * names[i]).expand(group.tokens, -1),
                marks[i].expand(group.tokens, -1),
            ],
            dim=1,
        )
        for i, group in enumerate(groups)
    ]
    return torch.cat([times, *squares])[None]


def places(rows: int, cols: int, size: int) -> Tensor:
    """(rows * cols, size): sines and cosines of the rows' and columns' centres within the window."""
    count = size // 4
    frequency = torch.exp(-math.log(_LONGEST) * torch.arange(count) / count)

    def waves(number: int) -> Tensor:
        centres = (torch.arange(number) + 0.5) / number * _EXTENT
        angles = centres[:, None] * frequency
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    down, across = waves(rows), waves(cols)
    grid = torch.cat([down[:, None].expand(-1, cols, -1), across[None].expand(rows, -1, -1)], dim=2)
    return nn.functional.pad(grid.flatten(0, 1), (0, size - grid.shape[2]))


def _look_around(block: Block, heads: int, groups: int) -> None:
    """Queries and keys are places, or groups; values are random parts of what is there, put back where."""
    width = block.attn.qkv.in_features
    size = width // heads
    query, key, value = block.attn.qkv.weight.view(3, heads, size, width)
    query.zero_()
    key.zero_()
    block.mlp.fc2.weight[:size] = 0  # where a token lies stays said
    if hasattr(block, "skip_linear"):
        block.skip_linear.weight.copy_(torch.eye(width).repeat(1, 2) / 2)
    named = torch.arange(size) >= size - groups
    for head in range(heads):
        of_time = head == heads - 1
        strength = _TIME_SHARPNESS if of_time else _SHARPNESS[head % len(_SHARPNESS)]
        compared = strength * torch.diag((named if of_time else ~named).float())
        query[head, :, :size] = key[head, :, :size] = compared
        part = torch.linalg.qr(torch.randn(width - size, size)).Q.T
        value[head, :, :size], value[head, :, size:] = 0, part
        block.attn.proj.weight[:, head * size : (head + 1) * size] = 0
        block.attn.proj.weight[size:, head * size : (head + 1) * size] = _CARRIED * part.T
