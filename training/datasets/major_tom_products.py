"""Where the products of Major TOM's cells lie: trees of files, or parquet files that hold files.

A tree is ``Core-<source>/<row>/<cell>/<product>/<band>.tif``; land cover is
``Core-LULC/<row>/<col>/<cell>_<year>.tif``. A parquet file has one row a product: ``grid_cell``,
``product_id``, ``timestamp``, one column of GeoTIFF files a band, and ``thumbnail``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from engine.errors import InputError, MissingPackageError

_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?![\d])")
_INDEX = "metadata.parquet"
_KEYS = ("grid_cell", "product_id", "timestamp")


class Product(Protocol):
    """The files of one product of a cell.

    Attributes:
        day: Of its image; None: unknown.
    """

    day: date | None

    def content(self, name: str) -> bytes | None:
        """A band's GeoTIFF or the thumbnail's PNG by its name in any case; None: it has none."""


class FolderProduct:
    """A folder with a file a band; or a single file, which is the one band."""

    def __init__(self, path: Path) -> None:
        self._path, self.day = path, day_in(path.name)

    def content(self, name: str) -> bytes | None:
        """See ``Product``."""
        if self._path.is_file():
            return self._path.read_bytes()
        named = [file for file in sorted(self._path.iterdir()) if file.stem.lower() == name.lower()]
        return named[0].read_bytes() if named else None


class RowProduct:
    """A row of a parquet file."""

    def __init__(self, path: Path, row: int, day: date | None) -> None:
        self._path, self._row, self.day = path, row, day

    def content(self, name: str) -> bytes | None:
        """See ``Product``."""
        file = _parquet(self._path)
        columns = [column for column in file.schema_arrow.names if column.lower() == name.lower()]
        first = 0
        for group in range(file.num_row_groups if columns else 0):
            rows = file.metadata.row_group(group).num_rows
            if first <= self._row < first + rows:
                column = file.read_row_group(group, columns=columns[:1]).column(0)
                return column[self._row - first].as_py()
            first += rows
        return None


def products(folder: Path) -> Iterator[tuple[str, Product]]:
    """(cell, product) of all products of a source, a cell's latest last.

    Raises:
        InputError: A parquet file is damaged or has no column ``grid_cell``.
        MissingPackageError: There are parquet files and pyarrow is not installed.
    """
    files = sorted(file for file in folder.rglob("*.parquet") if file.name != _INDEX)
    if files:
        rows = [found for file in files for found in _rows(file)]
        yield from ((cell, product) for cell, _, product in sorted(rows, key=lambda row: row[:2]))
        return
    for path in sorted(folder.glob("*/*/*")):
        if path.is_dir():
            yield path.parent.name, FolderProduct(path)
        elif path.suffix == ".tif":
            yield path.stem.rsplit("_", 1)[0], FolderProduct(path)


def day_in(text: str) -> date | None:
    """The first date in a name or a time stamp: 20200519T110619, 2020-05-19."""
    for year, month, day in _DAY.findall(text.replace("T", " ").replace("_", " ")):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def _rows(path: Path) -> Iterator[tuple[str, str, Product]]:
    """(cell, time, product) of the rows of a file."""
    file = _parquet(path)
    if _KEYS[0] not in file.schema_arrow.names:
        raise InputError(f"{path} has no column {_KEYS[0]}, so it is no file of Major TOM.")
    table = file.read(columns=[key for key in _KEYS if key in file.schema_arrow.names]).to_pylist()
    for number, row in enumerate(table):
        time = str(row.get("timestamp") or row.get("product_id") or "")
        yield str(row["grid_cell"]), time, RowProduct(path, number, day_in(time))


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingPackageError(
            "Parquet files need the package pyarrow, which is not installed; run: "
            "pip install 'eo-translate[train]'."
        ) from None
    try:
        return ParquetFile(path)
    except (OSError, ArrowException) as error:
        raise InputError(f"{path} is damaged or no parquet file: {error}.") from None
