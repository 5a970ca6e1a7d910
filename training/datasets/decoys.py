"""Conditions that have nothing to do with the rest, so that a model learns not to lean on rare ones.

Relief beside images was seen in few places. Were it given there alone, its presence would tell the model
which place it sees, and relief anywhere else would mislead it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from engine.errors import InputError
from engine.samplers.schedule import TRAINING_STEPS
from training.datasets.latent_store import location
from training.datasets.latents import Drawing, LatentSamples, LatentsModule, StepSampler, drawn


class DecoySamples(LatentSamples):
    """Samples in which an absent group is at times that of another place, clean, and never learnt from.

    Args:
        arguments: Of ``LatentSamples``.
        group: The group.
        donors: Keys of the samples that lend theirs.
        chance: Of a decoy where the group is absent.
    """

    def __init__(self, *arguments: Any, group: str, donors: Sequence[str], chance: float) -> None:
        super().__init__(*arguments)
        self.place = [known.name for known in self.groups].index(group)
        self.donors, self.chance = tuple(donors), chance

    def __getitem__(self, number: int) -> dict[str, Any]:
        """See ``LatentSamples``; decoys are keyed by (seed, number), too."""
        sample = super().__getitem__(number)
        rng = np.random.default_rng((self.drawing.seed, number, self.place))
        absent = sample["time"][self.place] == TRAINING_STEPS and sample["learnt"][self.place] == 0
        if not absent or rng.random() >= self.chance:
            return sample
        group = self.groups[self.place]
        moments = self.moments(self.donors[rng.integers(len(self.donors))])[group.name]
        posterior = rng.standard_normal(sample["latent"][group.name].shape, dtype=np.float32)
        sample["latent"][group.name] = torch.from_numpy(drawn(group, moments, posterior))
        sample["time"][self.place] = 0
        return sample


class DecoyModule(LatentsModule):
    """Training samples with decoys; validation samples without.

    Args:
        decoy: The group.
        donors: Locations that lend theirs; ``*`` stands for any text.
        chance: Of a decoy where the group is absent.
        others: Of ``LatentsModule``.
    """

    def __init__(self, decoy: str, donors: Sequence[str], chance: float, **others: Any) -> None:
        super().__init__(**others)
        self.decoy, self.donors, self.chance = decoy, tuple(donors), chance

    def train_dataloader(self) -> DataLoader:
        """See ``LatentsModule``.

        Raises:
            InputError: No location lends its group.
        """
        drawing: Drawing = self.drawing
        keys = [
            key
            for key in self.training_keys
            if any(fnmatchcase(location(key), pattern) for pattern in self.donors)
        ]
        if not keys:
            raise InputError(f"No location to train on is named like {', '.join(self.donors)}.")
        samples = DecoySamples(
            self.store,
            self.training_keys,
            self.groups,
            drawing,
            self.names,
            group=self.decoy,
            donors=keys,
            chance=self.chance,
        )
        return self._loader(samples, StepSampler(drawing, *self._process()))
