"""What to compare with: constant colour, regression on local statistics, images of other places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from training.datasets.pairs import Pair
from training.metrics.scores import Scores

Array = NDArray[np.float32]
WINDOWS_PX = (3, 7, 15, 31, 63)


class LocalRegression:
    """Least squares from a pixel's normalised VV and its local means and deviations to the bands."""

    def __init__(self, pairs: Sequence[Pair], every: int = 97) -> None:
        moments = np.zeros((2 * len(WINDOWS_PX) + 2,) * 2), np.zeros((2 * len(WINDOWS_PX) + 2, 3))
        for pair in pairs:
            x = _features(pair).reshape(moments[0].shape[0], -1)[:, ::every].astype(np.float64)
            y = pair.optical.reshape(3, -1)[:, ::every].astype(np.float64)
            moments[0][:] += x @ x.T
            moments[1][:] += x @ y.T
        self.weights = np.linalg.solve(moments[0] + 1e-6 * np.eye(len(moments[0])), moments[1]).astype(
            np.float32
        )

    def __call__(self, pair: Pair) -> Array:
        """(3, H, W) reflectance."""
        return np.clip(np.tensordot(self.weights.T, _features(pair), axes=1), 0, 1)


def _features(pair: Pair) -> Array:
    """(F, H, W): one, VV standardised over the image, then mean and deviation in every window."""
    mean, std = pair.statistics[0]["VV"]
    vv = (pair.sar["VV"] - np.float32(mean)) / np.float32(std)
    planes = [np.ones_like(vv), vv]
    for size in WINDOWS_PX:
        local = ndimage.uniform_filter(vv, size, mode="reflect")
        square = ndimage.uniform_filter(vv * vv, size, mode="reflect")
        planes += [local, np.sqrt(np.maximum(square - local * local, 0))]
    return np.stack(planes)


def constant(training: Sequence[Pair], tested: Sequence[Pair]) -> Scores:
    """The training images' mean colour everywhere."""
    colour = np.mean([pair.optical.mean(axis=(1, 2)) for pair in training], axis=0)
    return _score(tested, lambda pair: np.broadcast_to(colour[:, None, None], pair.optical.shape))


def regression(training: Sequence[Pair], tested: Sequence[Pair]) -> Scores:
    """``LocalRegression`` fitted on the training pairs."""
    return _score(tested, LocalRegression(training))


def other_places(training: Sequence[Pair], tested: Sequence[Pair], seed: int = 0) -> Scores:
    """For every tested image a true image of a random other place, of the same size."""
    rng = np.random.default_rng(seed)
    return _score(tested, lambda pair: _any_of(training, pair.optical.shape, rng))


def _any_of(pairs: Sequence[Pair], shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    fitting = [
        pair for pair in pairs if pair.optical.shape[1] >= shape[1] and pair.optical.shape[2] >= shape[2]
    ]
    return fitting[rng.integers(len(fitting))].optical[:, : shape[1], : shape[2]]


def _score(tested: Sequence[Pair], predict: object) -> Scores:
    scores = Scores()
    for pair in tested:
        scores.update(torch.from_numpy(np.array(predict(pair), np.float32)), torch.from_numpy(pair.optical))
    return scores
