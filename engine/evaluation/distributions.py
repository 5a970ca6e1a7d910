"""Do two sets of points come from one distribution? The set scores of COP-GEN's stochastic benchmark.

Points are rows: spectra of images, or embeddings of a network. The choice and the constants are those of
COP-GEN's benchmark (Espinosa et al., arXiv 2603.03239); the papers of the scores stand at each function.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]
_CONSTANT = 1e-8


def spectra(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Mean over the non-zero pixels of each band.

    Args:
        images: (N, C, H, W).

    Returns:
        (N, C) float32; 0 where a band has no pixel other than zero.
    """
    given = images != 0
    counts = given.sum(axis=(2, 3))
    sums = images.sum(axis=(2, 3), dtype=np.float64)
    return (sums / np.maximum(counts, 1)).astype(np.float32)


def distances(first: Points, second: Points) -> NDArray[np.float64]:
    """Euclidean distances (N, M) of every row of ``first`` to every row of ``second``."""
    # Row by row: the shortcut through inner products would part points that are equal.
    b = second.astype(np.float64)
    return np.stack([np.sqrt(((row - b) ** 2).sum(axis=1)) for row in first.astype(np.float64)])


def nearest_neighbour_accuracy(real: Points, generated: Points) -> float:
    """Share of points of the pooled sets whose nearest other point is of their own set.

    0.5 is ideal, 1 means that the sets can be told apart, 0 that one is a copy of the other (Lopez-Paz and
    Oquab, arXiv 1610.06545). Of equally near points the first counts, real ones before generated ones.
    """
    pooled = np.concatenate([real, generated])
    own = np.arange(len(pooled)) < len(real)
    between = distances(pooled, pooled)
    np.fill_diagonal(between, np.inf)
    return float((own[between.argmin(axis=1)] == own).mean())


def precision_recall(real: Points, generated: Points, k: int = 5) -> tuple[float, float]:
    """Share of generated points inside the real set, and of real points inside the generated one.

    A set is the union of balls around its points that reach to the k-th nearest other point (Kynkäänniemi et
    al., arXiv 1904.06991); with n <= k points, to the farthest.

    Returns:
        Precision and recall, 0..1; NaN if a set has fewer than two points.
    """
    if min(len(real), len(generated)) < 2:
        return math.nan, math.nan
    between = distances(generated, real)
    precision = (between <= _radii(real, k)).any(axis=1).mean()
    recall = (between <= _radii(generated, k)[:, None]).any(axis=0).mean()
    return float(precision), float(recall)


def _radii(points: Points, k: int) -> NDArray[np.float64]:
    between = distances(points, points)
    np.fill_diagonal(between, np.inf)
    k = k if len(points) > k else max(1, len(points) - 1)
    return np.sort(between, axis=1)[:, k - 1]


def f_score(precision: float, recall: float) -> float:
    """Harmonic mean; 0 where both are 0."""
    total = precision + recall
    return 2 * precision * recall / total if total else total


def intra_set_distance(points: Points) -> float:
    """Mean distance between the points of one set; NaN if there are fewer than two."""
    if len(points) < 2:
        return math.nan
    return float(distances(points, points)[np.triu_indices(len(points), 1)].mean())


def median_sigma(real: Points, generated: Points) -> float:
    """Width of the kernel of ``squared_mmd``: half the median distance between all pooled points."""
    pooled = np.concatenate([real, generated])
    pairs = distances(pooled, pooled)[np.triu_indices(len(pooled), 1)]
    return float(np.median(pairs)) / 2 + 1e-8


def squared_mmd(real: Points, generated: Points, sigma: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy, Gaussian kernel (Gretton et al., JMLR 13, 2012, eq. 3).

    0 for equal distributions; it can come out slightly negative. NaN if a set has fewer than two points.

    Args:
        real: (N, D).
        generated: (M, D).
        sigma: Width of the kernel, exp(-d^2 / (2 sigma^2)); None: ``median_sigma``.
    """
    if min(len(real), len(generated)) < 2:
        return math.nan
    sigma = median_sigma(real, generated) if sigma is None else sigma

    def kernel(first: Points, second: Points) -> NDArray[np.float64]:
        return np.exp(-(distances(first, second) ** 2) / (2 * sigma**2))

    def within(points: Points) -> float:
        each = kernel(points, points)
        return (each.sum() - np.trace(each)) / (len(points) * (len(points) - 1))

    return float(within(real) + within(generated) - 2 * kernel(real, generated).mean())


def wasserstein_per_column(real: Points, generated: Points) -> NDArray[np.float64]:
    """(D,) first Wasserstein distance between the values of each column, in their unit."""
    return np.array([_wasserstein(a, b) for a, b in zip(real.T, generated.T, strict=True)])


def _wasserstein(first: Points, second: Points) -> float:
    """Area between the two cumulative distributions."""
    first, second = np.sort(first.astype(np.float64)), np.sort(second.astype(np.float64))
    steps = np.sort(np.concatenate([first, second]))
    below = [np.searchsorted(values, steps[:-1], "right") / len(values) for values in (first, second)]
    return float((np.abs(below[0] - below[1]) * np.diff(steps)).sum())


def range_coverage(real: Points, generated: Points) -> NDArray[np.floating]:
    """(D,) share of the real range of each column that the generated range covers; 1 for a constant one."""
    low, high = (
        np.maximum(real.min(axis=0), generated.min(axis=0)),
        np.minimum(real.max(axis=0), generated.max(axis=0)),
    )
    extent = real.max(axis=0) - real.min(axis=0)
    constant = extent <= _CONSTANT
    return np.where(constant, 1.0, np.maximum(high - low, 0) / np.where(constant, 1.0, extent))
