"""The method of the QGIS plugin Deepness, re-enacted in our own words on our model and raster.

Deepness (PUTvision) walks over square tiles on one thread: it reads each band of a tile on its own, runs the
network on that one tile, cuts off half of the overlap and puts the rest into an array of the whole result,
which is written at the end. Tiles beyond the raster are filled with zeros. What its data provider does beyond
GDAL is not charged to it here; what our model needs beyond its own, validity planes and noise, is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import rasterio
from common import Bench, Row, timed
from numpy.typing import NDArray
from rasterio.windows import Window
from recorder import Tensors

from engine import job as engine_job
from engine.inputs import open_inputs
from engine.models import store
from engine.models.item import ModelItem
from engine.raster.source import gdal_environment
from engine.spec import Job
from engine.tiling.plan import CHUNK_PX

MODEL = "sar-to-optical"
SIZE_PX = 4096
REPEATS = 2
CLIP = {"sar": 4.0, "dem": 8.0}


class TileByTile:
    """Reads, infers and stores one tile after the other.

    Args:
        job: Names the rasters; its statistics are measured once, as ours are.
        item: The model.

    Attributes:
        session: The network.
        margin: Half of the overlap (px): the context that the model's item asks for.
    """

    def __init__(self, job: Job, item: ModelItem) -> None:
        self.item, self.margin = item, item.tiling.halo_px
        self.session = onnxruntime.InferenceSession(
            str(item.weights_path), providers=["CPUExecutionProvider"]
        )
        self._rasters = {name: rasterio.open(given.paths[0]) for name, given in job.inputs.items()}
        with contextlib.closing(open_inputs(job, item, _unheard, lambda: None)) as inputs:
            self._statistics = inputs.statistics
        self._random = np.random.default_rng(job.seed)
        sar = self._rasters["sar"]
        self.height, self.width = sar.height, sar.width

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Top left corner of what each tile contributes."""
        for row in range(0, self.height, CHUNK_PX):
            for col in range(0, self.width, CHUNK_PX):
                yield row, col

    def tensors(self, row: int, col: int) -> Tensors:
        """What the network is fed for a tile."""
        side = CHUNK_PX + 2 * self.margin
        window = Window(col - self.margin, row - self.margin, side, side)
        fed = {}
        for entry in self.item.inputs:
            bands = [
                self._band(entry.modality, band.name, number + 1, window)
                for number, band in enumerate(entry.bands)
            ]
            planes = [np.isfinite(band) for band in bands] if entry.validity_planes else []
            fed[entry.tensor] = np.stack([np.nan_to_num(band) for band in bands] + planes)[None].astype(
                np.float32
            )
        noise = self.item.noise
        if noise is not None:
            shape = (1, len(noise.cells_px), side, side)
            fed[noise.tensor] = self._random.standard_normal(shape, dtype=np.float32)
        return fed

    def infer(self, tensors: Tensors) -> NDArray[np.float32]:
        """One call of the network."""
        return self.session.run([self.item.output.tensor], tensors)[0]

    def run(self, output: Path) -> None:
        """The whole raster."""
        result = np.zeros((len(self.item.output.bands), self.height, self.width), dtype=np.uint8)
        for row, col in self.tiles():
            found = self.infer(self.tensors(row, col))[0]
            inner = found[:, self.margin : -self.margin, self.margin : -self.margin]
            rows, cols = min(CHUNK_PX, self.height - row), min(CHUNK_PX, self.width - col)
            stored = np.clip(np.rint(inner[:, :rows, :cols] / self.item.output.scale), 0, 255)
            result[:, row : row + rows, col : col + cols] = stored.astype(np.uint8)
        sar = self._rasters["sar"]
        profile = {"driver": "GTiff", "crs": sar.crs, "transform": sar.transform, "compress": "deflate"}
        shape = {"count": len(result), "height": self.height, "width": self.width, "dtype": "uint8"}
        with rasterio.open(output, "w", **profile, **shape) as file:
            file.write(result)

    def close(self) -> None:
        """Closes the rasters."""
        for raster in self._rasters.values():
            raster.close()

    def _band(self, modality: str, name: str, number: int, window: Window) -> NDArray[np.float32]:
        raster = self._rasters[modality]
        values = raster.read(number, window=window, boundless=True, fill_value=0).astype(np.float32)
        mean, std = self._statistics[modality][name]
        limit = CLIP[modality]
        return np.clip((values - mean) / std, -limit, limit)


def measure(bench: Bench) -> list[Row]:
    """Theirs and ours against the bare network, on the same model and raster, in turns."""
    size = bench.px(SIZE_PX)
    job, item = bench.job(MODEL, size), store.find(MODEL)
    output = bench.scratch / "tile-by-tile.tif"
    theirs_s, ours_s, bare_s = [], [], []
    with gdal_environment(), contextlib.closing(TileByTile(job, item)) as method:
        fed = [method.tensors(*tile) for tile in method.tiles()]
        for window in fed[:2]:
            method.infer(window)
        for _ in range(REPEATS):
            bare_s.append(timed(lambda: [method.infer(window) for window in fed]))
            theirs_s.append(timed(lambda: method.run(output)))
            ours_s.append(timed(lambda: engine_job.run(job)))
    mpx, bare = size**2 / 1e6, min(bare_s)
    detail = {"size_px": size, "tile_px": CHUNK_PX + 2 * method.margin, "bare_network_s": bare_s}
    where = f"{MODEL}, {size} px"
    return [
        Row(f"{where}: tile by tile, delivered", mpx / min(theirs_s), "Mpx/s", "", {"run_s": theirs_s}),
        Row(f"{where}: tile by tile / bare network", bare / min(theirs_s), "", "", detail),
        Row(f"{where}: ours, delivered", mpx / min(ours_s), "Mpx/s", "", {"run_s": ours_s}),
        Row(f"{where}: ours / bare network of tile by tile", bare / min(ours_s)),
    ]


def _unheard(level: str, text: str) -> None:
    pass
