"""Input rasters: opened with every doubt raised at once, aligned on the output grid, read by window."""

from __future__ import annotations

import hashlib
import html
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from affine import AffineError
from numpy.typing import NDArray
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from engine.errors import InputError
from engine.raster.grid import Grid, project_bounds
from engine.spec import InputRaster
from engine.tiling.lattice import Box, split

SAMPLE_PX = 1024
# No request leaves the machine, whatever a raster refers to: there is no such kind of proxy.
_NO_NETWORK = "no-network://eo-translate"
# Bounded block cache, no requests over the network.
GDAL_OPTIONS = {
    "GDAL_CACHEMAX": 16 << 20,  # a larger one would make memory grow with the raster for 1 % of the time
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".no-network",
    "GDAL_HTTP_PROXY": _NO_NETWORK,
    "GDAL_HTTPS_PROXY": _NO_NETWORK,
}
_SHRINK = 1.5  # from this ratio of pixel sizes on, an average says more than the nearest four pixels
# tolerance=0 makes rasterio 1.4 build a warper without a transformer; this is exact for all that matters.
_WARP_TOLERANCE_PX = 1e-6
_NETWORK_DRIVERS = frozenset(
    [
        "DAAS",
        "EEDA",
        "EEDAI",
        "HTTP",
        "NGW",
        "OGCAPI",
        "PLMOSAIC",
        "PLSCENES",
        "PostGISRaster",
        "RASDAMAN",
        "STACIT",
        "STACTA",
        "WCS",
        "WMS",
        "WMTS",
    ]
)
_REMOTE = re.compile(
    r"^(?!file://)[a-z][a-z0-9+.-]*://"
    r"|/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)"
    r"|^(wms|wmts|wcs|ogcapi|zxy|pg|eedai|plmosaic|stacit|stacta|daas|ngw|iip|rasdaman):"
    r"|(^|&)(url|type)=",
    re.IGNORECASE,
)
_WEB_DOCUMENT = re.compile(rb"<(GDAL_WMS|WMS_GDAL|GDAL_WMTS|WCS_GDAL|GDAL_HTTP)", re.IGNORECASE)
_REFERENCE_DOCUMENT = re.compile(rb"\s*(\xef\xbb\xbf)?\s*<(\?xml|VRTDataset|GDALTileIndexDataset)")
_REFERENCE = re.compile(r"<(?:SourceFilename|SourceDataset|IndexDataset)\b[^>]*>([^<]*)<")
_MAX_DOCUMENT_BYTES = 16 << 20
# What a place in the world can be: far more pixels than there are centimetres around the equator.
_MAX_WORLD_PX = 2**40


@dataclass(frozen=True)
class Pixels:
    """Values as stored (B, H, W) and where they mean something: bool (B, H, W)."""

    values: NDArray[Any]
    valid: NDArray[np.bool_]


@contextmanager
def gdal_environment() -> Iterator[None]:
    """GDAL for local rasters, in this thread: ``GDAL_OPTIONS``, and quiet about rasters without a grid."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ.pop(name, None)  # hosts named there would get round the proxy that does not exist
    with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
        # A raster without a grid is said in our own words.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def open_raster(path: str, modality: str) -> DatasetReader:
    """Opens a local raster.

    Raises:
        InputError: It is missing, remote, no raster, complex, or located by ground control points alone.
    """
    _check_place(path, modality)
    _check_references(path, modality)
    try:
        dataset = DatasetReader(path, driver=_local_drivers())
    except (RasterioIOError, UnicodeError) as error:
        raise InputError(_why_not_open(path, modality, error)) from None
    try:
        _check_content(dataset, modality)
        _check_grid(dataset, modality)
    except UnicodeDecodeError:
        dataset.close()
        raise InputError(
            f"The {modality} raster {path} holds names that are not UTF-8 text; it may be damaged."
        ) from None
    except InputError:
        dataset.close()
        raise
    return dataset


class Source:
    """Chosen bands of one raster on the layer's grid.

    Args:
        modality: What it is given for; for messages.
        spec: The job's words about it.
        dataset: Opened by ``open_raster``; closed by ``close``.
        bands: Band numbers from 1.
        places: Which of the model's bands each of them is.
    """

    def __init__(
        self,
        modality: str,
        spec: InputRaster,
        dataset: DatasetReader,
        bands: list[int],
        places: tuple[int, ...],
    ) -> None:
        self.modality, self.spec, self.dataset, self.bands = modality, spec, dataset, bands
        self.places = places
        self.grid = Grid.of(dataset)
        self._aligned: DatasetReader | WarpedVRT = dataset
        self._layer = self.grid
        self._classes = False
        self._sample: Pixels | None = None

    def twin(self) -> Source:
        """The same raster opened once more, for another thread: GDAL's handles serve one at a time.

        Raises:
            InputError: It is no longer there.
        """
        twin = Source(self.modality, self.spec, self._reopened(), self.bands, self.places)
        twin.align(self._layer, self._classes)
        return twin

    def of_bands(self, bands: list[int], places: tuple[int, ...]) -> Source:
        """The same raster opened once more, for some of its bands and another grid."""
        return Source(self.modality, self.spec, self._reopened(), bands, places)

    def fingerprint(self) -> dict[str, Any]:
        """What tells whether the file is still the same, whatever its date: size and a hash of ``sample``."""
        sample = self.sample()
        digest = hashlib.sha256(np.ascontiguousarray(sample.values).data)
        digest.update(np.packbits(sample.valid).data)
        return {"size": [self.dataset.width, self.dataset.height], "sample_sha256": digest.hexdigest()}

    def close(self) -> None:
        """Closes the files."""
        if self._aligned is not self.dataset:
            self._aligned.close()
        self.dataset.close()

    def align(self, layer: Grid, classes: bool) -> bool:
        """Makes ``read`` answer on ``layer``: directly, or through a warp.

        Args:
            layer: The grid to read on.
            classes: Values are class numbers: nearest neighbour, the most frequent one when pixels grow.

        Returns:
            Whether pixels are resampled.
        """
        self._layer, self._classes = layer, classes
        if self.grid.same_as(layer):
            return False
        shrinks = self._shrinks(layer)
        if classes:
            resampling = Resampling.mode if shrinks else Resampling.nearest
        else:
            resampling = Resampling.average if shrinks else Resampling.bilinear
        dtype = np.dtype(self.dataset.dtypes[self.bands[0] - 1])
        self._aligned = WarpedVRT(
            self.dataset,
            crs=layer.crs,
            transform=layer.transform,
            width=layer.width,
            height=layer.height,
            resampling=resampling,
            tolerance=_WARP_TOLERANCE_PX,
            src_nodata=self._source_nodata(dtype),
            nodata=math.nan,
            dtype="float32" if dtype.itemsize < 4 or dtype == np.float32 else "float64",
            UNIFIED_SRC_NODATA="NO",
            # Else GDAL sizes the kernel by the ratio of the window's sizes: other windows, other values.
            XSCALE=1,
            YSCALE=1,
        )
        return True

    def read(self, box: Box) -> Pixels:
        """Pixels of a box of the layer; beyond the layer's border its mirror image.

        Raises:
            InputError: The file is damaged there.
        """
        rows = mirrored(*box.rows, self._layer.height)
        cols = mirrored(*box.cols, self._layer.width)
        top, left = int(rows.min()), int(cols.min())
        window = Window(left, top, int(cols.max()) - left + 1, int(rows.max()) - top + 1)
        pixels = self._read(self._aligned, window=window)
        if box.intersection(self._layer.box) == box:
            return pixels
        return Pixels(*(_taken(a, rows - top, cols - left) for a in (pixels.values, pixels.valid)))

    def sample(self) -> Pixels:
        """A fixed decimated read of the whole raster on its own grid, at most 1024 x 1024 nearest pixels."""
        if self._sample is None:
            self._sample = self._decimated()
        return self._sample

    def _decimated(self) -> Pixels:
        shape = min(self.dataset.height, SAMPLE_PX), min(self.dataset.width, SAMPLE_PX)
        # Overviews are often smoothed: statistics must not depend on whether a file has them.
        with self._reopened(OVERVIEW_LEVEL="NONE") as dataset:
            return self._read(dataset, out_shape=(len(self.bands), *shape), resampling=Resampling.nearest)

    def _reopened(self, **options: str) -> DatasetReader:
        try:
            return DatasetReader(self.dataset.name, driver=self.dataset.driver, **options)
        except RasterioError as error:
            raise InputError(
                f"The {self.modality} raster {self.dataset.name} cannot be opened any more "
                f"({_reason(error)}); see whether it was moved or its disk was disconnected."
            ) from None

    def has_valid_pixels(self, check: Callable[[], None]) -> bool:
        """Whether any pixel of the raster is valid; reads it all in the worst case.

        Args:
            check: Called before each part; raises when the run was cancelled.
        """
        for box in split(self.grid.box, SAMPLE_PX):
            check()
            window = Window(box.col, box.row, box.width, box.height)
            if self._read(self.dataset, window=window).valid.any():
                return True
        return False

    def overlaps(self, layer: Grid, box: Box) -> bool:
        """Whether the raster's rectangle meets the box of ``layer``."""
        if self.grid.same_as(layer):
            return True
        mine = project_bounds(self.grid.bounds(), self.grid.crs, layer.crs)
        xmin, ymin, xmax, ymax = layer.bounds(box)
        return mine[0] < xmax and mine[2] > xmin and mine[1] < ymax and mine[3] > ymin

    def _shrinks(self, layer: Grid) -> bool:
        own, other = self.grid.gsd_m(), layer.gsd_m()
        return own is not None and other is not None and other / own > _SHRINK

    def _source_nodata(self, dtype: np.dtype[Any]) -> float | None:
        """Nodata for the warper: the user's, the file's, else NaN where the type has it and no mask rules."""
        if self.spec.nodata is not None:
            return self.spec.nodata
        declared = self.dataset.nodatavals[self.bands[0] - 1]
        if declared is not None:
            return declared
        masked = MaskFlags.per_dataset in self.dataset.mask_flag_enums[self.bands[0] - 1]
        return math.nan if dtype.kind == "f" and not masked else None

    def _read(self, dataset: DatasetReader | WarpedVRT, **where: Any) -> Pixels:
        try:
            values = dataset.read(self.bands, **where)
            valid = self._valid(dataset, values, where)
        except RasterioError as error:
            raise InputError(
                f"The {self.modality} raster {self.dataset.name} cannot be read ({_reason(error)}); the "
                "file may be damaged."
            ) from None
        return Pixels(values, valid)

    def _valid(
        self, dataset: DatasetReader | WarpedVRT, values: NDArray[Any], where: dict[str, Any]
    ) -> NDArray[np.bool_]:
        valid = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, dtype=bool)
        if isinstance(dataset, WarpedVRT):
            return valid  # the warp has turned everything invalid into NaN
        if self.spec.nodata is not None:
            return valid & (values != self.spec.nodata)  # no cast: -9999 would become a byte of 241
        flags = [dataset.mask_flag_enums[band - 1] for band in self.bands]
        told_by_nan = values.dtype.kind == "f" and all(
            flag == [MaskFlags.nodata] and math.isnan(dataset.nodatavals[band - 1])
            for flag, band in zip(flags, self.bands, strict=True)
        )
        if any(MaskFlags.all_valid not in flag for flag in flags) and not told_by_nan:
            valid &= dataset.read_masks(self.bands, **where) > 0
        return valid


def mirrored(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Indices in ``[0, size)`` of an endless mirror: ``... 1 0 | 0 1 ... n-1 | n-1 n-2 ...``."""
    phase = np.arange(start, stop) % (2 * size)
    return np.minimum(phase, 2 * size - 1 - phase)


def _taken(array: NDArray[Any], rows: NDArray[np.intp], cols: NDArray[np.intp]) -> NDArray[Any]:
    """``array[:, rows][:, :, cols]``, by whole runs where the mirror leaves the order as it is."""
    out = np.empty((len(array), len(rows), len(cols)), dtype=array.dtype)
    row_runs, col_runs = _runs(rows), _runs(cols)
    for to_rows, from_rows in row_runs:
        for to_cols, from_cols in col_runs:
            out[:, to_rows, to_cols] = array[:, from_rows, from_cols]
    return out


def _runs(indices: NDArray[np.intp]) -> list[tuple[slice, slice]]:
    """Rising or falling runs of indices: where each goes, and where it comes from."""
    steps = np.diff(indices)
    cuts = [0, *(np.flatnonzero(steps == 0) + 1).tolist(), len(indices)]  # the mirror repeats its edge
    runs = []
    for start, stop in zip(cuts[:-1], cuts[1:], strict=True):
        first, last = int(indices[start]), int(indices[stop - 1])
        end = last - 1 if last > 0 else None
        source = slice(first, last + 1) if last >= first else slice(first, end, -1)
        runs.append((slice(start, stop), source))
    return runs


def _local_drivers() -> list[str]:
    with rasterio.Env() as environment:
        return [name for name in environment.drivers() if name not in _NETWORK_DRIVERS]


def _check_place(path: str, modality: str) -> None:
    if _REMOTE.search(path):
        raise InputError(
            f"The {modality} input {path.split('?')[0][:80]!r} is a web or database layer; save it as a "
            "GeoTIFF first "
            "(in QGIS: Export > Save As > Raw data) and give that file."
        )
    local = path.removeprefix("file://")
    if os.path.exists(local):
        # A pipe or a terminal would be waited for, and cannot be read twice.
        if not (os.path.isfile(local) or os.path.isdir(local)):
            raise InputError(f"The {modality} input {path} is no file but a device or a pipe; give a file.")
        return
    if path.startswith("/vsi") and "/vsistdin" not in path:
        return
    # A subdataset such as NETCDF:"file.nc":variable names a file inside.
    parts = re.split(r'[:"]', path)[1:]
    if not any(part and os.path.exists(part) for part in parts):
        raise InputError(f"The {modality} raster {_shown(path)} does not exist; check the path.")


def _shown(path: str) -> str:
    return path if len(path) <= 500 and path.isprintable() else repr(path[:500])[1:-1]


def _check_references(path: str, modality: str) -> None:
    """Refuses a virtual raster that names a web layer; what hides deeper is stopped by ``GDAL_OPTIONS``."""
    try:
        with open(path.removeprefix("file://"), "rb") as file:
            if not _REFERENCE_DOCUMENT.match(file.read(100)):
                return
            file.seek(0)
            text = file.read(_MAX_DOCUMENT_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return
    for place in map(html.unescape, _REFERENCE.findall(text)):
        if _REMOTE.search(place.strip()) or _WEB_DOCUMENT.search(place.encode()):
            raise InputError(
                f"The {modality} input {path} points to a web layer ({_shown(place.strip()[:80])}); save "
                "that as a GeoTIFF first and give the file."
            )


def _why_not_open(path: str, modality: str, error: Exception) -> str:
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as problem:
        if isinstance(problem, PermissionError):
            return f"The {modality} raster {path} cannot be read: permission denied."
        head = b""
    if _WEB_DOCUMENT.search(head):
        return (
            f"The {modality} input {path} describes a web layer (WMS); save it as a GeoTIFF first and give "
            "that file."
        )
    return f"The {modality} input {path} is not a raster that GDAL can open ({_reason(error)})."


def _check_content(dataset: DatasetReader, modality: str) -> None:
    name = dataset.name
    if dataset.driver in _NETWORK_DRIVERS:
        raise InputError(
            f"The {modality} input {name} is a web layer; save it as a GeoTIFF first and give that file."
        )
    if dataset.count == 0:
        inside = ", ".join(dataset.subdatasets[:3])
        advice = (
            f"give one of its parts, for example {inside}"
            if inside
            else "give a raster with at least one band"
        )
        raise InputError(f"The {modality} raster {name} has no bands of its own; {advice}.")
    if any(dtype.startswith("complex") for dtype in dataset.dtypes):
        raise InputError(
            f"The {modality} raster {name} holds complex values (single-look complex radar); give its "
            "intensity instead, "
            f"made with: gdal_translate DERIVED_SUBDATASET:INTENSITY:{name} intensity.tif."
        )
    if dataset.crs is None and dataset.transform.is_identity and (dataset.gcps[0] or dataset.rpcs):
        raise InputError(
            f"The {modality} raster {name} is located by ground control points or RPCs alone and has no "
            "grid yet; "
            "warp it first, for example with: gdalwarp -t_srs EPSG:4326 in.tif out.tif."
        )


def _check_grid(dataset: DatasetReader, modality: str) -> None:
    transform, name = dataset.transform, dataset.name
    try:
        grid = Grid.of(dataset)
        usable = all(map(math.isfinite, (*transform, *grid.bounds())))
        usable &= max(map(abs, grid.origin)) < _MAX_WORLD_PX and 0 < grid.pixel_size < math.inf
    except (AffineError, ArithmeticError, ValueError):
        usable = False
    if not usable:
        raise InputError(
            f"The {modality} raster {name} has a broken georeference {tuple(transform)[:6]}: its pixels have "
            "no size or lie nowhere on Earth; set it again, for example with gdal_edit."
        )


def _reason(error: Exception) -> str:
    # rasterio keeps what GDAL said as the cause of its own, emptier words.
    return " ".join(str(error.__cause__ or error).split())[:200].rstrip(".")
