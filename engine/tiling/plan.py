"""How the network is run over a box: in one piece, cut into pieces, or on a fixed lattice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.models.schema import Tiling
from engine.tiling.blend import Blender, core_weights, flank_weights
from engine.tiling.lattice import Box, lattice_windows, split

CHUNK_PX = 1024
_KEPT_BYTES = 256 << 20

Evaluate = Callable[[Box], NDArray[np.float32]]


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
        row, col = windows[0].row, windows[0].col
        return Box(row, col, windows[-1].rows[1] - row, windows[-1].cols[1] - col)

    def windows(self, box: Box) -> list[Box]:
        """Lattice windows that contribute to ``box``, row-major."""
        return lattice_windows(box, self.tiling.window_px, self._stride, self.origin, self._inset)

    def pieces(self, box: Box) -> list[Box]:
        """``box`` in parts whose context fits the model's largest window (crop mode without a lattice)."""
        longest = max(box.height, box.width)
        # Equal parts: a thin last one would cost almost a whole window.
        return list(split(box, -(-longest // -(-longest // self._room))))

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """(window, window) blend weights of a lattice window."""
        tiling = self.tiling
        if tiling.mode == "crop":
            return core_weights(tiling.window_px, tiling.halo_px)
        return flank_weights(tiling.window_px, self._stride)

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


class Runner:
    """Evaluates a network over boxes by a plan.

    Args:
        plan: Where the windows lie.
        bands: Bands of the network's output.
        factor: Output pixels per input pixel.
    """

    def __init__(self, plan: Plan, bands: int, factor: int) -> None:
        self.plan, self._bands, self._factor = plan, bands, factor
        self._kept: OrderedDict[tuple[int, Box], NDArray[np.float32]] = OrderedDict()

    def run(self, box: Box, valid: NDArray[np.bool_], evaluate: Evaluate, sample: int) -> NDArray[np.float32]:
        """The network's result over ``box``.

        Args:
            box: In pixels of the layer.
            valid: (H, W) of the box; where it is False nothing needs to be computed.
            evaluate: Box of input pixels -> (C, h * f, w * f).
            sample: Index of the draw, for the windows that are kept.

        Returns:
            (C, H * f, W * f) float32; NaN where nothing was computed.
        """
        out = np.full(
            (self._bands, box.height * self._factor, box.width * self._factor), np.nan, dtype=np.float32
        )
        if self.plan.on_lattice:
            return self._blended(box, valid, evaluate, sample)
        for piece in self.plan.pieces(box):
            if valid[piece.within(box).slices].any():
                region = self.plan.context(piece)
                result = evaluate(region)
                inner = piece.within(region).scaled(self._factor).slices
                out[(slice(None), *piece.within(box).scaled(self._factor).slices)] = result[
                    (slice(None), *inner)
                ]
        return out

    def _blended(
        self, box: Box, valid: NDArray[np.bool_], evaluate: Evaluate, sample: int
    ) -> NDArray[np.float32]:
        blender = Blender(self._bands, box.scaled(self._factor))
        weights = np.kron(self.plan.weights, np.ones((self._factor, self._factor), dtype=np.float32))
        for window in self.plan.windows(box):
            touched = window.intersection(box)
            if touched is not None and valid[touched.within(box).slices].any():
                result = self._kept_or_new(window, evaluate, sample)
                blender.feed(window.scaled(self._factor), result, weights)
        return blender.data

    def _kept_or_new(self, window: Box, evaluate: Evaluate, sample: int) -> NDArray[np.float32]:
        """Neighbouring chunks share lattice windows; a bounded number is kept, which changes no value."""
        key = (sample, window)
        if key not in self._kept:
            self._kept[key] = evaluate(window)
            while len(self._kept) * self._kept[key].nbytes > _KEPT_BYTES and len(self._kept) > 1:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def chunk_px(factor: int, block_px: int) -> tuple[int, int]:
    """Side of a chunk in input pixels and in output pixels; the latter is a multiple of the file's blocks."""
    side = CHUNK_PX if factor == 1 else block_px
    return side, side * factor
