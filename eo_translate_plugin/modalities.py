"""The modalities that any-to-any models share, and what people call them."""

from __future__ import annotations

from .translate import tr

# Each has an input and an output of its own in the toolbox; other rasters of a package go by OTHER_INPUTS.
RASTERS = ("dem", "s1_rtc", "s2_l1c", "s2_l2a", "lulc", "cloud_mask")
DATE, POSITION = "date", "position"
# Given as a value for the whole scene, generated as a raster like the others.
VALUES = (DATE, POSITION)


def title(modality: str) -> str:
    """What people call a modality; others than those above go by their own name."""
    titles = {
        "dem": tr("Elevation"),
        "s1_rtc": tr("Sentinel-1 RTC"),
        "s2_l1c": tr("Sentinel-2 L1C"),
        "s2_l2a": tr("Sentinel-2 L2A"),
        "lulc": tr("Land cover"),
        "cloud_mask": tr("Cloud mask"),
        DATE: tr("Date"),
        POSITION: tr("Position"),
    }
    return titles.get(modality, modality)
