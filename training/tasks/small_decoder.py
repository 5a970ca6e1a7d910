"""Distils a KL autoencoder's decoder into a small one without norms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.networks.small_decoder import SmallDecoder
from training.codecs import read_autoencoder
from training.tasks.reconstruction import Adversary, Batch, Layer, Rates, ReconstructionTask

_CELLS_PX = (1, 4)  # errors of detail and of tone


@dataclass(frozen=True)
class Distillation:
    """Weights of the losses; errors are absolute, in deviations of the layer.

    Attributes:
        image: Of the error to the image.
        teacher: Of the error to the KL decoder's image.
        jitter: Largest standard deviation of noise on the latent, standing for a denoiser's errors.
    """

    image: float = 1.0
    teacher: float = 0.5
    jitter: float = 0.1


class SmallDecoderTask(ReconstructionTask):
    """Small decoder, patch discriminators, and the decoder's moving average.

    Args:
        network: The small decoder.
        autoencoder: File that ``training.codecs.export`` wrote.
        layer: See ``ReconstructionTask``.
        losses: Their weights.
        rates: See ``ReconstructionTask``.
        adversary: See ``ReconstructionTask``.
        precision: See ``ReconstructionTask``.
    """

    def __init__(
        self,
        network: SmallDecoder,
        autoencoder: str,
        layer: Layer,
        losses: Distillation,
        rates: Rates,
        adversary: Adversary | None = None,
        precision: str = "bf16",
    ) -> None:
        with torch.no_grad():
            network.leave.weight *= layer.deviation
            network.leave.bias.fill_(layer.mean)
        network = network.to(memory_format=torch.channels_last)
        super().__init__(network, layer, adversary or Adversary(), rates, precision)
        self.discriminator.to(memory_format=torch.channels_last)
        teacher, self.scale = read_autoencoder(Path(autoencoder))
        # In a tuple it is no part of the checkpoint: it has its own file.
        self.teacher = (teacher,)
        self.losses = losses

    def reconstruct(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """See ``ReconstructionTask``."""
        image, weight, losses = batch["image"], batch["known"], self.losses
        latent, taught = self._taught(image, batch["noise"])
        with self.autocast():
            copied = self.network(latent.contiguous(memory_format=torch.channels_last)).float()
        error = self._distance(copied, image, weight)
        self.log("loss/image", error.detach())
        loss = losses.image * error
        if taught is not None:
            loss = loss + losses.teacher * self._distance(copied, taught, weight)
        return copied, loss

    @torch.no_grad()
    def _taught(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor | None]:
        """Jittered latents of the denoiser, and the teacher's images of them without jitter."""
        autoencoder = self.teacher[0].to(self.device)
        with self.autocast():
            moments = autoencoder.encode(image).latent_dist
            drawn = moments.mean + moments.std * noise
            taught = autoencoder.decode(drawn).sample.float() if self.losses.teacher else None
        # Shifted by a cell, the sample's noise is as good as new.
        strength = self.losses.jitter * noise[:, :1, :1, :1].abs().clamp(max=1.0)
        return self.scale * drawn.float() + strength * noise.roll(1, dims=-1), taught

    def _distance(self, copied: Tensor, image: Tensor, weight: Tensor) -> Tensor:
        error = self.error(copied, image, weight)
        return sum(F.avg_pool2d(error, cell).abs().mean() for cell in _CELLS_PX)

    def copied(self, image: Tensor) -> Tensor:
        """See ``ReconstructionTask``; through the mean of the latent."""
        autoencoder = self.teacher[0].to(self.device)
        with self.autocast():
            latent = self.scale * autoencoder.encode(image).latent_dist.mode().float()
            return self.average(latent).float()
