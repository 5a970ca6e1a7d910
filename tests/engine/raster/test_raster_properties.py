"""What must hold for every grid and every raster: exact places, and pixels that nodata cannot reach."""

from fractions import Fraction

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st
from property_profile import examples
from rasterio.crs import CRS
from rasters import write

from engine.raster.grid import Grid
from engine.raster.source import Source, open_raster
from engine.spec import InputRaster
from engine.tiling.lattice import Box

KINDS = ("north-up", "south-up", "rotated", "sheared", "transposed")
pixels = st.one_of(st.sampled_from([10.0, 1.0, 0.1, 30.0, 8.98e-5, 1 / 3]), st.floats(1e-7, 1e6))
corners = st.one_of(st.just(0.0), st.floats(-1e7, 1e7), st.integers(-(10**7), 10**7).map(float))


@st.composite
def transforms(draw, kinds=KINDS):
    """Affines of every kind, their corner at most 2^40 pixels from the CRS origin."""
    kind, width = draw(st.sampled_from(kinds)), draw(pixels)
    height = draw(st.sampled_from([1.0, 1.2, 0.25, 1 / 3])) * width
    # Further out doubles have no room left for fractions of a pixel.
    reach = 2.0**40 * min(width, height)
    x, y = (max(-reach, min(reach, draw(corners))) for _ in range(2))
    if kind == "north-up":
        return Affine(width, 0, x, 0, -height, y)
    if kind == "south-up":
        return Affine(width, 0, x, 0, height, y)
    if kind == "transposed":
        return Affine(0, width, x, height, 0, y)
    turn = Affine.rotation(draw(st.floats(-179, 179))) if kind == "rotated" else Affine.shear(17, -9)
    return Affine.translation(x, y) * turn * Affine.scale(width, -height)


systems = st.sampled_from([None, CRS.from_epsg(32633), CRS.from_epsg(4326), CRS.from_epsg(2263)])
sides = st.integers(1, 70)


def exact(transform, col, row):
    """A pixel corner in rational numbers."""
    a, b, c, d, e, f = (Fraction(value) for value in tuple(transform)[:6])
    return a * col + b * row + c, d * col + e * row + f


def off_by(grid, col, row, place):
    """Distance of a pixel corner of the grid from an exact place, in its pixels."""
    x, y = exact(grid.transform, col, row)
    east, north = float(x - place[0]), float(y - place[1])
    inverse = ~Affine(*[*tuple(grid.transform)[:2], 0, *tuple(grid.transform)[3:5], 0])
    return max(abs(value) for value in inverse * (east, north))


@st.composite
def parts_of(draw, height, width):
    part = draw(st.integers(1, height)), draw(st.integers(1, width))
    return Box(draw(st.integers(0, height - part[0])), draw(st.integers(0, width - part[1])), *part)


@examples(60)
@given(transforms(), systems, sides, sides)
def test_grid_of_a_file_is_exactly_what_was_written(transform, crs, height, width):
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=width, height=height, count=1, dtype="uint8", crs=crs, transform=transform
        ) as dataset:
            dataset.write(np.ones((1, height, width), np.uint8))
        with memory.open() as dataset:
            grid = Grid.of(dataset)
    assert grid.transform == transform
    assert (grid.crs, grid.width, grid.height) == (crs, width, height)
    assert grid.same_as(Grid.make(crs, transform, width, height))


@examples(80)
@given(transforms(), st.sampled_from([1, 2, 3, 4]), st.data())
def test_part_and_finer_pixels_lie_where_they_belong(transform, factor, data):
    """Corners of the output grid against rational arithmetic: a ten-thousandth of a pixel at 2^40 of them."""
    whole = Grid.make(None, transform, 500, 700)
    box = data.draw(parts_of(whole.height, whole.width))
    grid = whole.part(box).scaled(factor)
    assert (grid.height, grid.width) == (box.height * factor, box.width * factor)
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        place = exact(transform, box.col + right * box.width, box.row + down * box.height)
        assert off_by(grid, right * grid.width, down * grid.height, place) < 1e-3
    if (box.row, box.col, factor) == (0, 0, 1):
        assert grid.transform == transform


@examples(80)
@given(transforms(), st.data())
def test_world_pixels_do_not_depend_on_the_cut(transform, data):
    whole = Grid.make(None, transform, 500, 700)
    # Half-pixel corners: their rounding is shown with the wobble in test_grid.
    box = data.draw(parts_of(whole.height, whole.width))
    part = whole.part(box)
    again = Grid.make(None, part.transform, box.width, box.height)
    assert again.origin == part.origin == (whole.origin[0] + box.row, whole.origin[1] + box.col)


@examples(80)
@given(transforms(), st.data())
def test_extent_of_a_part_gives_the_part(transform, data):
    grid = Grid.make(None, transform, 500, 700)
    box = data.draw(parts_of(grid.height, grid.width))
    found = grid.box_of(grid.bounds(box))
    if transform.is_rectilinear and transform.b == 0:
        assert found == box
    else:
        assert found.intersection(box) == box


@examples(60)
@given(transforms(), st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_other_grid_is_not_the_same(transform, rows, cols):
    grid = Grid.make(None, transform, 50, 70)
    assume((rows, cols) != (0, 0))
    assert not grid.same_as(Grid.make(None, transform * Affine.translation(cols, rows), 50, 70))
    assert not grid.same_as(Grid.make(CRS.from_epsg(32633), transform, 50, 70))
    assert not grid.same_as(Grid.make(None, transform * Affine.scale(1.001), 50, 70))


FILLS = {
    "float32": (np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, -9999.0, 0.0),
    "float64": (np.nan, np.inf, -np.inf, 1.7e308, -9999.0, 0.0),
    "int16": (-32768, 32767, 0, -9999),
    "uint8": (0, 255, 7),
    "uint16": (0, 65535),
    "int32": (-(2**31), 2**31 - 1),
}


@st.composite
def holed(draw):
    """Valid values in 20..200, a hole in them, and two values to store in it."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from(sorted(FILLS)))
    values = rng.integers(20, 200, (1, height, width)).astype(dtype)
    hole = rng.random((height, width)) < draw(st.sampled_from([0.02, 0.3, 0.9]))
    hole[rng.integers(height), rng.integers(width)] = False
    return values, hole, draw(st.tuples(*[st.sampled_from(FILLS[dtype])] * 2))


def source_of(path, **spec):
    return Source("sar", InputRaster(path=path, **spec), open_raster(path, "sar"), [1], (0,))


def filled(path, values, hole, fill, told):
    """A raster whose hole stores a value: declared in the file, or told by the job."""
    stored = np.where(hole, np.array(fill, values.dtype), values)
    nodata = {"nodata": fill} if told else {}
    return source_of(write(path, stored, nodata=None if told else fill), **nodata)


@examples(60)
@given(holed(), st.booleans(), st.integers(-90, 90), st.integers(-90, 90))
def test_window_of_a_holed_raster_is_the_crop_of_its_mirror(tmp_path, raster, told, row, col):
    values, hole, (fill, _) = raster
    source = filled(tmp_path / "a.tif", values, hole, fill, told)
    got = source.read(Box(row, col, 50, 60))
    source.close()
    rows, cols = (
        np.pad(np.arange(size), 400, mode="symmetric")[400 + start : 400 + start + length]
        for size, start, length in ((hole.shape[0], row, 50), (hole.shape[1], col, 60))
    )
    np.testing.assert_array_equal(got.valid[0], ~hole[np.ix_(rows, cols)])
    there = values[0][np.ix_(rows, cols)]
    np.testing.assert_array_equal(got.values[got.valid], there[got.valid[0]])


@examples(40)
@given(holed(), st.booleans(), st.sampled_from([0.5, 0.7, 1.0, 1.3, 3.0]), st.booleans())
def test_stored_nodata_cannot_reach_a_warped_pixel(tmp_path, raster, told, scale, classes):
    """On a shifted grid of other pixels, the hole's stored value changes neither a value nor validity."""
    values, hole, fills = raster
    read = []
    for name, fill in zip("ab", fills, strict=True):
        source = filled(tmp_path / f"{name}.tif", values, hole, fill, told)
        own = source.grid
        size = [max(1, int(side / scale)) for side in (own.width, own.height)]
        layer = Grid.make(own.crs, own.transform * Affine.translation(0.3, -0.2) * Affine.scale(scale), *size)
        assert source.align(layer, classes)
        read.append(source.read(layer.box))
        source.close()
    first, second = read
    np.testing.assert_array_equal(first.valid, second.valid)
    np.testing.assert_array_equal(first.values[first.valid], second.values[second.valid])
    if first.valid.any():
        seen = values[0][~hole]
        assert first.values[first.valid].min() >= seen.min() * (1 - 1e-6)
        assert first.values[first.valid].max() <= seen.max() * (1 + 1e-6)


@examples(20)
@given(st.sampled_from(["uint8", "int16", "uint16"]), st.sampled_from([np.nan, 1e9, -99999.0, 0.5, np.inf]))
def test_nodata_that_the_type_cannot_hold_hides_no_pixel(tmp_path, dtype, nodata):
    """The job's nodata may be any number; cast to the raster's type it would become another one."""
    values = np.arange(256).reshape(1, 16, 16).astype(dtype)
    source = source_of(write(tmp_path / "a.tif", values), nodata=nodata)
    assert source.read(Box(0, 0, 16, 16)).valid.all()
    source.close()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (1025, 1), (2, 1024)])
def test_sample_of_thin_rasters_sees_their_valid_pixels(tmp_path, shape):
    values = np.arange(1, shape[0] * shape[1] + 1, dtype=np.float32).reshape(1, *shape)
    source = source_of(write(tmp_path / "a.tif", values, nodata=-1))
    sample = source.sample()
    source.close()
    assert sample.valid.all()
    assert set(sample.values.ravel()) <= set(values.ravel())
    assert sample.values.shape == (1, min(shape[0], 1024), min(shape[1], 1024))
