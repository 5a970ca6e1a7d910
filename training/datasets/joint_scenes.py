"""Scenes for joint models: every layer in the range that the model sees, some of them missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from training.datasets import ombria, rasters, relief, samples
from training.datasets.module import EpochSampler, Sampling
from training.datasets.pairs import CLASSES, NO_CLASS, Pair, data_root

Array = NDArray[np.float32]
GROUPS = ("dem", "s1", "s2", "lulc")
GAIN = np.float32(4)  # of the package's encoding: reflectance of land fills the range
SETS = ("ombria", "samples", "relief")
DEVIATIONS = np.float32(2.5)
SMALLEST_PX = 128


@dataclass(frozen=True)
class Scene:
    """Layers of one place on one grid.

    Attributes:
        name: Unique.
        location: The place; splits are by location, never by image.
        layers: Group -> (C, H, W) in the model's range, NaN where unknown; several where several are right
            (radar standardised over the patch, and over the scene that it is cut from).
    """

    name: str
    location: str
    layers: Mapping[str, tuple[Array, ...]]


def load(sets: Sequence[str], root: Path, groups: Sequence[str] = GROUPS) -> list[Scene]:
    """Scenes of ``ombria``, ``samples``, ``relief`` and of CSV files that ``rasters.load`` reads.

    Args:
        sets: Their names, or paths.
        root: Data folder.
        groups: Layers wanted; scenes with none of them are left out.
    """
    scenes = []
    for name in sets:
        if name == "relief":
            scenes += [_relief(number, *tile, groups) for number, tile in enumerate(relief.load(root))]
            continue
        pairs = {"ombria": ombria.load, "samples": samples.load}.get(name)
        scenes += [scene(pair, groups) for pair in (pairs(root) if pairs else rasters.load(Path(name)))]
    return [found for found in scenes if found.layers]


def scene(pair: Pair, groups: Sequence[str] = GROUPS) -> Scene:
    """The layers of a pair: ``s2``, and of ``s1``, ``dem`` and ``lulc`` those that it has."""
    layers = {}
    if "s2" in groups:
        layers["s2"] = (GAIN * np.clip(pair.optical, 0, 1) - 1,)
    if "s1" in groups and "VV" in pair.sar:
        layers["s1"] = tuple(_standardised(pair.sar["VV"], *scale["VV"]) for scale in pair.statistics)
    if "dem" in groups and pair.elevation is not None:
        layers["dem"] = (_relative(pair.elevation),)
    if "lulc" in groups and pair.mask is not None:
        layers["lulc"] = (_planes(pair.mask),)
    return Scene(pair.name, pair.location, {name: tuple(map(_grown, of)) for name, of in layers.items()})


def _relief(
    number: int, place: str, height: Array, mask: NDArray[np.uint8] | None, groups: Sequence[str]
) -> Scene:
    layers = {"dem": (_relative(height),)} if "dem" in groups else {}
    if mask is not None and "lulc" in groups:
        layers["lulc"] = (_planes(mask),)
    return Scene(f"{place}/{number}", place, layers)


def _relative(height: Array) -> Array:
    return _standardised(height, float(np.nanmean(height)), float(np.nanstd(height)))


def _standardised(values: Array, mean: float, deviation: float) -> Array:
    relative = (values - np.float32(mean)) / np.float32(max(deviation, 1e-6) * DEVIATIONS)
    return np.clip(relative, -1, 1)[None].astype(np.float32)


def _planes(mask: NDArray[np.uint8]) -> NDArray[np.int8]:
    """-1 and 1, first the plane of what is unknown; small, and to be made float32 crop by crop."""
    codes = np.where(mask == NO_CLASS, 0, mask + 1)
    return np.where(codes == np.arange(len(CLASSES) + 1)[:, None, None], 1, -1).astype(np.int8)


def _grown(image: Array) -> Array:
    """Images smaller than a window are continued by reflection."""
    short = [max(0, SMALLEST_PX - extent) for extent in image.shape[1:]]
    return np.pad(image, ((0, 0), (0, short[0]), (0, short[1])), mode="reflect") if any(short) else image


class LayerCrops(Dataset):
    """Crops of one layer; crop ``n`` is a pure function of (seed, n)."""

    def __init__(
        self, scenes: Sequence[Scene], group: str, sampling: Sampling, latent: tuple[int, int]
    ) -> None:
        self.scenes, self.group, self.sampling, self.latent = scenes, group, sampling, latent
        _, where, counts = np.unique([s.location for s in scenes], return_inverse=True, return_counts=True)
        weights = (counts ** (sampling.balance - 1.0))[where]
        self.cumulative = np.cumsum(weights / weights.sum())

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        """``image`` (C, S, S), ``known`` (1, S, S), and ``noise`` for its latent (z, S / f, S / f)."""
        rng = np.random.default_rng((self.sampling.seed, number))
        index = min(int(np.searchsorted(self.cumulative, rng.random())), len(self.scenes) - 1)
        variants = self.scenes[index].layers[self.group]
        image, size = variants[rng.integers(len(variants))], self.sampling.size
        row, col = (int(rng.integers(0, extent - size + 1)) for extent in image.shape[1:])
        channels, factor = self.latent
        noise = rng.standard_normal((channels, size // factor, size // factor), dtype=np.float32)
        return {**known(image[:, row : row + size, col : col + size]), "noise": torch.from_numpy(noise)}


class WholeLayers(Dataset):
    """The middle of every image, as large as the multiple allows."""

    def __init__(self, scenes: Sequence[Scene], group: str, multiple: int) -> None:
        self.images = [scene.layers[group][0] for scene in scenes]
        self.multiple = multiple

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """``image`` (C, H, W) and ``known`` (1, H, W)."""
        image = self.images[index]
        height, width = (extent - extent % self.multiple for extent in image.shape[1:])
        return known(image[:, :height, :width])

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)


def known(image: Array) -> dict[str, torch.Tensor]:
    """The image with 0 where it is NaN, and where it is not."""
    valid = np.isfinite(image).all(axis=0, keepdims=True)
    image = np.where(valid, image, 0).astype(np.float32)
    return {"image": torch.from_numpy(image), "known": torch.from_numpy(valid.astype(np.float32))}


class LayerModule(L.LightningDataModule):
    """Crops of one layer for an autoencoder.

    Args:
        sets: As in ``load``.
        group: The layer.
        validation: Locations that are never trained on.
        ignored: Further locations to set aside.
        sampling: Which crops are drawn.
        latent: Channels of the latent, and pixels a latent cell.
        root: Data folder; default as in ``training.datasets.pairs.data_root``.
    """

    def __init__(
        self,
        sets: Sequence[str],
        group: str,
        validation: Sequence[str],
        sampling: Sampling,
        latent: tuple[int, int],
        ignored: Sequence[str] = (),
        root: str | None = None,
    ) -> None:
        super().__init__()
        self.sets, self.group, self.root = tuple(sets), group, root
        self.validation, self.ignored = frozenset(validation), frozenset(ignored)
        self.sampling, self.latent = sampling, tuple(latent)
        self.scenes: list[Scene] = []

    def setup(self, stage: str = "fit") -> None:
        """Read every data set once."""
        if not self.scenes:
            found = load(self.sets, data_root(self.root), (self.group,))
            self.scenes = [scene for scene in found if scene.location not in self.ignored]

    def training_scenes(self) -> list[Scene]:
        """Scenes of all locations but the validation ones."""
        return [scene for scene in self.scenes if scene.location not in self.validation]

    def validation_scenes(self) -> list[Scene]:
        """Scenes of the validation locations."""
        return [scene for scene in self.scenes if scene.location in self.validation]

    def train_dataloader(self) -> DataLoader:
        """Crops, in an order that (seed, epoch) fixes."""
        crops = LayerCrops(self.training_scenes(), self.group, self.sampling, self.latent)
        size = self.sampling.batch_size
        return DataLoader(crops, batch_size=size, sampler=EpochSampler(self.sampling), drop_last=True)

    def val_dataloader(self) -> DataLoader:
        """Whole validation images, one at a time: their sizes differ."""
        return DataLoader(WholeLayers(self.validation_scenes(), self.group, self.latent[1]), batch_size=1)
