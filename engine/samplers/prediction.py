"""What a denoiser may predict, and the way from each prediction to the clean state and back."""

from __future__ import annotations

import math
from typing import Literal, Union

from torch import Tensor

from engine.samplers.schedule import Schedule

Prediction = Literal["noise", "velocity", "flow", "data"]
Factor = Union[Tensor, float]
_LEAST_ALPHA = 1e-3


class FlowSchedule(Schedule):
    """The straight path of flow matching (Lipman et al. 2023, arXiv:2210.02747).

    x_t = (1 - t) x_0 + t noise. The signal's factor stops at 0.001, so that the logarithm of the
    signal-to-noise ratio is finite at time 1.
    It has no discrete variances, hence no ``betas``: only the singlestep solver can follow it.
    """

    def __init__(self) -> None:
        """Needs no table."""

    def log_alpha(self, t: float) -> float:
        """Logarithm of the signal's factor."""
        return math.log(self.alpha(t))

    def alpha(self, t: float) -> float:
        """The signal's factor."""
        return max(1.0 - t, _LEAST_ALPHA)

    def sigma(self, t: float) -> float:
        """The noise's factor."""
        return t

    def time_of_lambda(self, value: float) -> float:
        """Inverse of ``lambda_``."""
        return 1.0 / (1.0 + math.exp(value))


def schedule_of(prediction: Prediction) -> Schedule:
    """The schedule that networks with this prediction are fitted on."""
    return FlowSchedule() if prediction == "flow" else Schedule()


def target(prediction: Prediction, clean: Tensor, noise: Tensor, alpha: Factor, sigma: Factor) -> Tensor:
    """What the network should answer for alpha ``clean`` + sigma ``noise``.

    Args:
        prediction: ``noise``; ``velocity``: alpha noise - sigma clean (Salimans and Ho 2022,
            arXiv:2202.00512); ``flow``: noise - clean; ``data``: clean.
        clean: (B, C, h, w).
        noise: (B, C, h, w), standard normal.
        alpha: Factor of the signal, broadcast against ``clean``.
        sigma: Factor of the noise.
    """
    if prediction == "noise":
        return noise
    if prediction == "velocity":
        return alpha * noise - sigma * clean
    return noise - clean if prediction == "flow" else clean


def data_prediction(
    prediction: Prediction, state: Tensor, output: Tensor, t: float, schedule: Schedule
) -> Tensor:
    """The clean state that a noisy one and the network's answer imply.

    Args:
        prediction: What the network predicts, see ``target``.
        state: Noisy state at time ``t``.
        output: The network's answer, shaped like ``state``.
        t: Of (0, 1].
        schedule: That of the network, see ``schedule_of``.
    """
    return clean_from(prediction, state, output, schedule.alpha(t), schedule.sigma(t))


def noise_prediction(
    prediction: Prediction, state: Tensor, output: Tensor, t: float, schedule: Schedule
) -> Tensor:
    """The noise in a noisy state that the network's answer implies; arguments as of ``data_prediction``."""
    return noise_from(prediction, state, output, schedule.alpha(t), schedule.sigma(t))


def clean_from(prediction: Prediction, state: Tensor, output: Tensor, alpha: Factor, sigma: Factor) -> Tensor:
    """``data_prediction`` where the factors are known, also one a sample; arguments as of ``target``."""
    if prediction == "noise":
        return (state - sigma * output) / alpha
    if prediction == "velocity":
        return (alpha * state - sigma * output) / (alpha**2 + sigma**2)
    if prediction == "flow":
        return (state - sigma * output) / (alpha + sigma)
    return output


def noise_from(prediction: Prediction, state: Tensor, output: Tensor, alpha: Factor, sigma: Factor) -> Tensor:
    """``noise_prediction`` where the factors are known, also one a sample; arguments as of ``target``."""
    if prediction == "noise":
        return output
    if prediction == "velocity":
        return (sigma * state + alpha * output) / (alpha**2 + sigma**2)
    if prediction == "flow":
        return (state + alpha * output) / (alpha + sigma)
    return (state - alpha * output) / sigma
