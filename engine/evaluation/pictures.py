"""The pictures of a report: images side by side, where they differ, and how their values are spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.raster.quicklook import png_bytes
from engine.seams.canvas import GLYPH_HEIGHT, Canvas, text_width

_STRETCH = (2, 98)
_SHOWN_PX = 300
_PLOT = 300, 150
_BARS = 60
_INK, _QUIET, _PAPER = (40, 44, 52), (120, 125, 135), (255, 255, 255)
_TRUTH, _RESULT = (190, 196, 205), (200, 60, 40)
# White, yellow, orange, dark red: more is darker, for eyes without colour too.
_RAMP = np.array([[255, 255, 245], [254, 217, 118], [240, 100, 40], [110, 0, 30]], dtype=np.float64)
_NOTHING = 225  # grey where nothing was compared


@dataclass(frozen=True)
class Shown:
    """One result.

    Attributes:
        title: The raster.
        image: (3 or 1, h, w) values, NaN where nothing was compared; None for class maps.
        difference: (h, w) mean absolute difference over bands; for classes the share of wrong pixels.
    """

    title: str
    image: NDArray[np.float64] | None
    difference: NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Values of one band.

    Attributes:
        band: Its name.
        limits: Of the first and the last bin.
        truth: Pixels by bin, of the reference.
        result: Of the first result.
    """

    band: str
    limits: tuple[float, float]
    truth: NDArray[np.int64]
    result: NDArray[np.int64]


@dataclass(frozen=True)
class Pictures:
    """All that a report draws.

    Attributes:
        reference: (3 or 1, h, w); None for class maps.
        results: At most a few.
        histograms: One a band; none for class maps.
        colours: Names of the bands shown as red, green and blue, or of one as grey.
    """

    reference: NDArray[np.float64] | None
    results: list[Shown]
    histograms: list[Histogram]
    colours: list[str]

    def stretch(self) -> list[tuple[float, float]]:
        """What is black and what is white in the images, per band: the reference's 2 to 98 %."""
        return [tuple(np.nanpercentile(band, _STRETCH)) for band in self.reference]

    def largest_difference(self) -> float:
        """What is darkest in the difference maps: 98 % of their pixels are below."""
        values = np.concatenate([shown.difference.ravel() for shown in self.results])
        return float(np.nanpercentile(values, _STRETCH[1])) or 1.0


def image_png(image: NDArray[np.float64], stretch: list[tuple[float, float]]) -> bytes:
    """(3 or 1, h, w) values as a PNG, grey where there are none."""
    bands = [
        np.clip((band - low) / max(high - low, 1e-12), 0, 1) * 255
        for band, (low, high) in zip(image, stretch, strict=True)
    ]
    rgb = np.stack(bands if len(bands) == 3 else bands * 3)
    return _png(rgb)


def difference_png(difference: NDArray[np.float64], largest: float) -> bytes:
    """(h, w) values from 0 as a PNG, white to dark red."""
    place = np.clip(difference / largest, 0, 1) * (len(_RAMP) - 1)
    known = np.nan_to_num(place)
    stops = np.arange(len(_RAMP))
    rgb = np.stack([np.interp(known, stops, channel) for channel in _RAMP.T])
    return _png(np.where(np.isnan(difference), np.nan, rgb))


def histogram_png(histogram: Histogram) -> bytes:
    """The reference's values as an area, the result's as a line."""
    width, height = _PLOT
    canvas = Canvas(width, height, _PAPER)
    top, bottom = 16, height - 16
    columns = [_bars(counts).repeat(width // _BARS) for counts in (histogram.truth, histogram.result)]
    largest = max(float(max(counts.max() for counts in columns)), 1.0)
    for x, count in enumerate(columns[0]):
        tall = round(count / largest * (bottom - top))
        canvas.fill((x, bottom - tall, 1, tall), _TRUTH)
    canvas.curve(columns[1], (0, top, width, bottom - top), (0, largest), _RESULT)
    canvas.fill((0, bottom, width, 1), _QUIET)
    canvas.text(histogram.band[:40], 2, 3, _INK)
    low, high = (f"{limit:.4g}" for limit in histogram.limits)
    canvas.text(low, 2, bottom + 5, _QUIET)
    canvas.text(high, width - text_width(high) - 2, height - GLYPH_HEIGHT - 4, _QUIET)
    return png_bytes(canvas.pixels)


def _bars(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Fewer, broader bins: 8-bit values would leave gaps between narrow ones."""
    edges = np.linspace(0, len(counts), _BARS + 1)
    sums = np.interp(edges, np.arange(len(counts) + 1), np.concatenate([[0], counts.cumsum()]))
    return np.diff(sums)


def _png(rgb: NDArray[np.float64]) -> bytes:
    """Small pictures are shown larger by whole pixels."""
    known = ~np.isnan(rgb).any(axis=0)
    picture = np.where(known, np.nan_to_num(rgb), _NOTHING)
    opaque = np.full((1, *known.shape), 255.0)
    picture = np.concatenate([picture, opaque]).round().astype(np.uint8)
    factor = max(_SHOWN_PX // max(known.shape), 1)
    return png_bytes(picture.repeat(factor, axis=1).repeat(factor, axis=2))
