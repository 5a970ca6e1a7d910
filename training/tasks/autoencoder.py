"""Fits a KL autoencoder (Rombach et al. 2022, arXiv:2112.10752, section 3.1) for one layer of a scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.networks.kl_autoencoder import empty_autoencoder
from training.tasks.reconstruction import Adversary, Batch, Layer, Rates, ReconstructionTask

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


@dataclass(frozen=True)
class Losses:
    """Weights of the losses beside the mean absolute error, which counts 1.

    Attributes:
        square: Of the mean squared error, both in deviations of the layer.
        kl: Of the divergence of the latents from the standard normal distribution, a sum over the latent.
    """

    square: float = 1.0
    kl: float = 1e-6


def new_autoencoder(
    channels: int,
    widths: tuple[int, ...],
    blocks: int,
    latent: int,
    mean: float,
    deviation: float,
    init: str | None = None,
) -> AutoencoderKL:
    """A KL autoencoder with random weights, or with those of another layer's where they fit.

    Args:
        channels: Bands of the layer.
        widths: Channels of each level, finest first, multiples of 32; all but the last level halve the image.
        blocks: Residual blocks a level of the encoder; the decoder has one more.
        latent: Channels of the latent.
        mean: Of the layer in the model's range; the outermost convolutions start out undoing it.
        deviation: The same.
        init: Checkpoint of a run whose averaged weights are the first ones, but for the outermost
            convolutions and tensors of other shapes.
    """
    from diffusers import AutoencoderKL

    network = AutoencoderKL.from_config(empty_autoencoder(channels, tuple(widths), blocks, latent).config)
    if init:
        _take(network, init)
    with torch.no_grad():
        first, last = network.encoder.conv_in, network.decoder.conv_out
        first.weight /= deviation
        first.bias -= mean * first.weight.sum(dim=(1, 2, 3))
        last.weight *= deviation
        last.bias.fill_(mean)
    return network


def _take(network: AutoencoderKL, checkpoint: str) -> None:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    own = network.state_dict()
    given = {name: state.get(f"average.{name}") for name in own if "conv_in" not in name}
    fitting = {
        name: value
        for name, value in given.items()
        if value is not None and value.shape == own[name].shape and not name.startswith("decoder.conv_out")
    }
    network.load_state_dict(fitting, strict=False)


class AutoencoderTask(ReconstructionTask):
    """KL autoencoder, patch discriminators, and the autoencoder's moving average.

    Args:
        network: From ``new_autoencoder``.
        layer: See ``ReconstructionTask``.
        losses: Their weights.
        rates: See ``ReconstructionTask``.
        adversary: See ``ReconstructionTask``.
        precision: See ``ReconstructionTask``.
    """

    def __init__(
        self,
        network: AutoencoderKL,
        layer: Layer,
        losses: Losses,
        rates: Rates,
        adversary: Adversary | None = None,
        precision: str = "bf16",
    ) -> None:
        super().__init__(network, layer, adversary or Adversary(), rates, precision)
        self.losses = losses

    def reconstruct(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """See ``ReconstructionTask``."""
        image, weight = batch["image"], batch["known"]
        with self.autocast():
            moments = self.network.quant_conv(self.network.encoder(image)).float()
            latent, divergence = draw(moments, batch["noise"])
            copied = self.network.decoder(self.network.post_quant_conv(latent)).float()
        error = self.error(copied, image, weight)
        whole = (weight.sum() * image.shape[1]).clamp(min=1)
        absolute = error.abs().sum() / whole
        self.log_dict({"loss/absolute": absolute.detach(), "loss/kl": divergence.detach()})
        loss = absolute + self.losses.square * error.square().sum() / whole + self.losses.kl * divergence
        return copied, loss

    def copied(self, image: Tensor) -> Tensor:
        """See ``ReconstructionTask``; through the mean of the latent."""
        with self.autocast():
            latent = self.average.encode(image).latent_dist.mode()
            return self.average.decode(latent).sample.float()


def draw(moments: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Latent drawn from moments (B, 2 z, h, w) with standard normal noise (B, z, h, w), and the divergence.

    Returns:
        (B, z, h, w), and the Kullback-Leibler divergence from the standard normal distribution, summed over
        a latent and averaged over the batch.
    """
    mean, log_variance = moments.chunk(2, dim=1)
    log_variance = log_variance.clamp(-30.0, 20.0)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=(1, 2, 3)).mean()
    return mean + torch.exp(0.5 * log_variance) * noise, divergence
