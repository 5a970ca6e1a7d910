"""The seam benchmark: does a mosaic show where it was put together?

Definitions after reference figures S2 to S5: S2 the signed step across tile borders (colour seams), S3 the
gradient there, S4 the loss of fine texture where tiles overlap (ghosting), S5 a hash of all pixels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from engine.errors import InputError
from engine.raster.quicklook import TAG_DOMAIN
from engine.raster.source import gdal_environment, open_raster
from engine.seams.judge import Axis, judge
from engine.seams.lines import Lattice, of_grid, of_tag
from engine.seams.profiles import measure

_STRIP_BYTES = 8 << 20


@dataclass(frozen=True)
class Report:
    """What the benchmark found in one raster.

    Attributes:
        path: The raster.
        width, height, bands, dtype: Its size and type.
        lattice: Where seams could be.
        axes: Lines between rows, and between columns.
        sha256: S5, ``pixel_hash``.
    """

    path: str
    width: int
    height: int
    bands: int
    dtype: str
    lattice: Lattice
    axes: tuple[Axis, Axis]
    sha256: str

    @property
    def has_lines(self) -> bool:
        """Whether any seam line lies inside."""
        return any(axis.lines for axis in self.axes)

    @property
    def failed(self) -> bool:
        """Whether any figure missed its bar."""
        return any(figure.verdict == "fail" for axis in self.axes for figure in axis.figures)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "path": self.path,
            "width": self.width,
            "height": self.height,
            "bands": self.bands,
            "dtype": self.dtype,
            "lattice": self.lattice.source,
            "axes": {
                axis.name: {
                    "lines": axis.lines,
                    "segments": axis.segments,
                    "period_px": lines.period_px,
                    "offsets_px": list(lines.offsets_px),
                    **{figure.name: vars(figure) for figure in axis.figures},
                }
                for axis, lines in zip(self.axes, (self.lattice.rows, self.lattice.columns))
            },
            "S5": self.sha256,
            "failed": self.failed,
        }


def examine(path: Path, grid: str | None = None) -> Report:
    """Measures a raster of any size, in bounded memory.

    Args:
        path: A result of EO Translate, or any raster with ``grid``.
        grid: Where the tiles are, ``PERIOD`` or ``PERIOD,ROW0,COL0`` in pixels; None: the provenance says it.

    Raises:
        InputError: Not a readable raster, or nothing says where its tiles are.
    """
    with gdal_environment(), open_raster(str(path), "result") as dataset:
        tag = dataset.tags(ns=TAG_DOMAIN).get("TILING")
        if grid is None and tag is None:
            raise InputError(
                f"The file {path} has no provenance of EO Translate that says where its tiles are; give "
                "their size in pixels, such as --grid 256."
            )
        lattice = of_tag(tag) if grid is None else of_grid(grid)
        try:
            rows, columns = measure(dataset, lattice)
            sha256 = pixel_hash(dataset)
        except RasterioError as error:
            raise InputError(f"The file {path} cannot be read to its end: {error}.") from error
        axes = judge("rows", rows, dataset.height), judge("columns", columns, dataset.width)
        size = dataset.width, dataset.height, dataset.count
        return Report(str(path), *size, dataset.dtypes[0], lattice, axes, sha256)


def pixel_hash(dataset: rasterio.DatasetReader, window: Window | None = None) -> str:
    """SHA-256 of the decoded pixels: little-endian, row by row, in a row band by band.

    Before them, the data type's name and bands, height and width in decimal. Compression, block layout and
    tags do not count.

    Args:
        dataset: An open raster.
        window: Part of it, whole pixels; None: all of it.
    """
    window = window or Window(0, 0, dataset.width, dataset.height)
    top, left, height, width = (int(v) for v in (window.row_off, window.col_off, window.height, window.width))
    shape = dataset.count, height, width
    digest = hashlib.sha256(f"{dataset.dtypes[0]} {shape[0]} {shape[1]} {shape[2]}\n".encode())
    row_bytes = dataset.count * width * np.dtype(dataset.dtypes[0]).itemsize
    block_rows = dataset.block_shapes[0][0]
    rows = max(1, _STRIP_BYTES // row_bytes)
    rows = rows // block_rows * block_rows or rows
    for row in range(0, height, rows):
        strip = dataset.read(window=Window(left, top + row, width, min(rows, height - row)))
        strip = strip.astype(strip.dtype.newbyteorder("<"), copy=False)
        digest.update(np.ascontiguousarray(strip.transpose(1, 0, 2)).tobytes())
    return digest.hexdigest()
