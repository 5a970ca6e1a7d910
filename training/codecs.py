"""Fitted autoencoders and small decoders -> weights files under the names that packages use."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.errors import InputError
from engine.models.tensor_files import read_tensors
from engine.networks.kl_autoencoder import autoencoder_from_tensors, published_layout

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from training.datasets.joint_scenes import LayerModule

AUTOENCODER_NAME = "autoencoder.safetensors"
DECODER_NAME = "decoder.safetensors"
_MEASURED_BATCHES = 50


def averaged(run: Path, checkpoint: str = "last.ckpt") -> tuple[DictConfig, nn.Module]:
    """Recipe and averaged network of a run.

    Raises:
        InputError: ``run`` holds no run.
    """
    path = run / checkpoint
    if not (run / "config.yaml").is_file() or not path.is_file():
        raise InputError(f"{run} is not a training run: it lacks config.yaml or {checkpoint}.")
    config = OmegaConf.load(run / "config.yaml")
    config.network.pop("init", None)
    network = instantiate(config.network, _convert_="all")
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "average."
    network.load_state_dict(
        {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    )
    return config, network.requires_grad_(False).eval()


def export(run: Path) -> tuple[Path, float | None]:
    """Writes the averaged network of an autoencoder's or a small decoder's run, in half precision.

    Returns:
        The file, and of an autoencoder the scale of its latents, which the file holds too.

    Raises:
        InputError: ``run`` holds no run.
    """
    config, network = averaged(run)
    if not hasattr(network, "quant_conv"):
        tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
        return _saved(tensors, run / DECODER_NAME), None
    tensors = published(network)
    rounded = autoencoder_from_tensors(tensors, str(run))
    scale = latent_scale(rounded, instantiate(config.data, _convert_="all"))
    return _saved(tensors, run / AUTOENCODER_NAME, {"scale": repr(scale)}), scale


def published(autoencoder: AutoencoderKL) -> dict[str, Tensor]:
    """State dict under the original names, in half precision."""
    own = autoencoder.state_dict()
    layout = published_layout(autoencoder)
    return {name: own[ours].reshape(shape).half().contiguous() for name, (ours, shape) in layout.items()}


def read_autoencoder(path: Path) -> tuple[AutoencoderKL, float]:
    """An exported autoencoder and the scale of its latents.

    Raises:
        ModelError: The file is missing, damaged or something else.
        InputError: It has no scale: it was not made by ``eo-train codec``.
    """
    tensors = read_tensors(path)
    with safe_open(path, "pt") as file:
        scale = (file.metadata() or {}).get("scale")
    if scale is None:
        raise InputError(f"{path} does not say the scale of its latents; make it with eo-train codec.")
    return autoencoder_from_tensors(tensors, str(path)), float(scale)


@torch.inference_mode()
def latent_scale(autoencoder: AutoencoderKL, data: LayerModule) -> float:
    """1 / standard deviation of latents drawn for training crops (Rombach et al. 2022, appendix G)."""
    data.setup()
    total, square, count = 0.0, 0.0, 0
    for number, batch in enumerate(data.train_dataloader()):
        if number == _MEASURED_BATCHES:
            break
        distribution = autoencoder.encode(batch["image"]).latent_dist
        latent = (distribution.mean + distribution.std * batch["noise"]).double()
        total += float(latent.sum())
        square += float(latent.square().sum())
        count += latent.numel()
    return 1 / math.sqrt(square / count - (total / count) ** 2)


def _saved(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> Path:
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata)
    part.replace(path)
    return path
