"""Random crops of pairs as network tensors: normalisation, augmentation, missing data.

A crop is a pure function of its generator, so training can be resumed exactly by re-keying it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.datasets.pairs import CLASSES, NO_CLASS, SAR_BANDS, Pair, Statistics

Array = NDArray[np.float32]
DEM_SCALE_M = 300.0
MODALITIES = ("sar", "dem", "mask")


@dataclass(frozen=True)
class Augmentation:
    """How crops are varied; probabilities in 0..1, lengths in pixels.

    Attributes:
        dihedral: Flip and rotate by right angles.
        statistics_jitter: Standard deviation of the error put on the scene's mean (in standard deviations)
            and, as a factor, on its standard deviation.
        speckle: Largest standard deviation of noise added to normalised SAR, drawn in half of the crops.
        drop_band: Leave out one of two SAR bands.
        drop_dem: Leave out elevation.
        decoy_band: Give a crop that has one SAR band a second one, made of the first and of noise.
        decoy_dem: Give a crop without elevation an invented relief that has nothing to do with it.
        border: Blank strips along one or two sides, as at the edge of a scene.
        border_px: Largest width of such a strip.
        hole: Blank rectangle, as of nodata.
    """

    dihedral: bool = True
    statistics_jitter: float = 0.1
    speckle: float = 0.3
    drop_band: float = 0.5
    drop_dem: float = 0.5
    border: float = 0.3
    border_px: int = 64
    hole: float = 0.15
    decoy_band: float = 0.0
    decoy_dem: float = 0.0


NONE = Augmentation(False, 0, 0, 0, 0, 0, 0, 0)


def random_crop(
    pair: Pair,
    rng: np.random.Generator,
    size: int,
    augmentation: Augmentation,
    cells_px: Sequence[int] = (),
    draws: int = 1,
    modalities: Sequence[str] = MODALITIES,
) -> dict[str, Array]:
    """One training sample of ``size`` x ``size`` pixels.

    Returns:
        Those of ``sar`` (4, S, S), ``dem`` (2, S, S), ``mask`` (classes, S, S) one-hot that ``modalities``
        names; ``noise`` (draws * planes, S, S); ``optical`` (3, S, S) reflectance, 0 where unknown;
        ``valid`` (1, S, S): 1 where ``optical`` is known and the first modality is given.
    """
    window = _window(pair.optical.shape[1:], size, rng)
    statistics = pair.statistics[rng.integers(len(pair.statistics))] if pair.statistics else {}
    sample = _tensors(pair, statistics, window, size, modalities)
    if "sar" in sample:
        sample["sar"] = _vary_sar(sample["sar"], rng, augmentation)
    if "dem" in sample:
        sample["dem"] = _vary_dem(sample["dem"], rng, augmentation)
    visible = _visibility(size, rng, augmentation)
    for key in modalities:
        sample[key] = sample[key] * visible
    sample["valid"] = sample.pop("known") * _given(sample[modalities[0]], modalities[0])
    if augmentation.dihedral:
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        sample = {key: _turn(value, turns, flip) for key, value in sample.items()}
    sample["noise"] = cell_noise(rng, size, cells_px, draws)
    return sample


def whole(
    pair: Pair,
    statistics: int = 0,
    pad_px: int = 0,
    modalities: Sequence[str] = MODALITIES,
    multiple: int = 8,
) -> dict[str, Array]:
    """The whole image as one sample (no noise), blank-padded by ``pad_px`` and to a multiple."""
    height, width = pair.optical.shape[1:]
    side = -(-max(height, width) // multiple) * multiple + 2 * pad_px
    chosen = pair.statistics[statistics] if pair.statistics else {}
    sample = _tensors(pair, chosen, (-pad_px, -pad_px), side, modalities)
    sample["valid"] = sample.pop("known") * _given(sample[modalities[0]], modalities[0])
    return sample


def cell_noise(rng: np.random.Generator, size: int, cells_px: Sequence[int], draws: int = 1) -> Array:
    """Standard normal planes, each constant over square cells with corners on multiples of 8."""
    planes = [_cells(rng, size, cell) for _ in range(draws) for cell in cells_px]
    return np.stack(planes) if planes else np.zeros((0, size, size), np.float32)


def _cells(rng: np.random.Generator, size: int, cell: int) -> Array:
    count = -(-size // cell) + 1
    coarse = rng.standard_normal((count, count), dtype=np.float32)
    fine = coarse.repeat(cell, axis=0).repeat(cell, axis=1)
    row, col = (int(k) * 8 % cell for k in rng.integers(0, 1024, size=2))
    return fine[row : row + size, col : col + size]


def _window(shape: tuple[int, ...], size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Upper left corner; outside the image where that is smaller than the crop."""
    low = [min(0, extent - size) for extent in shape]
    high = [max(0, extent - size) for extent in shape]
    return int(rng.integers(low[0], high[0] + 1)), int(rng.integers(low[1], high[1] + 1))


def _tensors(
    pair: Pair, statistics: Statistics, corner: tuple[int, int], size: int, modalities: Sequence[str]
) -> dict[str, Array]:
    readers = {"sar": _sar, "dem": _dem, "mask": _mask}
    sample = {key: readers[key](pair, statistics, corner, size) for key in modalities}
    optical = _cut(pair.optical, corner, size, np.nan)
    known = np.isfinite(optical).all(axis=0, keepdims=True)
    return {**sample, "optical": np.where(known, optical, 0), "known": known.astype(np.float32)}


def _sar(pair: Pair, statistics: Statistics, corner: tuple[int, int], size: int) -> Array:
    out = np.zeros((4, size, size), np.float32)
    for channel, band in enumerate(SAR_BANDS):
        if band in pair.sar:
            mean, std = statistics[band]
            values = (_cut(pair.sar[band], corner, size, np.nan) - np.float32(mean)) / np.float32(
                max(std, 1e-6)
            )
            out[channel], out[channel + 2] = _split(values, 4)
    return out


def _dem(pair: Pair, statistics: Statistics, corner: tuple[int, int], size: int) -> Array:
    if pair.elevation is None:
        return np.zeros((2, size, size), np.float32)
    relative = _cut(pair.elevation, corner, size, np.nan) - np.nanmean(pair.elevation)
    return np.stack(_split(relative / np.float32(DEM_SCALE_M), 8))


def _mask(pair: Pair, statistics: Statistics, corner: tuple[int, int], size: int) -> Array:
    labels = _cut(pair.mask, corner, size, NO_CLASS)
    return (labels == np.arange(len(CLASSES))[:, None, None]).astype(np.float32)


def _given(tensor: Array, modality: str) -> Array:
    """(1, S, S): 1 where the modality says something."""
    planes = tensor[2:] if modality == "sar" else tensor[1:] if modality == "dem" else tensor
    return (planes > 0).any(axis=0, keepdims=True).astype(np.float32)


def _cut(image: NDArray, corner: tuple[int, int], size: int, fill: float) -> NDArray:
    out = np.full((*image.shape[:-2], size, size), fill, image.dtype)
    row, col = corner
    height, width = image.shape[-2:]
    top, left, bottom, right = max(row, 0), max(col, 0), min(row + size, height), min(col + size, width)
    out[..., top - row : bottom - row, left - col : right - col] = image[..., top:bottom, left:right]
    return out


def _split(values: Array, clip: float) -> tuple[Array, Array]:
    """Clipped values with 0 where invalid, and their validity plane."""
    valid = np.isfinite(values)
    return np.where(valid, np.clip(values, -clip, clip), 0), valid.astype(np.float32)


def _vary_sar(sar: Array, rng: np.random.Generator, augmentation: Augmentation) -> Array:
    values, valid = sar[:2], sar[2:]
    gain = 1 + augmentation.statistics_jitter * rng.standard_normal((2, 1, 1), dtype=np.float32)
    shift = augmentation.statistics_jitter * rng.standard_normal((2, 1, 1), dtype=np.float32)
    strength = augmentation.speckle * max(0.0, rng.uniform(-1, 1))
    speckle = np.float32(strength) * rng.standard_normal(values.shape, dtype=np.float32)
    both = valid.any(axis=(1, 2)).all()
    if rng.random() < augmentation.drop_band and both:
        valid = valid * (np.arange(2) == rng.integers(2))[:, None, None]
    # Few scenes have VH or elevation: where only they do, their presence alone gives away which scene it is.
    if augmentation.decoy_band and not both and rng.random() < augmentation.decoy_band:
        values, valid = _decoy_band(values, valid, rng)
    return np.concatenate([np.clip(values * gain + shift + speckle, -4, 4) * valid, valid]).astype(np.float32)


def _decoy_band(values: Array, valid: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The one given band, and beside it a mixture of that band, speckle and a smooth field (deviation 1)."""
    given = int(valid[1].any())
    share, rough = rng.uniform(0.5, 0.95), rng.uniform(0, 1)
    size = values.shape[-1]
    noise = rough * rng.standard_normal((size, size)) + np.sqrt(1 - rough**2) * _relief(rng, size)
    other = share * values[given] + np.sqrt(1 - share**2) * noise
    return np.stack([values[given], other] if given == 0 else [other, values[given]]).astype(
        np.float32
    ), valid[[given, given]]


def _vary_dem(dem: Array, rng: np.random.Generator, augmentation: Augmentation) -> Array:
    if rng.random() < augmentation.drop_dem:
        return np.zeros_like(dem)
    if augmentation.decoy_dem and not dem[1].any() and rng.random() < augmentation.decoy_dem:
        height = rng.lognormal(-1.5, 1.2) * _relief(rng, dem.shape[-1]) + rng.normal(0, 0.5)
        return np.stack([np.clip(height, -8, 8), np.ones_like(height)]).astype(np.float32)
    return dem


def _relief(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Gaussian random field (size, size), deviation 1; amplitude falls with frequency as terrain's."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * frequency ** -rng.uniform(1.2, 2.2)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(size, size))
    return field / field.std()


def _visibility(size: int, rng: np.random.Generator, augmentation: Augmentation) -> Array:
    """1 where input is given; 0 in blanked borders and holes."""
    visible = np.ones((1, size, size), np.float32)
    if rng.random() < augmentation.border:
        row, col = rng.integers(0, augmentation.border_px + 1, size=2)
        visible[:, :row] = 0
        if rng.random() < 0.5:
            visible[:, :, :col] = 0
    if rng.random() < augmentation.hole:
        (row, col), (height, width) = rng.integers(0, size, size=2), rng.integers(1, size // 3, size=2)
        visible[:, row : row + height, col : col + width] = 0
    return visible


def _turn(image: Array, turns: int, flip: bool) -> Array:
    turned = np.rot90(image, turns, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if flip else turned)
