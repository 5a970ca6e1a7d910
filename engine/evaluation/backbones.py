"""The trained networks that perceptual scores look through, read from a file that the user gives.

The layers carry the names of the published files, so that these load as they are: torchvision's ImageNet
weights of AlexNet, VGG-16 and ResNet-50, and the Inception v3 of the FID (``pt_inception-2015-12-05``).
"""

from __future__ import annotations

import pickle  # nosec B403 - only the name of its error
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import InputError
from engine.evaluation.inception import Inception
from engine.networks.state_dicts import check_tensors

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_EMBEDDED_PX = 224


class Stages(nn.Module):
    """Convolutions with ReLU between pools; gives what leaves each stage.

    Args:
        stages: Convolutions of each as (channels, kernel, stride, padding).
        pooled: Whether a pool comes before the stage.
        pool: Its kernel; the stride is 2.
    """

    def __init__(self, stages: list[list[tuple[int, int, int, int]]], pooled: list[bool], pool: int) -> None:
        super().__init__()
        self.pool, self.stages = pool, []
        layers: list[nn.Module] = []
        channels = 3
        for stage, has_pool in zip(stages, pooled, strict=True):
            if has_pool:
                layers.append(nn.MaxPool2d(pool, 2))
            start = len(layers)
            for made, kernel, stride, padding in stage:
                layers += [nn.Conv2d(channels, made, kernel, stride, padding), nn.ReLU()]
                channels = made
            self.stages.append((has_pool, range(start, len(layers))))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor, shrink: Callable[[Tensor], Tensor] | None = None) -> Iterator[Tensor]:
        """Activations after each stage; ``shrink`` takes the place of the maximum."""
        for has_pool, layers in self.stages:
            if has_pool:
                x = shrink(x) if shrink else functional.max_pool2d(x, self.pool, 2)
            for number in layers:
                x = self.features[number](x)
            yield x


def alexnet() -> Stages:
    """Krizhevsky's one-column network: five convolutions (arXiv 1404.5997)."""
    stages = [[(64, 11, 4, 2)], [(192, 5, 1, 2)], [(384, 3, 1, 1)], [(256, 3, 1, 1)], [(256, 3, 1, 1)]]
    return Stages(stages, [False, True, True, False, False], 3)


def vgg16() -> Stages:
    """Thirteen convolutions in five stages (arXiv 1409.1556)."""
    stages = [
        [(channels, 3, 1, 1)] * count for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    ]
    return Stages(stages, [False, True, True, True, True], 2)


class _Bottleneck(nn.Module):
    def __init__(self, given: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(given, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride > 1 or given != 4 * width:
            shortcut = nn.Conv2d(given, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + kept)


class ResNet50(nn.Module):
    """Pooled features of the network with 50 layers (arXiv 1512.03385), stride in the 3 x 3 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        given = 64
        for number, (width, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
            blocks = []
            for block in range(count):
                blocks.append(_Bottleneck(given, width, 2 if block == 0 and number > 1 else 1))
                given = 4 * width
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB 0..1 -> (B, 2048), resized to 224 px."""
        size = (_EMBEDDED_PX, _EMBEDDED_PX)
        x = imagenet_scaled(functional.interpolate(images, size, mode="bilinear", align_corners=False))
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(dim=(2, 3))


def imagenet_scaled(images: Tensor) -> Tensor:
    """(B, 3, H, W) RGB 0..1 with ImageNet's mean and deviation taken out."""
    mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (_IMAGENET_MEAN, _IMAGENET_STD))
    return (images - mean) / std


@dataclass(frozen=True)
class Backbone:
    """A network that can be given.

    Attributes:
        title: What people call it.
        key: A tensor that only its file has.
        make: Builds it.
        unused: Beginnings of the names that the scores do not need.
        source: Whose weights, and what the file is called.
    """

    title: str
    key: str
    make: Callable[[], nn.Module]
    unused: tuple[str, ...]
    source: str


BACKBONES = {
    "alexnet": Backbone(
        "AlexNet", "features.10.weight", alexnet, ("classifier.",), "torchvision's alexnet-owt-7be5be79.pth"
    ),
    "vgg16": Backbone(
        "VGG-16", "features.28.weight", vgg16, ("classifier.",), "torchvision's vgg16-397923af.pth"
    ),
    "resnet50": Backbone(
        "ResNet-50", "layer4.2.conv3.weight", ResNet50, ("fc.",), "torchvision's resnet50-0676ba61.pth"
    ),
    "inception": Backbone(
        "Inception v3",
        "Mixed_7c.branch_pool.conv.weight",
        Inception,
        ("AuxLogits.",),
        "the FID's pt_inception-2015-12-05-6726825d.pth",
    ),
}


def load(path: Path) -> tuple[str, nn.Module]:
    """Reads a weights file and tells which network it is of; never executes anything in it.

    Returns:
        Name in ``BACKBONES``, and the network ready to evaluate.

    Raises:
        InputError: It cannot be read, or is of none of them.
        ModelError: A tensor is missing or has another shape.
    """
    tensors = _read(path)
    name = _recognised(tensors, path)
    backbone = BACKBONES[name]
    return name, filled(name, {k: v for k, v in tensors.items() if not k.startswith(backbone.unused)}, path)


def filled(name: str, tensors: Mapping[str, Tensor], where: Path | str) -> nn.Module:
    """A network of ``BACKBONES`` with its weights.

    Raises:
        ModelError: They do not fit.
    """
    network = BACKBONES[name].make().eval().requires_grad_(False)
    expected = {k: tuple(v.shape) for k, v in network.state_dict().items() if v.is_floating_point()}
    given = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    check_tensors(given, expected, str(where), BACKBONES[name].title)
    network.load_state_dict(given, strict=False)
    return network


def _recognised(tensors: Mapping[str, Tensor], path: Path) -> str:
    # VGG's file has AlexNet's tensor too.
    for name in ("inception", "resnet50", "vgg16", "alexnet"):
        if BACKBONES[name].key in tensors:
            return name
    known = "; ".join(f"{b.title}, {b.source}" for b in BACKBONES.values())
    raise InputError(f"The weights {path} are of no network that scores look through; these are: {known}.")


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(f"The weights {path} cannot be read: {error.strerror}.") from None
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, OSError, RuntimeError, ValueError, EOFError, LookupError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"The weights {path} hold no plain tensors ({reason}); nothing was run.") from None
    if not isinstance(tensors, Mapping) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise InputError(f"The weights {path} hold no table of named tensors; give a state dict.")
    return tensors
