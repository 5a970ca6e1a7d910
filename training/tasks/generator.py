"""Fits a generator with reconstruction losses first, then against patch discriminators."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import lightning as L
import torch
from torch import Tensor, nn

from training.losses.adversarial import (
    PatchDiscriminator,
    feature_matching,
    hinge_discriminator,
    hinge_generator,
)
from training.losses.reconstruction import energy, spectral_angle
from training.metrics.scores import Scores

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """Weights of the losses in one stage of training.

    Attributes:
        from_epoch: First epoch of the stage.
        scales: Averaging cell (px) -> weight of the energy score between images averaged over such cells.
        spread: How much draws of the noise differ: 0 not at all, 1 as the truth does.
        brightness: Weight of the same score for the mean of the bands.
        brightness_spread: Its ``spread``. Larger than that of the bands, it puts the variety into brightness
            and leaves the spectral angle alone.
        angle: Weight of the spectral angle.
        compared: How many crops of a batch are drawn twice, to measure how much draws differ.
        adversarial: Weight of the hinge loss; 0: no discriminators.
        matching: Weight of feature matching.
        inset_px: Margin of a crop that is not judged, for want of context.
    """

    from_epoch: int
    scales: Mapping[int, float]
    spread: float
    brightness: float
    brightness_spread: float
    angle: float
    compared: int
    adversarial: float
    matching: float
    inset_px: int


@dataclass(frozen=True)
class Optimisation:
    """Learning rates and averaging.

    Attributes:
        rate: Of the generator (AdamW), after a linear rise over ``rise_steps``.
        adversarial_rate: Of the generator once discriminators take part.
        discriminator_rate: Of the discriminators (Adam).
        fall_epochs: The rates fall linearly to a twentieth over the last so many epochs.
        decay: Weight decay of the generator.
        averaging: Decay a step of the exponential moving average that is exported.
    """

    rate: float
    adversarial_rate: float
    discriminator_rate: float
    rise_steps: int
    fall_epochs: int
    decay: float
    averaging: float


@dataclass(frozen=True)
class Selection:
    """The checkpoint that is kept: the lowest weighted mean of the scores relative to ``reference``.

    Attributes:
        reference: Score name -> value that counts as 1 (of the regression on local statistics); ``psnr``
            counts as a ratio of errors, ``ssim`` as a ratio of what lacks to 1.
        weights: Score name -> weight.
        least_psnr: Checkpoints with a lower PSNR (dB) are not eligible.
    """

    reference: Mapping[str, float]
    weights: Mapping[str, float]
    least_psnr: float

    def score(self, found: Mapping[str, float]) -> float:
        """Lower is better; 100 more for checkpoints that are not eligible."""
        total = sum(weight * self._relative(name, found[name]) for name, weight in self.weights.items())
        return total / sum(self.weights.values()) + (100 if found["psnr"] < self.least_psnr else 0)

    def _relative(self, name: str, value: float) -> float:
        if name == "psnr":
            return 10 ** ((self.reference[name] - value) / 20)
        if name in ("ssim", "scc"):
            return (1 - value) / (1 - self.reference[name])
        return value / self.reference[name]


class GeneratorTask(L.LightningModule):
    """Generator, discriminators, and the generator's moving average.

    Args:
        network: A module with ``inputs`` (names of its tensors, ``noise`` last) and ``noise_planes``.
        condition_channels: Channels of the first input, which the discriminators see too.
        objectives: Losses, one entry a stage, in order of their first epoch.
        optimisation: Learning rates.
        selection: How checkpoints are ranked.
        pad_px: Blank padding of validation images, cut off before they are scored.
        precision: ``bf16`` runs the networks in bfloat16 with float32 weights and losses.
    """

    def __init__(
        self,
        network: nn.Module,
        condition_channels: int,
        objectives: Sequence[Objective],
        optimisation: Optimisation,
        selection: Selection,
        pad_px: int,
        precision: str = "bf16",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.discriminator = PatchDiscriminator(condition_channels + 3).to(memory_format=torch.channels_last)
        self.objectives = tuple(objectives)
        self.optimisation = optimisation
        self.selection = selection
        self.pad_px = pad_px
        self.half = precision == "bf16"
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.scores = Scores()

    @property
    def condition(self) -> str:
        """Name of the input that the discriminators see."""
        return self.network.inputs[0]

    @property
    def objective(self) -> Objective:
        """The losses of this epoch."""
        return [stage for stage in self.objectives if stage.from_epoch <= self.current_epoch][-1]

    @property
    def adversarial(self) -> bool:
        """Whether discriminators take part in this epoch."""
        return self.objective.adversarial > 0

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW for the generator, Adam for the discriminators."""
        plan = self.optimisation
        generator = torch.optim.AdamW(
            self.network.parameters(), lr=plan.rate, betas=(0.5, 0.99), weight_decay=plan.decay, fused=True
        )
        critic = torch.optim.Adam(
            self.discriminator.parameters(), lr=plan.discriminator_rate, betas=(0.0, 0.99), fused=True
        )
        return [generator, critic]

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One step of the generator, and one of the discriminators when they take part."""
        generator, critic = self.optimizers()
        self._set_rates(generator, critic)
        weight, (condition, truth) = self._judged(batch)
        image, other = self._draws(batch)
        loss = self._reconstruction(image, other, truth, weight)
        if self.adversarial:
            loss = loss + self._adversarial(condition, image, truth, weight)
        generator.zero_grad()
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        generator.step()
        self._update_average()
        if self.adversarial:
            self._step_critic(critic, condition, image.detach(), truth, weight)
        self.steps += 1

    def _judged(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Weight, condition and truth without the margin; unknown pixels are 0."""
        weight = self._inner(batch["valid"])
        return weight, [self._inner(batch[key]) * weight for key in (self.condition, "optical")]

    def _inner(self, image: Tensor) -> Tensor:
        inset = self.objective.inset_px
        return image[..., inset:-inset, inset:-inset] if inset else image

    def _draws(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Inner part of the images, and of the first few again with other noise when draws are compared."""
        planes, few = self.network.noise_planes, self.objective.compared
        given = [batch[key].contiguous(memory_format=torch.channels_last) for key in self.network.inputs[:-1]]
        first, second = batch["noise"][:, :planes], batch["noise"][:few, planes:]
        with self._autocast():
            image = self.network(*given, first)
            other = self.network(*(x[:few] for x in given), second) if few else None
        return self._inner(image.float()), None if other is None else self._inner(other.float())

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def _reconstruction(self, image: Tensor, other: Tensor | None, truth: Tensor, weight: Tensor) -> Tensor:
        plan = self.objective
        score = energy(image, other, truth, weight, plan.spread, plan.scales)
        grey, other_grey, true_grey = (
            x if x is None else x.mean(dim=1, keepdim=True) for x in (image, other, truth)
        )
        brightness = energy(grey, other_grey, true_grey, weight, plan.brightness_spread, plan.scales)
        angle = spectral_angle(image, truth, weight)
        self.log_dict({"loss/energy": score, "loss/brightness": brightness, "loss/angle": angle})
        return score + plan.brightness * brightness + plan.angle * angle

    def _adversarial(self, condition: Tensor, image: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        plan = self.objective
        self.discriminator.requires_grad_(False)
        with self._autocast():
            with torch.no_grad():
                real = self.discriminator(condition, truth)
            fake = self.discriminator(condition, image * weight)
        self.discriminator.requires_grad_(True)
        hinge, matching = hinge_generator(fake), feature_matching(real, fake)
        self.log_dict({"loss/adversarial": hinge, "loss/matching": matching})
        return plan.adversarial * hinge + plan.matching * matching

    def _step_critic(
        self, critic: torch.optim.Optimizer, condition: Tensor, image: Tensor, truth: Tensor, weight: Tensor
    ) -> None:
        with self._autocast():
            real = self.discriminator(condition, truth)
            fake = self.discriminator(condition, image * weight)
        loss = hinge_discriminator(real, fake)
        critic.zero_grad()
        self.manual_backward(loss)
        critic.step()
        self.log("loss/discriminator", loss)

    def _set_rates(self, generator: torch.optim.Optimizer, critic: torch.optim.Optimizer) -> None:
        plan, step = self.optimisation, int(self.steps)
        remaining = self.trainer.max_epochs - step / self.trainer.num_training_batches
        fall = max(0.05, min(1.0, remaining / max(plan.fall_epochs, 1)))
        rise = min(1.0, (step + 1) / plan.rise_steps)
        base = plan.adversarial_rate if self.adversarial else plan.rate
        for optimizer, rate in ((generator, base * rise * fall), (critic, plan.discriminator_rate * fall)):
            for group in optimizer.param_groups:
                group["lr"] = rate

    @torch.no_grad()
    def _update_average(self) -> None:
        step = int(self.steps)
        decay = min(self.optimisation.averaging, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)

    def on_validation_epoch_start(self) -> None:
        """Start the scores afresh."""
        self.scores = Scores()

    @torch.no_grad()
    def translate(self, batch: Batch) -> Tensor:
        """Image of the averaged generator for whole inputs, padding cut off: (B, 3, H, W)."""
        given = [batch[key].contiguous(memory_format=torch.channels_last) for key in self.network.inputs]
        with self._autocast():
            return self.cut(self.average(*given).float())

    def cut(self, image: Tensor) -> Tensor:
        """Without the blank padding of validation images."""
        pad = self.pad_px
        return image[..., pad:-pad, pad:-pad] if pad else image

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Score one whole image."""
        image = self.translate(batch)
        truth, valid = self.cut(batch["optical"])[0], self.cut(batch["valid"])[0]
        self.scores.update(torch.where(valid > 0, image[0], truth).cpu(), truth.cpu())
        if batch_index % 16 == 0:
            self._show(batch_index, self.cut(batch[self.condition])[0], image[0], truth)

    def on_validation_epoch_end(self) -> None:
        """Log the scores and the rank of this checkpoint."""
        found = self.scores.compute()
        self.log_dict({f"val/{name}": value for name, value in found.items()})
        self.log("val/rank", self.selection.score(found), prog_bar=True)

    def _show(self, index: int, condition: Tensor, image: Tensor, truth: Tensor) -> None:
        board = getattr(self.logger, "experiment", None)
        if hasattr(board, "add_image"):
            grey = (
                condition[:1] / 6 + 0.5 if self.condition == "sar" else condition.argmax(0, keepdim=True) / 6
            )
            views = torch.cat([grey.expand(3, -1, -1), 1.8 * image, 1.8 * truth], dim=-1)
            board.add_image(f"validation/{index}", views.clamp(0, 1), self.current_epoch)
