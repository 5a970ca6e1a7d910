"""LPIPS and DISTS: distances between images as trained networks see them.

The small tables that weigh the networks' channels come with torchmetrics; the networks do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

from engine.evaluation.backbones import Stages, imagenet_scaled

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_TINY = 1e-10
_DISTS_TINY = 1e-6


class Lpips:
    """Learned perceptual image patch similarity, version 0.1 (Zhang et al., arXiv 1801.03924).

    Args:
        network: AlexNet or VGG-16.
        weights: ``lin{i}.model.1.weight`` (1, C_i, 1, 1) of each stage; see ``lpips_weights``.
    """

    def __init__(self, network: Stages, weights: Mapping[str, Tensor]) -> None:
        self.network = network
        self.weights = [weights[f"lin{i}.model.1.weight"] for i in range(len(network.stages))]

    @torch.no_grad()
    def embed(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1 -> activations of every stage, of unit length over the channels."""
        shift, scale = (images.new_tensor(v).view(1, 3, 1, 1) for v in (_SHIFT, _SCALE))
        stages = self.network((2 * images - 1 - shift) / scale)
        return [x / (x.square().sum(dim=1, keepdim=True).sqrt() + _TINY) for x in stages]

    def between(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """(B,) distances of what ``embed`` gave; 0 for equal images."""
        return sum(
            functional.conv2d((a - b).square(), weight).mean(dim=(1, 2, 3))
            for a, b, weight in zip(first, second, self.weights, strict=True)
        )

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """(B,) distances of images (B, 3, H, W), RGB 0..1."""
        return self.between(self.embed(first), self.embed(second))

    def diversity(self, images: Tensor) -> float:
        """Mean distance between the images (N, 3, H, W) of one set; NaN if there are fewer than two."""
        if len(images) < 2:
            return float("nan")
        seen = [self.embed(image[None]) for image in images]
        pairs = [self.between(a, b) for a, b in combinations(seen, 2)]
        return torch.cat(pairs).double().mean().item()


def lpips_weights(network: str) -> Mapping[str, Tensor]:
    """The published channel weights for ``alexnet`` or ``vgg16``."""
    return _packaged("lpips_models", {"alexnet": "alex.pth", "vgg16": "vgg.pth"}[network])


class Dists:
    """Deep image structure and texture similarity (Ding et al., arXiv 2004.07728), over VGG-16."""

    def __init__(self, network: Stages) -> None:
        self.network = network
        tables = _packaged("dists_models", "weights.pt")
        total = tables["alpha"].sum() + tables["beta"].sum()
        self.texture, self.structure = (tables[name].flatten() / total for name in ("alpha", "beta"))

    @torch.no_grad()
    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """(B,) distances of images (B, 3, H, W), RGB 0..1; 0 for equal ones."""
        similar, start = torch.zeros(len(first)), 0
        for x, y in zip(self._stages(first), self._stages(second), strict=True):
            channels = slice(start, start + x.shape[1])
            start = channels.stop
            mean_x, mean_y = x.mean(dim=(2, 3)), y.mean(dim=(2, 3))
            covariance = (x * y).mean(dim=(2, 3)) - mean_x * mean_y
            variance = x.var(dim=(2, 3), correction=0) + y.var(dim=(2, 3), correction=0)
            texture = (2 * mean_x * mean_y + _DISTS_TINY) / (mean_x**2 + mean_y**2 + _DISTS_TINY)
            structure = (2 * covariance + _DISTS_TINY) / (variance + _DISTS_TINY)
            similar += texture @ self.texture[channels] + structure @ self.structure[channels]
        return 1 - similar

    def _stages(self, images: Tensor) -> list[Tensor]:
        return [images, *self.network(imagenet_scaled(images), _l2_pool)]


def _l2_pool(x: Tensor) -> Tensor:
    """Root of the Hann-weighted mean square, stride 2 (Ding et al., eq. 4)."""
    taps = x.new_tensor([0.25, 0.5, 0.25])
    kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 3, 3)
    return (functional.conv2d(x.square(), kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def _packaged(folder: str, name: str) -> Mapping[str, Tensor]:
    with (files("torchmetrics.functional.image") / folder / name).open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)
