"""Sentinel-1 as it would see the scene: side-looking geometry, backscatter, speckle, noise floor.

Geometry and radiometry follow Small (2011), "Flattening Gamma", IEEE TGRS 49(8): a facet returns gamma nought
times its area projected on the plane across the look direction; facets at one slant range add up (layover,
foreshortening), and facets without line of sight return nothing (shadow). The result is sigma nought on the
ellipsoid's area, terrain-corrected: what a Range-Doppler terrain correction of a GRD product gives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.sample_scene.fields import Field, fractal, hashed, smooth
from engine.sample_scene.land_cover import BUILDING, RIVER, STILL, SURFACES
from engine.sample_scene.settlements import Settlements

INCIDENCE_DEG = 39.0
LOOK_AZIMUTH_DEG = 80.0  # ascending pass, looking right
EQUIVALENT_LOOKS = 4.4  # Sentinel-1 IW GRDH, product specification
NOISE_FLOOR_DB = -25.0
BLUR_PX = 0.7


def observe(
    rng: np.random.Generator, elevation: Field, cover: NDArray[np.uint8], people: Settlements, gsd_m: float
) -> Field:
    """(2, size, size) sigma nought VV, VH in dB."""
    texture = 0.6 * fractal(rng, cover.shape[0], 1.0, 30) + 1.4 * (people.parcel - 0.5) * (cover >= 7) * (
        cover <= 10
    )
    wind = 1.6 * fractal(rng, cover.shape[0], 1.6, 300) * np.isin(cover, (STILL, RIVER))
    bounce_db = _double_bounce(rng, cover, people)
    gamma0_db = np.array([surface.gamma0_db for surface in SURFACES], np.float32)[cover].transpose(2, 0, 1)
    gamma0_db = gamma0_db + texture + wind + bounce_db * np.array([1.0, 0.6], np.float32)[:, None, None]
    sigma0 = _geocoded(10 ** (gamma0_db / 10), elevation, gsd_m)
    sigma0 = np.stack(
        [np.maximum(smooth(band, BLUR_PX), 0) * _speckle(rng, cover.shape[0]) for band in sigma0]
    )
    floor = 10 ** (NOISE_FLOOR_DB / 10) * np.stack([_speckle(rng, cover.shape[0]) for _ in range(2)])
    return (10 * np.log10(sigma0 + 0.5 * floor)).astype(np.float32)


def _double_bounce(rng: np.random.Generator, cover: NDArray[np.uint8], people: Settlements) -> Field:
    """Extra return of walls, dB: strong where they face the radar, with a few very bright corners."""
    facing = np.cos(2 * (people.street_angle - np.deg2rad(LOOK_AZIMUTH_DEG - 90))) ** 6
    rows, columns = np.indices(cover.shape)
    corner = hashed(rows, columns, np.int64(rng.integers(2**31)))
    bright = 5.0 * facing - 1.0 + 9.0 * (corner > 0.96) + 3.0 * (corner - 0.5)
    return np.where(cover == BUILDING, bright, 0).astype(np.float32)


def _geocoded(gamma0: Field, elevation: Field, gsd_m: float) -> Field:
    """Facets -> slant-range image -> back to the ground grid.

    Args:
        gamma0: (bands, H, W), linear power.
        elevation: (H, W), metres.
        gsd_m: Pixel size.

    Returns:
        (bands, H, W) sigma nought, linear power.
    """
    theta = np.deg2rad(INCIDENCE_DEG)
    source, inside = _range_lines(elevation.shape[0])
    height = elevation[source]
    ground = np.arange(height.shape[1]) * gsd_m
    sight = height + ground / np.tan(theta)
    lit = inside & (sight >= np.maximum.accumulate(np.where(inside, sight, -np.inf), axis=1) - 1e-3)
    projected = (
        np.maximum(np.cos(theta) + np.gradient(elevation, gsd_m, axis=1) * np.sin(theta), 0)[source] * lit
    )
    slant = (ground * np.sin(theta) - height * np.cos(theta)) / (gsd_m * np.sin(theta))
    slant -= slant.min()
    result = np.zeros_like(gamma0)
    for band, target in zip(gamma0, result):
        image = _slant_range_image(band[source] * projected, slant)
        target[source[0][inside], source[1][inside]] = _read_line(image, slant)[inside]
    return result


def _range_lines(size: int) -> tuple[tuple[NDArray, NDArray], NDArray[np.bool_]]:
    """Pixels in the order of range lines: rows shift with the column, since the look is not along them."""
    shift = np.round(np.arange(size) * np.tan(np.deg2rad(90 - LOOK_AZIMUTH_DEG))).astype(int)
    rows = np.arange(size + shift.max())[:, None] - shift.max() + shift[None, :]
    columns = np.broadcast_to(np.arange(size), rows.shape)
    return (np.clip(rows, 0, size - 1), columns), (rows >= 0) & (rows < size)


def _slant_range_image(power: NDArray, slant: NDArray) -> NDArray[np.float64]:
    """Power of the facets, half at their place and half midway to the next, added up in bins of range."""
    bins = int(slant.max()) + 3
    line = (np.arange(len(slant)) * bins)[:, None]
    half_way = slant + 0.5 * np.diff(slant, axis=1, append=slant[:, -1:] + 1)
    image = np.zeros(len(slant) * bins)
    for at in (slant, np.maximum(half_way, 0)):
        near = at.astype(int)
        far_share = at - near
        image += np.bincount((line + near).ravel(), (0.5 * power * (1 - far_share)).ravel(), image.size)
        image += np.bincount((line + near + 1).ravel(), (0.5 * power * far_share).ravel(), image.size)
    return image.reshape(len(slant), bins)


def _read_line(image: NDArray, slant: NDArray) -> NDArray:
    near = slant.astype(int)
    far_share = slant - near
    here, beyond = (np.take_along_axis(image, near + step, axis=1) for step in (0, 1))
    return here * (1 - far_share) + beyond * far_share


def _speckle(rng: np.random.Generator, size: int) -> Field:
    """Multiplicative, mean 1, correlated between neighbours; EQUIVALENT_LOOKS after the correlation."""
    kernel = np.array([0.25, 0.5, 0.25])
    looks = EQUIVALENT_LOOKS * np.sum(kernel**2) ** 2
    field = rng.standard_gamma(looks, (size + 2, size + 2), np.float32) / np.float32(looks)
    field = 0.25 * field[:-2] + 0.5 * field[1:-1] + 0.25 * field[2:]
    return 0.25 * field[:, :-2] + 0.5 * field[:, 1:-1] + 0.25 * field[:, 2:]
