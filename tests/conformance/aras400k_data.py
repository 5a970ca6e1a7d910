"""Reads the conformance files of ARAS400k; finds them by pattern, so any set of the same form works."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(os.environ.get("EO_CONFORMANCE", Path(__file__).resolve().parents[2] / "../shared/conformance"))
FOLDER = ROOT / "aras400k"


def files(pattern):
    """Parameters for every file that matches, or one skipped parameter that says why there is none."""
    found = sorted(FOLDER.glob(pattern))
    if found:
        return [pytest.param(path, id=path.stem) for path in found]
    reason = f"no {pattern} in {FOLDER} (set EO_CONFORMANCE)"
    return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id=pattern)]


def pairs(pattern_weights, weights_suffix, cases_suffix):
    """(weights, cases) of the same stem."""
    parameters = []
    for parameter in files(pattern_weights):
        path = parameter.values[0]
        cases = path and path.with_name(path.name.removesuffix(weights_suffix) + cases_suffix)
        parameters.append(pytest.param(path, cases, marks=parameter.marks, id=parameter.id))
    return parameters


def tensors(archive, prefix=""):
    """Arrays whose key starts with the prefix, as tensors without it."""
    return {
        key.removeprefix(prefix): torch.from_numpy(archive[key])
        for key in archive.files
        if key.startswith(prefix)
    }


def cases(archive):
    """Names of the cases in a file: case0, case1 ..."""
    return sorted({match[0] for key in archive.files if (match := re.match(r"case\d+", key))})


def batched(labels):
    """(B, H, W) from (B, H, W) or (H, W)."""
    return labels if labels.ndim == 3 else labels[None]


def names(file):
    return json.loads((FOLDER / file).read_text())


def closed_form(shapes, seed, gain, bias):
    """Weights made by the README's integer hash, one tensor a name, in the order of ``shapes``."""
    weights = {}
    for number, (name, shape) in enumerate(shapes.items()):
        x = np.arange(np.prod(shape), dtype=np.uint64) * np.uint64(2654435769)
        x = (x + np.uint64(40503 * number + 7919 * seed + 1)) & np.uint64(0xFFFFFFFF)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
            x ^= x >> np.uint64(shift)
            x = (x * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
        u = x.astype(np.float64) / 2**31 - 1
        amplitude = gain * np.sqrt(3 / np.prod(shape[1:])) if len(shape) == 4 else bias
        weights[name] = torch.from_numpy((amplitude * u).reshape(shape).astype(np.float32))
    return weights


def assert_stage(archive, prefix, activation):
    """Compares an activation with its stored corner and its mean, deviation, minimum and maximum."""
    crop = archive[f"{prefix}_crop"]
    _, channels, height, width = crop.shape
    np.testing.assert_allclose(activation[:1, :channels, :height, :width].numpy(), crop, atol=1e-4)
    found = activation.double()
    stats = [found.mean(), found.std(correction=0), found.min(), found.max()]
    np.testing.assert_allclose(stats, archive[f"{prefix}_stats"], atol=1e-4, rtol=1e-4)
