"""Writes small rasters and runs small jobs."""

import numpy as np
import rasterio
from affine import Affine

from engine import job
from engine.spec import Job

UTM = "EPSG:32633"
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def write(path, values, transform=NORTH_UP, crs=UTM, names=None, nodata=None, **profile):
    """Writes (C, H, W) values; gives the path as text."""
    values = np.asarray(values)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=values.shape[0],
        height=values.shape[1],
        width=values.shape[2],
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
        **profile,
    ) as dataset:
        dataset.write(values)
        for number, name in enumerate(names or (), start=1):
            dataset.set_band_description(number, name)
    return str(path)


def sar_values(height=150, width=170, seed=0, bands=2):
    """Radar backscatter in dB: (bands, height, width) float32 with structure at several scales."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    base = -12 + 4 * np.sin(rows / 17) + 3 * np.cos(cols / 23) + rng.normal(0, 1.5, (height, width))
    return np.stack([base - 6 * band for band in range(bands)]).astype(np.float32)


def run(output, model, log=None, **fields):
    """Runs a job; gives (pixels (C, H, W), profile, result)."""
    inputs = {
        key: value if isinstance(value, dict) else {"path": value}
        for key, value in fields.pop("inputs").items()
    }
    result = job.run(
        Job.model_validate({"model": model, "inputs": inputs, "output": str(output), **fields}), log=log
    )
    with rasterio.open(output) as dataset:
        return dataset.read(), dataset.profile, result
