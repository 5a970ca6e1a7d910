"""Losses of ARAS400k's conditional generator (arXiv:2603.09625): hinge and one VGG-19 layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import InputError

_LAST_LAYER = 15  # relu3_3
_CONV_WIDTHS = {
    0: (3, 64),
    2: (64, 64),
    5: (64, 128),
    7: (128, 128),
    10: (128, 256),
    12: (256, 256),
    14: (256, 256),
}
_POOLS = (4, 9)
_WHERE = (
    "Download torchvision's ImageNet weights (vgg19-*.pth) and say where they are: task.vgg_weights=PATH."
)


def critic_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """mean(relu(1 - D(real))) + mean(relu(1 + D(fake))), not halved."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_hinge(fake: Tensor) -> Tensor:
    """-mean(D(fake))."""
    return -fake.mean()


class VGGFeatures(nn.Sequential):
    """Layers 0 to 15 (relu3_3) of ImageNet VGG-19 (arXiv:1409.1556): 256 channels at a quarter of the size.

    Frozen. Parameter names are torchvision's without the prefix ``features.``.
    """

    def __init__(self) -> None:
        super().__init__(*(self._layer(index) for index in range(_LAST_LAYER + 1)))
        self.requires_grad_(False)

    @staticmethod
    def _layer(index: int) -> nn.Module:
        if index in _CONV_WIDTHS:
            return nn.Conv2d(*_CONV_WIDTHS[index], 3, padding=1)
        return nn.MaxPool2d(2) if index in _POOLS else nn.ReLU()

    @classmethod
    def load(cls, path: str | Path | None) -> VGGFeatures:
        """Reads ImageNet weights in torchvision's layout (``features.N.weight`` ...), .pth or .safetensors.

        Raises:
            InputError: No such file, not a file of plain tensors, or a layer is missing or misshapen.
        """
        if path is None:
            raise InputError(f"The perceptual loss needs VGG-19 weights. {_WHERE}")
        features = cls()
        tensors = _read_tensors(Path(path))
        state = {}
        for name, parameter in features.state_dict().items():
            tensor = tensors.get(f"features.{name}")
            if tensor is None or tensor.shape != parameter.shape:
                found = "is missing" if tensor is None else f"has the shape {list(tensor.shape)}"
                raise InputError(
                    f"{path} is not VGG-19 in torchvision's layout: features.{name} {found} and should "
                    "have the shape "
                    f"{list(parameter.shape)}; give torchvision's vgg19 ImageNet weights."
                )
            state[name] = tensor
        features.load_state_dict(state)
        return features


class VGGPerceptualLoss(nn.Module):
    """L1 distance of VGG-19 features of images in [-1, 1], without ImageNet normalisation (as published).

    Args:
        features: Frozen feature extractor.
    """

    def __init__(self, features: VGGFeatures) -> None:
        super().__init__()
        self.features = features

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """(B, 3, H, W) images in [-1, 1] -> scalar."""
        with torch.no_grad():
            target = self.features(real)
        return F.l1_loss(target, self.features(fake))


def _read_tensors(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise InputError(f"There are no VGG-19 weights at {path}. {_WHERE}")
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as a file of weights ({type(error).__name__}): it is damaged, or "
            "holds more than "
            "tensors and was refused; download it again."
        ) from None
    if not isinstance(tensors, Mapping):
        raise InputError(f"{path} holds {type(tensors).__name__} where named tensors were expected.")
    return tensors
