"""Which windows of the network make up a box of the result, and how they are put together."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.models.schema import Tiling
from engine.tiling.blend import Blender, flank_weights
from engine.tiling.lattice import Box, lattice_windows, split

CHUNK_PX = 1024
_STRIP_CHUNKS = 16
_V = TypeVar("_V")


@dataclass(frozen=True)
class Window:
    """One evaluation of the network, in input pixels of the layer.

    Attributes:
        box: What is fed.
        core: The part of the result that is used as it is; None: all of it, blended with its neighbours.
    """

    box: Box
    core: Box | None

    @property
    def reach(self) -> Box:
        """Where the result has a say."""
        return self.core or self.box


@dataclass(frozen=True)
class Plan:
    """The windows that a result needs; all boxes are pixels of the layer.

    Attributes:
        tiling: The model's rules.
        origin: World pixel of the layer's pixel (0, 0); lattices are anchored there.
    """

    tiling: Tiling
    origin: tuple[int, int]

    @property
    def on_lattice(self) -> bool:
        """Whether windows have fixed places in the world; else they follow the box that is wanted."""
        return self.tiling.mode == "lattice" or self.tiling.fixed_window or self._room < 1

    def context(self, box: Box) -> Box:
        """All input pixels that the result of ``box`` is made from."""
        if not self.on_lattice:
            return box.grown(self.tiling.halo_px).snapped_out(self.tiling.stride_multiple, self.origin)
        windows = self.windows(box)
        row, col = windows[0].box.row, windows[0].box.col
        return Box(row, col, windows[-1].box.rows[1] - row, windows[-1].box.cols[1] - col)

    def windows(self, box: Box) -> list[Window]:
        """Windows that contribute to ``box``, row-major."""
        if not self.on_lattice:
            return [Window(self.context(piece), piece) for piece in self._pieces(box)]
        inset = self._inset
        boxes = lattice_windows(box, self.tiling.window_px, self._stride, self.origin, inset)
        return [Window(b, b.grown(-inset) if self.tiling.mode == "crop" else None) for b in boxes]

    def halves(self, window: Window) -> tuple[Window, Window] | None:
        """The same result from two smaller windows, for a device short of memory; None: impossible."""
        step = self.tiling.stride_multiple
        if self.on_lattice or window.core is None:
            return None
        core = window.core
        if max(core.height, core.width) <= step:
            return None
        if core.height >= core.width:
            cut = core.height // 2
            parts = (Box(core.row, core.col, cut, core.width),)
            parts += (Box(core.row + cut, core.col, core.height - cut, core.width),)
        else:
            cut = core.width // 2
            parts = (Box(core.row, core.col, core.height, cut),)
            parts += (Box(core.row, core.col + cut, core.height, core.width - cut),)
        first, second = (Window(self.context(part), part) for part in parts)
        return first, second

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """(window, window) blend weights of a lattice window."""
        return flank_weights(self.tiling.window_px, self._stride)

    def _pieces(self, box: Box) -> list[Box]:
        """``box`` in parts whose context fits the model's largest window."""
        longest = max(box.height, box.width)
        # Equal parts: a thin last one would cost almost a whole window.
        return list(split(box, -(-longest // -(-longest // self._room))))

    @property
    def _room(self) -> int:
        """Side of the largest piece whose context, snapped to the stride, fits a window."""
        tiling = self.tiling
        return tiling.window_px - 2 * tiling.halo_px - 2 * (tiling.stride_multiple - 1)

    @property
    def _stride(self) -> int:
        tiling = self.tiling
        return tiling.window_px - 2 * tiling.halo_px if tiling.mode == "crop" else tiling.stride_px

    @property
    def _inset(self) -> int:
        return self.tiling.halo_px if self.tiling.mode == "crop" else 0


class Assembly:
    """Puts windows' results together over a box, in the order in which they are fed.

    Args:
        plan: Made the windows.
        bands: Bands of the network's output.
        factor: Output pixels per input pixel.
        box: In pixels of the layer.
    """

    def __init__(self, plan: Plan, bands: int, factor: int, box: Box) -> None:
        self._box, self._factor = box, factor
        self._blender = self._weights = self._pasted = None
        if plan.tiling.mode == "lattice":
            self._blender = Blender(bands, box.scaled(factor))
            self._weights = np.kron(plan.weights, np.ones((factor, factor), dtype=np.float32))
        else:
            shape = (bands, box.height * factor, box.width * factor)
            self._pasted = np.full(shape, np.nan, dtype=np.float32)

    def feed(self, window: Window, result: NDArray[np.float32]) -> None:
        """Takes the result (C, h * f, w * f) of a whole window."""
        if self._blender is not None:
            self._blender.feed(window.box.scaled(self._factor), result, self._weights)
            return
        used = window.core.intersection(self._box)
        if used is not None:
            place = used.within(self._box).scaled(self._factor).slices
            self._pasted[(slice(None), *place)] = result[
                (slice(None), *used.within(window.box).scaled(self._factor).slices)
            ]

    @property
    def data(self) -> NDArray[np.float32]:
        """(C, H * f, W * f) float32; NaN where no window came."""
        return self._pasted if self._blender is None else self._blender.data


class Kept(Generic[_V]):
    """The latest few values by key: neighbouring chunks share windows of a lattice.

    Two of them that see the same keys in the same order hold the same keys, so one thread can know what
    another one keeps.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[Hashable, _V] = OrderedDict()

    def get(self, key: Hashable) -> _V | None:
        """The value, or None."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: _V) -> None:
        """Keeps a value; the one that was used longest ago goes."""
        if self._capacity > 0:
            self._values[key] = value
            if len(self._values) > self._capacity:
                self._values.popitem(last=False)


def chunk_unit(factor: int, block_px: int) -> int:
    """Smallest side of a chunk (input px) that makes whole blocks of the output file."""
    return block_px // math.gcd(block_px, factor)


def chunk_px(factor: int, block_px: int) -> int:
    """Side of a chunk (input px): about ``CHUNK_PX`` output pixels, whole blocks of the output file."""
    unit = chunk_unit(factor, block_px)
    return unit * max(1, CHUNK_PX // (unit * factor))


def in_strips(indices: Iterable[int], columns: int) -> list[int]:
    """Row-major chunk indices in strips of few columns, so that what rows share stays at hand.

    Args:
        indices: Of the chunks to order.
        columns: Chunks in a row of the raster.
    """
    return sorted(indices, key=lambda i: (i % columns // _STRIP_CHUNKS, i // columns, i))
