"""Where draws disagree: what the spread file of a modality holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.models.item import ModelItem
from engine.results import Spread, is_class_map

Array = NDArray[np.float32]


def spread_of(draws: Sequence[Array], item: ModelItem, modality: str) -> Array:
    """Planes of the spread file.

    Args:
        draws: (C, H, W) physical values of each draw, NaN for nodata.
        item: The model.
        modality: What they show.

    Returns:
        (2 C, H, W) mean and standard deviation (n - 1) of each band; for a class map (2, H, W) the most
        frequent class and the share of draws that have it.
    """
    if is_class_map(item, modality):
        return _agreement(draws)
    spread = Spread()
    for values in draws:
        spread.feed(values)
    return spread.data


def _agreement(draws: Sequence[Array]) -> Array:
    codes = np.stack([values[0] for values in draws])
    found = np.unique(codes[np.isfinite(codes)])
    counts = np.stack([(codes == code).sum(axis=0) for code in found]) if len(found) else np.zeros((1, 1, 1))
    best = counts.argmax(axis=0)
    frequent = found[best] if len(found) else np.full(codes.shape[1:], np.nan)
    result = np.stack([frequent, counts.max(axis=0) / len(draws)]).astype(np.float32)
    result[:, np.isnan(codes[0])] = np.nan
    return result
