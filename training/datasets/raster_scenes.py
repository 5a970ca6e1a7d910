"""Any co-registered rasters as scenes: a CSV file with a row a place, and a column a modality.

Columns: ``location``; optionally ``date`` (2024-07-01); and modalities of the model (``dem``, ``s1_rtc``
...), each with one raster or several separated by ``;``. Paths are relative to the CSV file. Rasters may lie
on any grids and in any coordinate systems: all are warped to the grid of the first one, whose pixels should
have the size that the model is meant for. Bands are found by their descriptions; where a file has none, a
column ``<modality>_bands`` names them in order: ``B01 B02 B03``.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from engine.errors import InputError
from engine.modalities.encoders import encoder
from engine.modalities.reflectance_units import tell_reflectance, to_dn
from engine.models.joint_schema import Group
from engine.models.schema import ContinuousInput, InputBand, Linear
from engine.raster.bands import BandList, choose_bands
from engine.raster.units import tell_units, to_db
from engine.tiling.lattice import Box
from training.datasets.scenes import Pixels, Scene, padded

_SAMPLE_PX = 512
_RADAR, _OPTICAL = ("backscatter", "sentinel1-thumbnail"), ("reflectance", "sentinel2-thumbnail")


class RasterScenes:
    """The places of a CSV file.

    Raises:
        InputError: The file or one of its columns is missing, or names no modality of the model.
    """

    def __init__(self, table: Path, groups: Sequence[Group]) -> None:
        self._folder, self._groups = table.parent, tuple(group for group in groups if not group.is_vector)
        try:
            with open(table, newline="", encoding="utf-8") as file:
                self._rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The table {table} cannot be read: {error}.") from None
        known = {group.modality for group in self._groups}
        columns = set(self._rows[0] if self._rows else ())
        if "location" not in columns or not columns & known:
            raise InputError(
                f"{table} needs a column location and columns named after modalities of the model, which are "
                f"{', '.join(sorted(known))}; it has {', '.join(sorted(columns)) or 'no rows'}."
            )

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Scene]:
        """Scenes in the order of the rows."""
        seen: Counter[str] = Counter()
        for row in self._rows:
            place = re.sub(r"[^A-Za-z0-9_-]+", "-", row["location"]).strip("-_")
            if not place:
                raise InputError("A row of the table has no location; name the place of each row.")
            seen[place] += 1
            yield self._scene(f"{place}.{seen[place]}" if seen[place] > 1 else place, row)

    def _scene(self, name: str, row: Mapping[str, str]) -> Scene:
        files = {
            group.modality: [self._folder / part.strip() for part in row[group.modality].split(";")]
            for group in self._groups
            if row.get(group.modality)
        }
        if not files:
            raise InputError(f"The row of {name} names no raster.")
        finest = min((g for g in self._groups if g.modality in files), key=lambda group: group.pixel)
        with _opened(files[finest.modality][0]) as grid:
            crs, transform, height, width = grid.crs, grid.transform, grid.height, grid.width
        pixel = finest.pixel
        frame = Frame(crs, transform * Affine.scale(1 / pixel), height * pixel, width * pixel)
        given = [group for group in self._groups if group.modality in files]
        layers = {
            group.name: RasterLayer(
                files[group.modality], group, frame, (row.get(f"{group.modality}_bands") or "").split()
            )
            for group in given
        }
        return Scene(name, frame.height, frame.width, layers, crs, frame.transform, _day(row, name))


class Frame:
    """The finest grid of a scene.

    Attributes:
        crs: None: rasters without georeference, which must all have its size.
        transform, height, width: As of a raster.
    """

    def __init__(self, crs: CRS | None, transform: Affine, height: int, width: int) -> None:
        self.crs, self.transform, self.height, self.width = crs, transform, height, width


class RasterLayer:
    """Bands of rasters warped to a scene's grid; see ``training.datasets.scenes.Layer``.

    Args:
        files: One with all bands, or several.
        group: Which bands, in which units; bands are found by their descriptions, and taken in order where
            there are none and as many as needed.
        frame: The scene's grid.
        names: Of all bands of the files, in order, instead of their descriptions.

    Raises:
        InputError: A file cannot be read or does not fit the grid, its bands cannot be told apart, or its
            values are those of a picture.
    """

    ready = False

    def __init__(self, files: Sequence[Path], group: Group, frame: Frame, names: Sequence[str] = ()) -> None:
        self._group = group
        self.height, self.width = frame.height // group.pixel, frame.width // group.pixel
        opened = [_opened(file) for file in files]
        warped = [_on_frame(dataset, group, frame) for dataset in opened]
        self._bands = [(warped[file], number) for file, number in _chosen(opened, group, names)]
        rows, cols = min(self.height, _SAMPLE_PX), min(self.width, _SAMPLE_PX)
        middle = Box((self.height - rows) // 2, (self.width - cols) // 2, rows, cols)
        values, valid = self._raw(middle)
        self._units = self._told(values[:, valid].ravel(), [band.tags() for band, _ in self._bands])

    def read(self, box: Box) -> Pixels:
        """See ``Layer``."""
        return padded(box, (self.height, self.width), self._part, len(self._bands))

    def _told(self, values: np.ndarray, tags: list[dict[str, str]]) -> str | None:
        """Units of the files, told by values and tags."""
        texts = [f"{key}={value}" for found in tags for key, value in found.items()]
        if self._group.encoding.kind in _RADAR:
            units = tell_units(values, texts).units
            if units == "relative" and self._group.encoding.kind == "backscatter":
                raise InputError(
                    f"{self._bands[0][0].name} holds a display stretch, and {self._group.name} needs radar "
                    "in dB or linear power."
                )
            return units
        if self._group.encoding.kind in _OPTICAL:
            return tell_reflectance(values, texts, self._bands[0][0].dtypes[0]).units
        return None

    def _part(self, box: Box) -> Pixels:
        values, valid = self._raw(box)
        if self._group.encoding.kind in _RADAR:
            values, positive = to_db(values, self._units)
            valid = valid & np.broadcast_to(positive, values.shape).all(axis=0)
        elif self._group.encoding.kind in _OPTICAL:
            values = to_dn(values, self._units)
        return values, valid

    def _raw(self, box: Box) -> Pixels:
        window = Window(box.col, box.row, box.width, box.height)
        found = np.ma.stack([file.read(band, window=window, masked=True) for file, band in self._bands])
        values = np.ma.filled(found.astype(np.float32), np.nan)
        valid = np.isfinite(values).all(axis=0)
        return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), valid


def _opened(path: Path) -> DatasetReader:
    try:
        return rasterio.open(path)
    except RasterioError as error:
        raise InputError(f"The raster {path} cannot be read: {error}.") from None


def _on_frame(dataset: DatasetReader, group: Group, frame: Frame) -> DatasetReader | WarpedVRT:
    """The raster on the group's own grid."""
    height, width = frame.height // group.pixel, frame.width // group.pixel
    if frame.crs is None or dataset.crs is None:
        if (dataset.height, dataset.width) != (height, width):
            raise InputError(
                f"{dataset.name} has {dataset.width} x {dataset.height} pixels where {width} x {height} are "
                "needed, and cannot be warped for want of a coordinate system; give it one."
            )
        return dataset
    classes = group.encoding.kind == "classes"
    return WarpedVRT(
        dataset,
        crs=frame.crs,
        transform=frame.transform * Affine.scale(group.pixel),
        height=height,
        width=width,
        resampling=Resampling.nearest if classes else Resampling.bilinear,
    )


def _chosen(files: Sequence[DatasetReader], group: Group, names: Sequence[str]) -> list[tuple[int, int]]:
    """(file, band number) of each band of the group, as the engine finds them."""
    listed = BandList(files)
    if names:
        if len(names) != len(listed):
            raise InputError(
                f"{listed.name} has {len(listed)} bands, and the column {group.modality}_bands names "
                f"{len(names)}: {' '.join(names)}."
            )
        listed.bands = tuple(replace(band, text=name) for band, name in zip(listed.bands, names, strict=True))
    entry = ContinuousInput(
        modality=group.modality,
        tensor=group.name,
        encoding="continuous",
        bands=tuple(InputBand(name=band.name) for band in group.bands),
        units=encoder(group).units,
        normalisation=Linear(kind="linear"),
    )
    try:
        found = [listed[number] for number in choose_bands(listed, entry, None)]
    except InputError as error:
        raise InputError(f"{error} In the table, {group.modality}_bands names the bands of a file.") from None
    return [(band.file, band.number) for band in found]


def _day(row: Mapping[str, str], name: str) -> date | None:
    text = (row.get("date") or "").strip()
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InputError(f"The date {text!r} of {name} is none; write it as 2024-07-01.") from None
