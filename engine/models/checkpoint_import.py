"""Takes in published checkpoints: reads them without running any code and writes a model package."""

from __future__ import annotations

import pickle  # nosec B403 - for the class of its error only; files are read by torch with weights_only
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import MissingPackageError, ModelError
from engine.models.build import write_item
from engine.models.item import ModelItem
from engine.models.legends import class_colors
from engine.models.store import find, new_package
from engine.models.verify import verify
from engine.models.weights import sha256_file

if TYPE_CHECKING:
    import torch

MAX_CHECKPOINT_BYTES = 64 * 2**30
_WEIGHTS_NAME = "model.safetensors"
_ARAS400K_OUTPUT = {
    "modality": "optical",
    "tensor": "optical",
    "bands": [
        {"name": "B04", "common_name": "red", "wavelength_um": 0.665, "color": "red"},
        {"name": "B03", "common_name": "green", "wavelength_um": 0.56, "color": "green"},
        {"name": "B02", "common_name": "blue", "wavelength_um": 0.49, "color": "blue"},
    ],
    "range": [0, 255],
    "dtype": "uint8",
    "scale": 1.0,
    "offset": 0.0,
    "nodata": 0,
    "units": "display value",
    "display": [1, 255],
    "scale_factor": 1,
}
_ARAS400K_TILING = {
    "mode": "lattice",
    "stride_multiple": 1,
    "window_px": 256,
    "stride_px": 192,
    "fixed_window": True,
}


def import_checkpoint(family: str, weights: Path, name: str, replace: bool = False) -> ModelItem:
    """Converts a published checkpoint to a package in the user's models folder.

    Args:
        family: ``aras400k``.
        weights: The published file, ``.pth`` or ``.safetensors``.
        name: Name of the new package.
        replace: Whether an installed package of that name may be replaced.

    Raises:
        ModelError: Unknown family; the file is damaged, holds code, or does not fit the network.
        MissingPackageError: torch or safetensors is not installed.
        OutputError: The models folder cannot be written or is full.
    """
    if family not in FAMILIES:
        raise ModelError(f"There is no model family {family!r} to import; known are {', '.join(FAMILIES)}.")
    return FAMILIES[family](weights, name, replace)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Named tensors of a ``.pth`` or ``.safetensors`` file; nothing in the file is executed.

    Raises:
        ModelError: No such file; cut off or damaged; holds anything else than named tensors.
        MissingPackageError: torch or safetensors is not installed.
    """
    if not path.is_file():
        raise ModelError(f"There is no weights file at {path}.")
    if not 0 < path.stat().st_size <= MAX_CHECKPOINT_BYTES:
        raise ModelError(
            f"The weights file {path} has {path.stat().st_size} bytes, which no checkpoint has; "
            "download it again."
        )
    try:
        import safetensors  # noqa: F401
        import torch
    except ImportError:
        raise MissingPackageError(
            "Importing a checkpoint needs torch and safetensors, which are not installed; "
            "run: pip install 'eo-translate[diffusion]'."
        ) from None
    loaded = _read(path)
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError(
            f"The weights file {path} holds {type(loaded).__name__} where named tensors were expected."
        )
    stray = next((key for key, value in loaded.items() if not isinstance(value, torch.Tensor)), None)
    if stray is not None:
        kind = type(loaded[stray]).__name__
        raise ModelError(
            f"The weights file {path} holds {kind} under {stray!r} where a tensor was expected; give "
            "the generator's state dict alone."
        )
    return {str(key): value for key, value in loaded.items()}


def _read(path: Path) -> Any:
    """What a weights file holds.

    Raises:
        ModelError: Cut off, damaged, or refused because opening it could run code.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"The weights file {path} holds more than tensors and was refused unread, since opening it "
            "could run code; ask its author for a plain state dict or .safetensors."
        ) from None
    except (
        SafetensorError,
        zipfile.BadZipFile,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        reason = (
            str(error).split(".")[0][:200]
            if isinstance(error, (RuntimeError, OSError))
            else "no known format"
        )
        raise ModelError(
            f"The weights file {path} is cut off or damaged ({reason}); download it again."
        ) from None


def _import_aras400k(weights: Path, name: str, replace: bool) -> ModelItem:
    tensors = read_tensors(weights)
    from safetensors.torch import save_file

    from engine.networks.aras400k import generator_from_tensors

    generator = generator_from_tensors(tensors, str(weights))
    legend = class_colors("aras400k")
    if generator.classes != len(legend):
        raise ModelError(
            f"The file {weights} takes {generator.classes} classes and ARAS400k has {len(legend)}; this is "
            "another model."
        )
    state = {key: tensor.contiguous() for key, tensor in generator.state_dict().items()}
    parameters = sum(tensor.numel() for tensor in state.values())
    with new_package(name, replace) as folder:
        save_file(state, folder / _WEIGHTS_NAME)
        origin = {"file": weights.name, "sha256": sha256_file(weights)}
        properties = aras400k_properties(parameters, {"imported_from": origin})
        write_item(folder, name, _WEIGHTS_NAME, properties)
        verify(folder)
    return find(name)


def aras400k_properties(parameters: int, training: Mapping[str, Any]) -> dict[str, Any]:
    """Item fields of an ARAS400k generator.

    Args:
        parameters: Number of weights.
        training: What is known of where the weights come from.
    """
    return {
        "title": "ARAS400k: land-cover mask to true-colour image",
        "description": (
            "SPADE generator of the ARAS400k pipeline: seven land-cover classes to a synthetic "
            "Sentinel-2 true-colour "
            "image (display values). It has no noise input: one mask gives one image."
        ),
        # The publication names CC BY 4.0 in a badge only; weights trained by others may differ.
        "license": "other",
        "mlm:architecture": "SPADE generator (instance norm, no spectral norm)",
        "mlm:total_parameters": parameters,
        "eo_translate:family": "feed-forward",
        "eo_translate:network": "aras400k-spade",
        "eo_translate:inputs": [
            {
                "modality": "mask",
                "tensor": "mask",
                "required": True,
                "encoding": "one-hot",
                "classes": [
                    {"name": label, "color": list(color)} for label, color in class_colors("aras400k")
                ],
                "default_legend": "esa-worldcover",
            }
        ],
        "eo_translate:noise": None,
        "eo_translate:output": _ARAS400K_OUTPUT,
        "eo_translate:tiling": _ARAS400K_TILING,
        "eo_translate:gsd_m": 10.0,
        "eo_translate:gsd_range_m": [5.0, 30.0],
        "eo_translate:limits": (
            "Brightness is relative to each training patch, not reflectance. Instance norm sees a "
            "whole window of 256 "
            "pixels, so tone can differ between windows; they are blended. Every second mask pixel is seen. "
            "Licence: the publication carries a CC BY 4.0 badge and no licence file; ask its authors before "
            "publishing results."
        ),
        "eo_translate:citation": "ARAS400k, arXiv:2603.09625",
        "eo_translate:training": dict(training),
    }


FAMILIES: dict[str, Callable[[Path, str, bool], ModelItem]] = {"aras400k": _import_aras400k}
