"""The fields of a package of the family ``joint-diffusion``: any modalities from any others.

A *group* is what the denoiser sees as one latent: bands on one pixel grid, or a vector such as a date.
A *modality* is what a user gives or asks for; it may have several groups (Sentinel-2 at 10, 20 and 60 m).
"""

from __future__ import annotations

from math import lcm
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from engine.models.encodings import Encoding
from engine.models.schema import Modality, Positive, Strict, Word

GroupName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]{0,63}$")]
AssetKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Side = Annotated[int, Field(ge=1, le=1024)]


class Latent(Strict):
    """A group's latent as the denoiser sees it.

    Attributes:
        channels, height, width: Shape; a vector of n numbers is 1 x 1 x n.
        patch: Side of the squares that become tokens.
        scale: Factor between the autoencoder's latents and the denoiser's.
        autoencoder: Asset with the KL autoencoder's weights; None: the encoded values are the latent.
        decoder: Asset with a small decoder without norms to use in place of the autoencoder's own.
        decoder_halo: Cells around a cell on which the cell's pixels depend, for a decoder that is local: a
            scene is then decoded in parts without any overlap to blend. None: windows are blended.
    """

    channels: Annotated[int, Field(ge=1, le=64)]
    height: Side
    width: Side
    patch: Annotated[int, Field(ge=1, le=16)] = 2
    scale: Positive = 1.0
    autoencoder: AssetKey | None = None
    decoder: AssetKey | None = None
    decoder_halo: Annotated[int, Field(ge=0, le=128)] | None = None

    @model_validator(mode="after")
    def _has_decoder(self) -> Latent:
        if self.decoder is not None and self.autoencoder is None:
            raise ValueError("a decoder is given for a latent without an autoencoder")
        if self.decoder_halo is not None and self.decoder is None and self.autoencoder is not None:
            raise ValueError("decoder_halo is given without a decoder that it could be of")
        return self


class GroupBand(Strict):
    """A band that the group's encoding reads from a raster, by the name that users know."""

    name: Word
    common_name: Word | None = None
    wavelength_um: Positive | None = None


class Group(Strict):
    """One latent of the denoiser.

    Attributes:
        name: Unique; the authors' name where there is one.
        modality: What users call it: ``dem``, ``s1_rtc``, ``s2_l1c``, ``s2_l2a``, ``lulc``, ``cloud_mask``,
            ``position``, ``date`` ...
        latent: Its shape and autoencoder.
        encoding: Physical values to the model's range and back.
        bands: What the encoding reads, in its order; none for a vector.
        pixel: Side of the group's pixels in pixels of the job's grid (20 m bands on a 10 m grid: 2).
    """

    name: GroupName
    modality: Modality
    latent: Latent
    encoding: Encoding
    bands: Annotated[tuple[GroupBand, ...], Field(max_length=64)] = ()
    pixel: Annotated[int, Field(ge=1, le=64)] = 1

    @property
    def is_vector(self) -> bool:
        """Whether it holds for a whole window."""
        return self.encoding.kind in ("position", "date")

    @model_validator(mode="after")
    def _consistent(self) -> Group:
        if self.is_vector == bool(self.bands):
            raise ValueError(
                f"the group {self.name} has {len(self.bands)} bands, and its encoding {self.encoding.kind} "
                f"takes {'none' if self.is_vector else 'at least one'}"
            )
        latent = self.latent
        if self.is_vector and (latent.channels, latent.height, latent.width, latent.autoencoder) != (
            1,
            1,
            3,
            None,
        ):
            raise ValueError(
                f"the group {self.name} is a vector, whose latent is 1 x 1 x 3 without autoencoder"
            )
        if latent.height % latent.patch or latent.width % latent.patch:
            raise ValueError(f"the latent of {self.name} is no multiple of its patch {latent.patch}")
        if not self.is_vector and latent.height != latent.width:
            raise ValueError(f"the latent of {self.name} must be square")
        return self


class Sampler(Strict):
    """How the denoiser is run; users may change steps, stages and guidance.

    Attributes:
        heads: Attention heads of the network; its other sizes follow from its weights.
        prediction: What the network predicts: the noise, or v = alpha noise - sigma x0 (Salimans and Ho
            2022), or noise - x0 on the straight path of flow matching (Lipman et al. 2023), or x0 itself, as
            consistency students do.
        solver: ``singlestep`` and ``multistep``: DPM-Solver++; ``consistency``: x0, new noise, x0 again.
        steps: Evaluations of the network.
        stages: How often overlapping windows are reconciled, 1 to ``steps``.
        window_px, stride_px: Size and distance of windows, pixels of the job's grid.
        posterior: Whether conditions are drawn from the autoencoder's posterior or its mean is taken.
    """

    heads: Annotated[int, Field(ge=1, le=128)]
    prediction: Literal["noise", "velocity", "flow", "data"] = "noise"
    solver: Literal["singlestep", "multistep", "consistency"] = "singlestep"
    steps: Annotated[int, Field(ge=1, le=1000)] = 50
    stages: Annotated[int, Field(ge=1, le=16)] = 2
    window_px: Annotated[int, Field(ge=8, le=8192)]
    stride_px: Annotated[int, Field(ge=4, le=8192)]
    posterior: Literal["sample", "mean"] = "sample"

    @model_validator(mode="after")
    def _consistent(self) -> Sampler:
        if not self.window_px // 2 <= self.stride_px <= self.window_px:
            raise ValueError(
                f"stride_px must be from half of window_px ({self.window_px}) to all of it, and is "
                f"{self.stride_px}"
            )
        if self.solver == "multistep" and self.prediction == "flow":
            raise ValueError("the multistep solver cannot follow the path of flow matching; take singlestep")
        if self.stages > self.steps:
            raise ValueError(f"stages must be at most steps ({self.steps}), and is {self.stages}")
        return self


def check_groups(groups: tuple[Group, ...], sampler: Sampler) -> None:
    """What groups and sampler must agree on.

    Raises:
        ValueError: They do not.
    """
    names = [group.name for group in groups]
    if len(set(names)) != len(names):
        raise ValueError(f"group names must differ, and {names} has one twice")
    if all(group.is_vector for group in groups):
        raise ValueError("at least one group must be an image")
    for group in groups:
        if group.is_vector:
            continue
        cells = group.latent.height
        if sampler.window_px % (cells * group.pixel):
            raise ValueError(
                f"window_px ({sampler.window_px}) is no multiple of the latent of {group.name}: {cells} "
                f"cells of {group.pixel} pixels"
            )
        cell = sampler.window_px // cells
        if sampler.stride_px % cell:
            raise ValueError(
                f"stride_px ({sampler.stride_px}) is no multiple of a latent cell of {group.name}, which is "
                f"{cell} pixels wide"
            )


def cell_px(groups: tuple[Group, ...], sampler: Sampler) -> int:
    """Smallest square of the job's grid that is whole latent cells in every group (px)."""
    return lcm(*(sampler.window_px // g.latent.height for g in groups if not g.is_vector))
