"""Scores that look at a pixel's surroundings: local statistics, in NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]

SSIM_PX, SSIM_SIGMA_PX = 11, 1.5
SCC_PX = 8
# Pixels beyond a window that ``ssim_map`` and ``scc_map`` look at, on each side.
HALO_PX = 5
_STRIP_PX = 64


def ssim_map(truth: Image, predicted: Image, data_range: float) -> Image:
    """Structural similarity (Wang et al. 2004) with a Gaussian window of 11 px, sigma 1.5 px.

    Args:
        truth: (..., H, W) float64.
        predicted: Likewise.
        data_range: Largest minus smallest value; sets the constants (0.01 L)^2 and (0.03 L)^2.

    Returns:
        (..., H - 10, W - 10), one value a window that lies inside.
    """
    taps = np.exp(-((np.arange(SSIM_PX) - SSIM_PX // 2) ** 2) / (2 * SSIM_SIGMA_PX**2))
    taps /= taps.sum()
    mean_t, mean_p = local_mean(truth, taps), local_mean(predicted, taps)
    var_t = local_mean(truth * truth, taps) - mean_t**2
    var_p = local_mean(predicted * predicted, taps) - mean_p**2
    covariance = local_mean(truth * predicted, taps) - mean_t * mean_p
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similar = (2 * mean_t * mean_p + c1) * (2 * covariance + c2)
    return similar / ((mean_t**2 + mean_p**2 + c1) * (var_t + var_p + c2))


def scc_map(truth: Image, predicted: Image) -> Image:
    """Correlation of the Laplacians over windows of 8 px (Zhou et al. 1998), 0 where one of them is flat.

    Args:
        truth: (..., H, W) float64.
        predicted: Likewise.

    Returns:
        (..., H - 9, W - 9), one value a window that lies inside with its 3 px filter.
    """
    taps = np.full(SCC_PX, 1 / SCC_PX)
    edges_t, edges_p = laplacian(truth), laplacian(predicted)
    mean_t, mean_p = local_mean(edges_t, taps), local_mean(edges_p, taps)
    var_t = np.maximum(local_mean(edges_t * edges_t, taps) - mean_t**2, 0)
    var_p = np.maximum(local_mean(edges_p * edges_p, taps) - mean_p**2, 0)
    covariance = local_mean(edges_t * edges_p, taps) - mean_t * mean_p
    product = np.sqrt(var_t * var_p)
    return np.divide(covariance, product, out=np.zeros_like(product), where=product > 0)


def inside(valid: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """(H, W) -> (H - size + 1, W - size + 1): whether every pixel of the window is valid."""
    if valid.all():
        return np.ones((valid.shape[0] - size + 1, valid.shape[1] - size + 1), dtype=bool)
    # Counts are exact: windows hold far fewer pixels than a float64 can count.
    return local_mean(valid.astype(np.float64), np.ones(size)) > size * size - 0.5


def local_mean(image: Image, taps: NDArray[np.float64]) -> Image:
    """Weighted sum over square windows that lie inside; ``taps`` along both axes."""
    reach = len(taps) - 1
    height, width = image.shape[-2] - reach, image.shape[-1] - reach
    made = np.empty((*image.shape[:-2], height, width))
    # Strips that stay in the processor's cache: twice as fast as whole arrays.
    for top in range(0, height, _STRIP_PX):
        bottom = min(top + _STRIP_PX, height)
        strip = image[..., top : bottom + reach, :]
        rows = _weighted([strip[..., i : i + bottom - top, :] for i in range(reach + 1)], taps)
        made[..., top:bottom, :] = _weighted([rows[..., i : i + width] for i in range(reach + 1)], taps)
    return made


def _weighted(shifted: list[Image], taps: NDArray[np.float64]) -> Image:
    total = shifted[0] * taps[0]
    product = np.empty_like(total)
    for part, tap in zip(shifted[1:], taps[1:], strict=True):
        np.multiply(part, tap, out=product)
        total += product
    return total


def laplacian(image: Image) -> Image:
    """(..., H, W) -> (..., H - 2, W - 2)."""
    return 9 * image[..., 1:-1, 1:-1] - local_mean(image, np.ones(3))
