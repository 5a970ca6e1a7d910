"""Fills gaps of a window's image, so that a network sees no cliff where nodata begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rasterio.fill import fillnodata

_FILLED = np.float32(1.0)


def filled(image: NDArray[np.float32], known: NDArray[np.bool_], classes: bool) -> NDArray[np.float32]:
    """The image with every unknown pixel replaced by a distance-weighted mean of known ones around it.

    Args:
        image: (C, H, W) in the model's range.
        known: (H, W); at least one pixel, or the image is given back as it is.
        classes: The channels are one-hot planes of -1 and 1, and so they remain.
    """
    if known.all() or not known.any():
        return np.ascontiguousarray(image)
    mask = known.astype(np.uint8)
    result = np.stack([fillnodata(band.copy(), mask, max_search_distance=sum(known.shape)) for band in image])
    # What lies in the shadow of all search directions.
    still = ~np.isfinite(result).all(axis=0)
    result[:, still] = image[:, known].mean(axis=1)[:, None]
    if classes:
        chosen = result.argmax(axis=0)
        result = np.where(np.arange(len(result))[:, None, None] == chosen, _FILLED, -_FILLED)
    return result.astype(np.float32)
