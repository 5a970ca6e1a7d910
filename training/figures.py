"""Pictures of input, output and truth, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.datasets.pairs import NO_CLASS, Pair
from training.evaluate import Predict, per_image, predictor, read
from training.export import load_run, model_card

GAP_PX = 8
WHITE = 255

Picture = NDArray[np.uint8]


def figures(run: Path, output: Path, checkpoint: str = "best.ckpt") -> list[Path]:
    """Best, median and worst never-trained image by PSNR as ``NAME_{best,median,worst}.png``.

    Returns:
        The files written.
    """
    config, network, _ = load_run(run, checkpoint)
    predict, pairs = predictor(config, network), read(config).validation_pairs()
    order = np.argsort(per_image(predict, pairs)["psnr"])[::-1]
    chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    card = model_card(config)
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for word, index in chosen.items():
        path = output / f"{config.name.replace('-', '_')}_{word}.png"
        row = triptych(pairs[index], predict, int(index), card)
        Image.fromarray(row).save(path)
        written.append(path)
    return written


def triptych(pair: Pair, predict: Predict, seed: int, card: dict) -> Picture:
    """Input, output and truth of one pair in a row."""
    first = card["inputs"][0]
    shown = classes(pair.mask, first["classes"]) if first["modality"] == "mask" else radar(pair)
    views = [shown, optical(predict(pair, seed), card["display"]), optical(pair.optical, card["display"])]
    return row(views)


def row(views: Sequence[Picture]) -> Picture:
    """Pictures of one height beside each other on white."""
    gap = np.full((views[0].shape[0], GAP_PX, 3), WHITE, np.uint8)
    parts = [part for view in views for part in (gap, view)][1:]
    return np.concatenate(parts, axis=1)


def optical(image: NDArray[np.float32], display: Sequence[float]) -> Picture:
    """(3, H, W) reflectance, stretched between two 8-bit values -> (H, W, 3) uint8."""
    low, high = display
    return _to_bytes((np.nan_to_num(image) * 255 - low) / (high - low)).transpose(1, 2, 0)


def radar(pair: Pair) -> Picture:
    """VV from 2.5 standard deviations below to above its mean, grey."""
    mean, std = pair.statistics[0]["VV"]
    grey = _to_bytes((np.nan_to_num(pair.sar["VV"]) - mean) / (5 * std) + 0.5)
    return np.repeat(grey[..., None], 3, axis=2)


def classes(mask: NDArray[np.uint8], legend: Sequence[dict]) -> Picture:
    """Class colours; unknown is black."""
    colours = np.zeros((NO_CLASS + 1, 3), np.uint8)
    colours[: len(legend)] = [entry["color"] for entry in legend]
    return colours[mask]


def _to_bytes(image: NDArray[np.float32]) -> Picture:
    return (np.clip(image, 0, 1) * WHITE).round().astype(np.uint8)
