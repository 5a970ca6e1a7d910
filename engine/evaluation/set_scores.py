"""Scores of generated images against the real images of the same places, as COP-GEN's stochastic benchmark.

Each place gives its own scores; means and standard deviations run over places.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.evaluation import benchmark, distributions
from engine.evaluation.image_sets import Cell, ImageSet, open_set
from engine.evaluation.needs import needed
from engine.evaluation.report import plain
from engine.evaluation.values import rgb_places
from engine.raster.bands import plain_name
from engine.raster.grid import parse_crs
from engine.raster.source import gdal_environment

if TYPE_CHECKING:
    from torch import nn

Images = NDArray[np.float32]
_VALID_SHARE = 0.95  # of the pixels of the band B02, in the benchmark
_SEED = re.compile(r"seed_(\d+)")


@dataclass(frozen=True)
class SetReport:
    """What a comparison of two sets found.

    Attributes:
        real, generated: The folders.
        bands: What was compared.
        places: Place -> score -> value; names as in ``catalogue.SETS``.
        mean, std: Over places; the standard deviation with n - 1.
        pooled: Scores over the images of all places at once (FID, KID, IS).
        images: Real and generated images that were compared.
        notes: What a reader should know.
    """

    real: str
    generated: str
    bands: list[str]
    places: dict[str, dict[str, float]]
    mean: dict[str, float]
    std: dict[str, float]
    pooled: dict[str, float]
    images: tuple[int, int]
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return plain(asdict(self))


def evaluate_sets(
    real: Path,
    generated: Path,
    *,
    bands: Sequence[str] | None = None,
    scales: tuple[float, float] = (1.0, 1.0),
    grid: Path | None = None,
    weights: Sequence[str] = (),
    on_progress: Callable[[float, str], None] | None = None,
) -> SetReport:
    """Compares the generated images of every place with its real ones.

    Args:
        real: Folder as ``image_sets.open_set`` reads it.
        generated: Likewise, with the same places.
        bands: Names of the bands to compare; None: all.
        scales: Factors on the stored values of both.
        grid: ``benchmark_grid.json`` of COP-GEN's benchmark: only the footprint of each cell is compared,
            real images with less than 95 % data are left out, and 16 of the seeds are taken by its rule.
        weights: Files of trained networks.
        on_progress: Told the share of the places that are done (0..1).

    Raises:
        InputError: A set is empty, the sets have no place in common, or images do not fit together.
        MissingPackageError: A score needs a package that is not installed.
    """
    progress = on_progress or (lambda fraction, text: None)
    with gdal_environment():
        sets = tuple(open_set(path, bands, s) for path, s in zip((real, generated), scales, strict=True))
        _check_bands(*sets)
        cells = None if grid is None else read_cells(grid)
        scorer = _Scorer(sets, cells, _networks(weights))
        common = [place for place in sets[0].places if place in sets[1].places]
        if not common:
            raise InputError(
                f"The folders {real} and {generated} have no place in common; their subfolders need "
                "equal names."
            )
        for number, place in enumerate(common):
            progress(number / len(common), place)
            scorer.add(place)
    if not scorer.places:
        raise InputError("No place has two real images with enough data; nothing was compared.")
    return scorer.report(str(real), str(generated))


def read_cells(path: Path) -> dict[str, Cell]:
    """Cell -> its corner, from ``benchmark_grid.json``.

    Raises:
        InputError: It cannot be read, or has another form.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: Cell((float(cell["ul_x"]), float(cell["ul_y"])), parse_crs(str(cell["crs"])))
            for name, cell in table.items()
        }
    except OSError as error:
        raise InputError(f"The grid {path} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"The grid {path} must hold a JSON object of cells with ul_x, ul_y and crs ({error})."
        ) from None


class _Scorer:
    """Scores place by place; keeps only numbers and embeddings."""

    def __init__(
        self, sets: tuple[ImageSet, ...], cells: dict[str, Cell] | None, networks: dict[str, nn.Module]
    ) -> None:
        self.sets, self.cells, self.networks = sets, cells, networks
        self.places: dict[str, dict[str, float]] = {}
        self.images = [0, 0]
        self.skipped: list[str] = []
        self._colours = rgb_places(sets[0].bands)
        self._deep = _deep(networks)

    def add(self, place: str) -> None:
        cell = None
        if self.cells is not None:
            cell = self.cells.get(place)
            if cell is None:
                self.skipped.append(place)
                return
        names = [images.places[place] for images in self.sets]
        if cell is not None:
            names[1] = chosen_samples(place, names[1])
        real, generated = (
            [images.read(place, name, cell) for name in each]
            for images, each in zip(self.sets, names, strict=True)
        )
        if cell is not None:
            real = [image for image in real if self._has_data(image)]
        if len(real) < 2 or not generated:
            self.skipped.append(place)
            return
        _check_sizes(place, real + generated)
        self.images[0] += len(real)
        self.images[1] += len(generated)
        self.places[place] = place_scores(np.stack(real), np.stack(generated), self.sets[0].bands)
        if self._deep is not None:
            rgb = [np.stack(images)[:, self._rgb] for images in (real, generated)]
            self.places[place] |= self._deep.add(*rgb)

    @property
    def _rgb(self) -> list[int]:
        return self._colours if len(self._colours) == 3 else self._colours * 3

    def _has_data(self, image: Images) -> bool:
        names = [plain_name(band) for band in self.sets[0].bands]
        plane = image[names.index("b2")] if "b2" in names else image.any(axis=0)
        return float((plane != 0).mean()) >= _VALID_SHARE

    def report(self, real: str, generated: str) -> SetReport:
        table: dict[str, list[float]] = {}
        for scores in self.places.values():
            for name, value in scores.items():
                if math.isfinite(value):
                    table.setdefault(name, []).append(value)
        notes = [f"Each score is the mean over the places ({len(self.places)})."]
        if self.skipped:
            notes.append(f"Left out for want of data, or not in the grid: {len(self.skipped)} places.")
        return SetReport(
            real=real,
            generated=generated,
            bands=self.sets[0].bands,
            places=self.places,
            mean={name: float(np.mean(values)) for name, values in table.items()},
            std={name: float(np.std(v, ddof=1)) for name, v in table.items() if len(v) > 1},
            pooled=self._deep.pooled() if self._deep is not None else {},
            images=(self.images[0], self.images[1]),
            notes=notes,
        )


def place_scores(real: Images, generated: Images, bands: Sequence[str]) -> dict[str, float]:
    """Scores of one place on spectra: the mean of the non-zero pixels of every band.

    Args:
        real: (N, C, H, W).
        generated: (M, C, H, W).
        bands: Names; those of B04 and B08 also get a Wasserstein distance of their own.
    """
    pair = distributions.spectra(real), distributions.spectra(generated)
    precision, recall = distributions.precision_recall(*pair)
    distances = distributions.wasserstein_per_column(*pair)
    alone = {f"wasserstein_{plain_name(b)}": float(d) for b, d in zip(bands, distances, strict=True)}
    return {
        "nn_accuracy": distributions.nearest_neighbour_accuracy(*pair),
        "precision": precision,
        "recall": recall,
        "f_score": distributions.f_score(precision, recall),
        "mmd": distributions.squared_mmd(*pair),
        "wasserstein": float(distances.mean()),
        **alone,
        "coverage": float(distributions.range_coverage(*pair).mean()),
        "intra_real": distributions.intra_set_distance(pair[0]),
        "intra_generated": distributions.intra_set_distance(pair[1]),
    }


def chosen_samples(place: str, names: Sequence[str]) -> list[str]:
    """Those samples of a place that the benchmark takes; all where their names give no seed."""
    seeds = {int(found.group(1)): name for name in names if (found := _SEED.search(name))}
    if len(seeds) != len(names):
        return list(names)
    return [seeds[seed] for seed in benchmark.chosen_seeds(place, seeds)]


def _networks(weights: Sequence[str]) -> dict[str, nn.Module]:
    if not weights:
        return {}
    with needed():
        from engine.evaluation.deep import read_networks

    return read_networks(weights)


def _deep(networks: dict[str, nn.Module]) -> Any:
    if not networks:
        return None
    from engine.evaluation.deep import DeepSets

    return DeepSets(networks)


def _check_bands(real: ImageSet, generated: ImageSet) -> None:
    if len(real.bands) != len(generated.bands):
        raise InputError(
            f"The real images have the bands {', '.join(real.bands)} and the generated ones "
            f"{', '.join(generated.bands)}; say which to compare, as in --bands B02,B03,B04."
        )


def _check_sizes(place: str, images: Sequence[Images]) -> None:
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        found = ", ".join("x".join(map(str, size)) for size in sorted(sizes))
        raise InputError(
            f"The images of the place {place or 'in the folder itself'} differ in bands x rows x columns "
            f"({found}); give images of one size, or --grid to cut footprints."
        )
