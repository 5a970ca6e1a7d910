"""Variance-preserving noise schedule over continuous time, from the discrete one of the training."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

TRAINING_STEPS = 1000
_BETA_FIRST, _BETA_LAST = 0.00085, 0.0120


def latent_diffusion_betas() -> NDArray[np.float64]:
    """(1000,) variances added at each step, linear in their root (Rombach et al. 2022, arXiv:2112.10752)."""
    return np.linspace(_BETA_FIRST**0.5, _BETA_LAST**0.5, TRAINING_STEPS) ** 2


class Schedule:
    """x_t = alpha(t) x_0 + sigma(t) noise for t in (0, 1], with alpha^2 + sigma^2 = 1.

    log alpha is linear between the discrete steps and carried on beyond them.

    Args:
        betas: Variance added at each discrete step; the published models' without.

    Attributes:
        betas: (steps,) as above.
        log_alphas: (steps,) logarithm of the signal's factor after each discrete step.
        times: (steps,) time of each discrete step, the last is 1.
    """

    def __init__(self, betas: NDArray[np.float64] | None = None) -> None:
        self.betas = latent_diffusion_betas() if betas is None else betas
        self.log_alphas = 0.5 * np.cumsum(np.log1p(-self.betas))
        self.times = np.arange(1, len(self.betas) + 1) / len(self.betas)

    def log_alpha(self, t: float) -> float:
        """Logarithm of the signal's factor."""
        return _interpolated(t, self.times, self.log_alphas)

    def alpha(self, t: float) -> float:
        """The signal's factor."""
        return math.exp(self.log_alpha(t))

    def sigma(self, t: float) -> float:
        """The noise's factor."""
        return math.sqrt(-math.expm1(2 * self.log_alpha(t)))

    def lambda_(self, t: float) -> float:
        """log(alpha / sigma): half the logarithm of the signal-to-noise ratio, falling with time."""
        return self.log_alpha(t) - math.log(self.sigma(t))

    def time_of_lambda(self, value: float) -> float:
        """Inverse of ``lambda_``."""
        log_alpha = -0.5 * float(np.logaddexp(0.0, -2.0 * value))
        return _interpolated(log_alpha, self.log_alphas[::-1], self.times[::-1])


def _interpolated(x: float, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> float:
    """Linear between rising knots; the first and last pieces are carried on."""
    right = min(max(int(np.searchsorted(xs, x)), 1), len(xs) - 1)
    share = (x - xs[right - 1]) / (xs[right] - xs[right - 1])
    return float(ys[right - 1] + share * (ys[right] - ys[right - 1]))
