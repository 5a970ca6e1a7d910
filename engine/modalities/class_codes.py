"""Land cover in a legend of its own to the codes that a group's classes have."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.models import legends
from engine.models.joint_schema import Group
from engine.models.schema import MaskClass, OneHotInput


def class_mask(group: Group) -> OneHotInput:
    """The classes of a group as an input, for what reads and checks class masks elsewhere."""
    classes = tuple(
        MaskClass(name=re.sub(r"[^A-Za-z0-9_.-]+", " ", entry.name).strip(), color=entry.color)
        for entry in group.encoding.classes
    )
    return OneHotInput(modality=group.modality, tensor=group.name, encoding="one-hot", classes=classes)


def class_legend(group: Group, legend: str | Mapping[int, str] | None) -> legends.Legend:
    """A legend bound to a group's classes.

    Args:
        group: Its encoding is ``classes``.
        legend: As for ``legends.load``; None: the raster holds the group's own codes.

    Raises:
        InputError: See ``legends.bind``.
    """
    mask = class_mask(group)
    if legend is not None:
        return legends.bind(legend, mask)
    codes = [entry.value for entry in group.encoding.classes]
    names = [entry.name for entry in mask.classes]
    entries = tuple(
        legends.LegendClass((code,), name, None, index)
        for index, (code, name) in enumerate(zip(codes, names, strict=True))
    )
    return legends.Legend(
        group.name, "the model's codes", "", entries, tuple(names), tuple(c.color for c in mask.classes)
    )


def to_codes(values: NDArray[np.float32], group: Group, legend: legends.Legend) -> NDArray[np.float32]:
    """(1, H, W) of a raster to the group's codes; NaN where there is no data or a value has no class.

    Values without a class are for ``legend.unknown`` to find before.
    """
    codes = np.full(256, np.nan, np.float32)
    codes[: len(group.encoding.classes)] = [entry.value for entry in group.encoding.classes]
    return codes[legend.apply(values[0])][None]
