"""Distils a joint diffusion model into a student of one or two steps; see ``training.losses.consistency``."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.networks.cop_gen import CopGen
from engine.samplers.dpm_solver import LAST_TIME, time_grid
from engine.samplers.prediction import Prediction, noise_from, target
from training.groups import groups_of, latent_group
from training.joint_models import TEACHER_KEY, load_teacher
from training.losses.consistency import (
    Clean,
    Latents,
    Order,
    Request,
    TimeFactors,
    clean_latents,
    earlier_time,
    guided_outputs,
    pseudo_huber,
    solver_step,
)
from training.tasks.joint_diffusion import (
    AttentionKind,
    Batch,
    JointDiffusionTask,
    Optimisation,
    attention_kernels,
)


@dataclass(frozen=True)
class Distillation:
    """How the student follows its teacher.

    Attributes:
        order: Of the teacher's solver; its evaluations a step.
        guidance: See ``JointDenoiser``; it becomes part of the student, which needs none then.
        first_intervals: Teacher's steps from noise to clean at the beginning. Few carry what is known of the
            clean end to the noise quickly, many are exact; the number is doubled at even distances.
        last_intervals: The same at the end.
        convert_steps: Optimiser steps at the beginning in which the student learns the teacher's answers in
            its own ``prediction``, where that is another one.
        target_averaging: Decay a step of the average of the student that it is compared with.
        validation_steps: Teacher's steps that validation compares one step with.
    """

    order: Order = 1
    guidance: float = 0.0
    first_intervals: int = 8
    last_intervals: int = 64
    convert_steps: int = 0
    target_averaging: float = 0.95
    validation_steps: int = 20

    def intervals(self, step: int, steps: int) -> int:
        """Number of the teacher's steps at an optimiser step of all."""
        done = (step - self.convert_steps) / max(1, steps - self.convert_steps)
        doublings = math.floor(math.log2(self.last_intervals / self.first_intervals) + 1e-6)
        level = min(max(0, math.floor(done * (doublings + 1))), doublings)
        return self.first_intervals << level


class DistilTask(JointDiffusionTask):
    """The student, its average that is exported, and the average that it is compared with.

    Args:
        network: The student; see ``student``.
        teacher: See ``load_teacher``.
        optimisation: See ``JointDiffusionTask``.
        distillation: How.
        prediction: What the student predicts; None: what the teacher does.
        checkpointing: See ``JointDiffusionTask``.
        attention: See ``JointDiffusionTask``.

    Raises:
        InputError: The student's prediction lies on another path from noise to clean than the teacher's, or
            is another one and no steps are given to learn it.
    """

    def __init__(
        self,
        network: CopGen,
        teacher: str,
        optimisation: Optimisation,
        distillation: Distillation,
        prediction: Prediction | None = None,
        checkpointing: bool = False,
        attention: AttentionKind = "fused",
    ) -> None:
        compared = copy.deepcopy(network).requires_grad_(False)
        model = load_teacher(teacher)
        prediction = prediction or model.prediction
        _check_prediction(prediction, model.prediction, distillation)
        super().__init__(network, optimisation, prediction, checkpointing=checkpointing, attention=attention)
        self.compared, self.distillation = compared, distillation
        self.path = TimeFactors(prediction)
        self.told = {"sha256": model.sha256, "heads": model.heads, "prediction": prediction}
        # In a list: no part of the checkpoints.
        self.teacher, self.taught = [model.network], model.prediction
        self.solutions: dict[int, Latents] = {}

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one pass."""
        with attention_kernels(self.attention):
            loss = self.distances(batch).sum(dim=1).mean()
        self.log("loss", loss.detach())
        return loss

    def distances(self, batch: Batch) -> Tensor:
        """Loss of each sample and group, (B, G), of the part of the training that this step belongs to."""
        request, t = Request.of(batch, self.names), batch["time"]
        states = request.states(*self.start(t))
        if self.global_step < self.distillation.convert_steps:
            return self.conversion(request, states, t)
        steps = int(self.trainer.estimated_stepping_batches)
        return self.consistency(request, states, t, self.distillation.intervals(self.global_step, steps))

    def start(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Factors (B, 1, 1, 1) of the state at ``t``; at time 1 the engine starts from noise alone."""
        alpha, sigma = self.path(t)
        is_start = (t == 1)[:, None, None, None]
        return torch.where(is_start, 0.0, alpha), torch.where(is_start, 1.0, sigma)

    def consistency(self, request: Request, states: Latents, t: Tensor, intervals: int) -> Tensor:
        """Loss of each sample and group, (B, G): both ends of a teacher's step have one clean state."""
        end = earlier_time(t, intervals)
        with torch.no_grad():
            moved = solver_step(
                self.by_teacher(request), request, states, t, end, self.path, self.distillation.order
            )
            seen = self.by_student(self.compared, request, moved, end)
            is_clean = (end <= LAST_TIME)[:, None, None, None]
            expected = [torch.where(is_clean, x, z) for x, z in zip(moved, seen, strict=True)]
        found = self.by_student(self.network, request, states, t)
        return pseudo_huber(found, expected, request.wanted)

    def conversion(self, request: Request, states: Latents, t: Tensor) -> Tensor:
        """Mean squared error of each sample and group, (B, G), to the teacher's answer in our prediction."""
        alpha, sigma = self.path(t)
        with torch.no_grad():
            outputs = guided_outputs(self.teacher_network(), request, states, t, self.distillation.guidance)
            clean = clean_latents(self.taught, states, outputs, (alpha, sigma))
            noise = [
                noise_from(self.taught, x, out, alpha, sigma) for x, out in zip(states, outputs, strict=True)
            ]
        found = request.outputs(self.network, states, t)
        expected = [target(self.prediction, z, e, alpha, sigma) for z, e in zip(clean, noise, strict=True)]
        errors = [(a - b).square().flatten(1).mean(dim=1) for a, b in zip(found, expected, strict=True)]
        return torch.stack(errors, dim=1) * request.wanted

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Step, then update both averages."""
        converting = self.global_step < self.distillation.convert_steps
        super().optimizer_step(*arguments, **named)
        kept = 0.0 if converting else self.distillation.target_averaging
        with torch.no_grad():
            compared, current = list(self.compared.parameters()), list(self.network.parameters())
            torch._foreach_lerp_(compared, current, 1 - kept)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Root mean square distance of one step to many of the teacher's from the same noise, by group."""
        request = Request.of(batch, self.names)
        t = torch.ones_like(batch["time"])
        states = request.states(*self.start(t))
        if batch_index not in self.solutions:
            self.solutions[batch_index] = self.solved(request, states)
        found = self.by_student(self.average, request, states, t)
        wanted, distances = request.wanted, []
        for a, b in zip(found, self.solutions[batch_index], strict=True):
            distances.append((a - b).square().flatten(1).mean(dim=1).sqrt())
        distance = torch.stack(distances, dim=1)
        self.log("val/loss", distance[wanted].mean(), batch_size=int(wanted.sum()), sync_dist=True)
        for i, name in enumerate(self.names):
            if (count := int(wanted[:, i].sum())) > 0:
                self.log(f"val/{name}", distance[wanted[:, i], i].mean(), batch_size=count)

    def solved(self, request: Request, states: Latents) -> Latents:
        """Where the teacher's path from noise ends."""
        clean, count = self.by_teacher(request), len(request.wanted)
        times = [
            torch.full((count,), t, device=self.device) for t in time_grid(self.distillation.validation_steps)
        ]
        for start, end in zip(times, times[1:], strict=False):
            states = solver_step(clean, request, states, start, end, self.path, 2)
        return states

    def by_student(self, network: nn.Module, request: Request, states: Latents, t: Tensor) -> Latents:
        """Clean latents that a network of the student's kind sees."""
        return clean_latents(self.prediction, states, request.outputs(network, states, t), self.path(t))

    def by_teacher(self, request: Request) -> Clean:
        """What the teacher sees, guided."""

        def clean(states: Latents, t: Tensor) -> Latents:
            guidance = self.distillation.guidance
            outputs = guided_outputs(self.teacher_network(), request, states, t, guidance)
            return clean_latents(self.taught, states, outputs, self.path(t))

        return clean

    def teacher_network(self) -> CopGen:
        """On the student's device."""
        return self.teacher[0].to(self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps which teacher it is."""
        checkpoint[TEACHER_KEY] = self.told

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on only with the same teacher.

        Raises:
            InputError: It is another one.
        """
        if checkpoint[TEACHER_KEY] != self.told:
            raise InputError(
                "The run was begun with another teacher or another prediction; give those, another output "
                "folder, or resume=false."
            )


def student(teacher: str, groups: Any) -> CopGen:
    """A copy of the teacher to train.

    Args:
        teacher: See ``load_teacher``.
        groups: Of the latents to train on, as for ``training.groups.groups_of``.

    Raises:
        InputError: They are not the teacher's.
    """
    model = load_teacher(teacher)
    expected, found = ([latent_group(g) for g in gs] for gs in (model.groups, groups_of(groups)))
    if expected != found:
        described = "; ".join(
            ", ".join(f"{g.name} {g.channels}x{g.height}x{g.width}" for g in part)
            for part in (expected, found)
        )
        raise InputError(f"The teacher's groups and those of the latents differ: {described}.")
    return model.network.requires_grad_(True).train()


def _check_prediction(own: Prediction, taught: Prediction, distillation: Distillation) -> None:
    if (own == "flow") != (taught == "flow"):
        raise InputError(
            f"The teacher predicts {taught} and the student is to predict {own}, which lies on another path "
            "from noise to clean; leave task.prediction empty."
        )
    if own != taught and not distillation.convert_steps:
        raise InputError(
            f"The teacher predicts {taught} and the student is to predict {own}; give it steps to learn that "
            "(task.distillation.convert_steps)."
        )
