"""Scores of class maps from one table of counts, which grows window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class Confusion:
    """Pixels by true and predicted class.

    Attributes:
        codes: Classes seen so far, ascending.
        counts: (true class, predicted class) -> pixels.
    """

    codes: list[int] = field(default_factory=list)
    counts: dict[tuple[int, int], int] = field(default_factory=dict)

    def update(self, truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> None:
        """Adds pixels; both (N,) class codes."""
        pairs, counts = np.unique(np.stack([truth, predicted]), axis=1, return_counts=True)
        for (true, found), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
            self.counts[true, found] = self.counts.get((true, found), 0) + count
        self.codes = sorted({*self.codes, *pairs.ravel().tolist()})

    @property
    def matrix(self) -> NDArray[np.int64]:
        """(K, K): row the true class, column the predicted one, in the order of ``codes``."""
        index = {code: i for i, code in enumerate(self.codes)}
        table = np.zeros((len(self.codes),) * 2, dtype=np.int64)
        for (true, found), count in self.counts.items():
            table[index[true], index[found]] = count
        return table

    def scores(self) -> dict[str, float]:
        """Shares 0..1; means run over the classes that occur in either map.

        ``accuracy``; ``mean_iou``; ``mean_f1``; ``fw_iou``: IoU weighted by how often a class is true (Long
        et al., arXiv 1411.4038); ``precision`` and ``recall``: means.
        """
        table = self.matrix
        total = table.sum()
        if not total:
            return dict.fromkeys(
                ("accuracy", "mean_iou", "mean_f1", "fw_iou", "precision", "recall"), math.nan
            )
        each = self.per_class()
        share = table.sum(axis=1) / total
        return {
            "accuracy": float(np.trace(table) / total),
            "mean_iou": float(np.mean(each["iou"])),
            "mean_f1": float(np.mean(each["f1"])),
            "fw_iou": float((share * each["iou"]).sum()),
            "precision": float(np.mean(each["precision"])),
            "recall": float(np.mean(each["recall"])),
        }

    def per_class(self) -> dict[str, NDArray[np.float64]]:
        """``iou``, ``precision``, ``recall``, ``f1``, each (K,); 0 where a class occurs in one map alone."""
        table = self.matrix.astype(np.float64)
        hit, true, found = np.diag(table), table.sum(axis=1), table.sum(axis=0)
        return {
            "iou": _ratio(hit, true + found - hit),
            "precision": _ratio(hit, found),
            "recall": _ratio(hit, true),
            "f1": _ratio(2 * hit, true + found),
        }


def top_k_hits(scores: NDArray[np.floating], truth: NDArray[np.integer], k: int) -> int:
    """How many pixels have their true class among the ``k`` highest scores.

    Args:
        scores: (K, N), one row a class.
        truth: (N,) row of the true class.
        k: Cut to the number of classes.
    """
    k = min(k, len(scores))
    best = np.argpartition(-scores, k - 1, axis=0)[:k]
    return int((best == truth).any(axis=0).sum())


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
