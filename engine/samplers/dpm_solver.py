"""Singlestep DPM-Solver++ of order three (Lu et al. 2022, arXiv:2211.01095), as COP-GEN's authors use it.

diffusers' singlestep scheduler spaces the inner points of a stage evenly in log-SNR; here they are the points
of a grid even in time, so that each evaluation advances by one interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from engine.samplers.schedule import Schedule

LAST_TIME = 1e-3
PredictNoise = Callable[[Tensor, float], Tensor]


def time_grid(steps: int, first: float = 1.0, last: float = LAST_TIME) -> list[float]:
    """``steps`` + 1 falling times, evenly spaced; one network evaluation an interval.

    Args:
        steps: At least 1.
        first: Time of the noise.
        last: Time of the result.
    """
    return [first + (last - first) * i / steps for i in range(steps)] + [last]


def stage_orders(steps: int) -> list[int]:
    """Order of each stage, ``steps`` in sum: third order, then lower ones for the nearly clean end."""
    thirds, rest = divmod(steps, 3)
    if rest == 0:
        return [3] * (thirds - 1) + [2, 1]
    return [3] * thirds + [rest]


def singlestep(predict_noise: PredictNoise, x: Tensor, times: Sequence[float], schedule: Schedule) -> Tensor:
    """Carries a noisy state along the probability-flow ODE; evaluates the network once an interval.

    Args:
        predict_noise: (state, time) -> the noise in it, shaped like the state.
        x: State at ``times[0]``, float32.
        times: Falling times; part of a ``time_grid`` serves to stop between stages and go on later.
        schedule: The network's schedule.

    Returns:
        State at ``times[-1]``.
    """
    start = 0
    for order in stage_orders(len(times) - 1):
        x = _stage(predict_noise, x, times[start : start + order + 1], schedule)
        start += order
    return x


def data_prediction(x: Tensor, noise: Tensor, t: float, schedule: Schedule) -> Tensor:
    """The clean state that a noisy one and the noise in it imply."""
    return (x - schedule.sigma(t) * noise) / schedule.alpha(t)


def _stage(predict_noise: PredictNoise, x: Tensor, times: Sequence[float], schedule: Schedule) -> Tensor:
    """One stage from the first of the times to the last; its order is the number of intervals."""
    start, *inner, end = times
    lambda_start = schedule.lambda_(start)
    h = schedule.lambda_(end) - lambda_start
    shares = [(schedule.lambda_(t) - lambda_start) / h for t in inner]

    def clean(state: Tensor, t: float) -> Tensor:
        return data_prediction(state, predict_noise(state, t), t, schedule)

    def first_order(t: float, share: float) -> Tensor:
        decayed = schedule.sigma(t) / schedule.sigma(start)
        return decayed * x - schedule.alpha(t) * math.expm1(-share * h) * at_start

    at_start = clean(x, start)
    if not inner:
        return first_order(end, 1.0)
    change = clean(first_order(inner[0], shares[0]), inner[0]) - at_start
    if len(inner) == 1:
        weight = -0.5 / shares[0] * math.expm1(-h)
        return first_order(end, 1.0) + schedule.alpha(end) * weight * change
    slope = math.expm1(-shares[1] * h) / (shares[1] * h) + 1.0
    second = first_order(inner[1], shares[1])
    second = second + schedule.alpha(inner[1]) * (shares[1] / shares[0]) * slope * change
    change = clean(second, inner[1]) - at_start
    weight = (math.expm1(-h) / h + 1.0) / shares[1]
    return first_order(end, 1.0) + schedule.alpha(end) * weight * change
