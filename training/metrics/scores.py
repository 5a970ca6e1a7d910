"""Scores of images against the truth; reflectance 0..1 in, 8-bit units out.

* ``psnr``, ``ssim``, ``sam`` (rad), ``scc``: torchmetrics, averaged over images; data range 1.
* ``spectrum``: mean absolute difference of the natural logarithms of the radially averaged power spectra,
  each averaged over the set first; the mean over frequencies and bands.
* ``wasserstein``: distance between the distributions of all pixels of the set, 8-bit values, mean over bands.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    spatial_correlation_coefficient,
    spectral_angle_mapper,
    structural_similarity_index_measure,
)

from engine.evaluation.spectrum import log_distance, radial_power, wasserstein

LEVELS = 256


class Scores:
    """Running scores over a set of images; ``update`` once an image, then ``compute``."""

    def __init__(self) -> None:
        self._per_image: dict[str, list[float]] = {"psnr": [], "ssim": [], "sam": [], "scc": []}
        self._histograms: list[Tensor] = []
        self._spectra: list[NDArray[np.float64]] = []

    @property
    def per_image(self) -> dict[str, list[float]]:
        """Score of every image so far, in order."""
        return self._per_image

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add one image; both (3, H, W), reflectance 0..1, all pixels valid."""
        pair = predicted.clamp(0, 1).float()[None], truth.float()[None]
        self._per_image["psnr"].append(peak_signal_noise_ratio(*pair, data_range=1.0).item())
        self._per_image["ssim"].append(structural_similarity_index_measure(*pair, data_range=1.0).item())
        self._per_image["sam"].append(_spectral_angle(*pair))
        self._per_image["scc"].append(spatial_correlation_coefficient(*pair).item())
        self._histograms.append(torch.stack([histogram(image[0]) for image in pair]))
        self._spectra.append(np.stack([radial_power(_eight_bit(image[0])) for image in pair]))

    def compute(self) -> dict[str, float]:
        """Scores of the set."""
        means = {name: float(torch.tensor(values).nanmean()) for name, values in self._per_image.items()}
        predicted, truth = torch.stack(self._histograms).sum(dim=0).numpy()
        means["wasserstein"] = float(wasserstein(predicted, truth).mean())
        means["spectrum"] = log_distance(*np.mean(self._spectra, axis=0))
        return means


def _eight_bit(image: Tensor) -> NDArray[np.float64]:
    return image.double().numpy() * 255


def _spectral_angle(predicted: Tensor, truth: Tensor) -> float:
    # A pixel of zeros has no angle; one thousandth of an 8-bit step gives it one.
    return spectral_angle_mapper(predicted + 4e-6, truth + 4e-6).item()


def histogram(image: Tensor) -> Tensor:
    """(3, H, W) reflectance 0..1 -> (3, 256) pixel counts of the 8-bit values."""
    return torch.stack([torch.histc(band * 255, bins=LEVELS, min=-0.5, max=255.5) for band in image])
