"""item.json as a whole: a STAC Item whose properties hold the fields of one family of models."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from engine.models.joint_schema import Group, Sampler, cell_px, check_groups
from engine.models.schema import VERSION, Input, Name, Noise, Output, Positive, Precision, Text, Tiling


def _alias(field: str) -> str:
    return "eo_translate:" + field


class Common(BaseModel):
    """What every family's ``properties`` have; keys of other extensions are left alone."""

    model_config = ConfigDict(
        frozen=True, strict=True, allow_inf_nan=False, extra="allow", populate_by_name=True
    )

    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    description: Text = ""
    license: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    architecture: Text = Field(alias="mlm:architecture")
    total_parameters: Annotated[int, Field(ge=0)] | None = Field(alias="mlm:total_parameters", default=None)
    version: int = Field(alias=_alias("version"))
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1)] = Field(
        alias=_alias("precisions"), default=("float32",)
    )
    gsd_m: Positive | None = Field(alias=_alias("gsd_m"), default=None)
    gsd_range_m: tuple[Positive, Positive] | None = Field(alias=_alias("gsd_range_m"), default=None)
    limits: Text = Field(alias=_alias("limits"), default="")
    citation: Text = Field(alias=_alias("citation"), default="")
    training: dict[str, Any] = Field(alias=_alias("training"), default={})
    metrics: dict[str, Any] = Field(alias=_alias("metrics"), default={})

    @model_validator(mode="after")
    def _no_unknown_fields(self) -> Common:
        known = {field.alias for field in type(self).model_fields.values()}
        unknown = [
            key for key in self.model_extra or {} if key.startswith("eo_translate:") and key not in known
        ]
        if unknown:
            raise ValueError(
                f"there is no field {unknown[0]} in version {VERSION} of the format; check its spelling"
            )
        if self.precisions[0] != "float32" or len(set(self.precisions)) != len(self.precisions):
            raise ValueError(
                "eo_translate:precisions must begin with float32 and name each precision once, and is "
                f"{list(self.precisions)}"
            )
        if self.gsd_range_m and not self.gsd_range_m[0] <= self.gsd_range_m[1]:
            raise ValueError(f"eo_translate:gsd_range_m must be rising, and is {list(self.gsd_range_m)}")
        return self


class FeedForwardProperties(Common):
    """One evaluation of a network from fixed inputs to one output."""

    family: Literal["feed-forward"] = Field(alias=_alias("family"))
    network: Literal["aras400k-spade"] | None = Field(alias=_alias("network"), default=None)
    inputs: Annotated[tuple[Input, ...], Field(min_length=1, max_length=16)] = Field(alias=_alias("inputs"))
    noise: Noise | None = Field(alias=_alias("noise"), default=None)
    output: Output = Field(alias=_alias("output"))
    tiling: Tiling = Field(alias=_alias("tiling"))
    sample_statistics: dict[str, dict[str, dict[str, float]]] = Field(
        alias=_alias("sample_statistics"), default={}
    )

    @model_validator(mode="after")
    def _consistent(self) -> FeedForwardProperties:
        if not any(entry.required for entry in self.inputs):
            raise ValueError("eo_translate:inputs must have at least one input with required: true")
        tensors = [entry.tensor for entry in self.inputs] + ([self.noise.tensor] if self.noise else [])
        for what, names in (("tensor", tensors), ("modality", [entry.modality for entry in self.inputs])):
            if len(set(names)) != len(names):
                raise ValueError(f"each input needs its own {what}, and {names} has one twice")
        return self


class JointProperties(Common):
    """Any modalities from any others by joint diffusion; see ``engine.models.joint_schema``."""

    family: Literal["joint-diffusion"] = Field(alias=_alias("family"))
    network: Literal["cop-gen"] = Field(alias=_alias("network"))
    groups: Annotated[tuple[Group, ...], Field(min_length=1, max_length=64)] = Field(alias=_alias("groups"))
    sampler: Sampler = Field(alias=_alias("sampler"))

    @property
    def tiling(self) -> Tiling:
        """The lattice of the sampler's windows."""
        sampler = self.sampler
        return Tiling(
            mode="lattice",
            stride_multiple=cell_px(self.groups, sampler),
            window_px=sampler.window_px,
            stride_px=sampler.stride_px,
        )

    @model_validator(mode="after")
    def _consistent(self) -> JointProperties:
        check_groups(self.groups, self.sampler)
        return self


Properties = Annotated[FeedForwardProperties | JointProperties, Field(discriminator="family")]


class Asset(BaseModel):
    """A file of the package with its size and its SHA-256 (multihash 0x12, 0x20)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", populate_by_name=True)

    href: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    roles: tuple[str, ...] = ()
    size: Annotated[int, Field(ge=0)] = Field(alias="file:size")
    checksum: Annotated[str, StringConstraints(pattern=r"^1220[0-9a-f]{64}$")] = Field(alias="file:checksum")

    @property
    def sha256(self) -> str:
        """SHA-256 in hexadecimal, without the multihash prefix."""
        return self.checksum[4:]


class Document(BaseModel):
    """item.json as far as this program reads it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    type: Literal["Feature"]
    stac_version: str
    id: Name
    properties: Properties
    assets: Annotated[dict[str, Asset], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _has_model(self) -> Document:
        if "model" not in self.assets:
            raise ValueError(
                f"assets must have an entry named 'model', and has only {', '.join(self.assets)}"
            )
        if "mlm:model" not in self.assets["model"].roles:
            raise ValueError("assets.model.roles must contain 'mlm:model'")
        if isinstance(self.properties, JointProperties):
            for group in self.properties.groups:
                for key in (group.latent.autoencoder, group.latent.decoder):
                    if key is not None and key not in self.assets:
                        raise ValueError(f"the group {group.name} names the asset {key}, which is not there")
        duplicates = [a.href for a in chain(self.assets.values())]
        if len(set(duplicates)) != len(duplicates):
            raise ValueError("two assets must not name the same file")
        return self
