"""Takes in COP-GEN-Beta and COP-GEN from their published files: converted once, every tensor or none."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ModelError, OutputError
from engine.models.build import write_item
from engine.models.item import ModelItem
from engine.models.joint_families import PUBLISHED, Family, recognise
from engine.models.joint_schema import Group, Sampler
from engine.models.joint_sources import JointFiles, Source, gather
from engine.models.store import find, new_package
from engine.models.tensor_files import read_tensors, require_torch
from engine.models.verify import verify
from engine.models.weights import sha256_file

if TYPE_CHECKING:
    import torch

_WEIGHTS_NAME = "model.safetensors"


def import_joint(
    family: Family,
    weights: Source,
    autoencoders: Source,
    name: str,
    heads: int | None = None,
    replace: bool = False,
    words: Mapping[str, str] | None = None,
) -> ModelItem:
    """Converts the files of a published model, or of one trained in its form, to a package.

    Args:
        family: The model.
        weights: The denoiser; see ``gather``.
        autoencoders: See ``gather``.
        name: Name of the new package.
        heads: Attention heads, where the size is not a published one.
        replace: Whether an installed package of that name may be replaced.
        words: Item fields that replace the published model's: ``title``, ``license`` ...

    Raises:
        ModelError: A file is missing, damaged, holds code, or does not fit; nothing was installed.
        InputError: There is no such repository or revision.
        MissingPackageError: torch, safetensors, diffusers or huggingface_hub is not installed.
        OutputError: The models folder cannot be written or is full.
    """
    require_torch("Importing a checkpoint")
    with new_package(name, replace) as folder:
        files = gather(family, weights, autoencoders)
        _check_room(folder, files)
        groups, sampler, parameters = _convert_denoiser(family, files.weights, heads, folder)
        for key, path in files.autoencoders.items():
            _convert_autoencoder(key, path, groups, sampler, folder)
        properties = _properties(family, groups, sampler, parameters, files)
        write_item(
            folder,
            name,
            _WEIGHTS_NAME,
            {**properties, **(words or {})},
            extra_files={key: _file_name(key) for key in files.autoencoders},
        )
        verify(folder)
    files.forget()
    return find(name)


def _file_name(key: str) -> str:
    return f"{key}.safetensors"


def _convert_denoiser(
    family: Family, path: Path, heads: int | None, folder: Path
) -> tuple[tuple[Group, ...], Sampler, int]:
    """Groups, sampler and number of parameters of the denoiser, which is written to the folder."""
    tensors = read_tensors(path)
    groups, sampler = recognise(family, tensors, str(path), heads)
    from engine.networks.cop_gen_weights import cop_gen_from_tensors
    from engine.translators.joint_networks import latent_groups

    cop_gen_from_tensors(tensors, latent_groups(groups), sampler.heads, str(path))
    _save(tensors, path, folder / _WEIGHTS_NAME)
    return groups, sampler, sum(tensor.numel() for tensor in tensors.values())


def _convert_autoencoder(
    key: str, path: Path, groups: tuple[Group, ...], sampler: Sampler, folder: Path
) -> None:
    tensors = read_tensors(path)
    from engine.networks.kl_autoencoder import autoencoder_from_tensors
    from engine.translators.joint_networks import check_autoencoder

    autoencoder = autoencoder_from_tensors(tensors, str(path))
    for group in groups:
        if group.latent.autoencoder == key:
            check_autoencoder(group, autoencoder, sampler.window_px // group.pixel, str(path))
    _save(tensors, path, folder / _file_name(key))


def _save(tensors: Mapping[str, torch.Tensor], origin: Path, target: Path) -> None:
    """Writes tensors as they are; numbers wider than float32 are rounded to it.

    Raises:
        ModelError: A tensor holds NaN or infinity.
        OutputError: The file cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    kept = (torch.float16, torch.bfloat16, torch.float32)
    state = {name: t if t.dtype in kept else t.float() for name, t in tensors.items()}
    for name, tensor in state.items():
        # A sum is not finite where a term is not, and far faster than a mask.
        if not torch.isfinite(tensor.sum(dtype=torch.float64)):
            raise ModelError(
                f"The weights file {origin} holds NaN or infinity in {name}; its training failed, or it is "
                "damaged."
            )
    try:
        save_file(_unshared(state), target)
    except (SafetensorError, OSError) as error:
        raise OutputError(f"The weights cannot be written to {target}: {error}.") from None


def _unshared(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each tensor with memory of its own, copied only where it shares some, as .safetensors demands."""
    import torch

    seen: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        is_whole = storage.nbytes() == tensor.nbytes and storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        own[name] = tensor.contiguous() if is_whole else tensor.clone(memory_format=torch.contiguous_format)
    return own


def _check_room(folder: Path, files: JointFiles) -> None:
    needed = sum(path.stat().st_size for path in (files.weights, *files.autoencoders.values()))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"The model needs {needed / 1e9:.1f} GB and {folder.parent} has {free / 1e9:.1f} GB free; make "
            "room first."
        )


def _properties(
    family: Family,
    groups: tuple[Group, ...],
    sampler: Sampler,
    parameters: int,
    files: JointFiles,
) -> dict[str, Any]:
    published = PUBLISHED[family]
    sources = {"model": files.weights, **files.autoencoders}
    return {
        "title": published.title,
        "description": published.description,
        "license": published.license,
        "mlm:architecture": published.architecture,
        "mlm:total_parameters": parameters,
        "eo_translate:family": "joint-diffusion",
        "eo_translate:network": "cop-gen",
        "eo_translate:groups": [group.model_dump(mode="json", exclude_none=True) for group in groups],
        "eo_translate:sampler": sampler.model_dump(mode="json"),
        "eo_translate:precisions": ["float32", "bfloat16", "float16"],
        "eo_translate:gsd_m": 10.0,
        "eo_translate:limits": published.limits,
        "eo_translate:citation": published.citation,
        "eo_translate:training": {
            "imported_from": {
                key: {"file": path.name, "sha256": sha256_file(path), **files.origins.get(key, {})}
                for key, path in sources.items()
            }
        },
    }
