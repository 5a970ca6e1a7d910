"""How much an error of the denoiser counts at each diffusion time."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from engine.samplers.prediction import Prediction

Weighting = Literal["uniform", "min-snr", "soft-min-snr"]


def time_weight(
    weighting: Weighting, gamma: float, prediction: Prediction, alpha: Tensor, sigma: Tensor
) -> Tensor:
    """Weight of the squared error of what the network predicts, shaped like ``alpha``.

    ``min-snr`` (Hang et al. 2023, arXiv:2303.09556) lets the squared error of the implied clean latent count
    min(snr, gamma); ``soft-min-snr`` (Crowson et al. 2024, arXiv:2401.11605) its smooth form
    snr gamma / (snr + gamma). Both hold whatever is predicted. ``uniform``: 1, as the published models.

    Args:
        weighting: One of the three.
        gamma: Where the weight levels off; the authors of both use about 5.
        prediction: What the network predicts.
        alpha: Factor of the signal, >= 0.
        sigma: Factor of the noise, > 0.
    """
    if weighting == "uniform":
        return torch.ones_like(alpha)
    ratio = alpha**2 / sigma**2
    if prediction == "noise":
        # The error of the clean latent is sigma / alpha times that of the noise.
        return (gamma / ratio).clamp(max=1.0) if weighting == "min-snr" else gamma / (ratio + gamma)
    of_clean = ratio.clamp(max=gamma) if weighting == "min-snr" else ratio * gamma / (ratio + gamma)
    return of_clean if prediction == "data" else of_clean * sigma**2
