"""The groups and the sampler of the published models, as fields of a package.

Sources: COP-GEN-Beta (arXiv:2504.08548) and COP-GEN (arXiv:2603.03239), their code and configurations.
"""

from __future__ import annotations

from typing import Literal

from engine.models.encodings import (
    Backscatter,
    Classes,
    CodedClass,
    Date,
    Encoding,
    Height,
    HillshadeThumbnail,
    Position,
    Reflectance,
    Sentinel1Thumbnail,
    Sentinel2Thumbnail,
)
from engine.models.joint_schema import Group, GroupBand, Latent, Sampler
from engine.networks.cop_gen_published import COP_GEN, COP_GEN_BETA, PublishedGroup

Name = Literal["cop-gen-beta", "cop-gen"]

# Centres of Sentinel-2A's bands, ESA Sentinel-2 user handbook (um).
_SENTINEL2 = {
    "B01": ("coastal", 0.443),
    "B02": ("blue", 0.490),
    "B03": ("green", 0.560),
    "B04": ("red", 0.665),
    "B05": ("rededge071", 0.705),
    "B06": ("rededge075", 0.740),
    "B07": ("rededge078", 0.783),
    "B08": ("nir", 0.842),
    "B8A": ("nir08", 0.865),
    "B09": ("nir09", 0.945),
    "B10": ("cirrus", 1.375),
    "B11": ("swir16", 1.610),
    "B12": ("swir22", 2.190),
}
_GRID_M = 10.0
_BACKSCATTER = Backscatter(kind="backscatter", db=(-55.787186, 40.2258), floor=2.6380407689430285e-06)
_HEIGHT = Height(kind="height", log=(0.000006, 9.088), floor=5.899129519093549e-06)
# Esri's annual land cover: its codes and colours.
_LAND_COVER = (
    (0, "No data", (0, 0, 0)),
    (1, "Water", (26, 91, 171)),
    (2, "Trees", (53, 130, 33)),
    (4, "Flooded vegetation", (135, 209, 158)),
    (5, "Crops", (255, 219, 92)),
    (7, "Built area", (237, 2, 42)),
    (8, "Bare ground", (237, 233, 228)),
    (9, "Snow / ice", (242, 250, 255)),
    (10, "Clouds", (200, 200, 200)),
    (11, "Rangeland", (198, 173, 141)),
)
_CLOUD_MASK = (
    (0, "Clear", (90, 150, 90)),
    (1, "Thick cloud", (255, 255, 255)),
    (2, "Thin cloud", (170, 200, 230)),
    (3, "Cloud shadow", (70, 70, 90)),
)
_BETA_DEM_M = 30.0  # its hillshades were made on the DEM's own grid
_BETA: dict[str, tuple[Encoding, tuple[str, ...]]] = {
    "dem": (
        HillshadeThumbnail(kind="hillshade-thumbnail", spacing_px=int(_BETA_DEM_M / _GRID_M)),
        ("DEM",),
    ),
    "s1_rtc": (Sentinel1Thumbnail(kind="sentinel1-thumbnail"), ("VV", "VH")),
    "s2_l1c": (Sentinel2Thumbnail(kind="sentinel2-thumbnail"), ("B04", "B03", "B02")),
    "s2_l2a": (Sentinel2Thumbnail(kind="sentinel2-thumbnail"), ("B04", "B03", "B02")),
}
_BETA_AUTOENCODER = "autoencoder"


def published_groups(name: Name) -> tuple[Group, ...]:
    """The groups of a published model, in the order of its weights.

    COP-GEN-Beta's share the autoencoder asset ``autoencoder``; each image of COP-GEN has its own,
    ``autoencoder-`` and the group's name.
    """
    if name == "cop-gen-beta":
        return tuple(_beta_group(group) for group in COP_GEN_BETA)
    return tuple(_cop_gen_group(group) for group in COP_GEN)


def published_sampler(name: Name) -> Sampler:
    """How a published model is run: its own window, neighbours overlapping by a quarter, the authors' steps.

    ``heads`` are those of the published base size.
    """
    window, stride = {"cop-gen-beta": (256, 192), "cop-gen": (192, 144)}[name]
    return Sampler(heads=16, steps=50, stages=2, window_px=window, stride_px=stride)


def _beta_group(group: PublishedGroup) -> Group:
    encoding, bands = _BETA[group.name]
    return Group(
        name=group.name,
        modality=group.name,
        latent=_latent(group, _BETA_AUTOENCODER),
        encoding=encoding,
        bands=tuple(_band(band) for band in bands),
    )


def _cop_gen_group(group: PublishedGroup) -> Group:
    modality, encoding = _meaning(group.name)
    if not group.bands:
        return Group(name=group.name, modality=modality, latent=_latent(group, None), encoding=encoding)
    return Group(
        name=group.name,
        modality=modality,
        latent=_latent(group, f"autoencoder-{group.name}"),
        encoding=encoding,
        bands=tuple(_band(band) for band in group.bands),
        pixel=round(group.gsd_m / _GRID_M),
    )


def _meaning(name: str) -> tuple[str, Encoding]:
    """Modality and encoding of a group of COP-GEN."""
    exact: dict[str, tuple[str, Encoding]] = {
        "3d_cartesian_lat_lon": ("position", Position(kind="position")),
        "mean_timestamps": ("date", Date(kind="date")),
        "DEM_DEM": ("dem", _HEIGHT),
        "LULC_LULC": ("lulc", _classes(_LAND_COVER)),
        "S1RTC_vh_vv": ("s1_rtc", _BACKSCATTER),
        "S2L1C_cloud_mask": ("cloud_mask", _classes(_CLOUD_MASK)),
    }
    if name in exact:
        return exact[name]
    return ("s2_l1c" if name.startswith("S2L1C") else "s2_l2a"), Reflectance(kind="reflectance")


def _classes(entries: tuple[tuple[int, str, tuple[int, int, int]], ...]) -> Classes:
    coded = tuple(CodedClass(value=value, name=name, color=color) for value, name, color in entries)
    return Classes(kind="classes", classes=coded)


def _latent(group: PublishedGroup, autoencoder: str | None) -> Latent:
    shape = group.latent
    return Latent(
        channels=shape.channels,
        height=shape.height,
        width=shape.width,
        patch=shape.patch,
        scale=group.scale or 1.0,
        autoencoder=autoencoder,
    )


def _band(name: str) -> GroupBand:
    common_name, wavelength = _SENTINEL2.get(name, (None, None))
    shown = name.upper() if name in ("vv", "vh") else name
    return GroupBand(name=shown, common_name=common_name, wavelength_um=wavelength)
