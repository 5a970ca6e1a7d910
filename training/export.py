"""Trained run -> ONNX graph -> model package."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from engine.errors import InputError, ModelError
from engine.tiling.plan import CHUNK_PX
from training.datasets.pairs import CLASSES, OPTICAL_BANDS

OPSET = 18
CALIBRATION_NAME = "calibration.json"
TOLERANCE = 1e-4  # reflectance; a tenth of an 8-bit step is 4e-4
MAX_WEIGHTS_BYTES = 10_000_000
RECIPES = Path(__file__).parent / "configs" / "experiment"
CHANNELS = {"sar": 4, "dem": 2, "mask": len(CLASSES)}

log = logging.getLogger(__name__)


def load_run(folder: Path, checkpoint: str = "best.ckpt") -> tuple[DictConfig, nn.Module, Mapping[str, Any]]:
    """Configuration, averaged generator and checkpoint of a run.

    Raises:
        InputError: ``folder`` holds no run.
    """
    path = folder / checkpoint
    if not (folder / "config.yaml").is_file() or not path.is_file():
        raise InputError(f"{folder} is not a training run: it lacks config.yaml or {checkpoint}.")
    config = OmegaConf.load(folder / "config.yaml")
    network = instantiate(config.network, _convert_="all")
    state = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "average."
    weights = {
        key.removeprefix(prefix): v for key, v in state["state_dict"].items() if key.startswith(prefix)
    }
    network.load_state_dict(weights)
    if calibration := calibrated(folder):
        network.head.shrink_colours(calibration["colour"], calibration["share"])
    return config, network.eval(), state


def calibrated(run: Path) -> dict[str, Any]:
    """What ``training.calibrate`` found for a run; empty before that."""
    path = run / CALIBRATION_NAME
    return json.loads(path.read_text()) if path.is_file() else {}


def input_shapes(network: nn.Module, height: int, width: int) -> dict[str, tuple[int, ...]]:
    """Tensor name -> (1, C, height, width)."""
    channels = {**CHANNELS, "noise": network.noise_planes}
    return {name: (1, channels[name], height, width) for name in network.inputs}


def random_inputs(network: nn.Module, height: int, width: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Standard normal tensors of the network's input shapes."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(s, generator=generator) for s in input_shapes(network, height, width).values())


def to_onnx(network: nn.Module, path: Path) -> float:
    """Write the graph with free height and width (multiples of 8) and compare it with torch.

    Returns:
        Largest absolute difference between onnxruntime and torch (reflectance), over several sizes.

    Raises:
        ModelError: They differ by more than ``TOLERANCE``, or the file is too large to be bundled.
    """
    names = list(network.inputs)
    multiple = network.stride_multiple
    rows, cols = (torch.export.Dim(name, min=1, max=8192 // multiple) for name in ("rows", "cols"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter tells of its own internals
        program = torch.onnx.export(
            network,
            random_inputs(network, 8 * multiple, 9 * multiple),
            input_names=names,
            output_names=["optical"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes={name: {2: multiple * rows, 3: multiple * cols} for name in names},
            verbose=False,
        )
    program.save(path, external_data=False)
    difference = max(_difference(network, path, size) for size in ((64, 72), (8, 8), (344, 208)))
    log.info("Largest difference between onnxruntime and torch: %.2e", difference)
    if difference > TOLERANCE:
        raise ModelError(
            f"The exported graph differs from the network by {difference:.2e}, more than {TOLERANCE}."
        )
    if path.stat().st_size > MAX_WEIGHTS_BYTES:
        raise ModelError(f"{path.name} has {path.stat().st_size} bytes, more than {MAX_WEIGHTS_BYTES}.")
    return difference


def _difference(network: nn.Module, path: Path, size: tuple[int, int]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = random_inputs(network, *size, seed=1)
    found = session.run(None, {name: x.numpy() for name, x in zip(network.inputs, inputs, strict=True)})[0]
    with torch.no_grad():
        expected = network(*inputs).numpy()
    return float(np.abs(found - expected).max())


def receptive_radius(network: nn.Module, size: int = 256) -> int:
    """How far from a ``stride_multiple`` block its result depends on the input (px), by back-propagation."""
    inputs = [x.requires_grad_() for x in random_inputs(network, size, size)]
    block = slice(size // 2, size // 2 + network.stride_multiple)
    network(*inputs)[:, :, block, block].sum().backward()
    radius = 0
    for x in inputs:
        touched = x.grad.abs().sum(dim=(0, 1)) > 0
        for axis in (0, 1):
            along = touched.any(dim=axis).nonzero().flatten()
            if len(along):
                radius = max(radius, block.start - int(along[0]), int(along[-1]) - (block.stop - 1))
    return radius


def package(run: Path, output: Path, scores: Mapping[str, Any] | None = None) -> None:
    """Write the model package of a run: weights, item, licence notice.

    Args:
        run: Folder of the run.
        output: Folder of the package; its name is the model's name. Replaced as a whole when all has
            succeeded.
        scores: What ``training.evaluate.evaluate`` found.
    """
    from engine.models.build import write_item

    config, network, state = load_run(run)
    part = output.with_name(output.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    difference = to_onnx(network, part / "model.onnx")
    properties = describe(config, network, state, difference, scores or {})
    if calibration := calibrated(run):
        properties["eo_translate:training"]["colour_shrinkage"] = calibration
    write_item(part, output.name, "model.onnx", properties)
    shutil.rmtree(output, ignore_errors=True)
    part.replace(output)


def describe(
    config: DictConfig,
    network: nn.Module,
    state: Mapping[str, Any],
    difference: float,
    scores: Mapping[str, Any],
) -> dict[str, Any]:
    """The item's properties: the model card and what follows from the network and the run."""
    card = model_card(config)
    multiple = network.stride_multiple
    halo = -(-receptive_radius(network) // multiple) * multiple
    return {
        "title": card["title"],
        "description": card["description"],
        "license": card["license"],
        "mlm:architecture": type(network).__name__,
        "mlm:total_parameters": sum(p.numel() for p in network.parameters()),
        "eo_translate:family": "feed-forward",
        "eo_translate:network": None,
        "eo_translate:inputs": card["inputs"],
        "eo_translate:noise": {"tensor": "noise", "cells_px": list(config.data.cells_px)},
        "eo_translate:output": _output(card["display"]),
        "eo_translate:tiling": {
            "mode": "crop",
            "stride_multiple": multiple,
            "halo_px": halo,
            # One window holds a chunk of the engine and its halo: 1.2 pixels computed a pixel.
            "window_px": CHUNK_PX + 2 * (halo + multiple),
            "stride_px": None,
        },
        "eo_translate:gsd_m": 10.0,
        "eo_translate:gsd_range_m": [5.0, 30.0],
        "eo_translate:limits": card["limits"],
        "eo_translate:citation": card["citation"],
        "eo_translate:training": {
            **card["training"],
            **_provenance(config, state),
            "onnx_difference": difference,
        },
        "eo_translate:metrics": dict(scores),
        "eo_translate:sample_statistics": card.get("sample_statistics", {}),
    }


def model_card(config: DictConfig) -> dict[str, Any]:
    """The ``package`` section of the recipe as it stands now, else of the run's own configuration."""
    recipe = RECIPES / f"{config.name.replace('-', '_')}.yaml"
    source = OmegaConf.load(recipe) if recipe.is_file() else config
    return OmegaConf.to_container(source.package, resolve=True)


def _output(display: Sequence[int]) -> dict[str, Any]:
    names = zip(
        OPTICAL_BANDS, ("swir16", "nir", "green"), (1.61, 0.842, 0.56), ("red", "green", "blue"), strict=True
    )
    return {
        "modality": "optical",
        "tensor": "optical",
        "bands": [
            {"name": band, "common_name": common, "wavelength_um": wavelength, "color": color}
            for band, common, wavelength, color in names
        ],
        "range": [0.0, 1.0],
        "dtype": "uint8",
        "scale": 1 / 255,
        "offset": 0.0,
        "nodata": 0,
        "units": "reflectance",
        "display": list(display),
        "scale_factor": 1,
    }


def _provenance(config: DictConfig, state: Mapping[str, Any]) -> dict[str, Any]:
    task = state["state_dict"]
    return {
        "recipe": f"eo-train experiment={config.name.replace('-', '_')}",
        "seed": config.seed,
        "commit": config.get("commit") or commit(),
        "steps": int(task["steps"]),
        "epoch": int(state["epoch"]),
        "never_trained_on": [*config.data.validation, *config.data.ignored],
    }


def commit() -> str:
    """Hash of the checkout, with ``+`` if tracked code was changed; empty outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = git(
        "status", "--porcelain", "--untracked-files=no", "--", str(here), str(here.parent / "engine/networks")
    )
    return git("rev-parse", "HEAD") + ("+" if changed else "")
