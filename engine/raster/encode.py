"""A chunk of the result as a small GeoTIFF in memory, whose blocks are those of the whole file."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter, MemoryFile

from engine.raster.grid import Grid
from engine.tiling.lattice import Box

BLOCK_PX = 512
TAG_DOMAIN = "EO_TRANSLATE"
# With these a block's bytes do not depend on the rest of the file.
_BLOCKWISE_CODECS = ("DEFLATE", "ZSTD", "LZW", "LZMA", "NONE")
_BLOCKWISE_OPTIONS = frozenset(
    ["COMPRESS", "ZLEVEL", "ZSTD_LEVEL", "LZMA_PRESET", "PREDICTOR", "INTERLEAVE", "BIGTIFF", "NUM_THREADS"]
)


@dataclass(frozen=True)
class Layout:
    """What a file holds, beside its pixels.

    Attributes:
        dtype: Of every band.
        nodata: Stored value of pixels without a result.
        names: Band descriptions.
        colors: Colour interpretation of each band, None for undefined.
        units: Of the physical values.
        scale, offset: physical = stored * scale + offset.
        palette: Class code -> red, green and blue, of a class map in one uint8 band; overviews then show the
            most frequent class.
        tags: Domain ("" for the default one) -> key -> text.
    """

    dtype: str
    nodata: float
    names: tuple[str, ...]
    colors: tuple[str | None, ...]
    units: str
    scale: float = 1.0
    offset: float = 0.0
    palette: Mapping[int, tuple[int, int, int]] | None = None
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Encoder:
    """Makes chunks' GeoTIFFs, and the empty file that they belong to.

    Args:
        grid: CRS, affine and size of the whole file.
        layout: Bands and tags.
        creation_options: The user's GDAL creation options.
        cog: The result is a Cloud Optimized GeoTIFF.

    Attributes:
        left_over: The user's options, where only a copy of the finished file can honour them (a COG, other
            block sizes, lossy codecs).
        copy: Driver and options of that copy; None: the finished file is the result.
    """

    def __init__(
        self, grid: Grid, layout: Layout, creation_options: Mapping[str, str], cog: bool = False
    ) -> None:
        self.grid, self.layout = grid, layout
        given = {key.upper(): value for key, value in creation_options.items()}
        codec = given.get("COMPRESS", "DEFLATE").upper()
        blockwise = set(given) <= _BLOCKWISE_OPTIONS and codec in _BLOCKWISE_CODECS
        own = _own_options(layout.dtype)
        self.left_over: dict[str, str] = {}
        self.copy: tuple[str, dict[str, Any]] | None = None
        if blockwise and not cog:
            self._options = _with(own, given)
            return
        self._options, self.left_over = own, given
        driver, usual = ("COG", _COG_OPTIONS) if cog else ("GTiff", {**own, **_COPY_OPTIONS})
        self.copy = driver, _with(usual, given)

    def encode(self, place: Box, values: NDArray[Any]) -> bytes:
        """A chunk as a GeoTIFF.

        Args:
            place: Where it lies in the whole file (px), from a block's corner.
            values: (C, h, w) as stored.

        Raises:
            OSError: GDAL cannot encode it.
        """
        part = self.grid.part(place)
        with gdal_errors_raised(), MemoryFile() as memory:
            options = {**self._options, "NUM_THREADS": "ALL_CPUS", "BIGTIFF": "IF_SAFER"}
            with self._create(memory, part, options) as dataset:
                self._describe(dataset, _short(self.layout.tags))
                dataset.write(values)
            return bytes(memory.getbuffer())

    def check_options(self) -> None:
        """Tries the options that wait for the finished file on a tiny one.

        Raises:
            OSError: GDAL does not know one of them.
        """
        if self.copy is None or not self.left_over:
            return
        tiny = Box(0, 0, min(16, self.grid.height), min(16, self.grid.width))
        with gdal_errors_raised(), MemoryFile() as source, MemoryFile() as copy:
            with self._create(source, self.grid.part(tiny), _own_options(self.layout.dtype)) as dataset:
                self._describe(dataset, {})
            rasterio.shutil.copy(source.name, copy.name, driver=self.copy[0], **self.left_over)

    def empty(self) -> bytes:
        """The whole file without a block: all its tags, no pixel.

        Raises:
            OSError: GDAL cannot make it, or an option is unknown.
        """
        with gdal_errors_raised(), MemoryFile() as memory:
            with self._create(memory, self.grid, {**self._options, "SPARSE_OK": "TRUE"}) as dataset:
                self._describe(dataset, self.layout.tags)
            return bytes(memory.getbuffer())

    def _create(self, memory: MemoryFile, grid: Grid, options: dict[str, Any]) -> DatasetWriter:
        layout = self.layout
        return memory.open(
            driver="GTiff",
            width=grid.width,
            height=grid.height,
            count=len(layout.names),
            dtype=layout.dtype,
            nodata=layout.nodata,
            crs=grid.crs,
            transform=grid.transform,
            **options,
        )

    def _describe(self, dataset: DatasetWriter, tags: Mapping[str, Mapping[str, str]]) -> None:
        layout = self.layout
        dataset.descriptions = layout.names
        dataset.units = [layout.units] * len(layout.names)
        dataset.scales = [layout.scale] * len(layout.names)
        dataset.offsets = [layout.offset] * len(layout.names)
        if layout.palette:
            dataset.write_colormap(1, dict(layout.palette))
        else:
            dataset.colorinterp = [
                ColorInterp[color] if color else ColorInterp.gray if number == 0 else ColorInterp.undefined
                for number, color in enumerate(layout.colors)
            ]
        for domain, values in tags.items():
            dataset.update_tags(ns=domain or None, **values)


@contextmanager
def gdal_errors_raised() -> Iterator[None]:
    """Raises what GDAL reports while the block runs; rasterio only logs much of it.

    Raises:
        OSError: With GDAL's first words.
    """
    collector = _Collector()
    loggers = [logging.getLogger(name) for name in ("rasterio._env", "rasterio._err")]
    for logger in loggers:
        logger.addHandler(collector)
    try:
        yield
    except Exception as error:
        reason = collector.problems[0] if collector.problems else str(error.__cause__ or error)
        raise OSError(" ".join(reason.split())) from None
    finally:
        for logger in loggers:
            logger.removeHandler(collector)
    if collector.problems:
        raise OSError(collector.problems[0])


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.problems: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._thread:
            return  # another stage of the pipeline reads or writes at the same time
        text = " ".join(record.getMessage().split())
        if record.levelno >= logging.ERROR or "creation option" in text or "unexpected value" in text:
            self.problems.append(text)


_COPY_OPTIONS = {"COPY_SRC_OVERVIEWS": "YES", "COPY_SRC_MDD": "YES"}  # our own domain of tags too
_COG_OPTIONS = {
    "COMPRESS": "DEFLATE",
    "LEVEL": 3,
    "PREDICTOR": "YES",
    "BLOCKSIZE": BLOCK_PX,
    "BIGTIFF": "IF_SAFER",
    "OVERVIEWS": "AUTO",
    "COPY_SRC_MDD": "YES",
    "NUM_THREADS": "ALL_CPUS",
}


def _with(usual: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Our options under the user's; ours for a codec go when another one is asked for."""
    ours = {"PREDICTOR", "ZLEVEL", "LEVEL"} if "COMPRESS" in given else set()
    return {key: value for key, value in usual.items() if key not in ours} | dict(given)


def _own_options(dtype: str) -> dict[str, Any]:
    predictor = 3 if np.dtype(dtype).kind == "f" else 2
    return {
        "COMPRESS": "DEFLATE",
        "ZLEVEL": 1,  # 3 saves one per cent of the file and costs as much again
        "PREDICTOR": predictor,
        "INTERLEAVE": "PIXEL",
        "BIGTIFF": "IF_SAFER",
        "TILED": "YES",
        "BLOCKXSIZE": BLOCK_PX,
        "BLOCKYSIZE": BLOCK_PX,
    }


def _short(tags: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """What a part says about itself; the whole file says the rest."""
    return {"": dict(tags.get("", {}))}
