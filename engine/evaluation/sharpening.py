"""QNR: the quality of a sharpened image without a reference (Alparone et al. 2008)."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from affine import Affine

from engine.errors import InputError
from engine.evaluation.needs import needed
from engine.evaluation.pairs import Pairs
from engine.evaluation.rasters import Raster
from engine.evaluation.request import Comparison
from engine.raster.grid import Grid
from engine.tiling.lattice import Box, split

_WINDOW_PX = 7  # of the index, on the coarse grid


def sharpening_scores(
    comparison: Comparison, pairs: Pairs, stack: ExitStack
) -> list[dict[str, float | None]]:
    """``d_lambda``, ``d_s`` and ``qnr`` of every result: means over tiles; empty if they were not asked for.

    The inputs are the result (fine, several bands), the multispectral image that it sharpens (coarse, the
    same bands) and the panchromatic image (fine, one band). The reference gives its grid alone.

    Raises:
        InputError: One of the two further images is missing, or they do not fit.
    """
    if comparison.multispectral is None and comparison.pan is None:
        return []
    if comparison.multispectral is None or comparison.pan is None:
        raise InputError(
            "QNR compares the result with a coarse multispectral and a fine panchromatic image; give both, "
            "--multispectral and --pan."
        )
    coarse, pan = (
        Raster("multispectral", comparison.multispectral, stack),
        Raster("panchromatic", comparison.pan, stack),
    )
    _check_bands(coarse, pan, pairs)
    factor = _factor(coarse, pairs)
    low_pan = Raster("panchromatic", comparison.pan, stack)
    small = _coarser(pairs.grid, factor)
    pan.align(pairs.reference.grid, False)
    for raster in (coarse, low_pan):
        raster.align(small, False)
    found: list[list[tuple[float, float]]] = [[] for _ in pairs.results]
    for box in split(pairs.box, comparison.tile_px // factor * factor):
        _add_tile(found, pairs, pan, (coarse, low_pan), box, factor)
    return [_mean(values) for values in found]


def _add_tile(
    found: list[list[tuple[float, float]]],
    pairs: Pairs,
    pan: Raster,
    small: tuple[Raster, Raster],
    box: Box,
    factor: int,
) -> None:
    within = box.within(pairs.box)
    low_box = Box(*(side // factor for side in (within.row, within.col, box.height, box.width)))
    if min(low_box.height, low_box.width) <= _WINDOW_PX:
        return
    fine = Box(box.row, box.col, low_box.height * factor, low_box.width * factor)
    part, (panchromatic, known) = pairs.read(fine), pan.read(fine)
    (low, low_known), (low_pan, low_pan_known) = (raster.read(low_box) for raster in small)
    if not (part.valid.all() and known.all() and low_known.all() and low_pan_known.all()):
        return
    for values, result in zip(found, part.results, strict=True):
        values.append(_distortions(result, low, panchromatic, low_pan))


def _distortions(
    result: np.ndarray, low: np.ndarray, pan: np.ndarray, low_pan: np.ndarray
) -> tuple[float, float]:
    """Spectral and spatial distortion of one tile."""
    with needed():
        import torch
        import torchmetrics.functional.image as metrics
    images = [torch.from_numpy(image[None].astype(np.float32)) for image in (result, low, pan, low_pan)]
    fine, coarse = images[0], images[1]
    pans = [image.expand(1, fine.shape[1], *image.shape[2:]) for image in images[2:]]
    spectral = metrics.spectral_distortion_index(fine, coarse)
    spatial = metrics.spatial_distortion_index(fine, coarse, *pans, window_size=_WINDOW_PX)
    return spectral.item(), spatial.item()


def _mean(values: list[tuple[float, float]]) -> dict[str, float | None]:
    if not values:
        return dict.fromkeys(("d_lambda", "d_s", "qnr"))
    d_lambda, d_s = np.mean(values, axis=0).tolist()
    return {"d_lambda": d_lambda, "d_s": d_s, "qnr": (1 - d_lambda) * (1 - d_s)}


def _check_bands(coarse: Raster, pan: Raster, pairs: Pairs) -> None:
    bands = len(pairs.bands)
    if bands < 2 or len(coarse.numbers) != bands or len(pan.numbers) != 1:
        raise InputError(
            f"QNR needs as many multispectral bands as are compared, two or more, and one panchromatic band; "
            f"found {bands} compared, {len(coarse.numbers)} in {coarse.name} and {len(pan.numbers)} in "
            f"{pan.name}."
        )


def _factor(coarse: Raster, pairs: Pairs) -> int:
    own, other = coarse.grid.gsd_m(), pairs.grid.gsd_m()
    ratio = own / other if own and other else coarse.grid.pixel_size / pairs.grid.pixel_size
    factor = round(ratio)
    if factor < 2 or abs(ratio - factor) > 0.01 * factor:
        raise InputError(
            f"The multispectral image {coarse.name} must have pixels 2, 3, 4 ... times as large as the "
            f"reference's; its are {ratio:.3g} times as large."
        )
    return factor


def _coarser(grid: Grid, factor: int) -> Grid:
    width, height = max(grid.width // factor, 1), max(grid.height // factor, 1)
    return Grid.make(grid.crs, grid.transform * Affine.scale(factor), width, height)
