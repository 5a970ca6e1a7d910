"""How good a few-step student is beside its teacher, from latents and decoded images of held-out patches.

* ``distance``: root mean square difference of the latents to the teacher's from the same noise; of the
  teacher itself, between two of its draws: as far away as that is a student that shares only the conditions.
  Two steps of a student draw new noise in between, so that only one step can be near.
* ``psnr`` (dB), ``ssim``: torchmetrics, to the true image, mean over draws; data range: the true images'.
* ``spectrum``: mean absolute difference of the natural logarithms of the radial power spectra, each averaged
  over the set first, to the true images'.
* ``wasserstein``: first Wasserstein distance between the distributions of all pixels, mean over bands.
* ``diversity``: standard deviation over the draws of a patch, mean over pixels.

The last two are in standard deviations of the true images' bands; bands that the truth has no variation in,
such as the plane of a class that is nowhere, are left out of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from engine.evaluation.spectrum import log_distance, radial_power

NAMES = ("distance", "psnr", "ssim", "spectrum", "wasserstein", "diversity")
_QUANTILES = 2001
_LEAST_DEVIATION = 1e-4  # of bands in the model's range
Array = NDArray[np.float32]


@dataclass
class Drawn:
    """What one model made of the held-out patches of a group; an entry a patch.

    Attributes:
        latents: (draws, C, h, w) clean latents.
        images: (draws, bands, H, W) decoded, in the model's range.
    """

    latents: list[Tensor] = field(default_factory=list)
    images: list[Tensor] = field(default_factory=list)


def scores(found: Drawn, teacher: Drawn, truth: list[Tensor]) -> dict[str, float]:
    """Scores of a group by name.

    Args:
        found: Of the model.
        teacher: Of the teacher, from the same noise; ``found`` itself to score the teacher.
        truth: (bands, H, W) true image of each patch.
    """
    low, high = min(float(t.min()) for t in truth), max(float(t.max()) for t in truth)
    deviation = torch.stack(truth).std(dim=(0, 2, 3))
    varies = deviation > _LEAST_DEVIATION
    if not varies.any():  # one value throughout: rather in the least deviations than no score
        varies, deviation = torch.ones_like(varies), deviation.clamp(min=_LEAST_DEVIATION)
    told = [image[:, varies] / deviation[varies, None, None] for image in found.images]
    expected = [true[varies] / deviation[varies, None, None] for true in truth]
    pairs = [
        (image.clamp(low, high), true.expand_as(image))
        for image, true in zip(found.images, truth, strict=True)
    ]
    return {
        "distance": _distance(found, teacher),
        "psnr": _mean(
            [
                peak_signal_noise_ratio(
                    *_rows(pair), data_range=high - low, dim=(1, 2, 3), reduction="elementwise_mean"
                )
                for pair in pairs
            ]
        ),
        "ssim": _mean(
            [structural_similarity_index_measure(*_rows(pair), data_range=high - low) for pair in pairs]
        ),
        "spectrum": log_distance(_power(found.images), _power([t[None] for t in truth])),
        "wasserstein": _wasserstein(told, expected),
        "diversity": _mean([image.std(dim=0).mean() for image in told]),
    }


def _rows(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair[0].contiguous(), pair[1].contiguous()


def _distance(found: Drawn, teacher: Drawn) -> float:
    pairs = zip(found.latents, teacher.latents, strict=True)
    # The teacher's draws beside its own next ones.
    return _mean([(a - (b.roll(1, 0) if found is teacher else b)).square().mean().sqrt() for a, b in pairs])


def _power(images: list[Tensor]) -> Array:
    return np.mean([radial_power(image.numpy()) for batch in images for image in batch], axis=0)


def _wasserstein(images: list[Tensor], truth: list[Tensor]) -> float:
    """Area between the quantile functions."""
    levels = np.linspace(0, 1, _QUANTILES)
    of_found, of_truth = (
        np.stack([np.quantile(band, levels) for band in torch.cat(parts).transpose(0, 1).flatten(1).numpy()])
        for parts in (images, [t[None] for t in truth])
    )
    return float(np.abs(of_found - of_truth).mean())


def _mean(values: list[Tensor]) -> float:
    return float(torch.stack([value.mean() for value in values]).mean())
