"""How much fine and coarse structure an image has, and how its values are spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FLOOR = 1e-6


def wasserstein(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    """First Wasserstein distance between histograms (..., B), in bins: the area between their sums."""
    sums = [
        (counts / counts.sum(axis=-1, keepdims=True)).cumsum(axis=-1)
        for counts in (np.asarray(first, np.float64), np.asarray(second, np.float64))
    ]
    return np.abs(sums[0] - sums[1]).sum(axis=-1)


def radial_power(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Power by spatial frequency 1..S // 2 cycles a side, averaged over directions.

    Args:
        image: (C, H, W), the mean of each band is removed; larger or oblong images are cut to their central
            square of an even side S.

    Returns:
        (C, S // 2), at least 1e-6, in squares of the image's unit.
    """
    side = min(image.shape[-2:]) // 2 * 2
    top, left = ((extent - side) // 2 for extent in image.shape[-2:])
    square = np.asarray(image[:, top : top + side, left : left + side], np.float64)
    power = np.abs(np.fft.fft2(square - square.mean(axis=(1, 2), keepdims=True))) ** 2 / side**2
    frequency = np.fft.fftfreq(side, d=1 / side)
    radius = np.rint(np.hypot(frequency[:, None], frequency)).astype(np.intp).ravel()
    inside = (radius > 0) & (radius <= side // 2)
    sums = [np.bincount(radius[inside], band.ravel()[inside], side // 2 + 1) for band in power]
    counts = np.bincount(radius[inside], minlength=side // 2 + 1)
    return np.maximum((np.stack(sums) / np.maximum(counts, 1))[:, 1:], _FLOOR)


def log_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Mean absolute difference of the natural logarithms of two power spectra."""
    return float(np.abs(np.log(first) - np.log(second)).mean())
