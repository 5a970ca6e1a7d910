"""Training samples of students: which groups are wanted, given or absent, and at which time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from engine.samplers.dpm_solver import LAST_TIME, time_grid
from training.datasets.latents import LatentSamples, LatentsModule

_STREAM = 7  # apart from the draws of ``LatentSamples``
_LEAST_TIME = LAST_TIME + 1e-4  # a step from here has a length


@dataclass(frozen=True)
class Roles:
    """How requests are drawn.

    Attributes:
        given: Chance of a group being a condition.
        absent: Chance of a group being neither given nor wanted. At least one group is always wanted.
        steps: Numbers of steps that the student is to be run with.
        at_steps: Share of samples at the times where such runs evaluate the network; the others' times are
            even over all.
    """

    given: float = 0.4
    absent: float = 0.2
    steps: Sequence[int] = (1, 2)
    at_steps: float = 0.5

    @property
    def times(self) -> list[float]:
        """Times where the student is evaluated, falling."""
        return sorted({t for steps in self.steps for t in time_grid(steps)[:-1]}, reverse=True)


class RoleSamples(Dataset):
    """Samples of a store with ``wanted`` (G,) and ``given`` (G,) bool and ``time`` () float32 of (0, 1].

    All of sample ``n`` follows from (seed, n), as in ``LatentSamples``. Groups that it lacks are absent.
    """

    def __init__(self, samples: LatentSamples, roles: Roles) -> None:
        self.samples, self.roles = samples, roles

    def __len__(self) -> int:
        """Distinct samples."""
        return len(self.samples)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Sample ``number``, counted from the start of training."""
        sample = self.samples[number]
        rng = np.random.default_rng((self.samples.drawing.seed, number, _STREAM))
        wanted, given = self._drawn(rng, sample["learnt"].numpy() > 0)
        return {
            "latent": sample["latent"],
            "noise": sample["noise"],
            "wanted": torch.from_numpy(wanted),
            "given": torch.from_numpy(given),
            "time": torch.tensor(self._time(rng), dtype=torch.float32),
        }

    def _drawn(self, rng: np.random.Generator, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chance = rng.random(len(present))
        given = present & (chance < self.roles.given)
        wanted = present & (chance >= self.roles.given + self.roles.absent)
        if not wanted.any():
            wanted[rng.choice(np.flatnonzero(present))] = True
        return wanted, given & ~wanted

    def _time(self, rng: np.random.Generator) -> float:
        times = self.roles.times
        share, place, which = rng.random(), rng.random(), rng.integers(len(times))
        if share < self.roles.at_steps:
            return times[which]
        return max(1 - place * (1 - LAST_TIME), _LEAST_TIME)


class RolesModule(LatentsModule):
    """Training and validation samples from one store, with roles.

    Args:
        roles: How requests are drawn.
        arguments: Of ``LatentsModule``.
    """

    def __init__(self, roles: Roles, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.roles = roles

    def _loader(self, samples: LatentSamples, sampler: Sampler | range) -> DataLoader:
        return super()._loader(RoleSamples(samples, self.roles), sampler)
