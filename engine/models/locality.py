"""Measures whether a network is local, and how far a pixel's result reaches for its context.

Two measurements, both on the network itself and none on its description:

* Reach: change a strip of the input and see how far the output changes, bit by bit. A network with
  statistics over the window or attention changes everywhere.
* Equivariance: two windows of one picture, shifted by one stride, must give the same result where they
  overlap once the reach is cut off. Position encodings and other hidden strides fail here.

Local networks run in crop mode, which is exact; all others in lattice mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_SIZES = (256, 512, 1024)
_STRIDES = (1, 2, 4, 8, 16, 32, 64)
_DRAWS = 3
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Geometry:
    """What was measured.

    Attributes:
        scale_factor: Output pixels per input pixel.
        stride_multiple: Window sizes the network takes are multiples of this, and so are the shifts under
            which its result is unchanged.
        halo_px: Reach in input pixels, a multiple of ``stride_multiple``; None: the network is not local.
        fixed_px: The only window size the network takes; None: any multiple.
    """

    scale_factor: int
    stride_multiple: int
    halo_px: int | None
    fixed_px: int | None


class Probe:
    """Runs a network on made-up windows.

    Args:
        run: (1, C, H, W) float32 -> (1, C_out, H * f, W * f) float32; raises whatever it likes for a size
            that does not fit.
        channels: C.
        low, high: Range of the made-up values; the picture's own statistics vary across it.
    """

    def __init__(self, run: Run, channels: int, low: float, high: float) -> None:
        self._run, self._channels, self._low, self._high = run, channels, low, high

    def measure(self, fixed_px: int | None = None, preferred_px: int | None = None) -> Geometry:
        """Finds scale factor, stride, and reach.

        Args:
            fixed_px: The window size, where the network takes one only.
            preferred_px: A window size that the network's author names.

        Raises:
            ModelError: The output is no whole multiple of the input, or no window size works.
        """
        if fixed_px is not None:
            factor = self._factor(fixed_px)
            for stride in (s for s in _STRIDES if fixed_px % s == 0):
                reach = self._reach(fixed_px, stride, factor)
                if reach is None:
                    break
                if self._equivariant(fixed_px, stride, reach, factor):
                    return Geometry(factor, stride, reach, fixed_px)
            return Geometry(factor, 1, None, fixed_px)
        size, factor = self._first_size(preferred_px)
        smallest = self._size_step(size, factor)
        for stride in (s for s in _STRIDES if s % smallest == 0):
            reach = self._growing_reach(size, stride, factor)
            if reach is None:
                break
            if self._equivariant(_window(size, reach, stride), stride, reach, factor):
                return Geometry(factor, stride, reach, None)
        return Geometry(factor, smallest, None, None)

    def _factor(self, size: int) -> int:
        output = self._run(self._picture(size, 0))
        height, width = output.shape[2:]
        factor = height // size
        if factor < 1 or (height, width) != (size * factor, size * factor):
            raise ModelError(
                f"The network turns a window of {size} x {size} pixels into {width} x {height}; only "
                "networks whose output has "
                "the input's size, or a whole multiple of it, can be used."
            )
        return factor

    def _first_size(self, preferred_px: int | None) -> tuple[int, int]:
        problem: Exception | None = None
        for size in dict.fromkeys(s for s in (preferred_px, 256, 512, 224, 384, 640, 1024) if s):
            try:
                return size, self._factor(size)
            except Exception as error:  # a size that does not fit may raise anything
                problem = problem if isinstance(problem, ModelError) else error
        if isinstance(problem, ModelError):
            raise problem
        reason = str(problem).partition("\n")[0][:200]
        raise ModelError(
            f"The network ran on no window size that was tried, from 224 to 1024 pixels ({reason})."
        )

    def _size_step(self, size: int, factor: int) -> int:
        """The smallest power of two by which the window may grow."""
        for step in _STRIDES:
            if size % step == 0 and self._fits(size + step, factor):
                return step
        raise ModelError(
            f"The network takes windows of {size} pixels and of no other size near it; export it with a "
            "fixed size."
        )

    def _fits(self, size: int, factor: int) -> bool:
        try:
            return self._factor(size) == factor
        except Exception:  # see _first_size
            return False

    def _growing_reach(self, size: int, stride: int, factor: int) -> int | None:
        sizes = [size, *(s for s in _SIZES if s > size)]
        for trial in sizes:
            trial = -(-trial // stride) * stride
            if not self._fits(trial, factor):
                continue
            reach = self._reach(trial, stride, factor)
            if reach is not None:
                return reach
        return None

    def _reach(self, size: int, stride: int, factor: int) -> int | None:
        """Input pixels from a changed strip to the farthest changed result; None: to the window's end."""
        start = size // 2 // stride * stride
        reach = 0
        for axis in (2, 3):
            for draw in range(_DRAWS):
                picture = self._picture(size, draw)
                changed = picture.copy()
                strip = np.moveaxis(changed, axis, 0)[start : start + stride]
                strip[...] = self._values(strip.shape, 1000 + draw)
                difference = self._run(picture) != self._run(changed)
                lines = np.flatnonzero(difference.any(axis=tuple(a for a in range(4) if a != axis)))
                if not len(lines):
                    continue
                first, last = int(lines[0]) // factor, int(lines[-1]) // factor
                if first == 0 or last == size - 1:
                    return None
                reach = max(reach, start - first, last - (start + stride - 1))
        return -(-reach // stride) * stride

    def _equivariant(self, size: int, stride: int, halo: int, factor: int) -> bool:
        """Whether two windows that lie one stride apart agree where they overlap, the halo cut off."""
        if size <= 2 * halo + stride:
            return False
        keep = size - 2 * halo - stride
        picture = self._picture(size + stride, 7)
        first = self._run(np.ascontiguousarray(picture[:, :, :size, :size]))
        second = self._run(np.ascontiguousarray(picture[:, :, stride:, stride:]))
        low, high = (halo + stride) * factor, (halo + stride + keep) * factor
        a = first[:, :, low:high, low:high]
        b = second[
            :,
            :,
            low - stride * factor : high - stride * factor,
            low - stride * factor : high - stride * factor,
        ]
        spread = float(first.std()) or 1.0
        return bool(np.abs(a - b).max() <= _TOLERANCE * spread)

    def _picture(self, size: int, draw: int) -> NDArray[np.float32]:
        """Noise whose mean and contrast change across the picture: window statistics betray themselves."""
        noise = self._values((1, self._channels, size, size), draw)
        rows = np.linspace(0.2, 1.0, size, dtype=np.float32)[:, None]
        columns = np.linspace(0.0, 0.5, size, dtype=np.float32)[None, :]
        middle = (self._low + self._high) / 2
        picture = (noise - middle) * rows + middle + (self._high - middle) * columns
        return np.clip(picture, self._low, self._high).astype(np.float32)

    def _values(self, shape: tuple[int, ...], draw: int) -> NDArray[np.float32]:
        return np.random.default_rng(draw).uniform(self._low, self._high, shape).astype(np.float32)


def _window(size: int, reach: int, stride: int) -> int:
    return max(size, -(-(4 * reach + 2 * stride) // stride) * stride)
