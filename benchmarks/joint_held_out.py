"""Radar to Sentinel-2 on places that neither bundled model ever saw: any to any beside the feed-forward one.

Both models run through the engine on the same rasters (OMBRIA's held-out patches of 256 px: Sentinel-1 VV
alone, relative to the patch). Scores are taken at 20 m, the finer of the pixels that both deliver; those of
real images of other places say how much a score is worth.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
import torch
from common import MODELS, Bench, Row
from numpy.typing import NDArray
from rasterio.transform import from_origin
from seams import DATA

from engine import job as engine_job
from engine.errors import ModelError
from engine.models.store import find
from engine.spec import Job
from training.datasets import ombria
from training.datasets.pairs import Pair
from training.metrics.scores import Scores

JOINT, FORWARD = "any-to-any", next(iter(MODELS))
PLACES = {"o032", "o074", "2021_ALBANIA"}  # both items list them as never trained on
IMAGES, SAMPLES = 16, 4
GSD_M, SCORED_M = 10.0, 20.0
Array = NDArray[np.float32]


def measure(bench: Bench) -> list[Row]:
    """Every score of one sample, of the mean of the samples, of the feed-forward model, and of others."""
    try:
        find(JOINT)
    except ModelError as error:
        return [Row(f"nothing to measure: {error}", None)]
    if not (DATA / "ombria" / "index.csv").exists():
        return [Row("nothing to measure: the data set OMBRIA is not here", None)]
    pairs = chosen(2 if bench.quick else IMAGES)
    truths = [coarse(pair.optical) for pair in pairs]
    radar = [written(pair, bench.scratch / f"held-out-{n}.tif") for n, pair in enumerate(pairs)]
    samples = [joint(path) for path in radar]
    images = {
        "any-to-any, one sample": [found[0] for found in samples],
        f"any-to-any, mean of {SAMPLES} samples": [np.mean(found, axis=0) for found in samples],
        FORWARD: [forward(path) for path in radar],
        "real images of other places": [*truths[1:], truths[0]],
    }
    return [row for name, found in images.items() for row in scored(name, found, truths)]


def chosen(count: int) -> list[Pair]:
    """Held-out images, evenly spread."""
    pairs = [pair for pair in ombria.load(DATA) if pair.location in PLACES]
    return [pairs[i] for i in np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)]


def written(pair: Pair, path: Path) -> Path:
    """The radar of a pair as a raster in some place of UTM."""
    values = pair.sar["VV"]
    grid = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, GSD_M, GSD_M)}
    height, width = values.shape
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": height, "width": width, **grid}
    with rasterio.open(path, "w", **profile) as file:
        file.write(values, 1)
        file.set_band_description(1, "VV")
    return path


def joint(radar: Path) -> list[Array]:
    """All samples of the any-to-any model."""
    given = {"s1_rtc": {"path": str(radar), "units": "relative"}}
    settings = {"generate": ["s2_l2a"], "samples": SAMPLES, "all_samples": True}
    output = radar.with_name(f"{radar.stem}-any.tif")
    engine_job.run(Job(model=JOINT, inputs=given, output=str(output), device="cpu", **settings))
    others = [output.with_name(f"{output.stem}_v{number}.tif") for number in range(2, SAMPLES + 1)]
    return [reflectance(path) for path in (output, *others)]


def forward(radar: Path) -> Array:
    """What the feed-forward model makes."""
    given, output = {"sar": {"path": str(radar)}}, radar.with_name(f"{radar.stem}-forward.tif")
    engine_job.run(Job(model=FORWARD, inputs=given, output=str(output), device="cpu"))
    return reflectance(output)


def reflectance(path: Path) -> Array:
    """(3, H, W) at 20 m, 0..1."""
    with rasterio.open(path) as file:
        scale, offset = (np.array(found)[:, None, None] for found in (file.scales, file.offsets))
        values = (file.read() * scale + offset).astype(np.float32)
        return coarse(values) if file.res[0] < SCORED_M else values


def coarse(image: Array) -> Array:
    """Means of 2 x 2 pixels."""
    bands, height, width = image.shape
    return image.reshape(bands, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


def scored(name: str, images: list[Array], truths: list[Array]) -> Iterator[Row]:
    """PSNR (dB), SSIM, spectral angle (rad), texture and distribution of the set."""
    scores = Scores()
    for image, truth in zip(images, truths, strict=True):
        scores.update(torch.from_numpy(image), torch.from_numpy(truth))
    for score, value in scores.compute().items():
        yield Row(f"{name}: {score}", value, {"psnr": "dB", "sam": "rad"}.get(score, ""))
