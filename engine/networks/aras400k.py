"""ARAS400k's conditional generator and critic (arXiv:2603.09625); parameter names equal the published ones.

A SPADE decoder (Park et al. 2019, arXiv:1903.07291) without spectral norm and without a noise input: the
class map is its only input. Instance norm makes every pixel depend on the whole window, so large rasters need
lattice mode.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import ModelError

OUTPUT_PX = 256
_START_PX = 16
_LEAK = 0.2


class Spade(nn.Module):
    """Instance norm, then scale and shift predicted from the class map: x^ * (1 + gamma(m)) + beta(m).

    Args:
        channels: Channels of the normalised tensor.
        classes: Channels of the one-hot class map.
        hidden: Channels of the shared convolution.
    """

    def __init__(self, channels: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, eps=1e-5, affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(classes, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, C, h, w) features and (B, classes, H, W) one-hot of any size -> (B, C, h, w)."""
        shared = self.mlp_shared(F.interpolate(mask, size=x.shape[2:], mode="nearest"))
        return self.norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class SpadeBlock(nn.Module):
    """Two SPADE-normalised 3x3 convolutions with a shortcut, learned where the width changes."""

    def __init__(self, channels_in: int, channels_out: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.learned_shortcut = channels_in != channels_out
        self.conv_0 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.conv_1 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.norm_0 = Spade(channels_in, classes, hidden)
        self.norm_1 = Spade(channels_out, classes, hidden)
        if self.learned_shortcut:
            self.conv_s = nn.Conv2d(channels_in, channels_out, 1, bias=False)
            self.norm_s = Spade(channels_in, classes, hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, C_in, h, w) features and the one-hot class map -> (B, C_out, h, w)."""
        shortcut = self.conv_s(self.norm_s(x, mask)) if self.learned_shortcut else x
        h = self.conv_0(F.leaky_relu(self.norm_0(x, mask), _LEAK))
        h = self.conv_1(F.leaky_relu(self.norm_1(h, mask), _LEAK))
        return shortcut + h


class SpadeGenerator(nn.Module):
    """Class map -> RGB, always 256 x 256.

    Args:
        classes: Classes of the map.
        width: Channels before the image; 64 in the published model, 16 times as many at the start.
        hidden: Channels inside each SPADE; 128 in the published model.
    """

    def __init__(self, classes: int = 7, width: int = 64, hidden: int = 128) -> None:
        super().__init__()
        self.classes, self.width = classes, width
        self.fc = nn.Conv2d(classes, 16 * width, 3, padding=1)
        self.up_0 = SpadeBlock(16 * width, 8 * width, classes, hidden)
        self.up_1 = SpadeBlock(8 * width, 4 * width, classes, hidden)
        self.up_2 = SpadeBlock(4 * width, 2 * width, classes, hidden)
        self.up_3 = SpadeBlock(2 * width, width, classes, hidden)
        self.conv_img = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, mask: Tensor) -> Tensor:
        """(B, classes, H, W) one-hot float of any size -> (B, 3, 256, 256) in (-1, 1)."""
        x = self.fc(F.interpolate(mask, size=(_START_PX, _START_PX), mode="nearest"))
        for block in (self.up_0, self.up_1, self.up_2, self.up_3):
            x = F.interpolate(block(x, mask), scale_factor=2, mode="nearest")
        return torch.tanh(self.conv_img(x))


class PatchCritic(nn.Module):
    """Patch critic on the class map and the image; 256 px give 30 x 30 logits.

    Args:
        channels: Classes plus image channels.
        width: Channels of the first layer; 64 in the published model.
    """

    def __init__(self, channels: int = 10, width: int = 64) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width, 8 * width]
        layers = [
            nn.Sequential(
                nn.Conv2d(widths[i], widths[i + 1], 4, stride=2 if i < 3 else 1, padding=1),
                nn.InstanceNorm2d(widths[i + 1], eps=1e-5, affine=False),
                nn.LeakyReLU(_LEAK),
            )
            for i in range(4)
        ]
        self.model = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, mask: Tensor, image: Tensor) -> Tensor:
        """(B, classes, H, W) one-hot and (B, 3, H, W) image in [-1, 1] -> (B, 1, h, w) logits."""
        return self.model(torch.cat([mask, image], dim=1))


def to_uint8(image: Tensor) -> Tensor:
    """Image in [-1, 1], values outside clamped -> uint8 display values, cut, not rounded (as published)."""
    return (((image + 1) / 2).clamp(0, 1) * 255).to(torch.uint8)


def generator_from_tensors(tensors: Mapping[str, Tensor], where: str) -> SpadeGenerator:
    """The generator that these weights belong to; its widths are read from the shapes.

    Args:
        tensors: State dict of the generator.
        where: Name of the file for error messages.

    Raises:
        ModelError: A tensor is missing, unexpected, misshapen or not of floating point, and its name.
    """
    classes, width, hidden = _sizes(tensors, where)
    with torch.device("meta"):
        generator = SpadeGenerator(classes, width, hidden)
    expected = {name: tuple(tensor.shape) for name, tensor in generator.state_dict().items()}
    _check_tensors(tensors, expected, where)
    generator.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return generator.eval()


def _sizes(tensors: Mapping[str, Tensor], where: str) -> tuple[int, int, int]:
    shapes = []
    for name in ("fc.weight", "up_0.norm_0.mlp_shared.0.weight"):
        if name not in tensors or tensors[name].ndim != 4:
            raise ModelError(
                f"The file {where} is not an ARAS400k generator: the tensor {name} is missing or has no four "
                "dimensions."
            )
        shapes.append(tuple(tensors[name].shape))
    (start, classes, *_), (hidden, *_) = shapes
    if start % 16 or start == 0 or not 0 < start <= 16384 or not 0 < classes <= 254 or not 0 < hidden <= 4096:
        raise ModelError(
            f"The file {where} is not an ARAS400k generator: fc.weight has the shape {list(shapes[0])}; its "
            "first number must be "
            "a multiple of 16 (1024 in the published model)."
        )
    return classes, start // 16, hidden


def _check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], where: str
) -> None:
    problems = []
    if missing := [name for name in expected if name not in tensors]:
        problems.append(f"missing: {_some(missing)}")
    if unexpected := [name for name in tensors if name not in expected]:
        problems.append(f"unexpected: {_some(unexpected)}")
    for name, shape in expected.items():
        if name in tensors and (tuple(tensors[name].shape) != shape or not tensors[name].is_floating_point()):
            found = f"{list(tensors[name].shape)} {tensors[name].dtype}".replace("torch.", "")
            problems.append(f"{name} has {found} where {list(shape)} of floating point was expected")
            break
    if problems:
        raise ModelError(
            f"The file {where} does not fit the ARAS400k generator ({'; '.join(problems)}); nothing was "
            "loaded."
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
