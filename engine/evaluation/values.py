"""Compares measured values: every score of continuous rasters, in one or two passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import InputError
from engine.evaluation import catalogue
from engine.evaluation.needs import needed
from engine.evaluation.overview import Overview
from engine.evaluation.pairs import WINDOW_PX, Pairs, Part
from engine.evaluation.pictures import Histogram, Pictures, Shown
from engine.evaluation.pixels import PixelScores
from engine.evaluation.report import Report, ResultScores, over_samples
from engine.evaluation.request import Comparison
from engine.evaluation.sharpening import sharpening_scores
from engine.evaluation.tiles import MAX_TILES, TileScores
from engine.evaluation.windows import HALO_PX
from engine.raster.bands import plain_name
from engine.raster.grid import describe_crs

if TYPE_CHECKING:
    from engine.evaluation.deep import DeepScores

# Parts, how many there are, where in 0..1 they begin and end, what is done -> the parts, each announced.
Walk = Callable[[Iterator[Part], int, float, float, str], Iterator[Part]]

SHOWN_RESULTS = 4
_MEASURING = 0.2  # share of the time that the pass for the reference's range takes
_MIN_TILE_PX = 32
_FEW_TILES = 100
_TAILS = (0.5, 99.5)
_COLOURS = (("b4", "b3", "b2"), ("red", "green", "blue"))


def compare_values(
    comparison: Comparison, pairs: Pairs, stack: ExitStack, walk: Walk
) -> tuple[Report, Pictures]:
    """All scores of continuous rasters, and what their pictures are drawn from.

    Raises:
        InputError: No pixel is valid everywhere, or the reference is constant and no range was given.
        MissingPackageError: Weights were given, and torch is missing.
    """
    low, high, reason, started = _value_range(comparison, pairs, walk)
    run = _Run(comparison, pairs, low, high)
    for part in walk(pairs.parts(HALO_PX, run.window_px), run.parts, started, 1.0, "Comparing"):
        run.take(part)
    if not run.pixels[0].pixels:
        raise InputError(
            "No pixel is valid in the reference and in every result; check that they show one place, and "
            "their nodata values."
        )
    sharpened = sharpening_scores(comparison, pairs, stack)
    results = [run.scores(number, sharpened) for number in range(len(pairs.results))]
    report = Report(
        kind="continuous",
        reference=pairs.reference.name,
        bands=pairs.bands,
        place=place_of(pairs),
        pixels=run.pixels[0].pixels,
        share=run.pixels[0].pixels / (pairs.box.height * pairs.box.width),
        results=results,
        value_range=(low, high),
        range_reason=reason,
        samples=over_samples(results, catalogue.of_values()),
        tiles={"px": run.tile_px, "count": run.tiles.count, **run.tiles.best_of_samples()},
        notes=[*pairs.notes, *run.notes()],
        missing=_missing(results),
    )
    return report, run.pictures()


class _Run:
    """All running scores of one comparison."""

    def __init__(self, comparison: Comparison, pairs: Pairs, low: float, high: float) -> None:
        self.pairs, self.low, self.high = pairs, low, high
        count = len(pairs.results)
        box = pairs.box
        self.tile_px = min(comparison.tile_px, box.height, box.width)
        self.window_px = self.tile_px * max(1, WINDOW_PX // self.tile_px)
        self.parts = -(-box.height // self.window_px) * -(-box.width // self.window_px)
        whole_tiles = (box.height // self.tile_px) * (box.width // self.tile_px)
        self.every = max(1, -(-whole_tiles // MAX_TILES))
        self._tiles_seen = 0
        self.limits = _histogram_limits(pairs)
        self.pixels = [PixelScores(len(pairs.bands), high - low, self.limits) for _ in range(count)]
        self.tiles = TileScores(count, low, high)
        self.colours = rgb_places(pairs.bands)
        self.deep = _deep(comparison, count)
        self.shown = min(count, SHOWN_RESULTS)
        self.overview = Overview(box, len(self.colours) + self.shown * (len(self.colours) + 1))

    def take(self, part: Part) -> None:
        for scores, result in zip(self.pixels, part.results, strict=True):
            scores.update(part.reference, result, part.valid)
        if self.tile_px >= _MIN_TILE_PX:
            for tile in part.tiles(self.tile_px):
                self._take_tile(tile)
        inner = part.inner()
        planes = [*inner.reference[self.colours]]
        for result in inner.results[: self.shown]:
            planes += [*result[self.colours], np.abs(result - inner.reference).mean(axis=0)]
        self.overview.update(part.box, np.stack(planes), inner.valid)

    def _take_tile(self, tile: Part) -> None:
        self._tiles_seen += 1
        if (self._tiles_seen - 1) % self.every:
            return
        self.tiles.update(tile.reference, tile.results)
        if self.deep is not None:
            images = [self._rgb(image) for image in (tile.reference, *tile.results)]
            self.deep.update(images[0], images[1:])

    def _rgb(self, image: np.ndarray) -> np.ndarray:
        colours = self.colours if len(self.colours) == 3 else self.colours * 3
        return np.clip((image[colours] - self.low) / (self.high - self.low), 0, 1)

    def scores(self, number: int, sharpened: list[dict[str, float | None]]) -> ResultScores:
        deep = self.deep.scores(number) if self.deep else {}
        found = {**self.pixels[number].scores(), **self.tiles.scores(number), **deep}
        if sharpened:
            found |= sharpened[number]
        per_band = dict(zip(self.pairs.bands, self.pixels[number].per_band(), strict=True))
        return ResultScores(self.pairs.results[number].name, found, per_band)

    def notes(self) -> list[str]:
        notes = []
        if self.tiles.count < _FEW_TILES:
            notes.append(
                f"Tiles of {self.tile_px} px without nodata: {self.tiles.count}. Scores of sets of tiles "
                f"(1-NN accuracy to F) need two and mean little below {_FEW_TILES}."
            )
        if self.deep is not None and "inception" in self.deep.networks and self.tiles.count < 2048:
            notes.append(
                f"FID over {self.tiles.count} tiles is biased upwards; compare it over as many tiles only."
            )
        if self.every > 1:
            notes.append(f"Scores of tiles took one of every {self.every} tiles.")
        return notes

    def pictures(self) -> Pictures:
        planes = self.overview.means()
        width = len(self.colours)
        images = []
        for number in range(self.shown):
            start = width + number * (width + 1)
            name = self.pairs.results[number].name
            images.append(Shown(name, planes[start : start + width], planes[start + width]))
        histograms = [
            Histogram(band, limits, *self.pixels[0].histograms[:, number])
            for number, (band, limits) in enumerate(zip(self.pairs.bands, self.limits, strict=True))
        ]
        return Pictures(planes[:width], images, histograms, [self.pairs.bands[c] for c in self.colours])


def rgb_places(bands: list[str]) -> list[int]:
    """Which bands to show as red, green and blue: by their names, else the first three, else one as grey."""
    names = [plain_name(band) for band in bands]
    for wanted in _COLOURS:
        if all(colour in names for colour in wanted):
            return [names.index(colour) for colour in wanted]
    return [0, 1, 2] if len(bands) >= 3 else [0]


def place_of(pairs: Pairs) -> dict:
    """Where and on which grid was compared."""
    grid = pairs.grid
    return {
        "crs": describe_crs(grid.crs),
        "pixel_size": grid.pixel_size,
        "width": grid.width,
        "height": grid.height,
        "bounds": list(grid.bounds()),
    }


def _deep(comparison: Comparison, results: int) -> DeepScores | None:
    if not comparison.weights:
        return None
    with needed():
        from engine.evaluation.deep import DeepScores, read_networks

    return DeepScores(read_networks(comparison.weights), results)


def _missing(results: list[ResultScores]) -> list[str]:
    """Networks whose weights were not given, and the scores that went without."""
    names: dict[str, list[str]] = {}
    for name, score in catalogue.DEEP.items():
        if score.needs and name not in results[0].scores:
            names.setdefault(score.needs, []).append(score.title)
    return [f"{', '.join(titles)}: {catalogue.NETWORKS[network]}" for network, titles in names.items()]


def _value_range(comparison: Comparison, pairs: Pairs, walk: Walk) -> tuple[float, float, str, float]:
    """Low, high, why, and how much of the work that took."""
    if comparison.value_range is not None:
        low, high = comparison.value_range
        if not low < high:
            raise InputError(f"The value range {low:g},{high:g} must rise, as in 0,1.")
        return low, high, "as given", 0.0
    if pairs.reflectance:
        return 0.0, 1.0, "reflectance", 0.0
    low, high = np.inf, -np.inf
    count = -(-pairs.box.height // WINDOW_PX) * -(-pairs.box.width // WINDOW_PX)
    for part in walk(pairs.parts(0), count, 0.0, _MEASURING, "Measuring the reference"):
        values = part.reference[:, part.valid]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low == high:
        raise InputError(
            f"The reference {pairs.reference.name} is constant ({low:g}) where it is compared, so PSNR and "
            "SSIM have no scale; give one, as in --range 0,1."
        )
    return (*((low, high) if low < high else (0.0, 1.0)), "the reference's own range", _MEASURING)


def _histogram_limits(pairs: Pairs) -> list[tuple[float, float]]:
    samples = [raster.sample() for raster in (pairs.reference, *pairs.results)]
    limits = []
    for band in range(len(pairs.bands)):
        values = np.concatenate([sample[band] for sample in samples])
        low, high = np.percentile(values, _TAILS).tolist() if values.size else (0.0, 1.0)
        margin = 0.1 * (high - low) or max(abs(high), 1.0) * 0.01
        limits.append((low - margin, high + margin))
    return limits
