"""Published or own weights of COP-GEN-Beta and COP-GEN into the network, every tensor or none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from engine.errors import ModelError
from engine.networks.cop_gen import CopGen, LatentGroup
from engine.networks.state_dicts import check_tensors

_MAX_WIDTH = 8192
_MAX_DEPTH = 129


def cop_gen_from_tensors(
    tensors: Mapping[str, Tensor], groups: Sequence[LatentGroup], heads: int, where: str
) -> CopGen:
    """The denoiser that these weights belong to, in float32; width, depth and options come from the shapes.

    Args:
        tensors: State dict of the denoiser.
        groups: Its groups in the order of the weights; latent sizes cannot be read from the tensors.
        heads: Attention heads; not to be read from the tensors either.
        where: Name of the file for error messages.

    Raises:
        ModelError: A tensor is missing, unexpected, misshapen or not of floating point, and its name.
    """
    width, hidden = _sizes(tensors, where)
    if heads < 1 or width % heads:
        raise ModelError(
            f"The file {where} has tokens of {width} numbers, which {heads} attention heads cannot share."
        )
    numbers = [int(match[1]) for name in tensors if (match := re.match(r"in_blocks\.(\d{1,6})\.", name))]
    depth = 2 * len(set(numbers)) + 1
    if depth > _MAX_DEPTH:
        raise ModelError(f"The file {where} has {depth} blocks, more than any COP-GEN denoiser has.")
    with torch.device("meta"):
        network = CopGen(
            groups,
            width=width,
            depth=depth,
            heads=heads,
            hidden=hidden,
            qkv_bias="mid_block.attn.qkv.bias" in tensors,
            time_mlp=any(name.startswith("time_img_embeds.") for name in tensors),
        )
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    check_tensors(tensors, expected, where, "the COP-GEN denoiser")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return network.requires_grad_(False).eval()


def _sizes(tensors: Mapping[str, Tensor], where: str) -> tuple[int, int]:
    """Token length and inner width of the MLPs."""
    found = []
    for name, axes in (("pos_embed", 3), ("mid_block.mlp.fc1.weight", 2)):
        if name not in tensors or tensors[name].ndim != axes:
            raise ModelError(
                f"The file {where} is not a COP-GEN denoiser: the tensor {name} is missing or has not {axes} "
                "dimensions."
            )
        found.append(tuple(tensors[name].shape))
    (_, _, width), (hidden, _) = found
    if not 1 < width <= _MAX_WIDTH or not 0 < hidden <= 16 * _MAX_WIDTH:
        raise ModelError(
            f"The file {where} is not a COP-GEN denoiser: its tokens have {width} numbers and its MLPs "
            f"{hidden}; 1024 and 4096 are those of the published model."
        )
    return width, hidden
