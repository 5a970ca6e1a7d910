"""What fitting an autoencoder and fitting a small decoder share: rates, discriminators, averaging, scores."""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import dataclass

import lightning as L
import torch
from torch import Tensor, nn

from training.losses.adversarial import PatchDiscriminator, hinge_discriminator, hinge_generator

Batch = dict[str, Tensor]
_SHOWN_EVERY = 8


@dataclass(frozen=True)
class Layer:
    """The layer in the model's range.

    Attributes:
        channels: Its bands or planes.
        mean: Of its values.
        deviation: Of its values; errors are measured in deviations.
    """

    channels: int
    mean: float
    deviation: float


@dataclass(frozen=True)
class Rates:
    """Learning rates (AdamW) and averaging.

    Attributes:
        rate: After a linear rise over ``rise_steps``.
        discriminator_rate: Of the discriminators.
        fall: Last share of the training over which rates fall linearly to a twentieth.
        averaging: Decay a step of the exponential moving average that is kept.
    """

    rate: float
    discriminator_rate: float
    rise_steps: int
    fall: float
    averaging: float

    def at(self, step: int, steps: int) -> tuple[float, float]:
        """Rate of the network and of the discriminators at a step of all."""
        fall = max(0.05, min(1.0, (1 - step / steps) / self.fall))
        return self.rate * min(1.0, (step + 1) / self.rise_steps) * fall, self.discriminator_rate * fall


@dataclass(frozen=True)
class Adversary:
    """Patch discriminators, hinge loss.

    Attributes:
        weight: Of the loss; 0: no discriminators.
        from_step: First step in which they take part.
    """

    weight: float = 0.0
    from_step: int = 0


class ReconstructionTask(L.LightningModule):
    """A network that gives an image back, patch discriminators, and the network's moving average.

    Args:
        network: The network.
        layer: What is given back.
        adversary: Discriminators.
        rates: Learning rates.
        precision: ``bf16`` runs the networks in bfloat16 with float32 weights and losses.
    """

    def __init__(
        self, network: nn.Module, layer: Layer, adversary: Adversary, rates: Rates, precision: str = "bf16"
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network.train()
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.discriminator = PatchDiscriminator(layer.channels, mean=layer.mean, std=layer.deviation)
        self.layer, self.adversary, self.rates = layer, adversary, rates
        self.half = precision == "bf16"
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @abstractmethod
    def reconstruct(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The image that comes back, (B, C, S, S) float32, and its loss."""

    @abstractmethod
    def copied(self, image: Tensor) -> Tensor:
        """What the averaged network gives back for an image, without randomness."""

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW for the network and for the discriminators."""
        rates = self.rates
        return [
            torch.optim.AdamW(self.network.parameters(), lr=rates.rate, betas=(0.9, 0.95), fused=True),
            torch.optim.AdamW(
                self.discriminator.parameters(), lr=rates.discriminator_rate, betas=(0.0, 0.99), fused=True
            ),
        ]

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One step of the network, and one of the discriminators when they take part."""
        optimizer, critic = self._optimizers()
        image, weight = batch["image"], batch["known"]
        copied, loss = self.reconstruct(batch)
        if adversarial := self.adversary.weight > 0 and int(self.steps) >= self.adversary.from_step:
            loss = loss + self.adversary.weight * self._fooled(copied * weight)
        optimizer.zero_grad()
        self.manual_backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        optimizer.step()
        if adversarial:
            self._step_critic(critic, image * weight, copied.detach() * weight)
        self._update_average()
        self.steps += 1
        self.log("loss/total", loss.detach())

    def _optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Both, with the rates of this step."""
        steps = self.trainer.max_epochs * self.trainer.num_training_batches
        pair = self.optimizers()
        for optimizer, rate in zip(pair, self.rates.at(int(self.steps), steps), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
        return pair

    def error(self, copied: Tensor, image: Tensor, weight: Tensor) -> Tensor:
        """Difference in deviations, (B, C, S, S), 0 where the image is unknown."""
        return weight * (copied - image) / self.layer.deviation

    def _fooled(self, copied: Tensor) -> Tensor:
        self.discriminator.requires_grad_(False)
        with self.autocast():
            loss = hinge_generator(self.discriminator(copied[:, :0], copied))
        self.discriminator.requires_grad_(True)
        self.log("loss/adversarial", loss.detach())
        return loss

    def _step_critic(self, critic: torch.optim.Optimizer, image: Tensor, copied: Tensor) -> None:
        with self.autocast():
            real = self.discriminator(image[:, :0], image)
            fake = self.discriminator(image[:, :0], copied)
        loss = hinge_discriminator(real, fake)
        critic.zero_grad()
        self.manual_backward(loss)
        critic.step()
        self.log("loss/discriminator", loss.detach())

    @torch.no_grad()
    def _update_average(self) -> None:
        step = int(self.steps)
        decay = min(self.rates.averaging, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)

    def autocast(self) -> torch.autocast:
        """The precision in which networks run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    @torch.no_grad()
    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Absolute error of one whole image, in deviations."""
        copied = self.copied(batch["image"])
        self.log("val/rank", self.error(copied, batch["image"], batch["known"]).abs().mean(), batch_size=1)
        board = getattr(self.logger, "experiment", None)
        if batch_index % _SHOWN_EVERY == 0 and hasattr(board, "add_image"):
            views = torch.cat([batch["image"], copied], dim=-1)[0, :3].mul(0.5).add(0.5).clamp(0, 1)
            board.add_image(f"validation/{batch_index}", views, int(self.steps))
