"""Scores of tiles through trained networks; only those whose weights were given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from engine.errors import InputError
from engine.evaluation import distributions
from engine.evaluation.backbones import load
from engine.evaluation.perceptual import Dists, Lpips, lpips_weights

_SPLITS, _SUBSET = 10, 1000


class DeepScores:
    """Running scores of all results over the same tiles.

    Args:
        networks: By name, as ``read_networks`` gives them.
        results: How many.
    """

    def __init__(self, networks: dict[str, nn.Module], results: int) -> None:
        self.networks = networks
        self._distances: dict[str, Lpips | Dists] = {}
        if "alexnet" in networks:
            self._distances["lpips"] = Lpips(networks["alexnet"], lpips_weights("alexnet"))
        if "vgg16" in networks:
            self._distances["lpips_vgg"] = Lpips(networks["vgg16"], lpips_weights("vgg16"))
            self._distances["dists"] = Dists(networks["vgg16"])
        self._found = [{name: [] for name in self._distances} for _ in range(results)]
        self._embedded: dict[str, list[list[Tensor]]] = {
            name: [[] for _ in range(results + 1)] for name in ("inception", "resnet50") if name in networks
        }

    @torch.no_grad()
    def update(self, truth: NDArray[np.float64], predictions: Sequence[NDArray[np.float64]]) -> None:
        """Adds one tile; all (3, T, T) RGB 0..1."""
        images = [torch.from_numpy(image.astype(np.float32))[None] for image in (truth, *predictions)]
        for found, image in zip(self._found, images[1:], strict=True):
            for name, score in self._distances.items():
                found[name].append(score.distance(images[0], image).item())
        for name, embedded in self._embedded.items():
            for vectors, image in zip(embedded, images, strict=True):
                given = (image * 255).round().byte() if name == "inception" else image
                vectors.append(self.networks[name](given)[0])

    def scores(self, result: int) -> dict[str, float | None]:
        """Of one result; those over sets of tiles need two tiles."""
        found: dict[str, float | None] = {
            name: float(np.mean(values)) if values else None for name, values in self._found[result].items()
        }
        for name, embedded in self._embedded.items():
            if len(embedded[0]) < 2:
                continue
            pair = torch.stack(embedded[0]), torch.stack(embedded[result + 1])
            inception = name == "inception"
            found |= _inception_scores(self.networks[name], *pair) if inception else _embedded(*pair)
        return found


class DeepSets:
    """Scores of sets of images, place by place and over all.

    Args:
        networks: By name, as ``read_networks`` gives them.
    """

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        self.networks = networks
        self._lpips = None
        if "alexnet" in networks:
            self._lpips = Lpips(networks["alexnet"], lpips_weights("alexnet"))
        self._features: tuple[list[Tensor], list[Tensor]] = [], []

    @torch.no_grad()
    def add(self, real: NDArray[np.float32], generated: NDArray[np.float32]) -> dict[str, float]:
        """Scores of one place; both (N, 3, H, W) RGB, cut to 0..1."""
        sets = [torch.from_numpy(images).clamp(0, 1) for images in (real, generated)]
        found: dict[str, float] = {}
        if "resnet50" in self.networks:
            vectors = [torch.cat([self.networks["resnet50"](image[None]) for image in s]) for s in sets]
            found |= _embedded(*vectors)
            found["embedded_intra_real"] = distributions.intra_set_distance(vectors[0].numpy())
            found["embedded_intra_generated"] = distributions.intra_set_distance(vectors[1].numpy())
        if self._lpips is not None:
            found["lpips_real"], found["lpips_generated"] = map(self._lpips.diversity, sets)
        if "inception" in self.networks:
            for kept, images in zip(self._features, sets, strict=True):
                kept += [self.networks["inception"]((i[None] * 255).round().byte())[0] for i in images]
        return found

    def pooled(self) -> dict[str, float]:
        """FID, KID and IS over all images so far; empty without Inception v3."""
        if "inception" not in self.networks or min(map(len, self._features)) < 2:
            return {}
        return _inception_scores(self.networks["inception"], *map(torch.stack, self._features))


@torch.no_grad()
def _inception_scores(network: nn.Module, real: Tensor, generated: Tensor) -> dict[str, float]:
    """FID, KID and IS from features (N, F)."""
    frechet = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    subset = min(_SUBSET, len(real), len(generated))
    kernel = KernelInceptionDistance(feature=_Given(real.shape[1]), subset_size=subset)
    for metric in (frechet, kernel):
        metric.update(real, real=True)
        metric.update(generated, real=False)
    certain = InceptionScore(feature=_Given(real.shape[1]), splits=min(_SPLITS, len(generated)))
    certain.update(network.logits(generated))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # both draw subsets
        return {
            "fid": frechet.compute().item(),
            "kid": kernel.compute()[0].item(),
            "inception_score": certain.compute()[0].item(),
        }


class _Given(nn.Module):
    """Features that were computed before, for metrics that would compute them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _embedded(real: Tensor, generated: Tensor) -> dict[str, float]:
    pair = real.numpy(), generated.numpy()
    precision, recall = distributions.precision_recall(*pair)
    return {
        "embedded_nn_accuracy": distributions.nearest_neighbour_accuracy(*pair),
        "embedded_precision": precision,
        "embedded_recall": recall,
        "embedded_f_score": distributions.f_score(precision, recall),
    }


def read_networks(paths: Sequence[str]) -> dict[str, nn.Module]:
    """Name in ``backbones.BACKBONES`` -> network.

    Raises:
        InputError: A file cannot be used, or two are of one network.
    """
    networks: dict[str, nn.Module] = {}
    for path in paths:
        name, network = load(Path(path))
        if name in networks:
            raise InputError(f"The weights {path} are of {name}, which another file was given for; give one.")
        networks[name] = network
    return networks
