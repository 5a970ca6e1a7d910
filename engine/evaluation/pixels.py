"""Scores of an image against the truth, grown part by part: nothing but sums is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.spectrum import wasserstein
from engine.evaluation.windows import HALO_PX, SCC_PX, SSIM_PX, inside, scc_map, ssim_map

BINS = 512
_SCC_REACH_PX = SCC_PX + 2  # with the Laplacian


class PixelScores:
    """Running scores of one result.

    * ``rmse``, ``mae``, ``bias`` (result minus truth): the bands' unit.
    * ``psnr`` (dB): of the error pooled over bands; ``r2``: 1 - error / variance of the truth.
    * ``ssim``: Gaussian window of 11 px; ``scc``: correlation of Laplacians in windows of 8 px. Both count
      windows that lie in valid pixels alone, and average bands.
    * ``sam`` (rad): angle between the spectra of a pixel; pixels without a spectrum are left out; None for
      one band.
    * ``wasserstein``: distance between the distributions of all values, the bands' unit, from histograms.

    Args:
        bands: How many.
        data_range: Largest minus smallest value, for ``psnr`` and ``ssim``.
        limits: Of the histograms, per band; what lies beyond counts at the edge.
    """

    def __init__(self, bands: int, data_range: float, limits: Sequence[tuple[float, float]]) -> None:
        self.data_range, self.limits = data_range, limits
        self.pixels = 0
        self._error, self._absolute, self._square, self._truth, self._truth_square = np.zeros((5, bands))
        self._ssim, self._scc = np.zeros((2, bands, 2))
        self._angle = np.zeros(2)
        self.histograms = np.zeros((2, bands, BINS), dtype=np.int64)

    def update(
        self, truth: NDArray[np.float64], predicted: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> None:
        """Adds a part.

        Args:
            truth: (C, H, W) with a halo of ``HALO_PX`` around the pixels that count.
            predicted: Likewise.
            valid: (H, W) bool.
        """
        core = slice(HALO_PX, -HALO_PX)
        chosen = valid[core, core]
        if chosen.any():
            self._add_pixels(truth[:, core, core][:, chosen], predicted[:, core, core][:, chosen])
        whole = inside(valid, SSIM_PX)
        # One window a pixel: the last row and column of windows belong to the next part.
        near = inside(valid, _SCC_REACH_PX)[:-1, :-1]
        for band, (x, y) in enumerate(zip(truth, predicted, strict=True)):
            if whole.any():
                self._ssim[band] += _sum_and_count(ssim_map(x, y, self.data_range)[whole])
            if near.any():
                self._scc[band] += _sum_and_count(scc_map(x, y)[:-1, :-1][near])

    def _add_pixels(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        error = y - x
        self.pixels += x.shape[1]
        self._error += error.sum(axis=1)
        self._absolute += np.abs(error).sum(axis=1)
        self._square += (error**2).sum(axis=1)
        self._truth += x.sum(axis=1)
        self._truth_square += (x**2).sum(axis=1)
        lengths = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
        cosine = (x * y).sum(axis=0)[lengths > 0] / lengths[lengths > 0]
        self._angle += _sum_and_count(np.arccos(np.clip(cosine, -1, 1)))
        for number, values in enumerate((x, y)):
            for band, limits in enumerate(self.limits):
                self.histograms[number, band] += np.histogram(np.clip(values[band], *limits), BINS, limits)[0]

    def scores(self) -> dict[str, float | None]:
        """Over all bands; None where there is nothing to measure."""
        if not self.pixels:
            return dict.fromkeys(("psnr", "ssim", "sam", "scc", "rmse", "mae", "bias", "r2", "wasserstein"))
        each = self.per_band()
        square = float(self._square.mean()) / self.pixels
        several = len(self.limits) > 1
        return {
            "psnr": _psnr(square, self.data_range),
            "ssim": _mean([scores["ssim"] for scores in each]),
            "sam": _ratio(self._angle) if several else None,
            "scc": _mean([scores["scc"] for scores in each]),
            "rmse": math.sqrt(square),
            "mae": _mean([scores["mae"] for scores in each]),
            "bias": _mean([scores["bias"] for scores in each]),
            "r2": _mean([scores["r2"] for scores in each]),
            "wasserstein": _mean([scores["wasserstein"] for scores in each]),
        }

    def per_band(self) -> list[dict[str, float | None]]:
        """The same of every band for itself, without ``sam``."""
        return [self._of_band(band) for band in range(len(self.limits))]

    def _of_band(self, band: int) -> dict[str, float | None]:
        if not self.pixels:
            return dict.fromkeys(("psnr", "ssim", "scc", "rmse", "mae", "bias", "r2", "wasserstein"))
        square = float(self._square[band]) / self.pixels
        mean = self._truth[band] / self.pixels
        variance = self._truth_square[band] / self.pixels - mean**2
        low, high = self.limits[band]
        return {
            "psnr": _psnr(square, self.data_range),
            "ssim": _ratio(self._ssim[band]),
            "scc": _ratio(self._scc[band]),
            "rmse": math.sqrt(square),
            "mae": float(self._absolute[band]) / self.pixels,
            "bias": float(self._error[band]) / self.pixels,
            "r2": float(1 - square / variance) if variance > 0 else None,
            "wasserstein": float(wasserstein(*self.histograms[:, band])) * (high - low) / BINS,
        }


def _psnr(square: float, data_range: float) -> float | None:
    """None for equal images: it would be infinite."""
    return 10 * math.log10(data_range**2 / square) if square > 0 and data_range > 0 else None


def _sum_and_count(values: NDArray[np.float64]) -> tuple[float, int]:
    return float(values.sum()), values.size


def _ratio(sum_and_count: NDArray[np.float64]) -> float | None:
    total, count = sum_and_count
    return float(total / count) if count else None


def _mean(values: Sequence[float | None]) -> float | None:
    return None if None in values else float(np.mean(values))
