"""What the published files of COP-GEN-Beta and COP-GEN hold, group by group, in the order of their weights.

Sources: the authors' configurations (COP-GEN: 453f829, COP-GEN-Beta: 89535fc on GitHub, miquel-espinosa).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from engine.errors import ModelError
from engine.networks.cop_gen import LatentGroup
from engine.networks.kl_autoencoder import STABLE_DIFFUSION_SCALE

HEADS = {1024: 16, 1152: 16, 1536: 24}  # attention heads by token length: base, large and huge
_VECTOR = (1, 1, 3)


@dataclass(frozen=True)
class PublishedGroup:
    """A group of the published models.

    Attributes:
        latent: As the denoiser sees it.
        bands: Channels of the image in their order; none for a vector.
        gsd_m: Metres a pixel of the image.
        scale: Between the autoencoder's latents and the denoiser's; None: the vector is its own latent.
        autoencoder: Folder of its autoencoder's ``model-50-ema.pth``; None: Stable Diffusion's, or a vector.
    """

    latent: LatentGroup
    bands: tuple[str, ...] = ()
    gsd_m: float | None = None
    scale: float | None = None
    autoencoder: str | None = None

    @property
    def name(self) -> str:
        """Name of the group."""
        return self.latent.name


def _display(name: str) -> PublishedGroup:
    latent = LatentGroup(name, 4, 32, 32)
    return PublishedGroup(latent, ("red", "green", "blue"), 10.0, STABLE_DIFFUSION_SCALE)


def _image(name: str, bands: str, gsd_m: int, size: int, scale: float, autoencoder: str) -> PublishedGroup:
    latent = LatentGroup(name, 8, size // 8, size // 8)
    folder = f"{autoencoder.replace('#', f'{size}x{size}')}_latent_8"
    return PublishedGroup(latent, tuple(bands.split()), float(gsd_m), scale, folder)


def _vector(name: str) -> PublishedGroup:
    return PublishedGroup(LatentGroup(name, *_VECTOR, patch=1))


# 8-bit thumbnails of 256 x 256 pixels: DEM is a hillshade and Sentinel-1 a false colour.
COP_GEN_BETA = tuple(_display(name) for name in ("dem", "s1_rtc", "s2_l1c", "s2_l2a"))

# Sorted by name, which is how the authors' configuration iterates; bands in the order of the channels.
COP_GEN = (
    _vector("3d_cartesian_lat_lon"),
    _image("DEM_DEM", "DEM", 30, 64, 0.404247, "DEM_#_DEM"),
    _image("LULC_LULC", "LULC", 10, 192, 0.464794, "LULC_#_LULC"),
    _image("S1RTC_vh_vv", "vv vh", 10, 192, 0.633804, "S1RTC_#_VV_VH"),
    _image("S2L1C_B01_B09_B10", "B01 B09 B10", 60, 32, 0.565812, "S2L1C_#_B1_9_10"),
    _image("S2L1C_B02_B03_B04_B08", "B04 B03 B02 B08", 10, 192, 0.772514, "S2L1C_#_B4_3_2_8"),
    _image(
        "S2L1C_B05_B06_B07_B11_B12_B8A",
        "B05 B06 B07 B8A B11 B12",
        20,
        96,
        0.765817,
        "S2L1C_#_B5_6_7_8A_11_12",
    ),
    _image("S2L1C_cloud_mask", "cloud_mask", 10, 192, 0.557045, "S2L1C_#_cloud_mask"),
    _image("S2L2A_B01_B09", "B01 B09", 60, 32, 0.571367, "S2L2A_#_B1_9"),
    _image("S2L2A_B02_B03_B04_B08", "B04 B03 B02 B08", 10, 192, 0.853416, "S2L2A_#_B4_3_2_8"),
    _image(
        "S2L2A_B05_B06_B07_B11_B12_B8A",
        "B05 B06 B07 B8A B11 B12",
        20,
        96,
        0.567267,
        "S2L2A_#_B5_6_7_8A_11_12",
    ),
    _vector("mean_timestamps"),
)


def check_order(tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuses weights of COP-GEN whose groups are in the order of the authors' list.

    Raises:
        ModelError: Position and date come first; nothing tells in which order the images then are.
    """
    shapes = [_shape(tensors, f"patch_embeds.{i}.proj.weight") for i in (0, 1, len(COP_GEN) - 1)]
    # The configuration lists position and date first; only iteration by name puts the date last.
    if None not in shapes and shapes[0] == shapes[1] != shapes[2]:
        raise ModelError(
            f"The file {where} holds its groups in the order of the authors' list and not sorted by name as "
            "published, so its channels cannot be told apart; ask for the published file."
        )


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None
