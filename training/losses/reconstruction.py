"""Losses against the true image, where it is known."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of ``values`` (B, C, H, W) over the pixels where ``weight`` (B, 1, H, W) is 1."""
    return (values * weight).sum() / (weight.sum() * values.shape[1]).clamp(min=1)


def energy(
    image: Tensor,
    other: Tensor | None,
    truth: Tensor,
    weight: Tensor,
    spread: float,
    scales: Mapping[int, float],
) -> Tensor:
    """Partial energy score: mean absolute error, less ``spread`` / 2 times the distance of two draws.

    ``spread`` 1 is the continuous ranked probability score (Gneiting and Raftery 2007, equation 21), whose
    optimum is a sample of the true distribution; 0 is the L1 loss, whose optimum is the median. Between them,
    draws vary less than the truth and err less than samples: for normal errors of deviation s their deviation
    is s * spread / sqrt(2 - spread ** 2).

    Args:
        image: (B, C, H, W) images.
        other: (b, C, H, W) images made from the first b inputs with other noise, b <= B; None: no distance.
        truth: (B, C, H, W).
        weight: (B, 1, H, W), 1 where the truth is known.
        spread: 0..1.
        scales: Averaging cell (px) -> weight of the score between images averaged over such cells.
    """
    total = image.new_zeros(())
    for cell, factor in scales.items():
        drawn, share = _average(image, weight, cell), F.avg_pool2d(weight, cell)
        score = masked_mean((drawn - _average(truth, weight, cell)).abs(), share)
        if other is not None:
            count = len(other)
            distance = (drawn[:count] - _average(other, weight[:count], cell)).abs()
            score = score - spread / 2 * masked_mean(distance, share[:count])
        total = total + factor * score
    return total


def _average(image: Tensor, weight: Tensor, cell: int) -> Tensor:
    if cell == 1:
        return image
    return F.avg_pool2d(image * weight, cell) / F.avg_pool2d(weight, cell).clamp(min=1e-3)


def spectral_angle(image: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean angle (rad) between the spectra of two images (B, 3, H, W) where ``weight`` is 1."""
    cosine = F.cosine_similarity(image.float(), truth.float(), dim=1, eps=1e-4).clamp(-1, 1)
    return masked_mean(torch.acos(cosine * (1 - 1e-4))[:, None], weight)
