"""Joint diffusion models of any size with random weights, and runners that see what networks are given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Bench, scene
from numpy.typing import NDArray
from recorder import Recorder, RecordingRunner
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.modalities.published import published_groups, published_sampler
from engine.models.build import write_item
from engine.models.encodings import Reflectance, Standardised
from engine.models.joint_schema import Group, GroupBand, Latent, Sampler
from engine.networks.cop_gen import CopGen
from engine.networks.kl_autoencoder import empty_autoencoder, published_layout
from engine.spec import Job
from engine.translators.joint_networks import latent_groups

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Size:
    """Of a model with COP-GEN-Beta's modalities, and windows of 8 pixels a latent cell.

    Attributes:
        width, depth, heads: Of the denoiser.
        patch: Side of the squares of latent cells that become tokens; published: 2.
        cells: Side of the latent; published: 32.
        autoencoder: Channels of its four levels; published: 128, 256, 512, 512.
    """

    width: int
    depth: int
    heads: int
    patch: int = 2
    cells: int = 32
    autoencoder: tuple[int, ...] = (32, 32, 32, 32)


PUBLISHED = Size(1024, 20, 16)  # 286 M parameters
MIDDLE = Size(512, 9, 8)  # 30 M
TINY = Size(32, 3, 4, cells=8)


def package(folder: Path, size: Size) -> str:
    """Writes a package in COP-GEN-Beta's form; gives its folder."""
    cells = {"patch": size.patch, "height": size.cells, "width": size.cells}
    groups = tuple(
        group.model_copy(update={"latent": group.latent.model_copy(update=cells)})
        for group in published_groups("cop-gen-beta")
    )
    folder.mkdir(parents=True)
    layout = published_layout(empty_autoencoder(3, size.autoencoder, 1, 4))
    tensors = {name: 0.02 * torch.randn(shape) for name, (_, shape) in layout.items()}
    save_file(tensors, folder / "autoencoder.safetensors")
    window = {"window_px": 8 * size.cells, "stride_px": 6 * size.cells}
    sampler = published_sampler("cop-gen-beta").model_copy(update={"heads": size.heads, **window})
    return _written(
        folder, groups, sampler, size.width, size.depth, {"autoencoder": "autoencoder.safetensors"}
    )


def pixel_package(folder: Path, width: int = 128, depth: int = 6, heads: int = 4) -> str:
    """Writes a package in the form of the bundled one, without autoencoders; gives its folder."""

    def group(name: str, encoding: Any, bands: tuple[str, ...], pixel: int) -> Group:
        side = 128 // pixel
        latent = Latent(channels=len(bands), height=side, width=side, patch=8)
        named = tuple(GroupBand(name=band) for band in bands)
        return Group(name=name, modality=name, latent=latent, encoding=encoding, bands=named, pixel=pixel)

    folder.mkdir(parents=True)
    groups = (
        group("dem", Standardised(kind="standardised", deviations=2.5, units="m"), ("elevation",), 4),
        group("s1_rtc", Standardised(kind="standardised", deviations=2.5, units="dB"), ("VV",), 2),
        group("s2_l2a", Reflectance(kind="reflectance"), ("B11", "B8", "B3"), 2),
    )
    sampler = Sampler(heads=heads, steps=20, stages=2, window_px=128, stride_px=96)
    return _written(folder, groups, sampler, width, depth, {})


def _written(
    folder: Path, groups: tuple[Group, ...], sampler: Sampler, width: int, depth: int, files: dict[str, str]
) -> str:
    torch.manual_seed(0)
    denoiser = CopGen(latent_groups(groups), width, depth, sampler.heads, hidden=4 * width)
    save_file(denoiser.state_dict(), folder / "model.safetensors")
    properties = {
        "title": folder.name,
        "license": "CC0-1.0",
        "mlm:architecture": "CopGen (U-ViT)",
        "mlm:total_parameters": sum(p.numel() for p in denoiser.parameters()),
        "eo_translate:family": "joint-diffusion",
        "eo_translate:network": "cop-gen",
        "eo_translate:groups": [group.model_dump(mode="json", exclude_none=True) for group in groups],
        "eo_translate:sampler": sampler.model_dump(mode="json"),
        "eo_translate:precisions": ["float32", "bfloat16"],
        "eo_translate:gsd_m": 10.0,
    }
    write_item(folder, folder.name, "model.safetensors", properties, extra_files=files)
    return str(folder)


def job(bench: Bench, model: str, size: int, **settings: Any) -> Job:
    """Relief and radar of the sample scene to Sentinel-2, on the CPU."""
    files = scene(bench.scratch, size)
    given = {"dem": {"path": str(files["dem"])}, "s1_rtc": {"path": str(files["sar"])}}
    fields = {
        "inputs": given,
        "generate": ["s2_l2a"],
        "output": str(bench.scratch / f"joint-{size}.tif"),
        "device": "cpu",
        "seed": 1,
    }
    return Job(model=model, **{**fields, **settings})


class JointRecorder(Recorder):
    """A translator of joint diffusion that keeps every call; see ``LatentWindows`` for them.

    Attributes:
        calls: Name and arguments, in order.
    """

    def __init__(self, translator: Any) -> None:
        super().__init__(translator)
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def moments(self, *arguments: Any) -> Array:
        """As the wrapped one."""
        self.calls.append(("moments", arguments))
        return self.translator.moments(*arguments)

    def decode(self, *arguments: Any) -> Array:
        """As the wrapped one."""
        self.calls.append(("decode", arguments))
        return self.translator.decode(*arguments)

    def run(self, *arguments: Any) -> dict[str, Array]:
        """As the wrapped one."""
        *given, _ = arguments
        self.calls.append(("run", (*given, _nothing)))
        return self.translator.run(*arguments)

    def again(self, *names: str) -> None:
        """The same calls of some names without the scene around them."""
        for name, arguments in self.calls:
            if name in names:
                getattr(self.translator, name)(*arguments)


class JointRecordingRunner(RecordingRunner):
    """The usual runner with a ``JointRecorder`` before the networks."""

    kind = JointRecorder


@dataclass
class Count:
    """Rows that went through a kind of network, and in how many calls."""

    rows: int = 0
    calls: int = 0


@contextmanager
def counted(kind: type[nn.Module]) -> Iterator[Count]:
    """Counts what goes through all networks of a kind in this process, whoever calls them."""
    count = Count()

    def see(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if isinstance(module, kind):
            first = arguments[0]
            count.rows += len(first if isinstance(first, Tensor) else first[0])
            count.calls += 1

    handle = nn.modules.module.register_module_forward_pre_hook(see)
    try:
        yield count
    finally:
        handle.remove()


def _nothing() -> None:
    pass
