"""Where the random numbers of joint diffusion come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from engine.networks.cop_gen import LatentGroup
from engine.tiling.noise import gaussian

Purpose = Literal["initial", "ignored", "unconditional", "posterior"]
_PURPOSES: tuple[Purpose, ...] = ("initial", "ignored", "unconditional", "posterior")
# A plane of noise is numbered by 32 bits: two of purpose, then group, evaluation and channel.
_GROUP_BITS, _EVALUATION_BITS, _CHANNEL_BITS = 6, 14, 10


class Noise(Protocol):
    """Standard normal draws, repeatable: the same arguments give the same numbers."""

    def __call__(self, purpose: Purpose, group: str, evaluation: int = 0) -> Tensor:
        """(B, C, h, w) float32 of a group.

        Args:
            purpose: ``initial``: start of a generated group; ``ignored``: stands for a group that is neither
                given nor wanted; ``unconditional``: stands for a condition in the unguided branch;
                ``posterior``: of an autoencoder's encoder.
            group: Name of the group.
            evaluation: Of the network, for draws that change with it.
        """


class KeyedNoise:
    """Noise that depends on seed, sample, group and place alone: windows that overlap agree.

    Args:
        groups: All groups of the network, in its order.
        seed: 0 <= seed < 2^63.
        samples: Number of the sample, for each row of the batch.
        corners: World row and column of the latent's corner, in latent cells of that group, for each row of
            the batch. A group without corners is drawn at the origin: every window sees the same values, as
            befits a date or a position that holds for the whole scene.
    """

    def __init__(
        self,
        groups: Sequence[LatentGroup],
        seed: int,
        samples: Sequence[int],
        corners: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    ) -> None:
        if len(groups) > 2**_GROUP_BITS or any(group.channels > 2**_CHANNEL_BITS for group in groups):
            raise ValueError("noise is numbered for up to 64 groups of 1024 channels")
        self._groups = {group.name: (i, group) for i, group in enumerate(groups)}
        self._seed, self._samples, self._corners = seed, tuple(samples), dict(corners or {})

    def __call__(self, purpose: Purpose, group: str, evaluation: int = 0) -> Tensor:
        """See ``Noise``."""
        if not 0 <= evaluation < 2**_EVALUATION_BITS:
            raise ValueError(f"noise is numbered for up to {2**_EVALUATION_BITS} evaluations")
        number, (channels, height, width) = self._groups[group][0], self._groups[group][1].shape
        plane = _PURPOSES.index(purpose) << _GROUP_BITS | number
        plane = (plane << _EVALUATION_BITS | evaluation) << _CHANNEL_BITS
        corners = self._corners.get(group, [(0, 0)] * len(self._samples))
        drawn = [
            [gaussian(self._seed, sample, plane | i, *corner, height, width) for i in range(channels)]
            for sample, corner in zip(self._samples, corners, strict=True)
        ]
        return torch.from_numpy(np.array(drawn, dtype=np.float32))
