"""Pairs by split, and batches keyed by (seed, sample number) alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from training.datasets import ombria, rasters, samples
from training.datasets.crops import Augmentation, cell_noise, random_crop, whole
from training.datasets.pairs import Pair, data_root

READERS = {"ombria": ombria.load, "samples": samples.load}


@dataclass(frozen=True)
class Sampling:
    """Which crops are drawn.

    Attributes:
        seed: With the sample's number, the only source of randomness.
        size: Crop side (px).
        batch_size: Crops a step.
        steps_per_epoch: Steps between two validations and checkpoints.
        draws: Noise draws a crop.
        balance: Chance of a location is proportional to its number of images to this power: 1 draws images
            evenly, 0 draws locations evenly.
        modalities: Inputs of the network, the one that it cannot do without first.
    """

    seed: int
    size: int
    batch_size: int
    steps_per_epoch: int
    draws: int = 2
    balance: float = 0.5
    modalities: tuple[str, ...] = ("sar", "dem")


class Crops(Dataset):
    """Sample ``n`` is a pure function of (seed, n): order of work, workers and restarts cannot change it."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        sampling: Sampling,
        augmentation: Mapping[int, Augmentation],
        cells_px: Sequence[int],
    ) -> None:
        self.pairs = pairs
        self.sampling = sampling
        self.augmentation = augmentation
        self.cells_px = tuple(cells_px)
        _, where, counts = np.unique(
            [pair.location for pair in pairs], return_inverse=True, return_counts=True
        )
        weights = (counts ** (sampling.balance - 1.0))[where]
        self.cumulative = np.cumsum(weights / weights.sum())

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        """Sample ``number``, counted from the start of training."""
        rng = np.random.default_rng((self.sampling.seed, number))
        index = min(int(np.searchsorted(self.cumulative, rng.random())), len(self.pairs) - 1)
        plan = self.sampling
        epoch = number // (plan.steps_per_epoch * plan.batch_size)
        augmentation = self.augmentation[max(first for first in self.augmentation if first <= epoch)]
        sample = random_crop(
            self.pairs[index], rng, plan.size, augmentation, self.cells_px, plan.draws, plan.modalities
        )
        return {key: torch.from_numpy(value) for key, value in sample.items()}


class EpochSampler(Sampler):
    """Consecutive sample numbers; Lightning sets the epoch, also after a restart."""

    def __init__(self, sampling: Sampling) -> None:
        self.length = sampling.steps_per_epoch * sampling.batch_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Numbers of this epoch come next."""
        self.epoch = epoch

    def __iter__(self):  # noqa: ANN204
        """Sample numbers of the epoch."""
        return iter(range(self.epoch * self.length, (self.epoch + 1) * self.length))

    def __len__(self) -> int:
        """Samples an epoch."""
        return self.length


class Whole(Dataset):
    """Whole images with their own statistics, blank-padded as the engine pads a scene's edge.

    The noise of an image depends on its number alone.
    """

    def __init__(
        self, pairs: Sequence[Pair], pad_px: int, modalities: Sequence[str], cells_px: Sequence[int]
    ) -> None:
        self.pairs = pairs
        self.pad_px = pad_px
        self.modalities = tuple(modalities)
        self.cells_px = tuple(cells_px)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Image ``index``."""
        sample = whole(self.pairs[index], 0, self.pad_px, self.modalities)
        side = sample["optical"].shape[-1]
        sample["noise"] = cell_noise(np.random.default_rng(index), side, self.cells_px)
        return {key: torch.from_numpy(value) for key, value in sample.items()}

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pairs)


class PairsModule(L.LightningDataModule):
    """Training crops and validation images from one or more data sets.

    Args:
        sets: Names among ``READERS``, or paths of CSV files as ``training.datasets.rasters.load`` reads them.
        validation: Locations that are never trained on.
        ignored: Further locations to set aside: neither trained on nor watched.
        sampling: Which crops are drawn.
        augmentation: First epoch (the least is 0) -> how crops are varied from then on.
        cells_px: Cell size of each noise plane (px).
        pad_px: Blank padding of validation images (px).
        root: Data folder; default as in ``training.datasets.pairs.data_root``.
    """

    def __init__(
        self,
        sets: Sequence[str],
        validation: Sequence[str],
        sampling: Sampling,
        augmentation: Mapping[int, Augmentation],
        cells_px: Sequence[int],
        pad_px: int,
        ignored: Sequence[str] = (),
        root: str | None = None,
    ) -> None:
        super().__init__()
        self.sets = tuple(sets)
        self.validation = frozenset(validation)
        self.ignored = frozenset(ignored)
        self.sampling = sampling
        self.augmentation = augmentation
        self.cells_px = tuple(cells_px)
        self.pad_px = pad_px
        self.root = root
        self.pairs: list[Pair] = []
        self.set_aside: list[Pair] = []

    def setup(self, stage: str = "fit") -> None:
        """Read every data set once."""
        if self.pairs:
            return
        for name in self.sets:
            found = READERS[name](data_root(self.root)) if name in READERS else rasters.load(Path(name))
            for pair in filter(self._useful, found):
                (self.set_aside if pair.location in self.ignored else self.pairs).append(pair)

    def _useful(self, pair: Pair) -> bool:
        return pair.mask is not None if self.sampling.modalities[0] == "mask" else bool(pair.sar)

    def training_pairs(self) -> list[Pair]:
        """Pairs of all locations but the validation ones."""
        return [pair for pair in self.pairs if pair.location not in self.validation]

    def validation_pairs(self) -> list[Pair]:
        """Pairs of the validation locations."""
        return [pair for pair in self.pairs if pair.location in self.validation]

    def train_dataloader(self) -> DataLoader:
        """Crops, in an order that (seed, epoch) fixes."""
        crops = Crops(self.training_pairs(), self.sampling, self.augmentation, self.cells_px)
        return DataLoader(
            crops, batch_size=self.sampling.batch_size, sampler=EpochSampler(self.sampling), drop_last=True
        )

    def val_dataloader(self) -> DataLoader:
        """Whole validation images, one at a time: their sizes differ."""
        images = Whole(self.validation_pairs(), self.pad_px, self.sampling.modalities, self.cells_px)
        return DataLoader(images, batch_size=1)
