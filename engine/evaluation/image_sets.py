"""Sets of images by place: folders of rasters, or the Parquet shards of COP-GEN's benchmark."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window

from engine.errors import InputError
from engine.evaluation import benchmark
from engine.evaluation.needs import needed
from engine.evaluation.rasters import Raster
from engine.raster.bands import plain_name
from engine.raster.source import gdal_environment
from engine.spec import InputRaster

_RASTERS = (".tif", ".tiff", ".vrt")
_PLACE, _SAMPLE = "grid_cell", "sample_id"


@dataclass(frozen=True)
class Cell:
    """A cell of the Major TOM grid: its upper left corner, in a CRS."""

    corner: tuple[float, float]
    crs: CRS


class ImageSet(Protocol):
    """Images by place.

    Attributes:
        places: Place -> names of its images.
        bands: What the bands are called.
    """

    places: dict[str, list[str]]
    bands: list[str]

    def read(self, place: str, name: str, cell: Cell | None) -> NDArray[np.float32]:
        """One image (C, H, W), 0 where there is nothing; of a cell its footprint alone."""


def open_set(path: Path, bands: Sequence[str] | None, scale: float) -> ImageSet:
    """The images below a folder.

    Args:
        path: ``PLACE/IMAGE.tif`` below it; or rasters of one place; or Parquet files.
        bands: Names of the bands to compare; None: all.
        scale: Factor on the stored values, beside the files' own.

    Raises:
        InputError: There are no images.
        MissingPackageError: There are Parquet files, and pyarrow is missing.
    """
    if not path.is_dir():
        raise InputError(f"The folder {path} does not exist; give one with a folder of rasters a place.")
    shards = sorted(path.rglob("*.parquet"))
    found: ImageSet = ParquetSet(shards, bands, scale) if shards else FolderSet(path, bands, scale)
    if not found.places:
        raise InputError(
            f"The folder {path} holds no images; give one with a folder of rasters a place, or Parquet files."
        )
    return found


class FolderSet:
    """Rasters in a folder a place; rasters directly in the folder are of one place."""

    def __init__(self, path: Path, bands: Sequence[str] | None, scale: float) -> None:
        self._path, self._bands, self._scale = path, bands, scale
        self.places: dict[str, list[str]] = {}
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in _RASTERS and file.is_file():
                place = file.relative_to(path).parent.as_posix()
                self.places.setdefault("" if place == "." else place, []).append(file.name)
        self.bands = self._titles() if self.places else []

    def _titles(self) -> list[str]:
        place, names = next(iter(self.places.items()))
        with gdal_environment(), ExitStack() as stack:
            return Raster("image", self._spec(place, names[0]), stack).titles

    def read(self, place: str, name: str, cell: Cell | None) -> NDArray[np.float32]:
        """See ``ImageSet``."""
        with ExitStack() as stack:
            raster = Raster("image", self._spec(place, name), stack)
            grid = raster.grid
            raster.align(grid, False)
            values, valid = raster.read(grid.box)
        image = np.where(valid, values, 0).astype(np.float32)
        return image if cell is None else _footprint(image, cell, grid.transform, grid.crs)

    def _spec(self, place: str, name: str) -> InputRaster:
        bands = None if self._bands is None else tuple(self._bands)
        return InputRaster(path=str(self._path / place / name), bands=bands, scale=self._scale)


class ParquetSet:
    """Rows with a place, a sample and a GeoTIFF a band."""

    def __init__(self, shards: Sequence[Path], bands: Sequence[str] | None, scale: float) -> None:
        with needed():
            import pyarrow.parquet

        self._parquet = pyarrow.parquet
        self._scale = scale
        self._rows: dict[tuple[str, str], tuple[Path, int, int]] = {}
        self.places: dict[str, list[str]] = {}
        columns: list[str] = []
        for shard in shards:
            file = self._open(shard)
            columns = columns or file.schema_arrow.names
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, [_PLACE, _SAMPLE]).to_pydict()
                for row, key in enumerate(zip(table[_PLACE], table[_SAMPLE], strict=True)):
                    self._rows[key] = shard, group, row
                    self.places.setdefault(key[0], []).append(key[1])
        given = [name for name in columns if _is_band(name)]
        self.bands = given if bands is None else _among(bands, given)

    def read(self, place: str, name: str, cell: Cell | None) -> NDArray[np.float32]:
        """See ``ImageSet``."""
        shard, group, row = self._rows[place, name]
        table = self._open(shard).read_row_group(group, self.bands)
        planes = []
        for column in self.bands:
            blob = table[column][row].as_py()
            try:
                with MemoryFile(io.BytesIO(blob)) as memory, memory.open() as dataset:
                    planes.append(_plane(dataset, cell))
            except (RasterioError, TypeError) as error:
                raise InputError(
                    f"The band {column} of {place}, {name} in {shard} is no GeoTIFF ({error})."
                ) from None
        return np.stack(planes) * np.float32(self._scale)

    def _open(self, shard: Path) -> object:
        try:
            file = self._parquet.ParquetFile(shard)
        except (OSError, ValueError) as error:
            raise InputError(f"The file {shard} is no Parquet file ({error}).") from None
        missing = {_PLACE, _SAMPLE} - set(file.schema_arrow.names)
        if missing:
            raise InputError(
                f"The Parquet file {shard} has no column {', '.join(sorted(missing))}; give files of "
                "COP-GEN's benchmark, or folders of rasters."
            )
        return file


def _plane(dataset: DatasetReader, cell: Cell | None) -> NDArray[np.float32]:
    image = dataset.read([1]).astype(np.float32)
    return (image if cell is None else _footprint(image, cell, dataset.transform, dataset.crs))[0]


def _footprint(image: NDArray[np.float32], cell: Cell, transform: object, crs: CRS) -> NDArray[np.float32]:
    window: Window = benchmark.footprint(cell.corner, cell.crs, transform, crs)
    return benchmark.cut(image, window)


def _is_band(name: str) -> bool:
    plain = plain_name(name)
    return plain[:1] == "b" and plain[1:2].isdigit()


def _among(bands: Sequence[str], columns: list[str]) -> list[str]:
    known = {plain_name(column): column for column in columns}
    absent = [band for band in bands if plain_name(band) not in known]
    if absent:
        raise InputError(
            f"The Parquet files have no band {', '.join(absent)}; they have {', '.join(columns)}."
        )
    return [known[plain_name(band)] for band in bands]
