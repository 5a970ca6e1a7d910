"""Layers of scenes -> moments of windows, in the store that joint diffusion trains from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.models.joint_schema import Group
from engine.models.weights import sha256_file
from training.codecs import AUTOENCODER_NAME, read_autoencoder
from training.datasets.joint_scenes import SETS, Scene, load
from training.datasets.latent_store import StoreInfo, StoreWriter
from training.datasets.moments import certain
from training.datasets.pairs import data_root
from training.groups import groups_of

_BATCH = 32
Windows = dict[str, NDArray[np.float32]]


def encode_sets(groups: Path, runs: Path, store: Path, window_px: int) -> StoreInfo:
    """As ``encode``, of all scenes of the bundled recipes.

    Args:
        groups: JSON file of groups.
        runs: See ``encode``.
        store: See ``encode``.
        window_px: See ``encode``.
    """
    return encode(load(SETS, data_root()), groups_of(groups), runs, store, window_px)


def encode(
    scenes: Sequence[Scene], groups: Sequence[Group], runs: Path, store: Path, window_px: int
) -> StoreInfo:
    """Encodes windows of every scene; goes on where it was stopped.

    Args:
        scenes: Their layers are called as the groups.
        groups: Those of the model; their scale is measured, not given.
        runs: Folder with the run ``kl-<group>`` of each autoencoder, exported by ``eo-train codec``.
        store: Folder to write.
        window_px: Side of a window.

    Returns:
        What the store holds: the groups with the scale of their latents.

    Raises:
        InputError: An autoencoder is missing.
    """
    coded = [group for group in groups if group.latent.autoencoder]
    files = {group.name: runs / f"kl-{group.name}" / AUTOENCODER_NAME for group in coded}
    codecs = {name: read_autoencoder(file) for name, file in files.items()}
    scales = {name: scale for name, (_, scale) in codecs.items()}
    info = StoreInfo(
        groups=tuple(_scaled(group, scales.get(group.name, 1.0)) for group in groups),
        autoencoders={group.latent.autoencoder: sha256_file(files[group.name]) for group in coded},
        source=f"{len(scenes)} scenes",
    )
    writer = StoreWriter(store, info)
    plain = [group for group in groups if not group.latent.autoencoder]
    for batch in _batches((key, images) for key, images in windows(scenes, window_px) if key not in writer):
        writer.add(_moments(batch, {name: codec for name, (codec, _) in codecs.items()}, plain))
    return info


def windows(scenes: Sequence[Scene], size: int) -> Iterator[tuple[str, Windows]]:
    """Keys and windows side by side, or a quarter of a window apart in places with few scenes.

    Of several variants of a layer windows take turns.
    """
    _, where, counts = np.unique([s.location for s in scenes], return_inverse=True, return_counts=True)
    for number, scene in enumerate(scenes):
        height, width = next(iter(scene.layers.values()))[0].shape[1:]
        step = size if counts[where[number]] > 2 else size // 4
        corners = [(y, x) for y in _starts(height, size, step) for x in _starts(width, size, step)]
        for index, (row, col) in enumerate(corners):
            images = {
                name: variants[index % len(variants)][:, row : row + size, col : col + size]
                for name, variants in scene.layers.items()
            }
            yield f"{_plain(scene.location)}.{_plain(scene.name)}_{index}", images


def _starts(extent: int, size: int, step: int) -> list[int]:
    """The last window ends with the scene."""
    return sorted({*range(0, extent - size, step), extent - size})


def _plain(name: str) -> str:
    return name.replace("/", "-")


def _scaled(group: Group, scale: float) -> Group:
    return group.model_copy(update={"latent": group.latent.model_copy(update={"scale": scale})})


def _batches(samples: Iterator[tuple[str, Windows]]) -> Iterator[dict[str, Windows]]:
    batch: dict[str, Windows] = {}
    for key, images in samples:
        batch[key] = images
        if len(batch) == _BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


def _coarser(image: NDArray[np.float32], group: Group) -> NDArray[np.float32]:
    """Means of squares; of classes, that of the square's corner."""
    pixel = group.pixel
    if group.encoding.kind == "classes":
        return image[:, ::pixel, ::pixel]
    bands, height, width = image.shape
    return image.reshape(bands, height // pixel, pixel, width // pixel, pixel).mean(axis=(2, 4))


@torch.inference_mode()
def _moments(
    batch: dict[str, Windows], autoencoders: dict[str, torch.nn.Module], plain: Sequence[Group]
) -> dict[str, Windows]:
    """Of autoencoders; and of groups that are their own latent, the values themselves with no spread."""
    found: dict[str, Windows] = {key: {} for key in batch}
    for name, autoencoder in autoencoders.items():
        keys = [key for key, images in batch.items() if name in images]
        if not keys:
            continue
        images = np.stack([np.nan_to_num(batch[key][name].astype(np.float32)) for key in keys])
        with torch.autocast("cpu", torch.bfloat16):
            moments = autoencoder.encode(torch.from_numpy(images)).latent_dist.parameters
        for key, moment in zip(keys, moments.float().numpy(), strict=True):
            found[key][name] = np.ascontiguousarray(moment)
    for group in plain:
        for key, images in batch.items():
            if group.name in images:
                values = _coarser(np.nan_to_num(images[group.name].astype(np.float32)), group)
                found[key][group.name] = certain(values)
    return found
