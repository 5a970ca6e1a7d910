"""Encodes patches once: what autoencoders make of them, kept as moments (mean and log-variance)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.joint_schema import Group
from engine.models.tensor_files import read_tensors
from engine.models.weights import sha256_file
from engine.networks.kl_autoencoder import LatentCodec, autoencoder_from_tensors
from training.datasets.latent_store import Sample, StoreInfo, StoreWriter
from training.datasets.scenes import Cutting, Prepared, Scene, patches

_NO_LOG_VARIANCE = -30.0

log = logging.getLogger(__name__)


def load_codecs(
    groups: Sequence[Group], autoencoders: Mapping[str, Path], device: str = "cpu"
) -> dict[str, LatentCodec]:
    """Codec of each image group.

    Args:
        groups: Of the model.
        autoencoders: Key, as ``latent.autoencoder`` names it -> weights under the published names.
        device: Of torch.

    Raises:
        InputError: An autoencoder is missing or does not fit its group.
        ModelError: A file is damaged.
    """
    keys = {group.latent.autoencoder for group in groups if group.latent.autoencoder}
    if missing := sorted(keys - set(autoencoders)):
        raise InputError(
            f"The weights of the autoencoder {missing[0]} are missing; name its file under {missing[0]}."
        )
    made = {
        key: autoencoder_from_tensors(read_tensors(autoencoders[key]), str(autoencoders[key])).to(device)
        for key in sorted(keys)
    }
    for group in groups:
        if group.latent.autoencoder:
            config = made[group.latent.autoencoder].config
            if config.latent_channels != group.latent.channels:
                raise InputError(
                    f"The autoencoder {autoencoders[group.latent.autoencoder]} makes latents of "
                    f"{config.latent_channels} channels and {group.name} has {group.latent.channels}."
                )
    return {
        group.name: LatentCodec(made[group.latent.autoencoder], group.latent.scale)
        for group in groups
        if group.latent.autoencoder
    }


def window_px(groups: Sequence[Group], codecs: Mapping[str, LatentCodec]) -> int:
    """Side of a patch on the finest grid: what the latents of the groups are made from.

    Raises:
        InputError: The groups need different ones.
    """
    sides = {}
    for group in groups:
        if not group.is_vector:
            codec = codecs.get(group.name)
            levels = len(codec.autoencoder.config.block_out_channels) if codec else 1
            sides[group.name] = group.latent.height * 2 ** (levels - 1) * group.pixel
    if len(set(sides.values())) != 1:
        raise InputError(f"The groups' latents are of windows of different sizes: {sides} (pixels).")
    return next(iter(sides.values()))


def encode(
    scenes: Iterable[Scene],
    groups: Sequence[Group],
    autoencoders: Mapping[str, Path],
    output: Path,
    source: str,
    database: bool = True,
    cutting: Cutting = "covering",
    least_valid: float = 0.95,
    batch_size: int = 8,
    device: str = "cpu",
    on_scene: Callable[[str, int], None] = lambda name, done: None,
) -> int:
    """Writes the moments of all patches to a store; goes on where an earlier run stopped.

    Args:
        scenes: What is cut into patches.
        groups: Of the model.
        autoencoders: See ``load_codecs``.
        output: Folder of the store.
        source: What is encoded, for the store's own record.
        database: An LMDB rather than a folder of files.
        cutting: See ``patches``.
        least_valid: See ``patches``.
        batch_size: Patches a pass.
        device: Of torch.
        on_scene: Called after each scene with its name and the number of its new patches.

    Returns:
        Number of new patches.

    Raises:
        InputError: See ``load_codecs``, ``patches`` and ``StoreWriter``.
        OutputError: The store cannot be written.
    """
    codecs = load_codecs(groups, autoencoders, device)
    digests = {group.latent.autoencoder for group in groups if group.latent.autoencoder}
    info = StoreInfo(
        groups=tuple(groups),
        autoencoders={key: sha256_file(autoencoders[key]) for key in sorted(digests)},
        source=source,
    )
    writer, side, total = StoreWriter(output, info, database), window_px(groups, codecs), 0
    for scene in scenes:
        new = patches(scene, groups, side, cutting, least_valid, wanted=lambda key: key not in writer)
        done = 0
        for batch in _batches(new, batch_size):
            writer.add(_moments(batch, codecs), {patch.key: patch.metadata for patch in batch})
            done += len(batch)
        on_scene(scene.name, done)
        total += done
    return total


def _moments(batch: Sequence[Prepared], codecs: Mapping[str, LatentCodec]) -> dict[str, Sample]:
    samples: dict[str, Sample] = {patch.key: dict(patch.vectors) for patch in batch}
    for name, codec in codecs.items():
        having = [patch for patch in batch if name in patch.images]
        if having:
            images = torch.from_numpy(np.stack([patch.images[name] for patch in having]))
            for patch, moments in zip(having, codec.moments(images).cpu().numpy(), strict=True):
                samples[patch.key][name] = moments
    for patch in batch:
        plain = {name: image for name, image in patch.images.items() if name not in codecs}
        samples[patch.key].update({name: certain(image) for name, image in plain.items()})
    return samples


def certain(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Moments (2 C, h, w) of a group without autoencoder: its values, and a variance of nothing."""
    return np.concatenate([values, np.full_like(values, _NO_LOG_VARIANCE)])


def _batches(found: Iterator[Prepared], size: int) -> Iterator[list[Prepared]]:
    while batch := list(islice(found, size)):
        yield batch
