"""Where a result can have seams: the lines between its tiles, by phase.

A line x lies between pixels x - 1 and x. Lines of a lattice repeat every ``period_px``; the phase of a line
is ``(x - start_px) mod period_px``, and seams sit at a few known phases (``offsets_px``).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from engine.errors import InputError
from engine.models.schema import Tiling
from engine.tiling.plan import Plan

_CHUNK_PX = 1024  # of results whose tags do not say it
# Transposed convolutions print patterns of 2, 4 or 8 px into an image; they are no seams.
_PATTERN_PX = 8


@dataclass(frozen=True)
class Lines:
    """Seam lines along one axis, output pixels.

    Attributes:
        start_px: A line of phase 0 (may lie outside the file).
        period_px: Distance after which the lines repeat.
        offsets_px: Phases of the seam lines, 0 <= phase < period.
        multiple_px: Phases that differ by a multiple of this see the same pattern of the network.
        overlap: Phases of the pixels that two tiles may share, as (first, after the last); first may be < 0.
    """

    start_px: int
    period_px: int
    offsets_px: tuple[int, ...]
    multiple_px: int
    overlap: tuple[tuple[int, int], ...]

    def inside(self, size: int) -> int:
        """Number of seam lines strictly inside a raster of ``size`` pixels."""
        return sum(
            (size - 1 - self.start_px - offset) // self.period_px
            - (-self.start_px - offset) // self.period_px
            for offset in self.offsets_px
        )

    def overlap_phases(self) -> list[int]:
        """Phases of the pixels in the overlap, ascending."""
        pixels = (p for low, high in self.overlap for p in range(low, high))
        return sorted({p % self.period_px for p in pixels})


@dataclass(frozen=True)
class Lattice:
    """Seam lines of a raster.

    Attributes:
        source: In words, where the lines come from.
        rows, columns: Lines between rows, and between columns.
    """

    source: str
    rows: Lines
    columns: Lines


def of_grid(text: str) -> Lattice:
    """Lattice from ``PERIOD`` or ``PERIOD,ROW0,COL0`` (px), a line at each multiple from ROW0 and COL0.

    Raises:
        InputError: Not that, or a period under 16 px.
    """
    try:
        period, *start = (int(part) for part in text.split(","))
        row, col = start or (0, 0)
    except ValueError:
        raise InputError(
            f"The grid {text!r} is not a number of pixels; give it as 192 or 192,ROW,COL."
        ) from None
    if period < 16:
        raise InputError(
            f"The grid of {period} pixels is too fine to tell seams from texture; give 16 or more."
        )
    flank = period // 6
    rows, columns = (
        Lines(first, period, (0,), math.gcd(period, _PATTERN_PX), ((-flank, flank),)) for first in (row, col)
    )
    return Lattice(f"grid of {period} px from row {row}, column {col}", rows, columns)


def of_tag(text: str) -> Lattice:
    """Lattice from the provenance tag ``TILING``.

    Raises:
        InputError: The tag is damaged.
    """
    try:
        tag = json.loads(text)
        origin = tuple(int(value) for value in tag.pop("world_origin_px"))
        factor = int(tag.pop("scale_factor", None) or 1)
        chunk = int(tag.pop("chunk_px", None) or _CHUNK_PX)
        tiling = Tiling.model_validate({k: v for k, v in tag.items() if k in Tiling.model_fields})
        if len(origin) != 2 or factor < 1 or chunk < factor:
            raise ValueError
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        raise InputError(
            "The file's provenance tag TILING is damaged, so its tiles are not known; give them with --grid."
        ) from None
    if Plan(tiling, origin).on_lattice:
        rows, columns = (_lattice(tiling, factor, start) for start in origin)
        return Lattice(f"windows on the world's lattice, every {rows.period_px} px", rows, columns)
    lines = _chunks(tiling, factor, chunk // factor)
    return Lattice(f"chunks of {chunk // factor * factor} px from the file's corner", lines, lines)


def _lattice(tiling: Tiling, factor: int, origin: int) -> Lines:
    blended = tiling.mode == "lattice"
    stride = tiling.stride_px if blended else tiling.window_px - 2 * tiling.halo_px
    common = tiling.window_px - stride
    period = stride * factor
    # Window j spans [j * stride, j * stride + window); without a blend its core starts at j * stride.
    offsets = {0, tiling.window_px * factor % period} if blended else {0}
    overlap = (0, min(common, stride) * factor) if blended else _flanks(0, tiling.halo_px * factor, period)
    multiple = _multiple(tiling.stride_multiple * factor, period)
    return Lines(-origin * factor, period, tuple(sorted(offsets)), multiple, (overlap,))


def _chunks(tiling: Tiling, factor: int, chunk: int) -> Lines:
    room = tiling.window_px - 2 * tiling.halo_px - 2 * (tiling.stride_multiple - 1)
    piece = -(-chunk // -(-chunk // room))
    period = chunk * factor
    offsets = tuple(range(0, period, piece * factor))
    overlap = tuple(_flanks(offset, tiling.halo_px * factor, piece * factor) for offset in offsets)
    return Lines(0, period, offsets, _multiple(tiling.stride_multiple * factor, period), overlap)


def _flanks(line: int, halo: int, tile: int) -> tuple[int, int]:
    # More than a third of the tile would leave too little to compare with.
    reach = max(1, min(halo, tile // 6))
    return line - reach, line + reach


def _multiple(of_network: int, period: int) -> int:
    return math.gcd(math.lcm(of_network, _PATTERN_PX), period)
