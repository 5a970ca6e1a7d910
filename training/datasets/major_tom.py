"""Cells of Major TOM (arXiv:2402.12095) as scenes.

Groups of thumbnails take the thumbnail of a product, as COP-GEN-Beta's authors did; all others its bands.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from engine.errors import InputError
from engine.modalities.cells import resized_levels
from engine.models.joint_schema import Group
from training.datasets.major_tom_products import Product, products
from training.datasets.patch_folders import picture_values
from training.datasets.scenes import ArrayLayer, Scene

# Modality -> folder of its products.
SOURCES = {
    "dem": "Core-DEM",
    "s1_rtc": "Core-S1RTC",
    "s2_l1c": "Core-S2L1C",
    "s2_l2a": "Core-S2L2A",
    "lulc": "Core-LULC",
    "cloud_mask": "Core-S2L1C",
}
_THUMBNAIL, _THUMBNAIL_PX = "thumbnail", 1068
_FRAMES = {"Core-S2L2A": "B04", "Core-S2L1C": "B04", "Core-S1RTC": "vv", "Core-DEM": "DEM"}
Frame = tuple[CRS, Affine]


class Cells:
    """All cells under a folder, in the order of their names.

    Args:
        root: Holds ``Core-*`` folders, each a tree or parquet files.
        groups: Of the model; sources that none of them needs are not looked at.

    Raises:
        InputError: There are no such folders, or a parquet file is damaged.
        MissingPackageError: There are parquet files and pyarrow is not installed.
    """

    def __init__(self, root: Path, groups: Sequence[Group]) -> None:
        self._groups = tuple(group for group in groups if group.modality in SOURCES)
        self._products: dict[str, dict[str, Product]] = {}
        sources = sorted({SOURCES[group.modality] for group in self._groups})
        for source in sources:
            for cell, product in products(root / source):
                self._products.setdefault(cell, {})[source] = product
        if not self._products:
            raise InputError(f"{root} holds no cells of Major TOM in {', '.join(sources)}.")

    def __len__(self) -> int:
        """Number of cells."""
        return len(self._products)

    def __iter__(self) -> Iterator[Scene]:
        """Scenes, one a cell."""
        for cell in sorted(self._products):
            yield self._scene(cell, self._products[cell])

    def _scene(self, cell: str, files: Mapping[str, Product]) -> Scene:
        layers, sizes = {}, {}
        for group in self._groups:
            product = files.get(SOURCES[group.modality])
            thumbnail = group.encoding.kind.endswith("-thumbnail")
            layer = product and (_thumbnail(product, cell) if thumbnail else _bands(product, group, cell))
            if layer:
                layers[group.name] = layer
                sizes[group.name] = (layer.height * group.pixel, layer.width * group.pixel)
        if len(set(sizes.values())) > 1:
            raise InputError(
                f"The layers of the cell {cell} differ in extent: {sizes}; download the cell again, or leave "
                "it out."
            )
        height, width = next(iter(sizes.values()), (0, 0))
        crs, transform = _frame(files, width) if layers else (None, Affine.identity())
        return Scene(cell, height, width, layers, crs, transform, _middle(files))


def _thumbnail(product: Product, cell: str) -> ArrayLayer | None:
    """The thumbnail in the model's range; a DEM's, of 30 m, is resized as the authors do."""
    from PIL import Image, UnidentifiedImageError

    content = product.content(_THUMBNAIL)
    if content is None:
        return None
    try:
        levels = np.asarray(Image.open(io.BytesIO(content)))
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"A thumbnail of the cell {cell} is damaged: {error}.") from None
    if levels.dtype != np.uint8:
        raise InputError(f"A thumbnail of the cell {cell} has {levels.dtype} values and should have 8 bits.")
    if levels.shape[:2] != (_THUMBNAIL_PX, _THUMBNAIL_PX):
        levels = resized_levels(levels, _THUMBNAIL_PX, _THUMBNAIL_PX)
    values = picture_values(levels)
    return ArrayLayer(values, np.ones(values.shape[1:], bool), ready=True)


def _bands(product: Product, group: Group, cell: str) -> ArrayLayer | None:
    """The bands of a group in the units of its encoder."""
    found = [_band(product, band.name, cell) for band in group.bands]
    if any(band is None for band in found):
        return None
    if len({band.shape for band in found}) > 1:
        raise InputError(f"The bands of {group.name} of the cell {cell} differ in size.")
    values = np.ma.stack(found).astype(np.float32)
    valid = ~np.ma.getmaskarray(values).any(axis=0)
    data = np.ma.filled(values, 0)
    if group.encoding.kind in ("backscatter", "sentinel1-thumbnail"):
        valid &= (data > 0).all(axis=0)
        data = 10 * np.log10(np.where(valid, data, 1))
    return ArrayLayer(data.astype(np.float32), valid & np.isfinite(data).all(axis=0))


def _band(product: Product, name: str, cell: str) -> np.ma.MaskedArray | None:
    content = product.content(name)
    if content is None:
        return None
    try:
        with MemoryFile(content) as file, file.open() as dataset:
            return dataset.read(1, masked=True)
    except RasterioIOError as error:
        raise InputError(f"The band {name} of the cell {cell} is damaged: {error}.") from None


def _frame(files: Mapping[str, Product], width: int) -> tuple[CRS | None, Affine]:
    """Where the finest grid lies, from any band's file."""
    for source, band in _FRAMES.items():
        content = source in files and files[source].content(band)
        if content:
            with MemoryFile(content) as file, file.open() as dataset:
                if dataset.crs is not None:
                    return dataset.crs, dataset.transform * Affine.scale(dataset.width / width)
    return None, Affine.identity()


def _middle(files: Mapping[str, Product]) -> date | None:
    """The middle of the radar's and the optical image's dates, as COP-GEN's authors date a cell."""
    radar = [product.day for source, product in files.items() if "S1" in source and product.day]
    optical = [product.day for source, product in files.items() if "S2" in source and product.day]
    days = [min(found) for found in (radar, optical) if found]
    return days[0] + timedelta(days=(days[-1] - days[0]).days // 2) if days else None
