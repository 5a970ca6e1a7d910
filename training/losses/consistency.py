"""Consistency distillation of a joint diffusion model (Song et al. 2023, arXiv:2303.01469).

The student answers at every time of one path of the teacher with the same clean latents. Distribution
matching (Yin et al. 2024, arXiv:2311.18828) would fit a third network beside it, and favours the likeliest
images, while here the differences between samples are wanted as the measure of uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from engine.samplers.dpm_solver import LAST_TIME
from engine.samplers.prediction import Prediction, clean_from
from engine.samplers.schedule import TRAINING_STEPS, Schedule

Order = Literal[1, 2]
Latents = list[Tensor]
Clean = Callable[[Latents, Tensor], Latents]
_HUBER = 0.00054  # times the root of the dimensions; Song and Dhariwal 2023, section 3.3


class TimeFactors:
    """The engine's schedules for a time a sample.

    Args:
        prediction: Of a network, which decides the path; see ``schedule_of``.
    """

    def __init__(self, prediction: Prediction) -> None:
        self._log_alphas = None
        if prediction != "flow":
            self._log_alphas = torch.from_numpy(Schedule().log_alphas).float()

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Factors (B, 1, 1, 1) of signal and noise at times (B,) of [``LAST_TIME``, 1]."""
        if self._log_alphas is None:
            alpha, sigma = (1 - t).clamp(min=1e-3), t
        else:
            table = self._log_alphas = self._log_alphas.to(t.device)
            place = TRAINING_STEPS * t - 1
            left = place.floor().long().clamp(0, len(table) - 2)
            log_alpha = torch.lerp(table[left], table[left + 1], place - left)
            alpha, sigma = log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt()
        return alpha[:, None, None, None], sigma[:, None, None, None]


@dataclass(frozen=True)
class Request:
    """What is asked of each sample of a batch.

    As in the engine given groups stand at time 0 and absent ones are noise at time 1000.

    Attributes:
        latents: (B, C, h, w) of each group in the network's order.
        noises: Likewise, standard normal.
        wanted: (B, G) bool: the group is generated.
        given: (B, G) bool: the group is a condition.
    """

    latents: Latents
    noises: Latents
    wanted: Tensor
    given: Tensor

    @classmethod
    def of(cls, batch: Mapping[str, Any], names: Sequence[str]) -> Request:
        """From a batch of ``RoleSamples``."""
        latents, noises = ([batch[kind][name] for name in names] for kind in ("latent", "noise"))
        return cls(latents, noises, batch["wanted"], batch["given"])

    def states(self, alpha: Tensor, sigma: Tensor) -> Latents:
        """What a network sees of each group, wanted ones with these factors of signal and noise."""
        noisy = [alpha * z + sigma * noise for z, noise in zip(self.latents, self.noises, strict=True)]
        still = [
            torch.where(given[:, None, None, None], z, noise)
            for given, z, noise in zip(self.given.unbind(1), self.latents, self.noises, strict=True)
        ]
        return self.moved(still, noisy)

    def moved(self, before: Latents, after: Latents) -> Latents:
        """``after`` of the wanted groups, ``before`` of the others."""
        return [
            torch.where(wanted[:, None, None, None], new, old)
            for wanted, old, new in zip(self.wanted.unbind(1), before, after, strict=True)
        ]

    def unconditional(self, states: Latents) -> tuple[Request, Latents]:
        """The same without the conditions, whose places noise takes."""
        request = Request(self.latents, self.noises, self.wanted, torch.zeros_like(self.given))
        return request, self.moved(self.noises, states)

    def outputs(self, network: nn.Module, states: Latents, t: Tensor) -> Latents:
        """The network's own predictions at time ``t`` (B,)."""
        given = torch.where(self.given, 0.0, float(TRAINING_STEPS))
        times = torch.where(self.wanted, TRAINING_STEPS * t[:, None], given)
        return [output.float() for output in network(states, list(times.unbind(1)))]


def guided_outputs(
    network: nn.Module, request: Request, states: Latents, t: Tensor, guidance: float
) -> Latents:
    """A network's predictions, guided as ``JointDenoiser`` does it."""
    outputs = request.outputs(network, states, t)
    if not guidance:
        return outputs
    free, noised = request.unconditional(states)
    unguided = free.outputs(network, noised, t)
    return [out + guidance * (out - other) for out, other in zip(outputs, unguided, strict=True)]


def clean_latents(
    prediction: Prediction, states: Latents, outputs: Latents, factors: tuple[Tensor, Tensor]
) -> Latents:
    """Clean latents of each group that its prediction implies."""
    return [clean_from(prediction, x, out, *factors) for x, out in zip(states, outputs, strict=True)]


def solver_step(
    clean: Clean,
    request: Request,
    states: Latents,
    start: Tensor,
    end: Tensor,
    factors: TimeFactors,
    order: Order,
) -> Latents:
    """One step of singlestep DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095) with times of their own.

    Args:
        clean: (states, times) -> clean latents, of the teacher.
        request: What is wanted.
        states: At ``start``.
        start: (B,).
        end: (B,), less than ``start``.
        factors: Of the teacher.
        order: Evaluations of the teacher.

    Returns:
        States at ``end``.
    """
    at_start = clean(states, start)
    if order == 1:
        return _first_order(request, states, at_start, factors(start), factors(end))
    middle = (start + end) / 2
    between = _first_order(request, states, at_start, factors(start), factors(middle))
    first, inner, last = (_log_ratio(factors(t)) for t in (start, middle, end))
    slope = (last - first) / (inner - first) / 2
    mixed = [a + slope * (b - a) for a, b in zip(at_start, clean(between, middle), strict=True)]
    return _first_order(request, states, mixed, factors(start), factors(end))


def pseudo_huber(found: Latents, expected: Latents, wanted: Tensor) -> Tensor:
    """Loss of each sample and group (B, G), 0 where nothing is wanted.

    Song and Dhariwal's (2023, arXiv:2310.14189) metric divided by the root of the dimensions, so that a group
    counts the same whatever its size: sqrt(mean square + c^2) - c.
    """
    errors = [(a - b).square().flatten(1).mean(dim=1) for a, b in zip(found, expected, strict=True)]
    return ((torch.stack(errors, dim=1) + _HUBER**2).sqrt() - _HUBER) * wanted


def earlier_time(t: Tensor, intervals: int) -> Tensor:
    """Where the teacher's step from ``t`` ends, with so many steps from noise to clean."""
    return (t - (1 - LAST_TIME) / intervals).clamp(min=LAST_TIME)


def _first_order(
    request: Request,
    states: Latents,
    clean: Latents,
    start: tuple[Tensor, Tensor],
    end: tuple[Tensor, Tensor],
) -> Latents:
    kept = end[1] / start[1]
    added = end[0] - start[0] * kept
    return request.moved(states, [kept * x + added * z for x, z in zip(states, clean, strict=True)])


def _log_ratio(factors: tuple[Tensor, Tensor]) -> Tensor:
    return factors[0].log() - factors[1].log()
