"""Patches that COP-GEN-Beta's tools have cut already: ``<source>_thumbnail/<cell>_<number>.png``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from engine.errors import InputError
from engine.models.joint_schema import Group
from training.datasets.scenes import ArrayLayer, Scene

# Modality -> the authors' folder.
FOLDERS = {
    "dem": "DEM_thumbnail",
    "s1_rtc": "S1RTC_thumbnail",
    "s2_l1c": "S2L1C_thumbnail",
    "s2_l2a": "S2L2A_thumbnail",
}
_NAME = re.compile(r"(.+)_(\d+)")


class PatchFolders:
    """The patches under a folder as scenes of one patch each; a modality may be missing from some.

    Args:
        root: Holds the folders.
        groups: Of the model.

    Raises:
        InputError: There are no patches.
    """

    def __init__(self, root: Path, groups: Sequence[Group]) -> None:
        known = [group for group in groups if group.modality in FOLDERS]
        self._folders = {group.name: root / FOLDERS[group.modality] for group in known}
        names = {file.stem for folder in self._folders.values() for file in folder.glob("*.png")}
        self._names = sorted(name for name in names if _NAME.fullmatch(name))
        if not self._names:
            raise InputError(
                f"{root} holds no patches: no files <cell>_<number>.png in {', '.join(FOLDERS.values())}."
            )

    def __len__(self) -> int:
        """Number of patches."""
        return len(self._names)

    def __iter__(self) -> Iterator[Scene]:
        """Scenes, one a patch."""
        for name in self._names:
            layers = {
                group: _picture(folder / f"{name}.png")
                for group, folder in self._folders.items()
                if (folder / f"{name}.png").is_file()
            }
            first = next(iter(layers.values()))
            cell, number = _NAME.fullmatch(name).groups()
            yield Scene(cell, first.height, first.width, layers, first=int(number))


def picture_values(levels: np.ndarray) -> np.ndarray:
    """8-bit levels (H, W) or (H, W, >= 3) to (3, H, W) float32 in [-1, 1]; grey in all three channels."""
    coloured = np.repeat(levels[:, :, None], 3, axis=2) if levels.ndim == 2 else levels[:, :, :3]
    return np.moveaxis(coloured, 2, 0).astype(np.float32) / np.float32(127.5) - 1


def _picture(file: Path) -> ArrayLayer:
    from PIL import Image, UnidentifiedImageError

    try:
        levels = np.asarray(Image.open(file))
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"The patch {file} is damaged: {error}.") from None
    if levels.dtype != np.uint8:
        raise InputError(f"The patch {file} has {levels.dtype} values and should have 8 bits.")
    values = picture_values(levels)
    return ArrayLayer(values, np.ones(values.shape[1:], bool), ready=True)
