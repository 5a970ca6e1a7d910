"""Scores of a joint model on held-out patches: each modality made from others, and from nothing.

The truth is what the autoencoders keep of it, decoded: stores hold latents, no images. What an autoencoder
loses is therefore no fault of the model's, and not counted. A group without autoencoder is its own image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from engine.errors import InputError
from engine.evaluation.classes import Confusion
from engine.evaluation.pointwise import best_of, image_scores, set_scores
from engine.evaluation.report import plain
from engine.evaluation.scalars import date_scores, position_scores
from engine.evaluation.set_scores import place_scores
from engine.modalities.encoders import encoder
from engine.modalities.vectors import date_of, position_of
from engine.models.joint_schema import Group
from engine.networks.kl_autoencoder import LatentCodec
from engine.samplers.any_to_any import JointDenoiser
from engine.samplers.keyed_noise import KeyedNoise
from engine.samplers.prediction import schedule_of
from engine.samplers.staged import plan_stages, run_stage
from training.datasets.latents import LatentSamples, drawn
from training.evaluate import SCORES_NAME
from training.joint_models import JointModel, load_codecs_of, load_model

Images = NDArray[np.float32]
TRUTH = "decoded latents of held-out patches"
_ALL_OTHERS = "all others"


@dataclass(frozen=True)
class Plan:
    """How much is sampled.

    Attributes:
        patches: Held-out patches, evenly chosen.
        samples: Of each.
        steps: Evaluations of the network a sample.
        seed: Of the noise.
    """

    patches: int = 32
    samples: int = 4
    steps: int = 50
    seed: int = 0


def evaluate(run: Path, plan: Plan) -> dict[str, Any]:
    """Scores a run's averaged network and writes ``scores.json`` beside it.

    Returns:
        ``truth``, ``patches``, ``samples``, ``steps`` of the sampler; ``directions``: what was given to what
        was made -> group -> scores. An image has those of a mean ``sample``, of the ``best_of_samples`` (each
        score and patch for itself: optimistic), of ``other_real_images`` (the truth of another patch), and
        the ``sets``: first samples and truths as two sets, by their mean spectra.

    Raises:
        InputError: Nothing is held out, no patch has what is asked for, or an autoencoder is missing.
    """
    config = OmegaConf.load(run / "config.yaml")
    model, data = load_model(run), instantiate(config.data, _convert_="all")
    data.setup()
    samples = data.validation_samples()
    if not len(samples):
        raise InputError(
            f"The run {run} holds no places out (data.validation), so there is nothing to score."
        )
    codecs = load_codecs_of(run)
    patches = [known_latents(samples, key, model.groups) for key in _evenly(samples.keys, plan.patches)]
    directions = {}
    for given, wanted in _directions(config, model.groups):
        found = _direction(model, codecs, patches, given, wanted, plan)
        if found:
            source = _ALL_OTHERS if given is None else "+".join(given) or "nothing"
            directions[f"{source} to {'+'.join(wanted)}"] = found
    if not directions:
        raise InputError(f"No held-out patch of the run {run} has the groups that are to be scored.")
    facts = {"truth": TRUTH, "patches": len(patches), "samples": plan.samples, "steps": plan.steps}
    result = plain({**facts, "directions": directions})
    part = run / f"{SCORES_NAME}.part"
    part.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    part.replace(run / SCORES_NAME)
    return result


def rows(result: Mapping[str, Any]) -> list[tuple[str, str, dict[str, float]]]:
    """What was made of what, by what, and its scores: for a table."""
    return [
        (f"{direction}: {group}", kind, scores)
        for direction, groups in result["directions"].items()
        for group, kinds in groups.items()
        for kind, scores in kinds.items()
    ]


def known_latents(samples: LatentSamples, key: str, groups: Sequence[Group]) -> dict[str, Tensor]:
    """Mean latents of the groups that a patch has, as the denoiser sees them."""
    moments = samples.moments(key)
    return {
        group.name: torch.from_numpy(drawn(group, moments[group.name], np.float32(0)))
        for group in groups
        if group.name in moments
    }


def _directions(config: DictConfig, groups: Sequence[Group]) -> list[tuple[list[str] | None, list[str]]]:
    """Given and wanted groups: each modality from all others (None), then what the recipe draws."""
    names = [group.name for group in groups]
    found: list[tuple[list[str] | None, list[str]]] = []
    for modality in dict.fromkeys(group.modality for group in groups):
        found.append((None, [group.name for group in groups if group.modality == modality]))
    for request in (config.get("grids") or {}).get("requests") or []:
        given = list(request.get("given") or [])
        wanted = list(request.get("generate") or []) or [name for name in names if name not in given]
        found.append((given, wanted))
    return found


def _direction(
    model: JointModel,
    codecs: Mapping[str, LatentCodec],
    patches: Sequence[Mapping[str, Tensor]],
    given: Sequence[str] | None,
    wanted: Sequence[str],
    plan: Plan,
) -> dict[str, dict[str, dict[str, float]]]:
    """Scores by group; empty if no patch has all of them, or without ``given``, has any other one."""
    having = [(n, p) for n, p in enumerate(patches) if _serves(p, given, wanted)]
    truths: dict[str, list[Images]] = {name: [] for name in wanted}
    made: dict[str, list[list[Images]]] = {name: [] for name in wanted}
    groups = {group.name: group for group in model.groups}
    for number, patch in having:
        names = [name for name in patch if name not in wanted] if given is None else given
        latents = _sampled(model, {name: patch[name] for name in names}, wanted, number, plan)
        for name in wanted:
            truths[name].append(_physical(groups[name], codecs, patch[name][None])[0])
            made[name].append(list(_physical(groups[name], codecs, latents[name])))
    return {name: group_scores(groups[name], truths[name], made[name]) for name in wanted if having}


def _serves(patch: Mapping[str, Tensor], given: Sequence[str] | None, wanted: Sequence[str]) -> bool:
    there = set(patch)
    return set(wanted) < there if given is None else {*given, *wanted} <= there


def _sampled(
    model: JointModel, given: Mapping[str, Tensor], wanted: Sequence[str], number: int, plan: Plan
) -> dict[str, Tensor]:
    """Latents (S, C, h, w) of the wanted groups for one patch, as the engine samples a window."""
    count = plan.samples
    noise = KeyedNoise(model.network.groups, plan.seed, range(number * count, (number + 1) * count))
    conditions = {name: z.expand(count, *z.shape) for name, z in given.items()}
    denoiser = JointDenoiser(model.network, wanted, conditions, noise, prediction=model.prediction)
    (stage,) = plan_stages(plan.steps, 1, model.solver)
    return run_stage(stage, denoiser, None, schedule_of(model.prediction))


def _physical(group: Group, codecs: Mapping[str, LatentCodec], latents: Tensor) -> Images:
    """(B, C, H, W) in the group's unit; of a vector itself."""
    if group.is_vector:
        return latents.numpy()
    images = codecs[group.name].decode(latents) if group.name in codecs else latents
    decoder = encoder(group)
    return np.stack([decoder.decode(image) for image in images.float().numpy()])


def group_scores(
    group: Group, truths: Sequence[Images], made: Sequence[Sequence[Images]]
) -> dict[str, dict[str, float]]:
    """Scores of one group.

    Args:
        group: Tells images, class maps, dates and positions apart.
        truths: One (C, H, W) a patch, physical values.
        made: Samples of each patch.

    Returns:
        See ``evaluate``.
    """
    if group.is_vector:
        return {"sample": _vector_scores(group, truths, made)}
    if group.encoding.kind == "classes":
        others = [[truth] for truth in _others(truths)]
        found = {"sample": _class_scores(truths, made)}
        return found | ({"other_real_images": _class_scores(truths, others)} if others else {})
    flat = [(truth, image) for truth, images in zip(truths, made, strict=True) for image in images]
    each = [[image_scores(t, i) for i in images] for t, images in zip(truths, made, strict=True)]
    best = [best_of(samples) for samples in each]
    found = {
        "sample": set_scores(*zip(*flat, strict=True)),
        "best_of_samples": {name: float(np.mean([scores[name] for scores in best])) for name in best[0]},
    }
    if len(truths) > 1:
        found["other_real_images"] = set_scores(truths, _others(truths))
        names = [band.name for band in encoder(group).output.bands]
        first = np.stack([images[0] for images in made])
        found["sets"] = place_scores(np.stack(truths), first, names)
    return found


def _others(truths: Sequence[Images]) -> list[Images]:
    """For every patch the truth of another one; none for a single patch."""
    return [*truths[1:], truths[0]] if len(truths) > 1 else []


def _class_scores(truths: Sequence[Images], made: Sequence[Sequence[Images]]) -> dict[str, float]:
    table = Confusion()
    for truth, images in zip(truths, made, strict=True):
        for image in images:
            table.update(*(np.rint(x).astype(np.int64).ravel() for x in (truth, image)))
    return table.scores()


def _vector_scores(
    group: Group, truths: Sequence[Images], made: Sequence[Sequence[Images]]
) -> dict[str, float]:
    pairs = [(t.ravel(), i.ravel()) for t, images in zip(truths, made, strict=True) for i in images]
    if group.encoding.kind == "date":
        true, found = ([date_of(vector) for vector in side] for side in zip(*pairs, strict=True))
        return date_scores(found, true)
    true, found = (np.array([position_of(v) for v in side]) for side in zip(*pairs, strict=True))
    return position_scores(found, true)


def _evenly(keys: Sequence[str], count: int) -> list[str]:
    places = np.linspace(0, len(keys) - 1, min(count, len(keys)))
    return [keys[i] for i in dict.fromkeys(places.round().astype(int).tolist())]
