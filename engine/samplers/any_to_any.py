"""Any groups from any others with a network that gives every group a diffusion time of its own.

Wanted groups are integrated together from noise; given ones stand still at time 0 (clean); the rest are noise
at time 1000, where the network learnt to read nothing from it (UniDiffuser, arXiv:2303.06555).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal

import torch
from torch import Tensor

from engine.errors import InputError
from engine.networks.cop_gen import CopGen, LatentGroup
from engine.samplers.dpm_solver import singlestep, time_grid
from engine.samplers.keyed_noise import Noise, Purpose
from engine.samplers.multistep import multistep
from engine.samplers.prediction import Prediction, data_prediction, noise_prediction, schedule_of
from engine.samplers.schedule import TRAINING_STEPS

_CLEAN, _NOISE = 0.0, float(TRAINING_STEPS)
Solver = Literal["singlestep", "multistep", "consistency"]
_Fixed = dict[str, tuple[Tensor, float]]


class JointDenoiser:
    """Predicts the noise in the wanted groups, flattened to one state; for ``dpm_solver.singlestep``.

    Args:
        network: The denoiser, on its device and in its precision.
        generate: Names of the wanted groups.
        conditions: Latent (B, C, h, w) of each given group, scaled as the network was fitted.
        noise: Draws (B, C, h, w), see ``Noise``.
        guidance: s in noise + s (noise - noise without the conditions); 0 leaves the second branch away.
        published_ignored: Treat the groups that are neither wanted nor given as the authors' programs do: new
            noise at every evaluation, declared clean. Only to reproduce their results.
        prediction: What the network predicts.
        on_evaluation: Called before each evaluation; may raise to cancel.

    Attributes:
        schedule: That of the network.
        wanted: Wanted groups in the network's order, which is that of the state.
        evaluations: Calls so far.

    Raises:
        InputError: Unknown, doubly used or misshapen group, or a value that is not finite.
    """

    def __init__(
        self,
        network: CopGen,
        generate: Collection[str],
        conditions: Mapping[str, Tensor],
        noise: Noise,
        guidance: float = 0.0,
        published_ignored: bool = False,
        prediction: Prediction = "noise",
        on_evaluation: Callable[[], None] | None = None,
    ) -> None:
        check_request([group.name for group in network.groups], generate, conditions)
        self._network, self._noise, self._guidance = network, noise, guidance
        self._prediction, self._on_evaluation = prediction, on_evaluation
        self._device, self.schedule = network.pos_embed.device, schedule_of(prediction)
        self.wanted: list[LatentGroup] = [group for group in network.groups if group.name in generate]
        self.evaluations = 0
        ignored = [g.name for g in network.groups if g.name not in generate and g.name not in conditions]
        self._redrawn = ignored if published_ignored else []
        rest = {} if published_ignored else {name: self._drawn("ignored", name) for name in ignored}
        for group in network.groups:
            if group.name in conditions:
                _check_latent(group, conditions[group.name])
        given = {name: (z.to(self._device, torch.float32), _CLEAN) for name, z in conditions.items()}
        self._branches: list[_Fixed] = [{**given, **rest}]
        if guidance and conditions:
            unguided = {name: self._drawn("unconditional", name) for name in conditions}
            self._branches.append({**unguided, **rest})

    def initial(self, evaluation: int = 0) -> Tensor:
        """Noise to start from, (B, numbers of all wanted groups); another one for each ``evaluation``."""
        return self.joined({g.name: self._noise("initial", g.name, evaluation) for g in self.wanted})

    def joined(self, latents: Mapping[str, Tensor]) -> Tensor:
        """Latents of the wanted groups as one state on the network's device."""
        flat = [latents[group.name].flatten(1) for group in self.wanted]
        return torch.cat(flat, dim=1).to(self._device, torch.float32)

    def split(self, state: Tensor) -> dict[str, Tensor]:
        """Inverse of ``joined``."""
        parts = state.split([group.channels * group.height * group.width for group in self.wanted], dim=1)
        return {g.name: part.unflatten(1, g.shape) for g, part in zip(self.wanted, parts, strict=True)}

    def __call__(self, state: Tensor, t: float) -> Tensor:
        """Noise in the state at time ``t`` of (0, 1]."""
        return noise_prediction(self._prediction, state, self._output(state, t), t, self.schedule)

    def clean(self, state: Tensor, t: float) -> Tensor:
        """The clean state that the network sees in one at time ``t`` of (0, 1]."""
        return data_prediction(self._prediction, state, self._output(state, t), t, self.schedule)

    def _output(self, state: Tensor, t: float) -> Tensor:
        """The network's own prediction, with guidance."""
        if self._on_evaluation is not None:
            self._on_evaluation()
        moving = {name: (latent, TRAINING_STEPS * t) for name, latent in self.split(state).items()}
        for name in self._redrawn:
            moving[name] = self._noise("ignored", name, self.evaluations).to(self._device), _CLEAN
        self.evaluations += 1
        with torch.inference_mode():
            outputs = self._evaluated([{**branch, **moving} for branch in self._branches], len(state))
        if len(outputs) == 1:
            return outputs[0]
        guided, unguided = outputs
        return guided + self._guidance * (guided - unguided)

    def _evaluated(self, branches: list[_Fixed], batch: int) -> list[Tensor]:
        """All branches in one pass of the network."""
        names = [group.name for group in self._network.groups]
        latents = [torch.cat([branch[name][0] for branch in branches]) for name in names]
        # One upload for all groups.
        times = torch.tensor([[branch[name][1] for branch in branches] for name in names])
        times = times.to(self._device).repeat_interleave(batch, dim=1).unbind()
        noise = dict(zip(names, self._network(latents, times), strict=True))
        return list(self.joined(noise).chunk(len(branches)))

    def _drawn(self, purpose: Purpose, name: str) -> tuple[Tensor, float]:
        return self._noise(purpose, name).to(self._device), _NOISE


def sample(
    network: CopGen,
    generate: Collection[str],
    conditions: Mapping[str, Tensor],
    noise: Noise,
    steps: int = 50,
    guidance: float = 0.0,
    published_ignored: bool = False,
    solver: Solver = "singlestep",
    on_evaluation: Callable[[int, int], None] | None = None,
) -> dict[str, Tensor]:
    """Draws latents of the wanted groups, given others.

    Args:
        network: See ``JointDenoiser``.
        generate: See ``JointDenoiser``.
        conditions: See ``JointDenoiser``.
        noise: See ``JointDenoiser``.
        steps: Evaluations of the network, >= 1 (each of twice the batch with guidance).
        guidance: See ``JointDenoiser``.
        published_ignored: See ``JointDenoiser``.
        solver: ``singlestep``: the authors', ``multistep``: diffusers'; equal in cost.
        on_evaluation: Called before each evaluation with the number of those done and of all; may raise to
            cancel.

    Returns:
        (B, C, h, w) float32 of each wanted group, in the network's order, on the network's device.

    Raises:
        InputError: See ``JointDenoiser``; or fewer than one step.
    """
    if steps < 1:
        raise InputError(f"A sampler needs at least one step and was given {steps}.")
    denoiser = JointDenoiser(network, generate, conditions, noise, guidance, published_ignored)

    def predict(state: Tensor, t: float) -> Tensor:
        if on_evaluation is not None:
            on_evaluation(denoiser.evaluations, steps)
        return denoiser(state, t)

    schedule, state = denoiser.schedule, denoiser.initial()
    if solver == "multistep":
        return denoiser.split(multistep(predict, state, steps, schedule))
    return denoiser.split(singlestep(predict, state, time_grid(steps), schedule))


def check_request(known: Collection[str], generate: Collection[str], given: Collection[str]) -> None:
    """Refuses a choice of groups that no network can serve.

    Args:
        known: Groups of the network.
        generate: Wanted groups.
        given: Groups that are conditions.

    Raises:
        InputError: Nothing wanted, unknown names, or the same group on both sides.
    """
    if not generate:
        raise InputError(f"Nothing was asked for; generate at least one of {', '.join(known)}.")
    if unknown := [name for name in [*generate, *given] if name not in known]:
        raise InputError(f"The model does not know {', '.join(unknown)}; it knows {', '.join(known)}.")
    if both := [name for name in generate if name in given]:
        raise InputError(
            f"{', '.join(both)} cannot be given and generated at once; take it out of one of the two."
        )


def _check_latent(group: LatentGroup, latent: Tensor) -> None:
    if latent.ndim != 4 or tuple(latent.shape[1:]) != group.shape:
        raise InputError(
            f"The latent of {group.name} has the shape {list(latent.shape[1:])} and the model takes "
            f"{list(group.shape)}; give it at the model's window size."
        )
    if not bool(torch.isfinite(latent).all()):
        raise InputError(
            f"The latent of {group.name} holds values that are not finite numbers; fill the gaps of its "
            "raster before encoding."
        )
