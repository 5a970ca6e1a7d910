"""Random fields and filters on square grids. NumPy on one thread: a seed gives the same bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def smooth(values: NDArray, sigma_px: float) -> Field:
    """Gaussian low-pass with mirrored borders.

    Args:
        values: (H, W).
        sigma_px: Standard deviation of the kernel, pixels.
    """
    pad = min(int(np.ceil(3 * sigma_px)), min(values.shape) - 1)
    padded = np.pad(values.astype(np.float32), pad, mode="reflect")
    rows = np.fft.fftfreq(padded.shape[0]).astype(np.float32)
    columns = np.fft.rfftfreq(padded.shape[1]).astype(np.float32)
    transfer = np.exp(-2 * (np.pi * sigma_px) ** 2 * (rows[:, None] ** 2 + columns[None, :] ** 2))
    result = np.fft.irfft2(np.fft.rfft2(padded) * transfer, s=padded.shape)
    return result[pad : pad + values.shape[0], pad : pad + values.shape[1]].astype(np.float32)


def fractal(rng: np.random.Generator, size: int, exponent: float, longest_px: float) -> Field:
    """Gaussian noise with an isotropic power-law amplitude spectrum, zero mean, unit variance.

    Args:
        rng: Source of the noise.
        size: Rows and columns.
        exponent: Amplitude falls as frequency to the power of minus this.
        longest_px: Wavelength above which the spectrum is flat, pixels.
    """
    rows, columns = np.fft.fftfreq(size), np.fft.rfftfreq(size)
    frequency = np.hypot(rows[:, None], columns[None, :])
    spectrum = np.maximum(frequency, 1 / longest_px) ** -exponent
    spectrum[0, 0] = 0
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * spectrum, s=(size, size))
    return (field / field.std()).astype(np.float32)


def enlarge(values: NDArray, factor: int) -> Field:
    """Cubic (Catmull-Rom) interpolation to ``factor`` times the rows and columns, pixel areas aligned."""
    return _enlarge_rows(_enlarge_rows(values.astype(np.float32), factor).T, factor).T


def _enlarge_rows(values: Field, factor: int) -> Field:
    position = (np.arange(values.shape[0] * factor) + 0.5) / factor - 0.5
    base = np.floor(position).astype(int)
    t = (position - base).astype(np.float32)[:, None]
    last = values.shape[0] - 1
    before, here, after, beyond = (values[np.clip(base + offset, 0, last)] for offset in (-1, 0, 1, 2))
    return here + 0.5 * t * (
        after
        - before
        + t * (2 * before - 5 * here + 4 * after - beyond + t * (3 * (here - after) + beyond - before))
    )


def hashed(*keys: NDArray) -> Field:
    """Integer keys -> uniform [0, 1) value, the same for equal keys (SplitMix64 finaliser)."""
    state = np.zeros(np.broadcast_shapes(*(np.shape(key) for key in keys)), np.uint64)
    for key in keys:
        state = state * np.uint64(0x9E3779B97F4A7C15) + np.asarray(key).astype(np.int64).astype(np.uint64)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return ((state >> np.uint64(40)).astype(np.float32)) / np.float32(2**24)


def stamp(field: NDArray, rows: NDArray, columns: NDArray, radius_px: float, value: float) -> None:
    """Write ``value`` in discs around points, in place; what falls off the grid is left out."""
    reach = int(np.ceil(radius_px))
    span = np.arange(-reach, reach + 1)
    d_row, d_column = (offset.ravel() for offset in np.meshgrid(span, span, indexing="ij"))
    all_rows = np.round(rows).astype(int)[:, None] + d_row
    all_columns = np.round(columns).astype(int)[:, None] + d_column
    near = np.hypot(all_rows - rows[:, None], all_columns - columns[:, None]) <= radius_px
    near &= (
        (all_rows >= 0) & (all_rows < field.shape[0]) & (all_columns >= 0) & (all_columns < field.shape[1])
    )
    field[all_rows[near], all_columns[near]] = value
