"""The denoiser of COP-GEN-Beta (arXiv:2504.08548) and COP-GEN (arXiv:2603.03239), with their parameter names.

A U-ViT (Bao et al. 2023, arXiv:2209.12152) with normalisation after each branch. It sees the latents of all
groups at once, each with a diffusion time of its own, and predicts the noise of every group. COP-GEN-Beta is
the case of equal groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LONGEST_PERIOD = 10000.0


@dataclass(frozen=True)
class LatentGroup:
    """What one group of bands, or one vector such as a position, looks like to the denoiser.

    Attributes:
        name: Unique among the groups of a network.
        channels: Channels of the latent.
        height: Rows of the latent; a multiple of ``patch``.
        width: Columns of the latent; a multiple of ``patch``.
        patch: Side of the squares that become tokens.
    """

    name: str
    channels: int
    height: int
    width: int
    patch: int = 2

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, h, w) of the latent."""
        return self.channels, self.height, self.width

    @property
    def tokens(self) -> int:
        """Tokens of the latent, its time token not counted."""
        return (self.height // self.patch) * (self.width // self.patch)


class Attention(nn.Module):
    """Self-attention over all tokens; memory grows with their number, not with its square."""

    def __init__(self, width: int, heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, tokens, width) -> the same shape."""
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, tokens, width) -> the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and MLP, each followed by its norm; an output block first merges a long skip connection."""

    def __init__(self, width: int, heads: int, hidden: int, qkv_bias: bool, skip: bool = False) -> None:
        super().__init__()
        if skip:
            self.skip_linear = nn.Linear(2 * width, width)
            self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, qkv_bias)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """(B, tokens, width), for an output block with the skip of the same shape -> the same shape."""
        if skip is not None:
            x = self.norm1(self.skip_linear(torch.cat([x, skip], dim=-1)))
        x = self.norm2(x + self.attn(x))
        return self.norm3(x + self.mlp(x))


class PatchEmbed(nn.Module):
    """Squares of a latent to tokens, row by row."""

    def __init__(self, group: LatentGroup, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(group.channels, width, group.patch, stride=group.patch)

    def forward(self, latent: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, tokens, width).

        A matrix product and not the convolution that it is: torch 2.13's is wrong in bfloat16 on CPUs with
        AMX for squares of 8 x 8 or 16 x 16 cells of 8 or more channels.
        """
        side = self.proj.kernel_size[0]
        squares = latent.unflatten(3, (-1, side)).unflatten(2, (-1, side)).permute(0, 2, 4, 1, 3, 5)
        return F.linear(squares.flatten(3).flatten(1, 2), self.proj.weight.flatten(1), self.proj.bias)


class CopGen(nn.Module):
    """Predicts the noise in the latents of every group, jointly.

    Args:
        groups: The groups in the order of the weights.
        width: Length of a token.
        depth: Blocks; an even number acts as the next odd one, since one block stands in the middle.
        heads: Attention heads, a divisor of ``width``.
        hidden: Inner width of the MLPs.
        qkv_bias: Whether the attention's input layer has a bias.
        time_mlp: Whether each group's time token passes through an MLP of its own.
    """

    def __init__(
        self,
        groups: Sequence[LatentGroup],
        width: int = 1024,
        depth: int = 20,
        heads: int = 16,
        hidden: int = 4096,
        qkv_bias: bool = False,
        time_mlp: bool = False,
    ) -> None:
        super().__init__()
        self.groups, self.width = tuple(groups), width
        self.patch_embeds = nn.ModuleList(PatchEmbed(group, width) for group in groups)
        if time_mlp:
            self.time_img_embeds = nn.ModuleList(
                nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
                for _ in groups
            )
        tokens = len(groups) + sum(group.tokens for group in groups)
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        self.in_blocks = nn.ModuleList(Block(width, heads, hidden, qkv_bias) for _ in range(depth // 2))
        self.mid_block = Block(width, heads, hidden, qkv_bias)
        self.out_blocks = nn.ModuleList(
            Block(width, heads, hidden, qkv_bias, skip=True) for _ in range(depth // 2)
        )
        self.norm = nn.LayerNorm(width)
        self.decoder_preds = nn.ModuleList(
            nn.Linear(width, group.patch**2 * group.channels) for group in groups
        )

    def forward(self, latents: Sequence[Tensor], times: Sequence[Tensor]) -> list[Tensor]:
        """Noise of every group; computed in the precision of the weights.

        Args:
            latents: (B, C, h, w) of each group, in the network's order.
            times: (B,) of each group, 0 (clean) to 1000 (noise), fractions allowed.

        Returns:
            One tensor a group, with the shape and type of its latent.
        """
        time_tokens = [self._time_token(i, time) for i, time in enumerate(times)]
        patches = [
            embed(latent.to(self.pos_embed.dtype))
            for embed, latent in zip(self.patch_embeds, latents, strict=True)
        ]
        x = torch.cat([torch.stack(time_tokens, dim=1), *patches], dim=1) + self.pos_embed
        skips = []
        for block in self.in_blocks:
            x = block(x)
            skips.append(x)
        x = self.mid_block(x)
        for block in self.out_blocks:
            x = block(x, skips.pop())
        x = self.norm(x)[:, len(self.groups) :]
        parts = x.split([group.tokens for group in self.groups], dim=1)
        return [
            unpatchify(head(part), group).to(latent.dtype)
            for head, part, group, latent in zip(self.decoder_preds, parts, self.groups, latents, strict=True)
        ]

    def _time_token(self, index: int, time: Tensor) -> Tensor:
        token = sinusoid(time, self.width).to(self.pos_embed.dtype)
        return self.time_img_embeds[index](token) if hasattr(self, "time_img_embeds") else token


def sinusoid(time: Tensor, width: int) -> Tensor:
    """Cosines, then sines of falling frequency: (B,) -> (B, width) float32; an odd width ends in a zero."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=time.device)
    # Always float32: half precision cannot tell neighbouring times apart.
    angles = time.float()[:, None] * torch.exp(-math.log(_LONGEST_PERIOD) / half * steps)
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width % 2))


def unpatchify(tokens: Tensor, group: LatentGroup) -> Tensor:
    """(B, tokens, patch * patch * C), each row by row with channels last -> (B, C, h, w)."""
    channels, height, width = group.shape
    side = group.patch
    squares = tokens.view(-1, height // side, width // side, side, side, channels)
    return squares.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, height, width)
