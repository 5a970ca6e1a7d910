"""COP-GEN's point-wise scores of single images, and the best of several samples.

Definitions as the authors' (Espinosa et al., arXiv 2603.03239): errors in the images' unit; SSIM and PSNR
after both images were scaled by the *truth's* smallest and largest value and cut to 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.windows import SSIM_PX, ssim_map

# Whether a larger value is the better one.
RISING = {"mae": False, "rmse": False, "ssim": True, "psnr": True}


def image_scores(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> dict[str, float]:
    """``set_scores`` of one image (C, H, W)."""
    return set_scores([truth], [predicted])


def set_scores(
    truths: Sequence[NDArray[np.floating]], predictions: Sequence[NDArray[np.floating]]
) -> dict[str, float]:
    """``mae``, ``rmse`` (the images' unit), ``ssim`` and ``psnr`` (dB) over the pixels of all images.

    Args:
        truths: Images (C, H, W) of one size, every pixel valid, at least 6 px a side.
        predictions: Likewise, in the same order.
    """
    each = [_moments(*pair) for pair in zip(truths, predictions, strict=True)]
    absolute, square, scaled_square, ssim = np.mean(each, axis=0).tolist()
    psnr = -10 * math.log10(scaled_square) if scaled_square else math.inf
    return {"mae": absolute, "rmse": math.sqrt(square), "ssim": ssim, "psnr": psnr}


def _moments(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> tuple[float, ...]:
    """Mean absolute and square error, mean square error after scaling, SSIM."""
    truth, predicted = truth.astype(np.float64), predicted.astype(np.float64)
    error = predicted - truth
    scaled = scaled_by(truth, truth), scaled_by(predicted, truth)
    square = ((scaled[1] - scaled[0]) ** 2).mean()
    return np.abs(error).mean(), (error**2).mean(), square, reflected_ssim(*scaled)


def scaled_by(image: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """The image with the truth's range brought to 0..1, cut to it; a constant truth gives zeros."""
    low, high = truth.min(), truth.max()
    return np.clip((image - low) / (high - low), 0, 1) if high > low else np.zeros_like(image)


def reflected_ssim(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Mean SSIM over all pixels, the images (C, H, W) mirrored beyond their edge; data range 1."""
    margin = ((0, 0), (SSIM_PX // 2,) * 2, (SSIM_PX // 2,) * 2)
    return float(ssim_map(*(np.pad(image, margin, "reflect") for image in (truth, predicted)), 1.0).mean())


def best_of(samples: Sequence[dict[str, float]]) -> dict[str, float]:
    """The best value of each score over samples of one place, each score for itself.

    Optimistic: the values need not come from one sample, and more samples can only improve them.
    """
    return {name: (max if RISING[name] else min)(sample[name] for sample in samples) for name in samples[0]}
