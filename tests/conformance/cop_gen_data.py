"""Reads the conformance files of COP-GEN-Beta and COP-GEN through index.json; any set of that form works."""

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.networks.cop_gen import LatentGroup
from engine.networks.cop_gen_weights import cop_gen_from_tensors
from engine.networks.kl_autoencoder import (
    LatentCodec,
    autoencoder_from_tensors,
    empty_autoencoder,
    published_layout,
)

ROOT = Path(os.environ.get("EO_CONFORMANCE", Path(__file__).resolve().parents[2] / "../shared/conformance"))
FAMILIES = ("cop_gen_beta", "cop_gen")


@pytest.fixture(autouse=True)
def one_thread():
    """For the modules that import it: the numbers do not need more, and the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def index(family):
    path = ROOT / family / "index.json"
    return json.loads(path.read_text()) if path.is_file() else None


def read_json(family, name):
    return json.loads((ROOT / family / name).read_text())


def read_tensors(family, name):
    return load_file(ROOT / family / name)


def entries(section, families=FAMILIES, field=None):
    """(family, name) of every entry of a section, or one skipped parameter that says why there is none."""
    found = [
        (family, name)
        for family in families
        for name, entry in (index(family) or {}).get(section, {}).items()
        if field is None or field in entry
    ]
    if found:
        return [pytest.param(*entry, id="-".join(entry)) for entry in found]
    reason = f"no {section} in {ROOT}/{{{','.join(families)}}}/index.json (set EO_CONFORMANCE)"
    return [pytest.param(None, None, marks=pytest.mark.skip(reason=reason), id=section)]


def needs(family, name):
    """Skips unless the set has the file."""
    path = ROOT / family / name
    return pytest.mark.skipif(not path.exists(), reason=f"no {path} (set EO_CONFORMANCE)")


def latent_groups(config, entry):
    """Groups of a network, from an entry with a list of them or from one size for all modalities."""
    if "groups" in entry:
        return [
            LatentGroup(group["name"], group["latent_channels"], *group["latent"], group["patch"])
            for group in entry["groups"]
        ]
    side, channels, patch = config["img_size"], config["in_chans"], config["patch_size"]
    return [LatentGroup(name, channels, side, side, patch) for name in entry["modalities"]]


def read_pth(path):
    return torch.load(path, weights_only=True, map_location="cpu")


def network(family, name):
    entry = index(family)["nnets"][name]
    config = entry["config"]
    tensors = read_pth(ROOT / family / entry["file"])
    assert len(tensors) == entry["n_tensors"]
    return cop_gen_from_tensors(tensors, latent_groups(config, entry), config["num_heads"], entry["file"])


def needs_diffusers():
    """Skips the rest of a test where diffusers is missing."""
    pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")


def codec(family, name=None):
    """An autoencoder of the set with its scale: stored, or filled by the README's formula."""
    needs_diffusers()
    if name is None:
        entry = index(family)["vae"]
        tensors = read_pth(ROOT / family / entry["file"])
    else:
        entry = index(family)["vaes"][name]
        tensors = formula_autoencoder(entry["ddconfig"], entry["formula_tag"])
    return LatentCodec(autoencoder_from_tensors(tensors, str(name)), entry["scale_factor"])


def formula_autoencoder(config, tag):
    """Weights of an autoencoder, under the original names."""
    needs_diffusers()
    widths = tuple(config["ch"] * factor for factor in config["ch_mult"])
    empty = empty_autoencoder(config["in_channels"], widths, config["num_res_blocks"], config["z_channels"])
    return {name: formula_weight(name, shape, tag) for name, (_, shape) in published_layout(empty).items()}


def formula(name, shape, tag):
    """u in [-1, 1) of the README, float64."""
    count = int(np.prod(shape))
    start = np.uint32(zlib.crc32(f"{tag}/{name}".encode()))
    x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + start
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    return ((x >> np.uint32(8)) / 2**24 * 2 - 1).reshape(shape)


def formula_weight(name, shape, tag):
    """A weight of the README's formula."""
    u = formula(name, shape, tag)
    if name == "pos_embed":
        u = 0.5 * u
    elif len(shape) > 1:
        u = u * np.sqrt(3 / np.prod(shape[1:]))
    else:
        u = 1 + 0.2 * u if name.endswith("weight") else 0.1 * u
    return torch.from_numpy(u.astype(np.float32))


class StoredNoise:
    """The draws of a case; those of ignored groups are stored for each evaluation, or one for all."""

    def __init__(self, tensors, generate, order, each_evaluation):
        self.tensors, self.each_evaluation = dict(tensors), each_evaluation
        stacked = self.tensors.pop("z_init", None)
        if stacked is not None:
            names = [name for name in order if name in generate]
            self.tensors |= {f"z_init.{name}": z for name, z in zip(names, stacked, strict=True)}

    def __call__(self, purpose, group, evaluation=0):
        if purpose == "initial":
            return self.tensors[f"z_init.{group}"]
        if purpose == "unconditional":
            return self.tensors[f"uncond_noise.{group}"]
        assert purpose == "ignored"
        drawn = self.tensors[f"ignored_noise.{group}"]
        return drawn[evaluation] if self.each_evaluation else drawn


def part(tensors, prefix):
    """Tensors whose name starts with the prefix, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def assert_near(found, expected, tolerance):
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
