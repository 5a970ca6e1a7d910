"""Inception v3 in the form whose pooled features define the FID (Heusel et al., arXiv 1706.08500).

The network is that of Szegedy et al. (arXiv 1512.00567) with 1008 outputs; it differs from other published
forms in three places: averages leave out padding, and the last block takes a maximum instead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE_PX, FEATURES, CLASSES = 299, 2048, 1008
_EPS = 1e-3


class _Conv(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, given: int, made: int, kernel: int | tuple[int, int], stride: int, pad: bool) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = tuple(side // 2 for side in sides) if pad else 0
        self.conv = nn.Conv2d(given, made, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(made, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class _Block(nn.Module):
    """Branches side by side, joined along the channels.

    Args:
        given: Channels that come in.
        branches: Chains of (name, channels, kernel); a list in the place of the last one splits it.
        pool: ``average`` or ``maximum`` before the convolution ``branch_pool``; ``reduce``: halves the size,
            as the last convolution of each chain then does.
        pooled: Channels of ``branch_pool``; 0: there is none.
    """

    def __init__(self, given: int, branches: list[list], pool: str, pooled: int = 0) -> None:
        super().__init__()
        self.pool, self.chains = pool, []
        for branch in branches:
            channels, names = given, []
            for number, step in enumerate(branch):
                last = number == len(branch) - 1
                forks = step if isinstance(step, list) else [step]
                for name, made, kernel in forks:
                    halves = last and pool == "reduce"
                    self.add_module(name, _Conv(channels, made, kernel, 2 if halves else 1, not halves))
                names.append([name for name, *_ in forks])
                channels = forks[0][1]
            self.chains.append(names)
        if pooled:
            self.branch_pool = _Conv(given, pooled, 1, 1, False)

    def forward(self, x: Tensor) -> Tensor:
        made = [part for chain in self.chains for part in self._along(x, chain)]
        return torch.cat([*made, self._pooled(x)], dim=1)

    def _along(self, x: Tensor, chain: list[list[str]]) -> list[Tensor]:
        for (name,) in chain[:-1]:
            x = self.get_submodule(name)(x)
        return [self.get_submodule(name)(x) for name in chain[-1]]

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "reduce":
            return functional.max_pool2d(x, 3, 2)
        if self.pool == "maximum":
            return self.branch_pool(functional.max_pool2d(x, 3, 1, 1))
        return self.branch_pool(functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False))


def _a(given: int, pooled: int) -> _Block:
    double = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
    five = [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)]
    return _Block(given, [[("branch1x1", 64, 1)], five, double], "average", pooled)


def _b(given: int) -> _Block:
    double = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
    return _Block(given, [[("branch3x3", 384, 3)], double], "reduce")


def _c(inner: int) -> _Block:
    seven = [("branch7x7_1", inner, 1), ("branch7x7_2", inner, (1, 7)), ("branch7x7_3", 192, (7, 1))]
    double = [
        ("branch7x7dbl_1", inner, 1),
        ("branch7x7dbl_2", inner, (7, 1)),
        ("branch7x7dbl_3", inner, (1, 7)),
        ("branch7x7dbl_4", inner, (7, 1)),
        ("branch7x7dbl_5", 192, (1, 7)),
    ]
    return _Block(768, [[("branch1x1", 192, 1)], seven, double], "average", 192)


def _d(given: int) -> _Block:
    seven = [
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
        ("branch7x7x3_4", 192, 3),
    ]
    return _Block(given, [[("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)], seven], "reduce")


def _e(given: int, pool: str) -> _Block:
    three = [("branch3x3_1", 384, 1), [("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))]]
    double = [
        ("branch3x3dbl_1", 448, 1),
        ("branch3x3dbl_2", 384, 3),
        [("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))],
    ]
    return _Block(given, [[("branch1x1", 320, 1)], three, double], pool, 192)


class Inception(nn.Module):
    """Features and class scores of images."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, 2, False)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3, 1, False)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, 1, True)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1, 1, False)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3, 1, False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _a(192, 32), _a(256, 64), _a(288, 64)
        self.Mixed_6a = _b(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = _c(128), _c(160), _c(160), _c(192)
        self.Mixed_7a = _d(768)
        self.Mixed_7b, self.Mixed_7c = _e(1280, "average"), _e(2048, "maximum")
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, 2048) pooled features."""
        x = functional.interpolate(images.float(), (SIDE_PX, SIDE_PX), mode="bilinear", antialias=True)
        return self.pooled((x - 128) / 128)

    def pooled(self, x: Tensor) -> Tensor:
        """(B, 3, 299, 299) in -1..1 -> (B, 2048)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, 2)))
        x = functional.max_pool2d(x, 3, 2)
        for name, block in self.named_children():
            if name.startswith("Mixed_"):
                x = block(x)
        return x.mean(dim=(2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """(B, 2048) -> (B, 1008) class scores without bias, as the inception score takes them."""
        return features @ self.fc.weight.T
