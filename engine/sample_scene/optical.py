"""Sentinel-2 B11, B8, B3 as it would see the scene: spectra, sun, field and canopy variation, blur."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.sample_scene.fields import Field, fractal, hashed, smooth
from engine.sample_scene.land_cover import BROADLEAF, BUILDING, CONIFER, RIVER, SOIL, STILL, SURFACES
from engine.sample_scene.settlements import Settlements

SUN_ELEVATION_DEG = 55.0
SUN_AZIMUTH_DEG = 155.0
DIFFUSE = 0.30  # share of skylight: the constant of a C-correction
NOISE = 0.0015


def observe(
    rng: np.random.Generator, elevation: Field, cover: NDArray[np.uint8], people: Settlements, gsd_m: float
) -> Field:
    """(3, size, size) surface reflectance, not corrected for topography."""
    size = cover.shape[0]
    spectra = np.array([surface.reflectance for surface in SURFACES], np.float32)[cover].transpose(2, 0, 1)
    vigour = _vigour(rng, cover, people)
    # Vigorous plants are darker in the shortwave infrared and green, brighter in the near infrared.
    spectra = spectra * np.stack([1 - 0.30 * vigour, 1 + 0.25 * vigour, 1 - 0.20 * vigour])
    roofs = 0.7 + 0.6 * hashed(
        *(index // 3 for index in np.indices(cover.shape)), np.int64(rng.integers(2**31))
    )
    spectra *= np.where(cover == BUILDING, roofs, 1)
    spectra *= np.where(np.isin(cover, (STILL, RIVER)), 1, _sunlight(elevation, gsd_m))
    swir, nir, green = (smooth(band, 0.6) for band in spectra)
    even = size // 2 * 2
    coarse = smooth(swir, 0.8)[:even, :even].reshape(even // 2, 2, even // 2, 2).mean((1, 3))
    swir[:even, :even] = coarse.repeat(2, 0).repeat(2, 1)  # B11 has 20 m pixels
    bands = np.stack([swir, nir, green]) + NOISE * rng.standard_normal((3, size, size)).astype(np.float32)
    return np.clip(bands, 0, 1).astype(np.float32)


def _vigour(rng: np.random.Generator, cover: NDArray[np.uint8], people: Settlements) -> Field:
    size = cover.shape[0]
    canopy = 0.35 * fractal(rng, size, 0.5, 12) * np.isin(cover, (BROADLEAF, CONIFER))
    field = 1.6 * ((people.parcel * 97.0) % 1 - 0.5) * ((cover > CONIFER) & (cover <= SOIL))
    within = 0.35 * fractal(rng, size, 1.2, 60)
    return ((canopy + field + within) * ~np.isin(cover, (STILL, RIVER))).astype(np.float32)


def _sunlight(elevation: Field, gsd_m: float) -> Field:
    """Illumination relative to flat ground: (cos i + c) / (cos z + c), Teillet et al. (1982)."""
    zenith, azimuth = np.deg2rad(90 - SUN_ELEVATION_DEG), np.deg2rad(SUN_AZIMUTH_DEG)
    south, east = np.gradient(elevation, gsd_m)
    normal = np.sqrt(1 + south**2 + east**2)
    toward_sun = np.cos(zenith) - np.sin(zenith) * (east * np.sin(azimuth) - south * np.cos(azimuth))
    cos_incidence = np.maximum(toward_sun / normal, 0)
    return (cos_incidence + DIFFUSE) / (np.cos(zenith) + DIFFUSE)
