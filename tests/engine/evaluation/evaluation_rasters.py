"""Pairs of small images and their comparison."""

from __future__ import annotations

import numpy as np
from rasters import write

from engine.evaluation.evaluate import evaluate
from engine.evaluation.request import Comparison


def field(seed: int, bands: int = 3, height: int = 96, width: int = 80) -> np.ndarray:
    """Reflectance with structure at several scales, (C, H, W) float32."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    base = 0.2 + 0.08 * np.sin(rows / 7) * np.cos(cols / 11)
    return np.stack([base * (1 + 0.2 * b) + rng.normal(0, 0.02, base.shape) for b in range(bands)]).astype(
        np.float32
    )


def compare(reference, *results, **settings):
    """A report; every raster is a path or the fields of an ``InputRaster``."""
    rasters = [{"path": r} if isinstance(r, str) else r for r in (reference, *results)]
    return evaluate(Comparison.model_validate({"reference": rasters[0], "results": rasters[1:], **settings}))


def pair(folder, truth, made, **profile):
    """Both as files."""
    return write(folder / "truth.tif", truth, **profile), write(folder / "made.tif", made, **profile)
