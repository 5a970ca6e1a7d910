"""How the published models cut Major TOM cells (10.68 km) into patches, and what they read of a cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError, MissingPackageError
from engine.tiling.lattice import Box


@dataclass(frozen=True)
class Patch:
    """A part of a cell.

    Attributes:
        index: Number in the cell, row by row.
        row, col: Place among the patches.
        box: Place among the pixels of the cell.
    """

    index: int
    row: int
    col: int
    box: Box


def centre_box(height: int, width: int, size: int) -> Box:
    """The square of ``size`` in the middle of a raster, what COP-GEN reads of a cell.

    Raises:
        InputError: The raster is smaller.
    """
    if size > min(height, width):
        raise InputError(
            f"A raster of {height} x {width} pixels is smaller than the wanted {size} x {size}; give "
            "a larger one."
        )
    return Box((height - size) // 2, (width - size) // 2, size, size)


def centred_patches(height: int, width: int, size: int) -> list[Patch]:
    """COP-GEN-Beta's: as many patches as fit, none overlapping, the rest left over evenly on all sides.

    A cell of 1068 x 1068 pixels has 16 of 256 x 256, the first at (22, 22).

    Raises:
        InputError: Not a single one fits.
    """
    centre_box(height, width, size)
    rows, cols = height // size, width // size
    top, left = (height - rows * size) // 2, (width - cols * size) // 2
    tops = [top + row * size for row in range(rows)]
    return _patches(tops, [left + col * size for col in range(cols)], size)


def covering_patches(height: int, width: int, size: int) -> list[Patch]:
    """COP-GEN's: patches over all of the cell; the last row and column end with it and overlap.

    A cell of 1068 x 1068 pixels has 36 of 192 x 192.

    Raises:
        InputError: Not a single one fits.
    """
    centre_box(height, width, size)
    return _patches(_covering_starts(height, size), _covering_starts(width, size), size)


def resized_levels(levels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) levels on another number of pixels, by Pillow's bilinear filter.

    COP-GEN-Beta brings the 30 m hillshade of a cell, 356 x 356 pixels, to 1068 x 1068 so.

    Raises:
        MissingPackageError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingPackageError(
            "Resizing thumbnails needs the package pillow, which is not installed; install "
            "eo-translate[train]."
        ) from None
    return np.asarray(Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR))


def _covering_starts(length: int, size: int) -> list[int]:
    return [min(start, length - size) for start in range(0, length, size)]


def _patches(tops: list[int], lefts: list[int], size: int) -> list[Patch]:
    places = [(row, col) for row in range(len(tops)) for col in range(len(lefts))]
    return [
        Patch(index, row, col, Box(tops[row], lefts[col], size, size))
        for index, (row, col) in enumerate(places)
    ]
