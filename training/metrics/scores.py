"""Scores of images against the truth; reflectance 0..1 in, 8-bit units out.

* ``psnr``, ``ssim``, ``sam`` (rad), ``scc``: torchmetrics, averaged over images; data range 1.
* ``spectrum``: mean absolute difference of the natural logarithms of the radially averaged power spectra,
  each averaged over the set first; the mean over frequencies and bands.
* ``wasserstein``: distance between the distributions of all pixels of the set, 8-bit values, mean over bands.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    spatial_correlation_coefficient,
    spectral_angle_mapper,
    structural_similarity_index_measure,
)

LEVELS = 256


class Scores:
    """Running scores over a set of images; ``update`` once an image, then ``compute``."""

    def __init__(self) -> None:
        self._per_image: dict[str, list[float]] = {"psnr": [], "ssim": [], "sam": [], "scc": []}
        self._histograms: list[Tensor] = []
        self._spectra: list[Tensor] = []

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
        self._spectra.append(torch.stack([radial_power(image[0]) for image in pair]))

    def compute(self) -> dict[str, float]:
        """Scores of the set."""
        means = {name: float(torch.tensor(values).nanmean()) for name, values in self._per_image.items()}
        predicted, truth = torch.stack(self._histograms).sum(dim=0)
        means["wasserstein"] = wasserstein(predicted, truth).mean().item()
        predicted, truth = torch.stack(self._spectra).mean(dim=0)
        means["spectrum"] = (predicted.log() - truth.log()).abs().mean().item()
        return means


def _spectral_angle(predicted: Tensor, truth: Tensor) -> float:
    # A pixel of zeros has no angle; one thousandth of an 8-bit step gives it one.
    return spectral_angle_mapper(predicted + 4e-6, truth + 4e-6).item()


def histogram(image: Tensor) -> Tensor:
    """(3, H, W) reflectance 0..1 -> (3, 256) pixel counts of the 8-bit values."""
    return torch.stack([torch.histc(band * 255, bins=LEVELS, min=-0.5, max=255.5) for band in image])


def wasserstein(first: Tensor, second: Tensor) -> Tensor:
    """First Wasserstein distance between histograms (B, 256), in bins: the area between their sums."""
    cdf = [
        (counts / counts.sum(dim=-1, keepdim=True)).cumsum(dim=-1)
        for counts in (first.double(), second.double())
    ]
    return (cdf[0] - cdf[1]).abs().sum(dim=-1)


def radial_power(image: Tensor) -> Tensor:
    """(B, S, S) reflectance -> (B, S // 2) power by spatial frequency 0..Nyquist, averaged over directions.

    The power is of 8-bit values with the mean removed; larger or oblong images are cut to their central
    square.
    """
    side = min(image.shape[-2:]) // 2 * 2
    top, left = ((extent - side) // 2 for extent in image.shape[-2:])
    square = image[:, top : top + side, left : left + side].double() * 255
    power = torch.fft.fft2(square - square.mean(dim=(1, 2), keepdim=True)).abs().square() / side**2
    frequency = torch.fft.fftfreq(side, d=1 / side, dtype=torch.float64)
    radius = torch.hypot(frequency[:, None], frequency[None, :]).round().long().flatten()
    inside = (radius > 0) & (radius <= side // 2)
    sums = torch.zeros(image.shape[0], side // 2 + 1, dtype=torch.float64)
    sums.index_add_(1, radius[inside], power.flatten(1)[:, inside])
    counts = torch.bincount(radius[inside], minlength=side // 2 + 1)
    return (sums / counts.clamp(min=1))[:, 1:].clamp(min=1e-6)
