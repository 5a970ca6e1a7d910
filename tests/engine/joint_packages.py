"""Tiny joint diffusion models in the published form: random weights, the authors' names and folders."""

import torch
from safetensors.torch import save_file

from engine.modalities.published import published_groups
from engine.models.build import write_item
from engine.models.joint_families import autoencoder_files
from engine.models.joint_import import import_joint
from engine.networks.cop_gen import CopGen, LatentGroup
from engine.networks.kl_autoencoder import empty_autoencoder, published_layout
from engine.translators.joint_networks import image_channels, latent_groups

WIDTH, HEADS = 32, 4
BETA = ("dem", "s1_rtc", "s2_l1c", "s2_l2a")


def denoiser_state(groups, width=WIDTH, depth=3, seed=0):
    """State dict of a denoiser that gives numbers of order one."""
    torch.manual_seed(seed)
    return CopGen(groups, width=width, depth=depth, heads=HEADS, hidden=2 * width).state_dict()


def beta_state(modalities=BETA, side=8, **options):
    return denoiser_state([LatentGroup(name, 4, side, side) for name in modalities], **options)


def cop_gen_state(**options):
    return denoiser_state(latent_groups(published_groups("cop-gen")), **options)


def autoencoder_state(channels=3, latent=4, seed=0):
    """State dict of a KL autoencoder of four levels under the original names."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for name, (_, shape) in published_layout(empty_autoencoder(channels, (32,) * 4, 1, latent)).items():
        fan_in = max(1, torch.tensor(shape[1:]).prod().item())
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        state[name] = centre + torch.randn(shape, generator=random) * 0.5 / fan_in**0.5
    return state


def saved(state, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def beta_files(folder, modalities=BETA, side=8):
    """Denoiser and autoencoder."""
    weights = saved(beta_state(modalities, side), folder / "nnet_ema_114000.pth")
    return weights, saved(autoencoder_state(), folder / "autoencoder_kl_ema.pth")


def cop_gen_files(folder):
    """Denoiser, and the folder with the ten autoencoders' folders."""
    for seed, group in enumerate(published_groups("cop-gen")):
        if key := group.latent.autoencoder:
            state = autoencoder_state(image_channels(group), group.latent.channels, seed)
            saved(state, folder / "vae" / autoencoder_files("cop-gen")[key])
    return saved(cop_gen_state(), folder / "500000_nnet_ema.pth"), folder / "vae"


def beta_package(folder, name="beta", **options):
    """An installed package of COP-GEN-Beta's form; the models folder is the caller's to set."""
    return import_joint("cop-gen-beta", *beta_files(folder, **options), name, heads=HEADS)


def pixel_package(folder, name="pixels", **sampler):
    """A package whose latents are pixels: VV and three bands, windows of 32 px."""
    groups = [
        pixel_group("s1", "s1_rtc", ["VV"], kind="standardised", deviations=3.0, units="dB"),
        pixel_group("s2", "s2_l2a", ["B04", "B03", "B02"], kind="reflectance"),
    ]
    properties = {
        "title": "Pixels",
        "license": "other",
        "mlm:architecture": "U-ViT",
        "eo_translate:family": "joint-diffusion",
        "eo_translate:network": "cop-gen",
        "eo_translate:groups": groups,
        "eo_translate:sampler": {
            "heads": HEADS,
            "prediction": "data",
            "steps": 4,
            "stages": 2,
            "window_px": 32,
            "stride_px": 24,
            **sampler,
        },
    }
    folder.mkdir(parents=True)
    latents = [LatentGroup(g["name"], g["latent"]["channels"], 32, 32, 8) for g in groups]
    save_file(denoiser_state(latents), folder / "model.safetensors")
    return write_item(folder, name, "model.safetensors", properties)


def pixel_group(name, modality, bands, **encoding):
    return {
        "name": name,
        "modality": modality,
        "latent": {"channels": len(bands), "height": 32, "width": 32, "patch": 8},
        "encoding": encoding,
        "bands": [{"name": band} for band in bands],
    }
