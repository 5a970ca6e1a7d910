import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasters import NORTH_UP, UTM, write

from engine.errors import InputError
from engine.raster.grid import Grid
from engine.raster.source import Source, gdal_environment, mirrored, open_raster
from engine.spec import InputRaster
from engine.tiling.lattice import Box

FINE = NORTH_UP * Affine.translation(5, 7) * Affine.scale(0.5)


def source_of(path, bands=(1,), **spec):
    dataset = open_raster(path, "sar")
    return Source("sar", InputRaster(path=path, **spec), dataset, list(bands), tuple(range(len(bands))))


def ramp(height=60, width=80, dtype=np.float32):
    rows, cols = np.mgrid[:height, :width]
    return (rows * 2 + cols + 1)[None].astype(dtype)


@given(st.integers(-400, 400), st.integers(1, 90), st.integers(1, 40))
def test_mirror_is_that_of_numpy(start, length, size):
    expected = np.pad(np.arange(size), 1000, mode="symmetric")[1000 + start : 1000 + start + length]
    np.testing.assert_array_equal(mirrored(start, start + length, size), expected)


BOXES = [Box(3, 5, 20, 30), Box(-9, -4, 30, 20), Box(50, 70, 40, 40), Box(-100, -100, 300, 300)]


@pytest.mark.parametrize("box", BOXES)
def test_window_is_the_crop_of_the_mirrored_raster(tmp_path, box):
    values = ramp()
    source = source_of(write(tmp_path / "a.tif", values))
    padded = np.pad(values, ((0, 0), (300, 300), (300, 300)), mode="symmetric")
    np.testing.assert_array_equal(
        source.read(box).values, padded[(slice(None), *box.shifted(300, 300).slices)]
    )


def with_mask(path):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(~hole())
    return path


def hole():
    inside = np.zeros((60, 80), bool)
    inside[20:30, 40:60] = True
    return inside


def nodata_variants(tmp_path):
    """The same raster, its hole said in every way that GDAL has."""
    filled = np.where(hole(), np.float32(1e9), ramp())
    integers = np.where(hole(), np.int16(-1), ramp(dtype=np.int16))
    alpha = np.concatenate([ramp(dtype=np.uint8), np.where(hole(), 0, 255)[None].astype(np.uint8)])
    write(tmp_path / "alpha.tif", alpha, ALPHA="YES")
    with rasterio.open(tmp_path / "alpha.tif", "r+") as dataset:
        dataset.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
    return {
        "declared": (write(tmp_path / "declared.tif", filled, nodata=1e9), {}),
        "nan": (write(tmp_path / "nan.tif", np.where(hole(), np.nan, ramp()).astype(np.float32)), {}),
        "nan-declared": (
            write(tmp_path / "nan2.tif", np.where(hole(), np.nan, ramp()).astype(np.float32), nodata=np.nan),
            {},
        ),
        "mask": (with_mask(write(tmp_path / "mask.tif", ramp())), {}),
        "alpha": (str(tmp_path / "alpha.tif"), {}),
        "told": (
            write(tmp_path / "told.tif", integers),
            {"nodata": -1},
        ),
    }


@pytest.mark.parametrize("kind", ["declared", "nan", "nan-declared", "mask", "alpha", "told"])
def test_every_kind_of_nodata(tmp_path, kind):
    path, spec = nodata_variants(tmp_path)[kind]
    source = source_of(path, **spec)
    pixels = source.read(Box(0, 0, 60, 80))
    np.testing.assert_array_equal(pixels.valid[0], ~hole())
    np.testing.assert_array_equal(
        pixels.values[pixels.valid], ramp().astype(pixels.values.dtype)[pixels.valid]
    )


@pytest.mark.parametrize("kind", ["declared", "nan", "nan-declared", "mask", "alpha", "told"])
def test_every_kind_of_nodata_through_a_warp(tmp_path, kind):
    """On a grid of half the pixel size: the hole stays a hole, and no fill value is blended into its rim."""
    path, spec = nodata_variants(tmp_path)[kind]
    source = source_of(path, **spec)
    layer = Grid.make(source.grid.crs, FINE, 130, 90)
    assert source.align(layer, classes=False)
    pixels = source.read(layer.box)
    rows, cols = np.mgrid[:90, :130]
    centre_row, centre_col = (rows + 0.5) / 2 + 7, (cols + 0.5) / 2 + 5
    in_hole = hole()[
        np.floor(centre_row).astype(int).clip(0, 59), np.floor(centre_col).astype(int).clip(0, 79)
    ]
    np.testing.assert_array_equal(pixels.valid[0], ~in_hole & (centre_row < 60) & (centre_col < 80))
    expected = (centre_row - 0.5) * 2 + (centre_col - 0.5) + 1
    inner = pixels.valid[0] & (centre_row < 59) & (centre_col < 79)
    assert np.abs(pixels.values[0] - expected)[inner].max() < 1.6  # at the rim fewer neighbours count
    far = inner & (np.abs(centre_row - 25) + np.abs(centre_col - 50) > 35)
    np.testing.assert_allclose(pixels.values[0][far], expected[far], atol=1e-3)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3857"])
def test_warped_window_is_the_crop_of_the_whole(tmp_path, crs, classes):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (1, 300, 300)).astype(np.uint8)
    source = source_of(write(tmp_path / "a.tif", values, NORTH_UP * Affine.rotation(10)))
    with rasterio.open(tmp_path / "a.tif") as dataset:
        from engine.raster.grid import target_grid

        layer = target_grid(dataset, crs, {UTM: 7.0, "EPSG:4326": 1e-4, "EPSG:3857": 23.0}[crs])
    source.align(layer, classes)
    whole = source.read(layer.box)
    other = source_of(str(tmp_path / "a.tif"))
    other.align(layer, classes)
    for box in (Box(70, 60, 40, 50), Box(11, 13, 1, 1), Box(33, 2, 90, 17)):
        part = other.read(box)
        np.testing.assert_array_equal(part.values, whole.values[(slice(None), *box.slices)])
    if classes:
        assert set(np.unique(whole.values[whole.valid])) <= set(range(9))


def test_shrinking_averages(tmp_path):
    source = source_of(write(tmp_path / "a.tif", ramp()))
    layer = Grid.make(source.grid.crs, NORTH_UP * Affine.scale(4), 20, 15)
    source.align(layer, classes=False)
    expected = ramp()[0].reshape(15, 4, 20, 4).mean((1, 3))
    np.testing.assert_allclose(source.read(layer.box).values[0], expected, rtol=1e-6)


def test_sample_does_not_depend_on_overviews(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 2500, 2300)).astype(np.float32)
    plain = source_of(write(tmp_path / "a.tif", values)).sample()
    with rasterio.open(tmp_path / "a.tif", "r+") as dataset:
        dataset.build_overviews([2, 4], rasterio.enums.Resampling.average)
    with_overviews = source_of(str(tmp_path / "a.tif")).sample()
    np.testing.assert_array_equal(plain.values, with_overviews.values)
    assert plain.values.std() == pytest.approx(1, abs=0.01)
    assert plain.values.shape == (1, 1024, 1024)


def test_neither_vrt_nor_wms_reaches_the_network(tmp_path):
    """A VRT may point anywhere; nothing is fetched for it."""
    vrt = tmp_path / "far.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        "<SourceFilename>/vsicurl/http://127.0.0.1:9/a.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    with gdal_environment(), pytest.raises(InputError, match="points to a web layer"):
        source_of(str(vrt))
