"""The f = 8 KL autoencoder of latent diffusion (Rombach et al. 2022), through diffusers' AutoencoderKL.

Reads state dicts under the original names: ``autoencoder_kl_ema.pth``, COP-GEN's ``model-50-ema.pth``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.errors import MissingPackageError, ModelError
from engine.networks.state_dicts import check_tensors

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from engine.networks.small_decoder import SmallDecoder

STABLE_DIFFUSION_SCALE = 0.18215
_NORM_GROUPS = 32
_MAX_LEVELS, _MAX_BLOCKS, _MAX_WIDTH = 8, 8, 4096
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


class LatentCodec:
    """Images to scaled latents and back.

    Args:
        autoencoder: On its device and in its precision.
        scale: Factor between the autoencoder's latents and those of the denoiser.
        decoder: Decodes in place of the autoencoder's own decoder, if there is one.
    """

    def __init__(self, autoencoder: AutoencoderKL, scale: float, decoder: SmallDecoder | None = None) -> None:
        self.autoencoder, self.scale, self.decoder = autoencoder, scale, decoder

    @property
    def networks(self) -> tuple[torch.nn.Module, ...]:
        """What must lie on one device."""
        return (self.autoencoder,) if self.decoder is None else (self.autoencoder, self.decoder)

    @torch.inference_mode()
    def moments(self, image: Tensor) -> Tensor:
        """(B, C, H, W), about [-1, 1] -> (B, 2 z, H / f, W / f) float32: mean and log-variance, unscaled."""
        return self.autoencoder.encode(self._ready(image)).latent_dist.parameters.float()

    def latent(self, moments: Tensor, noise: Tensor | None = None) -> Tensor:
        """Latent of the denoiser: drawn with standard normal ``noise`` of its shape, or the mean without."""
        mean, log_variance = moments.chunk(2, dim=1)
        if noise is None:
            return self.scale * mean
        return self.scale * (mean + torch.exp(0.5 * log_variance.clamp(-30.0, 20.0)) * noise.to(mean))

    @torch.inference_mode()
    def decode(self, latent: Tensor) -> Tensor:
        """(B, z, h, w) of the denoiser -> (B, C, f h, f w) float32, about [-1, 1], not clamped."""
        if self.decoder is not None:
            return self.decoder(self._ready(latent)).float()
        return self.autoencoder.decode(self._ready(latent / self.scale)).sample.float()

    def _ready(self, tensor: Tensor) -> Tensor:
        weight = self.autoencoder.quant_conv.weight
        # torch's group norm on the CPU loses three digits of a float32 image in channels-last memory.
        return tensor.to(weight.device, weight.dtype).contiguous()


def autoencoder_from_tensors(tensors: Mapping[str, Tensor], where: str) -> AutoencoderKL:
    """The autoencoder that these weights belong to, in float32; its sizes are read from the shapes.

    Args:
        tensors: State dict under the original names.
        where: Name of the file for error messages.

    Raises:
        ModelError: A tensor is missing, unexpected, misshapen or not of floating point, and its name.
        MissingPackageError: diffusers is not installed.
    """
    autoencoder = empty_autoencoder(*_sizes(tensors, where))
    layout = published_layout(autoencoder)
    check_tensors(tensors, {name: shape for name, (_, shape) in layout.items()}, where, "the KL autoencoder")
    ours = autoencoder.state_dict()
    state = {own: tensors[name].float().reshape(ours[own].shape) for name, (own, _) in layout.items()}
    autoencoder.load_state_dict(state, assign=True)
    return autoencoder.requires_grad_(False).eval()


def empty_autoencoder(channels: int, widths: tuple[int, ...], blocks: int, latent: int) -> AutoencoderKL:
    """An autoencoder without values.

    Args:
        channels: Bands of the image.
        widths: Channels of each level, finest first, multiples of 32; all but the last level halve the image.
        blocks: Residual blocks a level of the encoder; the decoder has one more.
        latent: Channels of the latent.

    Raises:
        MissingPackageError: diffusers is not installed.
    """
    try:
        from diffusers import AutoencoderKL
    except ImportError:
        raise MissingPackageError(
            "This model needs diffusers, which is not installed; run: pip install 'eo-translate[diffusion]'."
        ) from None
    with torch.device("meta"):
        return AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=widths,
            layers_per_block=blocks,
            latent_channels=latent,
            norm_num_groups=_NORM_GROUPS,
        )


def published_layout(autoencoder: AutoencoderKL) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Original name -> diffusers' name and the original shape, for every tensor."""
    levels = len(autoencoder.config.block_out_channels)
    layout = {}
    for own, tensor in autoencoder.state_dict().items():
        shape = tuple(tensor.shape)
        is_linear = ".attentions." in own and len(shape) == 2  # 1 x 1 convolutions in the original
        layout[_published_name(own, levels)] = (own, (*shape, 1, 1) if is_linear else shape)
    return layout


def _published_name(own: str, levels: int) -> str:
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", own)
    name = re.sub(
        r"mid_block\.attentions\.0\.(group_norm|to_out\.0|to_[qkv])",
        lambda m: f"mid.attn_1.{_ATTENTION[m[1]]}",
        name,
    )
    name = re.sub(r"down_blocks\.(\d)", r"down.\1", name)
    name = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}", name)
    name = re.sub(r"resnets\.(\d)", r"block.\1", name)
    name = re.sub(r"(down|up)samplers\.0", r"\1sample", name)
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def _sizes(tensors: Mapping[str, Tensor], where: str) -> tuple[int, tuple[int, ...], int, int]:
    """Image channels, widths of the levels, residual blocks a level and latent channels."""

    def convolution(name: str) -> tuple[int, ...]:
        if name not in tensors or tensors[name].ndim != 4:
            raise ModelError(
                f"The file {where} is not a KL autoencoder: the tensor {name} is missing or has not 4 "
                "dimensions."
            )
        return tuple(tensors[name].shape)

    channels = convolution("encoder.conv_in.weight")[1]
    latent = convolution("post_quant_conv.weight")[0]
    levels = _counted(tensors, r"encoder\.down\.(\d+)\.block\.")
    blocks = _counted(tensors, r"encoder\.down\.0\.block\.(\d+)\.")
    if not (0 < levels <= _MAX_LEVELS and 0 < blocks <= _MAX_BLOCKS):
        raise ModelError(
            f"The file {where} is not a KL autoencoder: it has {levels} levels of {blocks} blocks; 4 levels "
            "of 2 are those of the published models."
        )
    widths = tuple(convolution(f"encoder.down.{level}.block.0.conv1.weight")[0] for level in range(levels))
    if odd := [width for width in widths if width % _NORM_GROUPS or not 0 < width <= _MAX_WIDTH]:
        raise ModelError(
            f"The file {where} is not a KL autoencoder: a level has {odd[0]} channels, which is no multiple "
            f"of {_NORM_GROUPS} up to {_MAX_WIDTH}."
        )
    return channels, widths, blocks, latent


def _counted(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for name in tensors if (match := re.match(pattern, name))})
