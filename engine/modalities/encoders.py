"""The encoder of a group, by the kind of its encoding."""

from __future__ import annotations

from engine.modalities.base import Encoder
from engine.modalities.physical import (
    BackscatterEncoder,
    ClassesEncoder,
    HeightEncoder,
    LinearEncoder,
    ReflectanceEncoder,
    StandardisedEncoder,
)
from engine.modalities.thumbnails import (
    HillshadeThumbnailEncoder,
    Sentinel1ThumbnailEncoder,
    Sentinel2ThumbnailEncoder,
)
from engine.models.joint_schema import Group

_ENCODERS = {
    "sentinel2-thumbnail": Sentinel2ThumbnailEncoder,
    "sentinel1-thumbnail": Sentinel1ThumbnailEncoder,
    "hillshade-thumbnail": HillshadeThumbnailEncoder,
    "reflectance": ReflectanceEncoder,
    "backscatter": BackscatterEncoder,
    "height": HeightEncoder,
    "classes": ClassesEncoder,
    "linear": LinearEncoder,
    "standardised": StandardisedEncoder,
}


def encoder(group: Group) -> Encoder:
    """Physical values of a group of bands to the model's range and back.

    Raises:
        ValueError: The group is a vector, which ``engine.modalities.vectors`` makes.
    """
    if group.is_vector:
        raise ValueError(f"the group {group.name} is a vector and has no raster")
    return _ENCODERS[group.encoding.kind](group)
