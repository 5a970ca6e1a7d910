"""Mosaics: one GeoTIFF, written block by block under another name, renamed when it is whole."""

from __future__ import annotations

import logging
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from engine.errors import OutputError
from engine.raster.grid import Grid
from engine.tiling.lattice import Box

BLOCK_PX = 512
TAG_DOMAIN = "EO_TRANSLATE"
_SUFFIXES = (".tif", ".tiff")
_SPARE_BYTES = 16 << 20
_LOSSY = ("JPEG", "WEBP", "LERC", "JXL")


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
        tags: Domain ("" for the default one) -> key -> text.
    """

    dtype: str
    nodata: float
    names: tuple[str, ...]
    colors: tuple[str | None, ...]
    units: str
    scale: float = 1.0
    offset: float = 0.0
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def check_output(path: Path, inputs: list[str], estimated_bytes: int) -> None:
    """Everything about the place that can be known before the first pixel.

    Args:
        path: The file to write.
        inputs: Paths that must not be overwritten.
        estimated_bytes: Uncompressed size of the result.

    Raises:
        OutputError: Extension, folder, permission, name clash or free space.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(
            f"The output {path} must end in .tif or .tiff: GeoTIFF is the only format that is written."
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"The output folder {folder} does not exist; make it first.")
    if path.is_dir():
        raise OutputError(f"The output {path} is a folder; give a file name.")
    if not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise OutputError(f"The output {path} cannot be written: permission denied; choose another place.")
    for name in inputs:
        if path.exists() and os.path.exists(name) and os.path.samefile(path, name):
            raise OutputError(f"The output {path} is also an input; give it another name.")
    free = shutil.disk_usage(folder).free
    # Compressed imagery rarely takes less than a quarter, so less room than that is not worth a start.
    if free < estimated_bytes // 4:
        raise OutputError(
            f"The output needs up to {_size(estimated_bytes)} and {folder} has {_size(free)} free; make "
            "room or choose "
            "another place."
        )


class MosaicWriter:
    """Writes a GeoTIFF under ``<name>.part``.

    ``complete`` and ``publish`` (this one or, for several files, the function) make it the result,
    ``discard`` removes it.

    Args:
        path: The result.
        grid: CRS, affine and size.
        layout: Bands and tags.
        cog: Make it a Cloud Optimized GeoTIFF at the end.
        creation_options: The user's GDAL creation options, on top of ours.

    Raises:
        OutputError: It cannot be created, or an option is unknown.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        layout: Layout,
        cog: bool = False,
        creation_options: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self.part, self._cog = path, path.with_name(path.name + ".part"), cog
        self._checksums: dict[Box, int] = {}
        self._options = {key.upper(): value for key, value in (creation_options or {}).items()}
        own = {**_compression(layout.dtype), "TILED": "YES", "BLOCKXSIZE": BLOCK_PX, "BLOCKYSIZE": BLOCK_PX}
        own |= {"BIGTIFF": "IF_SAFER", "INTERLEAVE": "PIXEL"}
        if "COMPRESS" in self._options:
            del own["PREDICTOR"], own["ZLEVEL"]
        options = own if cog else own | self._options
        with self._failing():
            self._dataset = rasterio.open(
                self.part,
                "w",
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
            self._describe(layout)

    def write(self, box: Box, values: NDArray[Any]) -> None:
        """Writes all bands of a box (C, h, w) that starts and ends on block borders.

        Raises:
            OutputError: The disk is full or failing.
        """
        with self._failing():
            self._dataset.write(values, window=_window(box))
        self._checksums[box] = zlib.crc32(np.ascontiguousarray(values).data)

    def complete(self) -> None:
        """Everything but the name: closes, adds overviews, makes the COG where asked for.

        Raises:
            OutputError: The disk is full or failing; nothing is left then.
        """
        with self._failing():
            size = self._dataset.height, self._dataset.width
            self._dataset.close()
            factors = _overview_factors(*size)
            if factors:
                with rasterio.open(self.part, "r+") as dataset:
                    dataset.build_overviews(factors, Resampling.average)
            self._check_whole(len(factors))
            if self._cog:
                self._to_cog()
                self._check_whole(len(factors))

    def publish(self) -> None:
        """Gives the completed file its name, in place of what had it.

        Raises:
            OutputError: It cannot be renamed.
        """
        with self._failing():
            os.replace(self.part, self.path)

    def discard(self) -> None:
        """Removes everything but a finished result."""
        if not self._dataset.closed:
            with _collected_errors():
                self._dataset.close()
        for name in (self.part, self._cog_part):
            for path in (
                name,
                name.with_name(name.name + ".aux.xml"),
                name.with_name(name.name + ".ovr.tmp"),
            ):
                path.unlink(missing_ok=True)

    @contextmanager
    def published(self) -> Iterator[None]:
        """Publishes for the length of a block; if the block fails, what had the name gets it back.

        Raises:
            OutputError: It cannot be renamed.
        """
        before = self.path.with_name(self.path.name + ".before")
        kept = self.path.is_file()
        with self._failing():
            if kept:
                os.replace(self.path, before)
        try:
            self.publish()
            yield
        except BaseException:
            if kept:
                os.replace(before, self.path)
            elif self.path.is_file():
                self.path.unlink()
            raise
        if kept:
            before.unlink()

    @property
    def _cog_part(self) -> Path:
        return self.part.with_name(self.part.name + ".cog")

    def _describe(self, layout: Layout) -> None:
        dataset = self._dataset
        dataset.descriptions = layout.names
        dataset.units = [layout.units] * len(layout.names)
        dataset.scales = [layout.scale] * len(layout.names)
        dataset.offsets = [layout.offset] * len(layout.names)
        dataset.colorinterp = [
            ColorInterp[color] if color else ColorInterp.gray if number == 0 else ColorInterp.undefined
            for number, color in enumerate(layout.colors)
        ]
        for domain, tags in layout.tags.items():
            dataset.update_tags(ns=domain or None, **tags)

    def _to_cog(self) -> None:
        options = {**_cog_compression(), "BLOCKSIZE": BLOCK_PX, "BIGTIFF": "IF_SAFER", "OVERVIEWS": "AUTO"}
        options["COPY_SRC_MDD"] = "YES"  # our own domain of tags too
        if "COMPRESS" in self._options:
            del options["PREDICTOR"], options["LEVEL"]
        rasterio.shutil.copy(self.part, self._cog_part, driver="COG", **(options | self._options))
        os.replace(self._cog_part, self.part)

    def _check_whole(self, overviews: int) -> None:
        """Reads everything back: on a full disk libtiff loses blocks and directories without telling GDAL."""
        with rasterio.open(self.part) as dataset:
            for box, checksum in self._checksums.items():
                found = zlib.crc32(dataset.read(window=_window(box)).data)
                if found != checksum and not self._lossy:
                    raise OSError(f"the block at row {box.row}, column {box.col} was lost")
            if len(dataset.overviews(1)) != overviews:
                raise OSError("the overviews were lost")
            for level in range(overviews):
                self._check_overview(dataset, level)

    def _check_overview(self, dataset: DatasetReader, level: int) -> None:
        with rasterio.open(self.part, OVERVIEW_LEVEL=level) as overview:
            for (row, col), window in overview.block_windows(1):
                if dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1, ovr=level) is None:
                    raise OSError(f"a block of the overview {level} was lost")
                overview.read(window=window)

    @property
    def _lossy(self) -> bool:
        compression = self._options.get("COMPRESS", "").upper()
        return compression.startswith(_LOSSY) or bool({"NBITS", "DISCARD_LSB"} & set(self._options))

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Any failure inside, those that GDAL only logs included, removes the file and becomes a sentence."""
        try:
            with _collected_errors() as problems:
                yield
                if problems:
                    raise OSError(problems[0])
        except (OSError, RasterioError) as error:
            reason = problems[0] if problems else " ".join(str(error.__cause__ or error).split())
            if hasattr(self, "_dataset"):
                self.discard()
            else:
                self.part.unlink(missing_ok=True)
            raise OutputError(_sentence(self.path, reason)) from None


def publish(writers: Sequence[MosaicWriter]) -> None:
    """Gives completed files their names: all of them, or none and everything is as it was.

    Raises:
        OutputError: One of them cannot be renamed.
    """
    *others, last = writers
    with ExitStack() as stack:
        for writer in others:
            stack.enter_context(writer.published())
        last.publish()


def _sentence(path: Path, reason: str) -> str:
    if "creation option" in reason or "is an unexpected value" in reason or "Invalid value" in reason:
        return f"A creation option for {path} is wrong ({reason}); correct it or leave it out."
    if shutil.disk_usage(path.absolute().parent).free < _SPARE_BYTES or "No space" in reason:
        return (
            f"The disk is full: {path} could not be written and was removed; make room or choose another "
            "place."
        )
    return f"The output {path} could not be written ({reason[:200]}) and was removed; choose another place."


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.problems: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        if record.levelno >= logging.ERROR or "creation option" in text or "unexpected value" in text:
            self.problems.append(text)


@contextmanager
def _collected_errors() -> Iterator[list[str]]:
    """What GDAL reports while the block runs; rasterio only logs much of it."""
    collector, loggers = (
        _Collector(),
        [logging.getLogger(name) for name in ("rasterio._env", "rasterio._err")],
    )
    for logger in loggers:
        logger.addHandler(collector)
    try:
        yield collector.problems
    finally:
        for logger in loggers:
            logger.removeHandler(collector)


def _window(box: Box) -> Window:
    return Window(box.col, box.row, box.width, box.height)


def _compression(dtype: str) -> dict[str, Any]:
    return {"COMPRESS": "DEFLATE", "ZLEVEL": 3, "PREDICTOR": 3 if np.dtype(dtype).kind == "f" else 2}


def _cog_compression() -> dict[str, Any]:
    return {"COMPRESS": "DEFLATE", "LEVEL": 3, "PREDICTOR": "YES"}


def _overview_factors(height: int, width: int) -> list[int]:
    factors, factor = [], 2
    while max(height, width) / factor * 2 > BLOCK_PX:
        factors.append(factor)
        factor *= 2
    return factors


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
