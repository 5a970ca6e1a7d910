import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasters import NORTH_UP, write

from engine.errors import InputError
from engine.raster.grid import Grid, describe_crs, target_grid
from engine.tiling.lattice import Box

TRANSFORMS = {
    "north-up": NORTH_UP,
    "south-up": Affine(10, 0, 500_003.7, 0, 10, 4_998_000.2),
    "rotated": Affine.translation(500_000, 5_000_000) * Affine.rotation(33) * Affine.scale(10, -10),
    "geographic": Affine(8.98e-5, 0, -4.5, 0, -8.98e-5, 39.1),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@given(row=st.integers(0, 300), col=st.integers(0, 300), wobble=st.floats(-2e-4, 2e-4))
def test_world_pixels_of_a_part_are_those_of_the_whole(name, row, col, wobble):
    """A scene cut out by another program, its corner rounded a little, lies at the same world pixels."""
    transform = TRANSFORMS[name]
    whole = Grid.make(None, transform, 400, 400)
    part = Grid.make(None, transform * Affine.translation(col + wobble, row), 50, 50)
    assert part.origin == (whole.origin[0] + row, whole.origin[1] + col)
    assert whole.part(Box(row, col, 50, 50)).origin == part.origin


@pytest.mark.parametrize("name", TRANSFORMS)
@given(row=st.integers(0, 80), col=st.integers(0, 80), height=st.integers(1, 19), width=st.integers(1, 19))
def test_extent_of_a_box_gives_the_box(name, row, col, height, width):
    grid, box = Grid.make(None, TRANSFORMS[name], 100, 100), Box(row, col, height, width)
    found = grid.box_of(grid.bounds(box))
    if name == "rotated":  # its extent is the upright rectangle around it
        assert found.intersection(box) == box
    else:
        assert found == box


def test_extent_is_snapped_outward_and_cut():
    grid = Grid.make(None, NORTH_UP, 100, 100)
    assert grid.box_of((500_012, 4_999_951, 500_031, 4_999_989)) == Box(1, 1, 4, 3)
    assert grid.box_of((400_000, 4_999_995, 500_005, 6_000_000)) == Box(0, 0, 1, 1)
    assert grid.box_of((0, 0, 1, 1)) is None


def test_gsd_in_metres():
    degrees = Grid.make(CRS.from_epsg(4326), TRANSFORMS["geographic"], 512, 512)
    assert degrees.gsd_m() == pytest.approx(10 * np.sqrt(np.cos(np.radians(39.08))), rel=0.01)
    feet = Grid.make(CRS.from_epsg(2263), Affine(100, 0, 9e5, 0, -100, 2e5), 10, 10)
    assert feet.gsd_m() == pytest.approx(30.48, rel=1e-3)
    assert Grid.make(None, NORTH_UP, 9, 9).gsd_m() is None


def test_target_grid_covers_and_starts_at_whole_pixels(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((1, 90, 70), np.uint8), TRANSFORMS["rotated"])
    with rasterio.open(path) as dataset:
        own = Grid.of(dataset)
        assert target_grid(dataset, None, None) == own
        coarse = target_grid(dataset, None, 30)
        other = target_grid(dataset, "EPSG:4326", None)
        with pytest.raises(InputError, match="not a coordinate reference system"):
            target_grid(dataset, "EPSG:none", None)
    assert coarse.transform.a == 30
    assert coarse.transform.c % 30 == 0
    assert coarse.transform.f % 30 == 0
    inner, outer = own.bounds(), coarse.bounds()
    assert outer[0] <= inner[0]
    assert outer[1] <= inner[1]
    assert outer[2] >= inner[2]
    assert outer[3] >= inner[3]
    assert describe_crs(other.crs) == "EPSG:4326"
    assert 0 < other.transform.a < 3e-4
