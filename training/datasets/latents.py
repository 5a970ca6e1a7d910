"""Training samples of joint diffusion from a store of latents, keyed by (seed, sample number) alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from engine.errors import InputError
from engine.models.joint_schema import Group
from engine.samplers.schedule import TRAINING_STEPS
from training.datasets.latent_store import LatentStore, location, open_store
from training.datasets.vector_caches import VectorCaches
from training.groups import groups_of

_LOG_VARIANCE = (-30.0, 20.0)
_VALIDATION_SEED = 1  # beside the recipe's: validation draws stay the same whatever is trained
Array = np.ndarray


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn.

    Attributes:
        seed: With the sample's number, the only source of randomness.
        batch_size: Samples a device and forward pass.
        steps_per_epoch: Optimiser steps between two validations and checkpoints.
        accumulate: Forward passes an optimiser step; the trainer's ``accumulate_grad_batches``.
        clean: Chance of a group being given at time 0, as a condition is when the model is used; it does not
            count in the loss then. The published models: 0.
        absent: Chance of a group being replaced by noise at time 1000, as one that the user has not. The
            published models: 0.
        start: Chance of a group that counts being at time 1000, where sampling starts; short runs see that
            time too seldom otherwise. The published models: 0.
        workers: Processes that read.
    """

    seed: int
    batch_size: int
    steps_per_epoch: int
    accumulate: int = 1
    clean: float = 0.0
    absent: float = 0.0
    start: float = 0.0
    workers: int = 0


class LatentSamples(Dataset):
    """Sample ``n`` is a pure function of (seed, n): order of work, workers and restarts cannot change it.

    A sample has, by group name: ``latent`` (C, h, w), drawn from the moments anew for every ``n``, 0 where
    the group is missing; ``noise`` (C, h, w); and over the groups in their order: ``time`` (G,) int64, 0 to
    1000; ``learnt`` (G,) float32, 1 where the group counts in the loss.
    """

    def __init__(
        self,
        store: LatentStore,
        keys: Sequence[str],
        groups: Sequence[Group],
        drawing: Drawing,
        names: Mapping[str, str] | None = None,
        shuffle: bool = True,
    ) -> None:
        self.store, self.keys, self.groups, self.drawing = store, tuple(keys), tuple(groups), drawing
        self.names = dict(names or {})
        self.shuffle = shuffle
        self._order: tuple[int, Array] = (-1, np.empty(0))

    def __len__(self) -> int:
        """Distinct samples."""
        return len(self.keys)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Sample ``number``, counted from the start of training."""
        rng = np.random.default_rng((self.drawing.seed, number))
        key = self._key(number)
        moments = self.moments(key)
        time, learnt = self._times(rng, [group.name in moments for group in self.groups])
        latent, noise = {}, {}
        for group in self.groups:
            shape = (group.latent.channels, group.latent.height, group.latent.width)
            # Drawn for missing groups too: what a sample has must not shift the other draws.
            posterior, noise[group.name] = rng.standard_normal((2, *shape), dtype=np.float32)
            given = moments.get(group.name)
            latent[group.name] = (
                np.zeros(shape, np.float32) if given is None else drawn(group, given, posterior)
            )
        return {
            "latent": {name: torch.from_numpy(value) for name, value in latent.items()},
            "noise": {name: torch.from_numpy(value) for name, value in noise.items()},
            "time": torch.from_numpy(time),
            "learnt": torch.from_numpy(learnt),
        }

    def moments(self, key: str) -> dict[str, Array]:
        """Moments of the groups that a sample has, checked.

        Raises:
            InputError: Wrong shape, or a value that is not finite.
        """
        stored = self.store.read(key)
        found = {}
        for group in self.groups:
            for name in (group.name, self.names.get(group.name)):
                if name in stored:
                    found[group.name] = _checked(stored[name], group, key)
        return found

    def _key(self, number: int) -> str:
        if not self.shuffle:
            return self.keys[number % len(self.keys)]
        epoch, place = divmod(number, len(self.keys))
        if self._order[0] != epoch:
            order = np.random.default_rng((self.drawing.seed, epoch, len(self.keys))).permutation(
                len(self.keys)
            )
            self._order = epoch, order
        return self.keys[int(self._order[1][place])]

    def _times(self, rng: np.random.Generator, present: Sequence[bool]) -> tuple[Array, Array]:
        time = rng.integers(1, TRAINING_STEPS + 1, size=len(present))
        chance = rng.random(len(present))
        given = np.array(present)
        clean = given & (chance < self.drawing.clean)
        if self.drawing.start:
            time = np.where(rng.random(len(present)) < self.drawing.start, TRAINING_STEPS, time)
        absent = ~given | (~clean & (chance < self.drawing.clean + self.drawing.absent))
        time = np.where(clean, 0, np.where(absent, TRAINING_STEPS, time))
        return time, (~clean & ~absent).astype(np.float32)


def drawn(group: Group, moments: Array, posterior: Array) -> Array:
    """Latent of the denoiser from moments (2 C, h, w) and standard normal numbers; a vector is its own."""
    if group.is_vector:
        return moments
    mean, log_variance = np.split(moments, 2)
    deviation = np.exp(0.5 * np.clip(log_variance, *_LOG_VARIANCE))
    return (np.float32(group.latent.scale) * (mean + deviation * posterior)).astype(np.float32)


def _checked(value: Any, group: Group, key: str) -> Array:
    latent = group.latent
    shape = (latent.channels * (1 if group.is_vector else 2), latent.height, latent.width)
    if isinstance(value, bytes) and len(value) == 4 * int(np.prod(shape)):
        value = np.frombuffer(value, np.float32).reshape(shape)
    if not isinstance(value, np.ndarray) or value.shape != shape:
        found = list(value.shape) if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(
            f"The sample {key} holds {found} for {group.name} where {list(shape)} was expected; is the store "
            "one of these groups?"
        )
    if not np.isfinite(value).all():
        raise InputError(
            f"The sample {key} holds values of {group.name} that are not finite; delete it and encode it "
            "again."
        )
    return np.array(value, np.float32)


def split(
    keys: Sequence[str], held_out: Sequence[str], ignored: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Keys to train on, and keys of the places held out.

    Args:
        keys: All keys.
        held_out: Locations, ``*`` standing for any text.
        ignored: Likewise; of neither part.

    Raises:
        InputError: Nothing is left to train on, or a pattern fits no location.
    """
    places = {key: location(key) for key in keys}
    for pattern in [*held_out, *ignored]:
        if not any(fnmatchcase(place, pattern) for place in set(places.values())):
            raise InputError(f"No location of the store is named {pattern}, which was to be held out.")

    def among(key: str, patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(places[key], pattern) for pattern in patterns)

    kept = [key for key in keys if not among(key, ignored)]
    training = [key for key in kept if not among(key, held_out)]
    if not training:
        raise InputError(f"Nothing is left to train on: {len(keys)} samples, of which none may be used.")
    return training, [key for key in kept if among(key, held_out)]


class StepSampler(Sampler):
    """This process's sample numbers of an epoch; Lightning sets the epoch, also after a restart.

    Passes are numbered over all processes: two devices see at one step what one would with a doubled batch.
    """

    def __init__(self, drawing: Drawing, rank: int = 0, processes: int = 1) -> None:
        self.batch, self.rank, self.processes = drawing.batch_size, rank, processes
        self.passes = drawing.steps_per_epoch * drawing.accumulate
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Numbers of this epoch come next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Sample numbers of the epoch."""
        for number in range(self.epoch * self.passes, (self.epoch + 1) * self.passes):
            start = (number * self.processes + self.rank) * self.batch
            yield from range(start, start + self.batch)

    def __len__(self) -> int:
        """Samples an epoch and process."""
        return self.passes * self.batch


class LatentsModule(L.LightningDataModule):
    """Training and validation samples from one store.

    Args:
        store: Folder of the store.
        groups: As for ``training.groups.groups_of``.
        drawing: How samples are drawn.
        validation: Locations that are never trained on; ``*`` stands for any text.
        ignored: Further locations to set aside: neither trained on nor watched.
        validation_draws: Noise draws a validation sample; always the same ones.
        names: Group -> its name in stores that use another one, as the authors' do.
        positions: See ``VectorCaches``.
        dates: See ``VectorCaches``.
    """

    def __init__(
        self,
        store: str,
        groups: Any,
        drawing: Drawing,
        validation: Sequence[str] = (),
        ignored: Sequence[str] = (),
        validation_draws: int = 4,
        names: Mapping[str, str] | None = None,
        positions: str | None = None,
        dates: str | None = None,
    ) -> None:
        super().__init__()
        self.positions, self.dates = positions, dates
        self.path, self.groups, self.drawing = Path(store), groups_of(groups), drawing
        self.held_out, self.ignored = tuple(validation), tuple(ignored)
        self.validation_draws, self.names = validation_draws, dict(names or {})
        self.store: LatentStore | None = None
        self.training_keys: list[str] = []
        self.validation_keys: list[str] = []

    def setup(self, stage: str = "fit") -> None:
        """Open the store and part its locations."""
        if self.store is None:
            self.store = VectorCaches(open_store(self.path), self.positions, self.dates)
            self.training_keys, self.validation_keys = split(self.store.keys, self.held_out, self.ignored)

    def train_dataloader(self) -> DataLoader:
        """Samples in an order that (seed, epoch) fixes."""
        drawing = self.drawing
        samples = LatentSamples(self.store, self.training_keys, self.groups, drawing, self.names)
        return self._loader(samples, StepSampler(drawing, *self._process()))

    def val_dataloader(self) -> DataLoader | list:
        """Each held-out sample with the same draws every time; none where nothing is held out."""
        if not self.validation_keys:
            return []
        rank, processes = self._process()
        numbers = range(rank, len(self.validation_keys) * self.validation_draws, processes)
        return self._loader(self.validation_samples(), numbers)

    def validation_samples(self) -> LatentSamples:
        """Held-out samples; number ``n`` is key ``n`` modulo their count."""
        drawing = Drawing(_VALIDATION_SEED, self.drawing.batch_size, 1)
        return LatentSamples(
            self.store, self.validation_keys, self.groups, drawing, self.names, shuffle=False
        )

    def _process(self) -> tuple[int, int]:
        """Number of this process, and of all."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, samples: LatentSamples, sampler: Sampler | range) -> DataLoader:
        return DataLoader(
            samples,
            batch_size=self.drawing.batch_size,
            sampler=sampler,
            num_workers=self.drawing.workers,
            persistent_workers=self.drawing.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
