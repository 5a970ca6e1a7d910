"""Boxes of pixels and the world-anchored lattices that cut them up.

Every box is in pixels of one grid; negative positions are as good as any. A lattice is the set of multiples
of its stride in *world* pixels (``engine.raster.grid.Grid.origin``), the same for every raster on that grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: first row, first column, height, width (px)."""

    row: int
    col: int
    height: int
    width: int

    @property
    def rows(self) -> tuple[int, int]:
        """First row and the row after the last."""
        return self.row, self.row + self.height

    @property
    def cols(self) -> tuple[int, int]:
        """First column and the column after the last."""
        return self.col, self.col + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array whose pixel (0, 0) is the grid's."""
        return slice(*self.rows), slice(*self.cols)

    def shifted(self, rows: int, cols: int) -> Box:
        """Moved down by ``rows`` and right by ``cols``."""
        return Box(self.row + rows, self.col + cols, self.height, self.width)

    def within(self, outer: Box) -> Box:
        """The same box counted from the corner of ``outer``."""
        return self.shifted(-outer.row, -outer.col)

    def grown(self, margin: int) -> Box:
        """Larger by ``margin`` on each side."""
        return Box(self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin)

    def scaled(self, factor: int) -> Box:
        """The same place on a grid with ``factor`` times as many pixels a side."""
        return Box(self.row * factor, self.col * factor, self.height * factor, self.width * factor)

    def intersection(self, other: Box) -> Box | None:
        """The common part; None if there is none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.rows[1], other.rows[1]) - row
        width = min(self.cols[1], other.cols[1]) - col
        return Box(row, col, height, width) if height > 0 and width > 0 else None

    def snapped_out(self, multiple: int, origin: tuple[int, int] = (0, 0)) -> Box:
        """The smallest box around this one whose edges are multiples of ``multiple`` in world pixels.

        Args:
            multiple: Lattice stride (px).
            origin: World pixel of the grid's pixel (0, 0).
        """
        top, bottom = _snap(*self.rows, multiple, origin[0])
        left, right = _snap(*self.cols, multiple, origin[1])
        return Box(top, left, bottom - top, right - left)

    def snapped_in(self, multiple: int, origin: tuple[int, int] = (0, 0)) -> Box | None:
        """The largest box in this one with such edges, see ``snapped_out``; None: there is none."""
        top, bottom = (edge * multiple - origin[0] for edge in _whole(*self.rows, multiple, origin[0]))
        left, right = (edge * multiple - origin[1] for edge in _whole(*self.cols, multiple, origin[1]))
        return Box(top, left, bottom - top, right - left) if top < bottom and left < right else None


def _whole(start: int, stop: int, multiple: int, origin: int) -> tuple[int, int]:
    return -(-(start + origin) // multiple), (stop + origin) // multiple


def _snap(start: int, stop: int, multiple: int, origin: int) -> tuple[int, int]:
    low = (start + origin) // multiple * multiple
    high = -(-(stop + origin) // multiple) * multiple
    return low - origin, high - origin


def chunks(height: int, width: int, size: int) -> list[Box]:
    """The output file in row-major squares of ``size``, smaller at the right and bottom edge."""
    return list(split(Box(0, 0, height, width), size))


def split(box: Box, size: int) -> Iterator[Box]:
    """Cuts a box into row-major squares of ``size``, smaller at the right and bottom edge."""
    for row in range(*box.rows, size):
        for col in range(*box.cols, size):
            yield Box(row, col, min(size, box.rows[1] - row), min(size, box.cols[1] - col))


def lattice_windows(box: Box, size: int, stride: int, origin: tuple[int, int], inset: int = 0) -> list[Box]:
    """Windows whose inner part touches ``box``, row-major.

    Window j covers ``[j * stride - inset, j * stride - inset + size)`` in world pixels, on both axes; its
    inner part leaves out ``inset`` pixels on each side.

    Args:
        box: Where a result is wanted.
        size: Side of a window (px).
        stride: Distance of neighbouring windows (px).
        origin: World pixel of the grid's pixel (0, 0).
        inset: Margin of each window that gives no result (px).
    """
    inner = size - 2 * inset
    rows = _starts(*box.rows, inner, stride, origin[0])
    cols = _starts(*box.cols, inner, stride, origin[1])
    return [Box(row - inset, col - inset, size, size) for row in rows for col in cols]


def _starts(start: int, stop: int, inner: int, stride: int, origin: int) -> list[int]:
    first = -((inner - 1 - start - origin) // stride)
    last = (stop - 1 + origin) // stride
    return [j * stride - origin for j in range(first, last + 1)]
