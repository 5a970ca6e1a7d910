"""Land-cover classes computed from reflectance: for training only, as they come from the target."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.datasets.pairs import CLASSES, NO_CLASS

SNOW_GREEN = 0.30  # reflectance of B3 above which B3 > B11 means snow, not water
DENSE, MEDIUM = 0.50, 0.34  # (B8 - B3) / (B8 + B3) of closed and of sparse vegetation
FOREST_SWIR = 0.22  # B11 reflectance below which closed vegetation is trees
TEXTURE = 0.03  # local standard deviation of brightness (reflectance) above which bare surface is built
DARK = 0.08  # B11 and B8 reflectance below which a pixel is water whatever its green
SHADE = 0.10  # brightness below which a neighbour makes texture an edge (of water), not a town
CLOUD = 0.30  # reflectance of all three bands above which a pixel is cloud: no class


def pseudo_label(optical: NDArray[np.float32], smooth: bool = True) -> NDArray[np.uint8]:
    """Classify B11, B8, B3 reflectance by fixed thresholds, then by majority in a 7 px neighbourhood.

    The majority filter makes the mask look like a land-cover map and keeps it from carrying the image's
    pixels.

    Args:
        optical: (3, H, W) reflectance of B11, B8, B3; NaN where unknown.
        smooth: Apply the majority filter.

    Returns:
        (H, W) uint8 index into ``CLASSES``; ``NO_CLASS`` where any band is NaN, and on and around clouds.
    """
    b11, b8, b3 = np.nan_to_num(optical)
    vegetation = (b8 - b3) / np.maximum(b8 + b3, 1e-3)
    brightness = (b11 + b8 + b3) / 3
    texture = np.where(ndimage.minimum_filter(brightness, 7) > SHADE, _local_deviation(brightness, 7), 0)
    wet = (b3 > b11) | (np.maximum(b11, b8) < DARK)
    rules = {
        "snow": (b3 > b11) & (b3 > SNOW_GREEN),
        "water": wet,
        "trees": (vegetation > DENSE) & (b11 < FOREST_SWIR),
        "grass_crops": vegetation > DENSE,
        "shrub_sparse": vegetation > MEDIUM,
        "built": texture > TEXTURE,
    }
    labels = np.select(
        list(rules.values()), [CLASSES.index(name) for name in rules], default=CLASSES.index("bare")
    ).astype(np.uint8)
    if smooth:
        labels = majority(labels, 7)
    cloud = ndimage.binary_opening(np.minimum(np.minimum(b11, b8), b3) > CLOUD, np.ones((5, 5)))
    cloud = ndimage.binary_dilation(cloud, np.ones((9, 9)))
    labels[cloud | ~np.isfinite(optical).all(axis=0)] = NO_CLASS
    return labels


def majority(labels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The most frequent class in a ``size`` x ``size`` neighbourhood of each pixel."""
    votes = [ndimage.uniform_filter((labels == k).astype(np.float32), size) for k in range(len(CLASSES))]
    return np.argmax(votes, axis=0).astype(np.uint8)


def _local_deviation(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    mean = ndimage.uniform_filter(image, size)
    return np.sqrt(np.maximum(ndimage.uniform_filter(image * image, size) - mean * mean, 0))
