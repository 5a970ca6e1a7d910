"""Fits a denoiser of several groups of latents, each with a diffusion time of its own.

The recipe is COP-GEN-Beta's (arXiv:2504.08548), after UniDiffuser (arXiv:2303.06555): for every sample and
group independently n ~ U{1..1000} and a noise; the loss is the sum over the groups of the mean squared error.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from engine.models.tensor_files import read_tensors
from engine.networks.cop_gen import CopGen
from engine.networks.state_dicts import check_tensors
from engine.samplers.prediction import Prediction, target
from engine.samplers.schedule import TRAINING_STEPS, Schedule
from training.groups import groups_of, latent_group
from training.losses.diffusion import Weighting, time_weight

_INITIAL_DEVIATION = 0.02
Batch = dict[str, Any]
AttentionKind = Literal["fused", "plain"]


@dataclass(frozen=True)
class Optimisation:
    """AdamW and averaging; the defaults are the published recipe's.

    Attributes:
        rate: Learning rate after the rise.
        rise_steps: Optimiser steps of the linear rise, whose first step has the rate 0.
        fall_steps: Over the last so many steps the rate falls linearly to a twentieth; 0: it stays.
        betas: Of AdamW.
        decay: Weight decay of every parameter.
        averaging: Decay a step of the exponential moving average that is exported.
        averaging_rise: Whether that decay starts lower, (1 + step) / (10 + step), so that short runs are not
            dominated by their first weights.
    """

    rate: float = 2e-4
    rise_steps: int = 5000
    fall_steps: int = 0
    betas: tuple[float, float] = (0.99, 0.99)
    decay: float = 0.03
    averaging: float = 0.9999
    averaging_rise: bool = False

    def share(self, step: int, steps: int) -> float:
        """Share of ``rate`` at a step of all."""
        rise = min(1.0, step / self.rise_steps) if self.rise_steps else 1.0
        return rise * max(0.05, min(1.0, (steps - step) / self.fall_steps)) if self.fall_steps else rise


class JointDiffusionTask(L.LightningModule):
    """The denoiser and its moving average.

    Args:
        network: The denoiser; see ``denoiser``.
        optimisation: Learning rates and averaging.
        prediction: What the network predicts.
        weighting: How errors count over time.
        gamma: Of ``weighting``.
        checkpointing: Compute each block again for its gradients rather than keep what it computed: about a
            third more time, a fraction of the memory.
        compiled: Let torch compile the network: faster on GPUs, after a minute or more at the start.
        pure_start: Let a group at time 1000 be noise alone, as where sampling starts, without the rest of the
            signal that the schedule leaves there: in large windows of pixels that rest tells the mean.
        attention: ``fused`` never holds the weights of all tokens against all; ``plain`` does, in the
            trainer's precision, which is much faster on CPUs where tokens are few (some hundreds).
    """

    def __init__(
        self,
        network: CopGen,
        optimisation: Optimisation,
        prediction: Prediction = "noise",
        weighting: Weighting = "uniform",
        gamma: float = 5.0,
        checkpointing: bool = False,
        compiled: bool = False,
        attention: AttentionKind = "fused",
        pure_start: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.optimisation, self.prediction = optimisation, prediction
        self.weighting, self.gamma, self.attention = weighting, gamma, attention
        self.pure_start = pure_start
        if checkpointing:
            checkpoint_blocks(network)
        if compiled:
            network.compile()
        for name, table in zip(("alphas", "sigmas"), factors(prediction), strict=True):
            self.register_buffer(name, table, persistent=False)

    @property
    def names(self) -> list[str]:
        """Groups in the network's order."""
        return [group.name for group in self.network.groups]

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW; the rate changes with every optimiser step."""
        plan, scaled = self.optimisation, self.trainer.precision == "16-mixed"
        # Under a gradient scaler Lightning refuses to clip gradients for a fused optimizer.
        optimizer = torch.optim.AdamW(
            self.network.parameters(), plan.rate, plan.betas, weight_decay=plan.decay, fused=not scaled
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: plan.share(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one pass."""
        with attention_kernels(self.attention):
            losses = self.losses(self.network, batch)
        loss = losses.sum(dim=1).mean()
        self.log("loss", loss.detach())
        return loss

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """Weighted mean squared error of each sample and group, (B, G); 0 where a group is not learnt."""
        noisy, factors = self.noisy(batch)
        times = [time.float() for time in batch["time"].unbind(dim=1)]
        answers = network(noisy, times)
        found = []
        for i, (name, answer) in enumerate(zip(self.names, answers, strict=True)):
            alpha, sigma = factors[i]
            clean, noise = batch["latent"][name], batch["noise"][name]
            error = answer.float() - target(self.prediction, clean, noise, alpha, sigma)
            weight = time_weight(self.weighting, self.gamma, self.prediction, alpha, sigma).flatten()
            # Clean and absent groups carry the weight of infinity or nothing: they must not spread as NaN.
            weight = torch.where(batch["learnt"][:, i] > 0, weight, 0.0)
            found.append(weight * error.square().flatten(1).mean(dim=1))
        return torch.stack(found, dim=1)

    def noisy(self, batch: Batch) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """What the network sees of each group, and the factors (B, 1, 1, 1) of signal and noise in it."""
        states, factors = [], []
        for i, name in enumerate(self.names):
            time = batch["time"][:, i]
            alpha, sigma = self.alphas[time], self.sigmas[time]
            # A group that is absent is pure noise, without the rest of a signal that time 1000 leaves.
            pure = (time == TRAINING_STEPS) & (self.pure_start | (batch["learnt"][:, i] == 0))
            alpha, sigma = torch.where(pure, 0.0, alpha), torch.where(pure, 1.0, sigma)
            alpha, sigma = (factor[:, None, None, None] for factor in (alpha, sigma))
            states.append(alpha * batch["latent"][name] + sigma * batch["noise"][name])
            factors.append((alpha, sigma))
        return states, factors

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Step, then update the average."""
        plan, step = self.optimisation, self.global_step
        super().optimizer_step(*arguments, **named)
        decay = min(plan.averaging, (1 + step) / (10 + step)) if plan.averaging_rise else plan.averaging
        with torch.no_grad():
            average, current = list(self.average.parameters()), list(self.network.parameters())
            torch._foreach_lerp_(average, current, 1 - decay)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Loss of the averaged network at fixed draws, by group."""
        losses = self.losses(self.average, batch)
        size = len(losses)
        self.log("val/loss", losses.sum(dim=1).mean(), batch_size=size, sync_dist=True)
        for name, loss in zip(self.names, losses.mean(dim=0), strict=True):
            self.log(f"val/{name}", loss, batch_size=size, sync_dist=True)


def factors(prediction: Prediction) -> tuple[Tensor, Tensor]:
    """(1001,) float32 factors of signal and noise at the times 0, which is clean, to 1000."""
    if prediction == "flow":
        sigma = np.arange(TRAINING_STEPS + 1) / TRAINING_STEPS
        alpha = 1 - sigma
    else:
        log_alphas = np.concatenate([[0.0], Schedule().log_alphas])
        alpha, sigma = np.exp(log_alphas), np.sqrt(-np.expm1(2 * log_alphas))
    return torch.from_numpy(alpha).float(), torch.from_numpy(sigma).float()


@contextlib.contextmanager
def attention_kernels(kind: AttentionKind) -> Iterator[None]:
    """Attention inside is computed in this way; gradients of it, also later."""
    if kind == "fused":
        yield
        return
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # of CPUs, too
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(allowed)


def checkpoint_blocks(network: CopGen) -> None:
    """Lets each block be computed again in the backward pass."""
    for block in (*network.in_blocks, network.mid_block, *network.out_blocks):
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)


def denoiser(
    groups: Any,
    width: int,
    depth: int,
    heads: int,
    hidden: int | None = None,
    qkv_bias: bool = False,
    time_mlp: bool = False,
    init: str | None = None,
) -> CopGen:
    """A denoiser with fresh weights, or with those of a checkpoint, such as the published ones.

    Args:
        groups: As for ``training.groups.groups_of``.
        width: See ``CopGen``.
        depth: See ``CopGen``.
        heads: See ``CopGen``.
        hidden: See ``CopGen``; four times ``width`` by default.
        qkv_bias: See ``CopGen``.
        time_mlp: See ``CopGen``.
        init: ``nnet_ema_*.pth``, ``.safetensors`` or the authors' folder ``<step>.ckpt`` to start from.

    Raises:
        ModelError: The checkpoint is damaged or does not fit.
    """
    latents = [latent_group(group) for group in groups_of(groups)]
    network = CopGen(latents, width, depth, heads, hidden or 4 * width, qkv_bias, time_mlp)
    if init is None:
        return initialised(network)
    tensors = read_tensors(_weights_file(Path(init)))
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    check_tensors(tensors, expected, init, "the denoiser of the recipe")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network


def _weights_file(path: Path) -> Path:
    """The averaged weights, where a training checkpoint of the authors is given: a folder."""
    return path / "nnet_ema.pth" if path.is_dir() else path


def initialised(network: CopGen) -> CopGen:
    """Normal weights of deviation 0.02 and biases 0, as U-ViT's (arXiv:2209.12152)."""

    def normal(tensor: Tensor) -> None:
        nn.init.trunc_normal_(tensor, std=_INITIAL_DEVIATION, a=-1.0, b=1.0)

    normal(network.pos_embed)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            normal(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
