"""The output grid: CRS, affine and size, and its place in the world."""

from __future__ import annotations

import math
from dataclasses import dataclass

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import calculate_default_transform, transform_bounds
from rasterio.warp import transform as transform_points

from engine.errors import InputError
from engine.spec import Extent
from engine.tiling.lattice import Box

_EQUATOR_DEGREE_M = 111_320.0
_MAX_SIDE_PX = 2**31 - 1  # GDAL counts pixels with 32 bits


@dataclass(frozen=True)
class Grid:
    """Pixels in a coordinate reference system.

    Attributes:
        crs: None for rasters without one.
        transform: (column, row) of a pixel corner -> x, y. North-up, south-up or rotated.
        width, height: Size (px).
        origin: World pixel (row, column) of the pixel (0, 0): counted from the CRS origin.
    """

    crs: CRS | None
    transform: Affine
    width: int
    height: int
    origin: tuple[int, int]

    @classmethod
    def make(cls, crs: CRS | None, transform: Affine, width: int, height: int) -> Grid:
        """A grid anchored to the world: scenes whose corners differ by whole pixels get matching origins."""
        col, row = ~transform * (0.0, 0.0)
        return cls(crs, transform, width, height, (_nearest(-row), _nearest(-col)))

    @classmethod
    def of(cls, dataset: DatasetReader) -> Grid:
        """A raster's own grid."""
        return cls.make(dataset.crs, dataset.transform, dataset.width, dataset.height)

    @property
    def box(self) -> Box:
        """All pixels."""
        return Box(0, 0, self.height, self.width)

    def part(self, box: Box) -> Grid:
        """The grid of a part of this one."""
        transform = (
            self.transform * Affine.translation(box.col, box.row) if box.row or box.col else self.transform
        )
        return Grid(
            self.crs, transform, box.width, box.height, (self.origin[0] + box.row, self.origin[1] + box.col)
        )

    def scaled(self, factor: int) -> Grid:
        """``factor`` times as many pixels a side over the same area."""
        if factor == 1:
            return self
        transform = self.transform * Affine.scale(1 / factor)
        row, col = self.origin
        return Grid(
            self.crs, transform, self.width * factor, self.height * factor, (row * factor, col * factor)
        )

    def bounds(self, box: Box | None = None) -> Extent:
        """xmin, ymin, xmax, ymax around a box (default: all), in CRS units."""
        (top, bottom), (left, right) = (box or self.box).rows, (box or self.box).cols
        corners = [self.transform * (c, r) for c in (left, right) for r in (top, bottom)]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def box_of(self, extent: Extent) -> Box | None:
        """The pixels that an extent (CRS units) touches, cut at the grid's border; None if there are none.

        Raises:
            InputError: The extent is not four finite numbers.
        """
        if not all(math.isfinite(value) for value in extent):
            raise InputError(
                f"The extent {tuple(extent)} must be four finite numbers: xmin, ymin, xmax, ymax."
            )
        xmin, ymin, xmax, ymax = extent
        pixels = [~self.transform * (x, y) for x in (xmin, xmax) for y in (ymin, ymax)]
        cols, rows = zip(*pixels, strict=True)
        # A thousandth of a pixel: extents are typed or come through other programs' rounding.
        left, right = math.floor(min(cols) + 1e-3), math.ceil(max(cols) - 1e-3)
        top, bottom = math.floor(min(rows) + 1e-3), math.ceil(max(rows) - 1e-3)
        return Box(top, left, max(bottom - top, 1), max(right - left, 1)).intersection(self.box)

    def same_as(self, other: Grid) -> bool:
        """Whether all pixels coincide to a thousandth."""
        if (self.width, self.height) != (other.width, other.height) or self.crs != other.crs:
            return False
        corners = ((0, 0), (self.width, 0), (0, self.height), (self.width, self.height))
        to_other = ~other.transform * self.transform
        return all(math.dist(to_other * corner, corner) < 1e-3 for corner in corners)

    def describe(self) -> str:
        """CRS and pixel size, for people."""
        return f"{describe_crs(self.crs)}, pixels of {self.pixel_size:.4g}"

    @property
    def pixel_size(self) -> float:
        """Side of a pixel (CRS units); of an oblong one the geometric mean of both sides."""
        return math.sqrt(abs(self.transform.determinant))

    def gsd_m(self) -> float | None:
        """Ground sample distance at the grid's centre (m); None without a CRS."""
        if self.crs is None:
            return None
        size = self.pixel_size
        if not self.crs.is_geographic:
            return size * _linear_unit_m(self.crs)
        _, latitude = self.transform * (self.width / 2, self.height / 2)
        return size * _EQUATOR_DEGREE_M * math.sqrt(max(math.cos(math.radians(latitude)), 1e-6))


def target_grid(reference: DatasetReader, crs: str | None, resolution: float | None) -> Grid:
    """The grid that a job asks for: the reference raster's own, or one in another CRS or resolution.

    A grid that is made here starts at a whole multiple of its pixel size, so that neighbouring scenes join.

    Raises:
        InputError: The CRS is unknown, the reference raster has none to start from, or the pixels would be
            larger than the raster, or too many.
    """
    own = Grid.of(reference)
    if crs is None and resolution is None:
        return own
    if own.crs is None and crs is not None:
        raise InputError(
            f"The output CRS {crs} was asked for, but {reference.name} has no CRS to transform from; "
            "assign one first."
        )
    target = parse_crs(crs) if crs is not None else own.crs
    if crs is not None and target != own.crs:
        transform, width, height = _suggested(reference, own.crs, target, resolution)
        bounds = Grid.make(target, transform, width, height).bounds()
        pixel = resolution or transform.a
    else:
        bounds, pixel = own.bounds(), resolution or own.pixel_size
    return _snapped(bounds, pixel, target, f"check where {reference.name} lies")


def free_grid(
    extent: Extent, extent_crs: str | None, crs: str | None, resolution: float | None, gsd_m: float | None
) -> Grid:
    """The grid of a job that has a place and no raster.

    Args:
        extent: xmin, ymin, xmax, ymax in ``extent_crs``, by default the grid's own CRS.
        extent_crs: Of the extent; this or ``crs`` must be given.
        crs: Of the grid.
        resolution: Pixel size (CRS units); None: ``gsd_m``, for a CRS in metres or other lengths.
        gsd_m: What the model was made for (m).

    Raises:
        InputError: The resolution cannot be told, or the extent is none.
    """
    target = parse_crs(crs or extent_crs)
    if not (extent[0] < extent[2] and extent[1] < extent[3]) or not all(map(math.isfinite, extent)):
        raise InputError(
            f"The extent {tuple(extent)} is empty; give xmin, ymin, xmax, ymax with xmin < xmax and ymin < "
            "ymax."
        )
    bounds = project_bounds(extent, parse_crs(extent_crs), target) if extent_crs else tuple(extent)
    if resolution is None:
        if gsd_m is None or target.is_geographic:
            raise InputError(
                f"No raster is given, and pixels in {describe_crs(target)} have no size to go by; set the "
                "resolution, or a CRS in metres."
            )
        resolution = gsd_m / _linear_unit_m(target)
    return _snapped(bounds, resolution, target, "check the extent")


def _snapped(bounds: Extent, pixel: float, target: CRS | None, advice: str) -> Grid:
    """A grid over the bounds that starts at a whole multiple of its pixel size."""
    _check_size(pixel, bounds, target)
    if not max(abs(edge) for edge in bounds) / pixel < _MAX_SIDE_PX:
        raise InputError(
            f"The output would lie more than {_MAX_SIDE_PX} pixels from the origin of {describe_crs(target)} "
            f"at the resolution {pixel:g}; give a larger one, or {advice}."
        )
    left, top = math.floor(bounds[0] / pixel + 1e-3), math.ceil(bounds[3] / pixel - 1e-3)
    right, bottom = math.ceil(bounds[2] / pixel - 1e-3), math.floor(bounds[1] / pixel + 1e-3)
    transform = Affine(pixel, 0, left * pixel, 0, -pixel, top * pixel)
    return Grid.make(target, transform, max(right - left, 1), max(top - bottom, 1))


def parse_crs(text: str) -> CRS:
    """A CRS from a code, WKT or PROJ string.

    Raises:
        InputError: It is none.
    """
    try:
        return CRS.from_user_input(text)
    except (CRSError, ValueError):
        raise InputError(
            f"{text[:200]!r} is not a coordinate reference system; give a code such as EPSG:32633."
        ) from None


def project_bounds(bounds: Extent, source: CRS | None, target: CRS | None) -> Extent:
    """An extent in another CRS (bounding box of its densified edges).

    Raises:
        InputError: It has no image there.
    """
    if source is None or target is None or source == target:
        return bounds
    try:
        projected = transform_bounds(source, target, *bounds, densify_pts=21)
    except (CRSError, RasterioError) as error:
        raise InputError(
            f"The extent {bounds} cannot be brought to {describe_crs(target)} ({error})."
        ) from None
    if not all(math.isfinite(value) for value in projected):
        raise InputError(
            f"The extent {bounds} ({describe_crs(source)}) lies outside the area of {describe_crs(target)}."
        )
    return projected


def describe_crs(crs: CRS | None) -> str:
    """A short name of a CRS for people."""
    if crs is None:
        return "no CRS"
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else crs.to_wkt().split('"')[1]


def _suggested(
    reference: DatasetReader, source: CRS, target: CRS, resolution: float | None
) -> tuple[Affine, int, int]:
    try:
        return calculate_default_transform(
            source,
            target,
            reference.width,
            reference.height,
            *Grid.of(reference).bounds(),
            resolution=resolution,
        )
    except Exception as error:  # rasterio passes some of GDAL's errors on as they are
        raise InputError(
            f"{reference.name} cannot be transformed to {describe_crs(target)} ({error})."
        ) from None


def _check_size(pixel: float, bounds: Extent, crs: CRS | None) -> None:
    sides = bounds[2] - bounds[0], bounds[3] - bounds[1]
    if pixel <= max(sides):
        return
    advice = "give fewer units"
    if crs is not None and crs.is_geographic:
        advice = "its unit is the degree; give degrees, or a projected CRS with a resolution in metres"
    raise InputError(
        f"The resolution {pixel:g} is larger than the whole raster in {describe_crs(crs)} ({sides[0]:.4g} x "
        f"{sides[1]:.4g}): {advice}."
    )


def _linear_unit_m(crs: CRS) -> float:
    try:
        return crs.linear_units_factor[1]
    except CRSError:
        return 1.0


def _nearest(pixels: float) -> int:
    # Rounded first: corners that differ by half a pixel plus float noise must all fall to the same side.
    return math.floor(round(pixels, 3) + 0.5)


def latitude_longitude(grid: Grid, row: float, col: float) -> tuple[float, float]:
    """Latitude and longitude (degrees, WGS 84) of a place given in pixels of a grid with a CRS."""
    x, y = grid.transform * (col, row)
    (longitude,), (latitude,) = transform_points(grid.crs, "EPSG:4326", [x], [y])[:2]
    return latitude, longitude
