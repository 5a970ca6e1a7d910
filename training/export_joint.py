"""Run of a joint recipe -> model package: averaged denoiser, autoencoders, groups, sampler, origin."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import InputError
from engine.models.joint_schema import Group, Sampler
from engine.models.tensor_files import read_tensors
from engine.models.weights import sha256_file
from training.datasets.latent_store import open_store
from training.datasets.moments import load_codecs, window_px
from training.export import commit
from training.groups import groups_of

_TASK = "training.tasks.joint_diffusion.JointDiffusionTask"
_WEIGHTS_NAME = "model.safetensors"
_AVERAGE = "average."


def is_joint(run: Path) -> bool:
    """Whether a run is one of a joint recipe."""
    config = run / "config.yaml"
    return config.is_file() and OmegaConf.load(config).task._target_ == _TASK


def load_joint_run(run: Path) -> tuple[DictConfig, dict[str, Tensor], Mapping[str, Any]]:
    """Configuration, averaged weights and checkpoint of a run: the best one, else the last.

    Raises:
        InputError: ``run`` holds no checkpoint.
    """
    names = [name for name in ("best.ckpt", "last.ckpt") if (run / name).is_file()]
    if not names:
        raise InputError(f"{run} is not a training run: it has no checkpoint yet.")
    config = OmegaConf.load(run / "config.yaml")
    state = torch.load(run / names[0], map_location="cpu", weights_only=True)
    weights = {
        name.removeprefix(_AVERAGE): tensor
        for name, tensor in state["state_dict"].items()
        if name.startswith(_AVERAGE)
    }
    return config, weights, state


def package(run: Path, output: Path, scores: Mapping[str, Any] | None = None) -> None:
    """Write the model package of a run.

    Args:
        run: Folder of the run.
        output: Folder of the package; its name is the model's name. Replaced as a whole when all has
            succeeded.
        scores: Measured on held-out places.

    Raises:
        InputError: An autoencoder is missing, or is not the one that made the latents.
        ModelError: A field of the recipe's ``package`` section is missing or wrong.
    """
    from engine.models.build import write_item

    config, weights, state = load_joint_run(run)
    groups, assets = groups_of(config.data.groups), assets_of(config)
    check_autoencoders(config, groups, assets)
    part = output.with_name(output.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    kind = torch.float16 if config.package.get("half") else torch.float32
    save_file({name: tensor.to(kind).contiguous() for name, tensor in weights.items()}, part / _WEIGHTS_NAME)
    for key, path in assets.items():
        tensors = {name: tensor.contiguous() for name, tensor in read_tensors(path).items()}
        save_file(tensors, part / f"{key}.safetensors")
    properties = describe(config, groups, assets, weights, state, scores or {})
    files = {key: f"{key}.safetensors" for key in assets}
    write_item(part, output.name, _WEIGHTS_NAME, properties, extra_files=files)
    shutil.rmtree(output, ignore_errors=True)
    part.replace(output)


def assets_of(config: DictConfig) -> dict[str, Path]:
    """Weights beside the denoiser's: autoencoders, and small decoders where the groups name some."""
    found = {**(config.get("autoencoders") or {}), **(config.get("decoders") or {})}
    return {key: Path(file) for key, file in found.items() if file}


def check_autoencoders(config: DictConfig, groups: Sequence[Group], assets: Mapping[str, Path]) -> None:
    """Refuses autoencoders that are not those of the latents.

    Raises:
        InputError: One is missing or another one.
    """
    missing = {group.latent.autoencoder for group in groups if group.latent.autoencoder} - set(assets)
    if missing:
        key = sorted(missing)[0]
        raise InputError(
            f"The weights of the autoencoder {key} are missing; name its file under "
            f"autoencoders.{key} in {config.output}/config.yaml."
        )
    store = Path(config.data.store)
    info = open_store(store).info if store.exists() else None
    for key, digest in (info.autoencoders if info else {}).items():
        if sha256_file(assets[key]) != digest:
            raise InputError(
                f"The autoencoder {assets[key]} is not the one that made the latents of {store}: its SHA-256 "
                f"does not start with {digest[:12]}."
            )


def sampler_of(config: DictConfig, groups: Sequence[Group], assets: Mapping[str, Path]) -> Sampler:
    """How the network is run: the recipe's ``sampler`` section over what follows from the network.

    Neighbouring windows overlap by a quarter, as far as the latents' cells allow.
    """
    window = window_px(groups, load_codecs(groups, assets))
    cell = max(window // group.latent.height for group in groups if not group.is_vector)
    given = OmegaConf.to_container(config.get("sampler") or OmegaConf.create({}), resolve=True)
    known = {
        "heads": config.network.heads,
        "prediction": config.task.prediction,
        "window_px": window,
        "stride_px": -(-window * 3 // 4 // cell) * cell,
    }
    return Sampler.model_validate({**known, **given})


def describe(
    config: DictConfig,
    groups: Sequence[Group],
    assets: Mapping[str, Path],
    weights: Mapping[str, Tensor],
    state: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> dict[str, Any]:
    """The item's properties: the recipe's model card and what follows from the run."""
    card = OmegaConf.to_container(config.package, resolve=True)
    sampler = sampler_of(config, groups, assets)
    return {
        "title": card["title"],
        "description": card["description"],
        "license": card["license"],
        "mlm:architecture": "CopGen (U-ViT)",
        "mlm:total_parameters": sum(tensor.numel() for tensor in weights.values()),
        "eo_translate:family": "joint-diffusion",
        "eo_translate:network": "cop-gen",
        "eo_translate:groups": [group.model_dump(mode="json", exclude_none=True) for group in groups],
        "eo_translate:sampler": sampler.model_dump(mode="json"),
        "eo_translate:precisions": ["float32", "bfloat16", "float16"],
        "eo_translate:gsd_m": card["gsd_m"],
        "eo_translate:limits": card["limits"],
        "eo_translate:citation": card["citation"],
        "eo_translate:training": {**card.get("training", {}), **_origin(config, assets, state)},
        "eo_translate:metrics": {**_watched(state), **scores},
    }


def _origin(config: DictConfig, assets: Mapping[str, Path], state: Mapping[str, Any]) -> dict[str, Any]:
    init = config.network.get("init")
    return {
        "recipe": f"eo-train experiment={config.name.replace('-', '_')}",
        "seed": config.seed,
        "commit": config.get("commit") or commit(),
        "steps": int(state["global_step"]),
        "never_trained_on": [*config.data.validation, *config.data.ignored],
        "autoencoders": {key: sha256_file(path) for key, path in assets.items()},
        **({"started_from": sha256_file(Path(init))} if init else {}),
    }


def _watched(state: Mapping[str, Any]) -> dict[str, float]:
    """The lowest validation loss, where there was one."""
    scores = [
        float(callback["best_model_score"])
        for callback in state.get("callbacks", {}).values()
        if callback.get("monitor") == "val/loss" and callback.get("best_model_score") is not None
    ]
    return {"validation_loss": scores[0]} if scores else {}
