"""Scores of tiles taken as small images: structure, and whether true and made ones can be told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.evaluation import distributions
from engine.evaluation.pointwise import best_of, image_scores
from engine.evaluation.spectrum import log_distance, radial_power

# More say little more, and what compares each with each grows with the square.
MAX_TILES = 2048
_LEVELS = 255


class TileScores:
    """Running scores of all results over the same tiles.

    Args:
        results: How many.
        low, high: The value range; power spectra are of values with it brought to 0..255.
    """

    def __init__(self, results: int, low: float, high: float) -> None:
        self.count = 0
        self._low, self._high = low, high
        self._means: list[list[NDArray[np.float64]]] = [[] for _ in range(results + 1)]
        self._power: list[NDArray[np.float64]] = []
        self._samples: list[list[dict[str, float]]] = []

    def update(self, truth: NDArray[np.float64], predictions: Sequence[NDArray[np.float64]]) -> None:
        """Adds one tile; all (C, T, T), every pixel valid."""
        self.count += 1
        images = [truth, *predictions]
        for means, image in zip(self._means, images, strict=True):
            means.append(image.mean(axis=(1, 2)))
        factor = _LEVELS / (self._high - self._low)
        power = np.stack([radial_power(image * factor) for image in images])
        self._power = power if self.count == 1 else self._power + power
        if len(predictions) > 1:
            self._samples.append([image_scores(truth, predicted) for predicted in predictions])

    def scores(self, result: int) -> dict[str, float | None]:
        """Of one result; None where there are too few tiles."""
        names = ("spectrum", "nn_accuracy", "mmd", "precision", "recall", "f_score")
        if not self.count:
            return dict.fromkeys(names)
        spectrum = log_distance(self._power[result + 1], self._power[0])
        if self.count < 2:
            return {**dict.fromkeys(names), "spectrum": spectrum}
        pair = np.stack(self._means[0]), np.stack(self._means[result + 1])
        precision, recall = distributions.precision_recall(*pair)
        return {
            "spectrum": spectrum,
            "nn_accuracy": distributions.nearest_neighbour_accuracy(*pair),
            "mmd": distributions.squared_mmd(*pair),
            "precision": precision,
            "recall": recall,
            "f_score": distributions.f_score(precision, recall),
        }

    def best_of_samples(self) -> dict[str, dict[str, float]]:
        """COP-GEN's point-wise scores per tile, averaged over tiles: of a mean sample and of the best one.

        Empty for a single result. Infinite PSNR (equal tiles) is left out of the means.
        """
        if not self._samples:
            return {}
        average = [
            {name: float(np.mean([sample[name] for sample in tile])) for name in tile[0]}
            for tile in self._samples
        ]
        return {"mean": _means(average), "best": _means([best_of(tile) for tile in self._samples])}


def _means(tiles: list[dict[str, float]]) -> dict[str, float]:
    found = {name: np.array([tile[name] for tile in tiles]) for name in tiles[0]}
    return {
        name: float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else float("nan")
        for name, values in found.items()
    }
