"""Scores of a trained run on places that it was never trained on, beside those of simple baselines."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig

from training.datasets.crops import cell_noise, whole
from training.datasets.module import PairsModule
from training.datasets.pairs import CLASSES, NO_CLASS, Pair
from training.datasets.pseudo_labels import pseudo_label
from training.export import load_run
from training.metrics import baselines
from training.metrics.scores import Scores

SCORES_NAME = "scores.json"
DIGITS = 4

Array = NDArray[np.float32]
Predict = Callable[[Pair, int], Array]
log = logging.getLogger(__name__)


def evaluate(run: Path) -> dict[str, Any]:
    """Score a run's best checkpoint and write ``scores.json`` beside it.

    Returns:
        ``places``: what was tested; ``model`` and one entry a baseline: score -> value; for SAR
        ``other_modalities``: the pairs set aside with VV alone, with VH, with elevation; for masks
        ``mask_fidelity``, also of the pairs set aside.
    """
    config, network, state = load_run(run)
    data = read(config)
    predict = predictor(config, network)
    tested, training = data.validation_pairs(), data.training_pairs()
    remembered = once(predict)
    result: dict[str, Any] = {
        "places": sorted({pair.location for pair in tested}),
        "images": len(tested),
        "steps": int(state["state_dict"]["steps"]),
        "model": score(remembered, tested),
        **{name: _rounded(found.compute()) for name, found in _baselines(config, training, tested).items()},
    }
    if _first_input(config) == "mask":
        result["mask_fidelity"] = fidelity(remembered, tested)
        if data.set_aside:
            result["mask_fidelity_set_aside"] = fidelity(predict, data.set_aside)
    else:
        result["other_modalities"] = modalities(predict, [p for p in data.set_aside if "VH" in p.sar])
    (run / SCORES_NAME).write_text(json.dumps(result, indent=2))
    return result


def read(config: DictConfig) -> PairsModule:
    """The run's data, all splits."""
    data = instantiate(config.data, _convert_="all")
    data.setup()
    return data


def once(predict: Predict) -> Predict:
    """The same, each image computed once."""
    made: dict[tuple[str, int], Array] = {}

    def remembered(pair: Pair, seed: int = 0) -> Array:
        key = pair.name, seed
        if key not in made:
            made[key] = predict(pair, seed)
        return made[key]

    return remembered


def predictor(config: DictConfig, network: torch.nn.Module) -> Predict:
    """Translate a pair as the engine does a single image: own statistics, mirrored outside, float32."""
    network = network.to(memory_format=torch.channels_last)  # four times as fast on a CPU
    pad, cells = config.data.pad_px, tuple(config.data.cells_px)
    given = tuple(config.data.sampling.modalities)

    def predict(pair: Pair, seed: int = 0) -> Array:
        height, width = pair.optical.shape[1:]
        sample = whole(pair, 0, 0, given)
        side = sample["optical"].shape[-1] + 2 * pad
        margin = (0, 0), (pad, side - pad - height), (pad, side - pad - width)
        inputs = {name: np.pad(sample[name][:, :height, :width], margin, "symmetric") for name in given}
        inputs["noise"] = cell_noise(np.random.default_rng(seed), side, cells)
        with torch.no_grad():
            image = network(*(torch.from_numpy(inputs[name])[None] for name in network.inputs))[0].numpy()
        return image[:, pad : pad + height, pad : pad + width]

    return predict


def score(predict: Predict, pairs: Sequence[Pair]) -> dict[str, float]:
    """Scores over pairs, each with noise of its own."""
    return _rounded(_scores(predict, pairs).compute())


def _scores(predict: Predict, pairs: Sequence[Pair]) -> Scores:
    scores = Scores()
    for number, pair in enumerate(pairs):
        scores.update(torch.from_numpy(predict(pair, number)), torch.from_numpy(np.nan_to_num(pair.optical)))
    return scores


def per_image(predict: Predict, pairs: Sequence[Pair]) -> dict[str, list[float]]:
    """Every image's own PSNR, SSIM, SAM and SCC."""
    return _scores(predict, pairs).per_image


def _baselines(config: DictConfig, training: Sequence[Pair], tested: Sequence[Pair]) -> dict[str, Scores]:
    found = {
        "constant_colour": baselines.constant(training, tested),
        "other_real_images": baselines.other_places(training, tested),
    }
    if _first_input(config) == "sar":
        found["local_regression"] = baselines.regression(training, tested)
    return found


def fidelity(predict: Predict, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Does the image show what the mask says? Its pseudo-labels, and the truth's, against the mask."""
    return {
        "model": _agreement(pairs, predict),
        "real_images": _agreement(pairs, lambda pair, _: pair.optical),
    }


def _agreement(pairs: Sequence[Pair], image: Predict) -> dict[str, Any]:
    confusion = np.zeros((len(CLASSES), len(CLASSES)))
    for number, pair in enumerate(pairs):
        seen = pseudo_label(image(pair, number))
        both = (pair.mask != NO_CLASS) & (seen != NO_CLASS)
        np.add.at(confusion, (pair.mask[both], seen[both]), 1)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion)
    present = confusion.sum(axis=1) > 0
    iou = np.diag(confusion)[present] / union[present]
    names = [name for name, there in zip(CLASSES, present, strict=True) if there]
    return {
        "mean_iou": round(float(iou.mean()), DIGITS),
        "accuracy": round(float(np.trace(confusion) / confusion.sum()), DIGITS),
        "iou": {name: round(float(value), DIGITS) for name, value in zip(names, iou, strict=True)},
    }


def modalities(predict: Predict, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Scores of the held-out multi-modal pairs with VV alone, with VH, and with elevation."""
    result = {}
    for pair in pairs:
        vv = replace(pair, sar={"VV": pair.sar["VV"]}, elevation=None)
        versions = {"VV": vv, "VV+VH": replace(vv, sar=pair.sar)}
        if pair.elevation is not None:
            versions["VV+VH+DEM"] = pair
        result[pair.name] = {name: score(predict, [version]) for name, version in versions.items()}
    return result


def _first_input(config: DictConfig) -> str:
    return config.data.sampling.modalities[0]


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in scores.items()}
