"""Takes in published checkpoints: reads them without running any code and writes a model package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.models.build import write_item
from engine.models.item import ModelItem
from engine.models.legends import class_colors
from engine.models.store import find, new_package
from engine.models.tensor_files import read_tensors
from engine.models.verify import verify
from engine.models.weights import sha256_file

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
