"""Sampling in stages: after each one overlapping windows agree on the clean state and take new noise.

The stages share the steps out: with one stage this is the authors' sampler, with more the network is
evaluated as often as with one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from engine.errors import InputError
from engine.samplers.any_to_any import JointDenoiser, Solver
from engine.samplers.dpm_solver import singlestep, time_grid
from engine.samplers.multistep import multistep
from engine.samplers.schedule import Schedule


@dataclass(frozen=True)
class Stage:
    """Part of a sampling.

    Attributes:
        index: Of the stage; it numbers the noise that the stage starts with.
        times: Falling times. The state comes at the first one. DPM-Solver++: it is carried to the last one;
            consistency: the clean state is predicted at each, with new noise in between.
        is_last: DPM-Solver++: the state at the last time is the result, else the clean state predicted there.
        solver: How.
    """

    index: int
    times: tuple[float, ...]
    is_last: bool
    solver: Solver

    @property
    def evaluations(self) -> int:
        """Evaluations of the network."""
        predicts_at_end = self.solver == "consistency" or not self.is_last
        return len(self.times) - 1 + predicts_at_end


def plan_stages(steps: int, count: int, solver: Solver) -> tuple[Stage, ...]:
    """Shares ``steps`` evaluations out to at most ``count`` stages.

    A stage of DPM-Solver++ that others follow spends its last evaluation on the clean state, so it needs two.

    Raises:
        InputError: Fewer than one step, or a solver that cannot be interrupted.
    """
    if steps < 1:
        raise InputError(f"A sampler needs at least one step and was given {steps}.")
    if solver == "consistency":
        times = time_grid(steps)[:-1]
        shares = _shares(steps, min(count, steps))
        return tuple(
            Stage(sum(shares[:i]), tuple(times[sum(shares[:i]) :][:share]), i == len(shares) - 1, solver)
            for i, share in enumerate(shares)
        )
    if solver == "multistep" and count > 1:
        raise InputError(
            "The multistep solver runs in one stage; set the stages to 1, or take the singlestep solver."
        )
    shares = _shares(steps, max(1, min(count, steps // 2)))
    times = time_grid(steps - len(shares) + 1)
    found, start = [], 0
    for i, share in enumerate(shares):
        is_last = i == len(shares) - 1
        stop = start + share - (not is_last)
        found.append(Stage(i, tuple(times[start : stop + 1]), is_last, solver))
        start = stop
    return tuple(found)


def run_stage(
    stage: Stage, denoiser: JointDenoiser, clean: Mapping[str, Tensor] | None, schedule: Schedule
) -> dict[str, Tensor]:
    """Carries a batch of windows through a stage.

    Args:
        stage: One of ``plan_stages``.
        denoiser: Has the conditions and the noise.
        clean: What the stage before came to, (B, C, h, w) of each wanted group; None for the first.
        schedule: That of the network.

    Returns:
        The clean latents that the stage comes to.
    """
    first = stage.times[0]
    state = denoiser.initial(stage.index)
    if clean is not None:
        state = schedule.alpha(first) * denoiser.joined(clean) + schedule.sigma(first) * state
    if stage.solver == "consistency":
        state = denoiser.clean(state, first)
        for offset, t in enumerate(stage.times[1:], start=1):
            noise = denoiser.initial(stage.index + offset)
            state = denoiser.clean(schedule.alpha(t) * state + schedule.sigma(t) * noise, t)
        return denoiser.split(state)
    if stage.solver == "multistep":
        return denoiser.split(multistep(denoiser, state, len(stage.times) - 1, schedule))
    if len(stage.times) > 1:
        state = singlestep(denoiser, state, stage.times, schedule)
    return denoiser.split(state if stage.is_last else denoiser.clean(state, stage.times[-1]))


def _shares(steps: int, count: int) -> list[int]:
    return [steps // count + (i < steps % count) for i in range(count)]
