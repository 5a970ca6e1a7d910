"""How a group of bands looks to a joint diffusion model: which raw bands it reads and what it gives back.

Only the fields of a package; ``engine.modalities`` computes. The model's range is about [-1, 1] everywhere.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.models.schema import Color, Interval, Positive, Strict, Text


def _rising(name: str, interval: Interval) -> None:
    if not interval[0] < interval[1]:
        raise ValueError(f"{name} must be two rising numbers, and {list(interval)} is not")


class Sentinel2Thumbnail(Strict):
    """8-bit true colour of COP-GEN-Beta: rgb = clip(1.3 (DN / 10000)^0.6), display values."""

    kind: Literal["sentinel2-thumbnail"]


class Sentinel1Thumbnail(Strict):
    """8-bit false colour of COP-GEN-Beta: VV, VV + VH, VH in dB, stretched over the scene; display values."""

    kind: Literal["sentinel1-thumbnail"]


class HillshadeThumbnail(Strict):
    """8-bit hillshade of COP-GEN-Beta, grey in three channels, display values.

    Attributes:
        spacing_px: Distance of the heights whose difference is the slope (px). A 30 m DEM on a 10 m grid: 3,
            which gives the slopes of its own grid.
    """

    kind: Literal["hillshade-thumbnail"]
    spacing_px: Annotated[int, Field(ge=1, le=64)] = 1


class Reflectance(Strict):
    """Sentinel-2 numbers: x = gain DN / 10000 - 1; the published models have a gain of 2."""

    kind: Literal["reflectance"]
    gain: Positive = 2.0


class Backscatter(Strict):
    """Radar in dB: x = 2 (d - low) / (high - low) - 1; power that is not positive counts as ``floor``."""

    kind: Literal["backscatter"]
    db: Interval
    floor: Positive

    @model_validator(mode="after")
    def _consistent(self) -> Backscatter:
        _rising("db", self.db)
        return self


class Height(Strict):
    """Metres: x = 2 (log(1 + h) - low) / (high - low) - 1; heights not above 0 count as ``floor``."""

    kind: Literal["height"]
    log: Interval
    floor: Positive

    @model_validator(mode="after")
    def _consistent(self) -> Height:
        _rising("log", self.log)
        return self


class CodedClass(Strict):
    """A class of a map; its place in the list is its channel."""

    value: Annotated[int, Field(ge=0, le=65535)]
    name: Text
    color: Color


class Classes(Strict):
    """A class map as one-hot planes of -1 and 1."""

    kind: Literal["classes"]
    classes: Annotated[tuple[CodedClass, ...], Field(min_length=2, max_length=254)]

    @model_validator(mode="after")
    def _consistent(self) -> Classes:
        values = [entry.value for entry in self.classes]
        names = [re.sub(r"[^a-z0-9]+", " ", entry.name.casefold()).strip() for entry in self.classes]
        for what, given in (("values", values), ("names", names)):
            if len(set(given)) != len(given):
                raise ValueError(f"class {what} must differ, and {given} has one twice")
        if not all(names):
            raise ValueError("every class must have a name with a letter or a digit")
        return self


class Linear(Strict):
    """x = value * scale + offset, in the units of the group."""

    kind: Literal["linear"]
    scale: float
    offset: float = 0.0
    units: Annotated[str, Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _consistent(self) -> Linear:
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        return self


class Standardised(Strict):
    """x = (value - scene mean) / scene standard deviation / deviations, clipped to [-1, 1].

    Gives relative values back: 0 to 1 over the clipped range.
    """

    kind: Literal["standardised"]
    deviations: Positive
    units: Annotated[str, Field(min_length=1, max_length=64)]


class Position(Strict):
    """Latitude and longitude of a window's centre as a unit vector."""

    kind: Literal["position"]


class Date(Strict):
    """Day of the year as sine and cosine, and the year."""

    kind: Literal["date"]


Encoding = Annotated[
    Sentinel2Thumbnail
    | Sentinel1Thumbnail
    | HillshadeThumbnail
    | Reflectance
    | Backscatter
    | Height
    | Classes
    | Linear
    | Standardised
    | Position
    | Date,
    Field(discriminator="kind"),
]
