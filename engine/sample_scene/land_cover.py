"""Land cover in ESA WorldCover codes, and the finer surfaces that radar and optics tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.sample_scene.fields import fractal, smooth
from engine.sample_scene.landscape import Landscape
from engine.sample_scene.settlements import Settlements


@dataclass(frozen=True)
class Surface:
    """How one kind of ground looks.

    Attributes:
        worldcover: ESA WorldCover map value.
        gamma0_db: Mean C-band backscatter VV, VH: gamma nought in dB, rounded, typical of Sentinel-1 RTC.
        reflectance: Sentinel-2 B11, B8, B3 in midsummer, 0..1.
    """

    worldcover: int
    gamma0_db: tuple[float, float]
    reflectance: tuple[float, float, float]


SURFACES = (
    Surface(80, (-21.0, -28.5), (0.012, 0.018, 0.055)),  # still water
    Surface(80, (-18.5, -27.0), (0.015, 0.030, 0.085)),  # river, some sediment and ripples
    Surface(10, (-7.6, -13.4), (0.135, 0.330, 0.045)),  # broadleaf forest
    Surface(10, (-8.4, -14.2), (0.085, 0.215, 0.032)),  # conifers
    Surface(20, (-10.3, -16.6), (0.205, 0.260, 0.062)),  # shrub
    Surface(30, (-11.6, -18.6), (0.225, 0.350, 0.080)),  # meadow
    Surface(30, (-12.8, -20.0), (0.300, 0.270, 0.095)),  # dry upland grass
    Surface(40, (-10.4, -16.4), (0.165, 0.460, 0.062)),  # maize, sugar beet
    Surface(40, (-13.2, -19.6), (0.285, 0.300, 0.105)),  # ripening cereals
    Surface(40, (-9.6, -15.4), (0.195, 0.420, 0.110)),  # rape
    Surface(40, (-11.9, -20.6), (0.330, 0.225, 0.112)),  # ploughed soil
    Surface(60, (-12.6, -20.4), (0.295, 0.235, 0.155)),  # rock and scree
    Surface(60, (-14.2, -22.0), (0.330, 0.290, 0.200)),  # gravel bank
    Surface(50, (-3.2, -11.4), (0.215, 0.205, 0.130)),  # building
    Surface(50, (-11.0, -19.0), (0.185, 0.165, 0.105)),  # street, road
    Surface(50, (-9.4, -15.8), (0.190, 0.300, 0.075)),  # garden in town
)
(
    STILL,
    RIVER,
    BROADLEAF,
    CONIFER,
    SHRUB,
    MEADOW,
    UPLAND,
    MAIZE,
    CEREAL,
    RAPE,
    SOIL,
    ROCK,
    GRAVEL,
    BUILDING,
    STREET,
    GARDEN,
) = range(len(SURFACES))
WORLDCOVER = np.array([surface.worldcover for surface in SURFACES], np.uint8)


def build(rng: np.random.Generator, land: Landscape, people: Settlements, gsd_m: float) -> NDArray[np.uint8]:
    """(size, size) index into SURFACES."""
    size = land.elevation.shape[0]
    patches = fractal(rng, size, 1.2, 120)
    specks = fractal(rng, size, 0.7, 20)
    height = land.elevation - land.elevation.min()
    slope = smooth(land.slope, 2)
    northness = np.gradient(smooth(land.elevation, 3), gsd_m)[0] / (slope + 0.05)
    forested = 4.5 * (slope - 0.20) + 0.55 * patches + 0.12 * specks + 0.35 * northness > 0.25
    zone = height / np.quantile(height, 0.998) + 0.06 * patches + 0.016 * specks

    cover = np.full((size, size), MEADOW, np.uint8)
    arable = (slope < 0.11) & ((people.parcel * 7.3) % 1 < 0.86)
    kinds = np.array([MAIZE, CEREAL, CEREAL, MEADOW, RAPE, MAIZE, SOIL, CEREAL], np.uint8)
    cover[arable] = kinds[np.minimum((people.parcel * len(kinds)).astype(int), len(kinds) - 1)][arable]
    cover[people.edge & (slope < 0.11) & (specks > 0.55)] = SHRUB
    cover[people.edge & (slope < 0.11) & (specks > 1.25)] = BROADLEAF
    cover[forested] = BROADLEAF
    cover[forested & (zone > 0.48 + 0.08 * northness)] = CONIFER
    cover[~forested & (slope >= 0.11) & (specks + 0.5 * patches > 0.4)] = SHRUB
    cover[zone > 0.80] = SHRUB
    cover[zone > 0.85] = UPLAND
    cover[(slope > 0.85) | ((slope > 0.5) & (zone > 0.82)) | (zone > 0.96)] = ROCK
    _riverside(cover, land, specks)
    cover[people.urban] = np.where(specks > 0.1, GARDEN, STREET)[people.urban]
    cover[people.urban & people.building] = BUILDING
    cover[people.road] = STREET
    cover[land.water] = STILL
    cover[land.river] = RIVER
    return cover


def _riverside(cover: NDArray[np.uint8], land: Landscape, specks: NDArray[np.float32]) -> None:
    near = smooth(land.river, 7)
    cover[(near > 0.16 + 0.09 * specks) & ~land.river] = BROADLEAF
    bank = smooth(land.river, 2.5)
    cover[(bank > 0.18) & (specks > 0.7)] = GRAVEL
    stream = (land.catchment > 1.0) & (land.above_river < 1.5) & (specks > -0.8)
    cover[stream] = BROADLEAF
