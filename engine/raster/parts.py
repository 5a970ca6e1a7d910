"""A folder of GeoTIFFs, one a chunk, and a VRT that joins them: for storage that machines share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path

import numpy as np

from engine.errors import OutputError
from engine.raster.encode import BLOCK_PX, Encoder, Layout
from engine.raster.grid import Grid
from engine.raster.writer import Start, Stored, remove, write_error
from engine.tiling.lattice import Box

_PARTS, _BEGUN = "row*_col*.tif*", "row*_col*.tif.*.part"
_GDAL_TYPES = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32"}


def part_path(vrt: Path, place: Box) -> Path:
    """File of the chunk at a place of a VRT (px)."""
    return vrt.with_name(f"{vrt.stem}_parts") / f"row{place.row:07d}_col{place.col:07d}.tif"


def store_part(vrt: Path, place: Box, chunk: bytes) -> Stored:
    """Puts a chunk's file there, whole or not at all; any process that sees the folder may do it.

    Raises:
        OutputError: The disk is full or failing.
    """
    path = part_path(vrt, place)
    new = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        if chunk:
            path.parent.mkdir(exist_ok=True)
            with open(new, "wb") as file:
                file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
    except OSError as error:
        remove(new)
        raise write_error(path, error) from None
    return Stored(0, len(chunk), hashlib.sha256(chunk).hexdigest())


class PartsWriter:
    """Same doors as ``MosaicWriter``; the result is ``<name>.vrt`` beside the folder ``<name>_parts``.

    Args:
        path: The VRT.
        encoder: Made the chunks; knows grid, bands and tags.
        start: Of an earlier run, to go on with its parts; None: a new folder.

    Raises:
        OutputError: The folder of parts is there and belongs to a finished result.
    """

    suffixes = (".vrt",)

    def __init__(self, path: Path, encoder: Encoder, start: Start | None = None) -> None:
        self.path, self.part, self._encoder = path, path.with_name(f"{path.stem}_parts"), encoder
        self.start = start or Start(0, "", "")
        self._places: list[Box] = []
        self._published = False
        if encoder.left_over:
            raise OutputError(
                f"The creation options {', '.join(encoder.left_over)} cannot be used for a VRT's parts; "
                "leave them out."
            )
        if start is None:
            if path.exists():
                raise OutputError(
                    f"The output {path} exists; remove it and {self.part} first, or choose another name."
                )
            self.discard()
            if self.part.exists():
                raise OutputError(
                    f"The parts of {path} need the name {self.part}, and something else has it; choose "
                    "another name."
                )

    @classmethod
    def left_behind(cls, path: Path, start: Start, stored: Sequence[Stored]) -> bool:
        """Whether an earlier run's parts are there."""
        return path.with_name(f"{path.stem}_parts").is_dir()

    def restore(self, places: Sequence[Box], stored: Sequence[Stored]) -> list[bool]:
        """Says which of an earlier run's parts are whole."""
        whole = [self._is_whole(place, where) for place, where in zip(places, stored, strict=True)]
        kept = zip(places, stored, whole, strict=True)
        self._places = [place for place, where, good in kept if good and where.size]
        return whole

    def append(self, place: Box, chunk: bytes | Stored) -> Stored:
        """Stores a chunk's file, unless a worker has done so already."""
        where = chunk if isinstance(chunk, Stored) else store_part(self.path, place, chunk)
        if where.size:
            self._places.append(place)
        return where

    def sync(self) -> None:
        """Nothing: each part is on the disk when it is stored."""

    def complete(self) -> None:
        """Writes the VRT under another name; removes what killed workers have begun."""
        for file in self.part.glob(_BEGUN):
            remove(file)
        text = _vrt(
            self._encoder.grid, self._encoder.layout, self.part.name, sorted(self._places, key=_order)
        )
        try:
            self._new.write_text(text, encoding="utf-8")
        except OSError as error:
            raise write_error(self.path, error) from None

    def publish(self) -> None:
        """Gives the VRT its name."""
        try:
            os.replace(self._new, self.path)
        except OSError as error:
            raise write_error(self.path, error) from None
        self._published = True

    @contextmanager
    def published(self) -> Iterator[None]:
        """Publishes for the length of a block; takes it back if the block fails."""
        self.publish()
        try:
            yield
        except BaseException:
            self.path.unlink()
            self._published = False
            raise

    def release(self) -> None:
        """Leaves the parts."""
        remove(self._new)

    def discard(self) -> None:
        """Removes everything but a finished result."""
        remove(self._new)
        if not self._published:
            for file in self.part.glob(_PARTS):  # and nothing else that may lie there
                remove(file)
            with suppress(OSError):
                self.part.rmdir()

    @property
    def _new(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    def _is_whole(self, place: Box, where: Stored) -> bool:
        if not where.size:
            return True
        try:
            return hashlib.sha256(part_path(self.path, place).read_bytes()).hexdigest() == where.sha256
        except OSError:
            return False


def _order(place: Box) -> tuple[int, int]:
    return place.row, place.col


def _vrt(grid: Grid, layout: Layout, folder: str, places: Sequence[Box]) -> str:
    lines = [f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">']
    if grid.crs:
        lines.append(f"<SRS>{escape(grid.crs.to_wkt())}</SRS>")
    lines.append(
        f"<GeoTransform>{', '.join(repr(float(v)) for v in grid.transform.to_gdal())}</GeoTransform>"
    )
    for domain, tags in layout.tags.items():
        lines.append(f'<Metadata domain="{escape(domain)}">' if domain else "<Metadata>")
        lines += [f'<MDI key="{escape(key)}">{escape(value)}</MDI>' for key, value in tags.items()]
        lines.append("</Metadata>")
    for band in range(len(layout.names)):
        lines += _band(layout, band, folder, places)
    return "\n".join([*lines, "</VRTDataset>", ""])


def _band(layout: Layout, band: int, folder: str, places: Sequence[Box]) -> Iterator[str]:
    color = layout.colors[band] or ("gray" if band == 0 else "undefined")
    yield (
        f'<VRTRasterBand dataType="{_GDAL_TYPES[layout.dtype]}" band="{band + 1}" '
        f'blockXSize="{BLOCK_PX}" blockYSize="{BLOCK_PX}">'
    )
    yield f"<Description>{escape(layout.names[band])}</Description>"
    yield f"<UnitType>{escape(layout.units)}</UnitType>"
    yield f"<Offset>{layout.offset!r}</Offset><Scale>{layout.scale!r}</Scale>"
    yield f"<NoDataValue>{'nan' if np.isnan(layout.nodata) else repr(layout.nodata)}</NoDataValue>"
    yield f"<ColorInterp>{color.capitalize()}</ColorInterp>"
    for place in places:
        size = f'xSize="{place.width}" ySize="{place.height}"'
        name = escape(f"{folder}/row{place.row:07d}_col{place.col:07d}.tif")
        yield (
            f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
            f"<SourceBand>{band + 1}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" {size}/>'
            f'<DstRect xOff="{place.col}" yOff="{place.row}" {size}/></SimpleSource>'
        )
    yield "</VRTRasterBand>"
