import numpy as np
import pytest
import rasterio

from engine.errors import InputError, OutputError
from engine.raster import quicklook


def write(path, bands, nodata=None, tags=None, colours=None):
    bands = np.asarray(bands)
    profile = {
        "driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2],
        "dtype": bands.dtype, "nodata": nodata, "crs": "EPSG:32632",
        "transform": rasterio.Affine(10, 0, 0, 0, -10, 0),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(bands)
        file.update_tags(ns=quicklook.TAG_DOMAIN, **(tags or {}))
        if colours:
            file.write_colormap(1, colours)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def read(path):
    with rasterio.open(path) as file:
        assert file.driver == "PNG"
        return file.read()


def test_a_float_raster_is_stretched_between_its_percentiles_and_nodata_is_transparent(tmp_path):
    values = np.linspace(-25, 0, 10_000, dtype=np.float32).reshape(1, 100, 100)
    values[0, :, 0] = np.nan
    source = write(tmp_path / "sar.tif", values, nodata=np.nan)
    quicklook.write(source, tmp_path / "sar.png")
    picture = read(tmp_path / "sar.png")
    assert picture.shape == (4, 100, 100)
    assert np.all(picture[3, :, 0] == 0)
    assert np.all(picture[3, :, 1:] == 255)
    assert (picture[0, 0, 1], picture[0, -1, -1]) == (0, 255)
    assert picture[0, 50, 50] == pytest.approx(128, abs=4)


def test_the_display_range_of_a_result_is_used(tmp_path):
    bands = np.full((3, 8, 8), 71, np.uint8)
    source = write(tmp_path / "result.tif", bands, nodata=0, tags={quicklook.DISPLAY_TAG: "[1, 141]"})
    assert np.all(quicklook.render(source)[:3] == 127)
    plain = write(tmp_path / "plain.tif", bands)
    assert np.all(quicklook.render(plain)[:3] == 71)


def test_classes_keep_their_colours_when_the_picture_is_smaller(tmp_path):
    values = np.repeat(np.array([[10, 80]], np.uint8), 64, axis=1).repeat(128, axis=0)[None]
    source = write(
        tmp_path / "mask.tif", values, nodata=0, colours={10: (0, 100, 0, 255), 80: (0, 0, 200, 255)}
    )
    picture = quicklook.render(source, max_px=32)
    assert picture.shape == (4, 32, 32)
    assert {tuple(colour) for colour in picture[:3].reshape(3, -1).T.tolist()} == {(0, 100, 0), (0, 0, 200)}


def test_a_legend_colours_a_mask_without_a_colour_table(tmp_path):
    source = write(tmp_path / "mask.tif", np.full((1, 8, 8), 80, np.uint8))
    assert tuple(quicklook.render(source, legend="esa-worldcover")[:3, 0, 0]) == (0, 100, 200)
    with pytest.raises(InputError, match="no class legend named moon"):
        quicklook.render(source, legend="moon")


def test_a_long_raster_keeps_its_shape(tmp_path):
    source = write(tmp_path / "strip.tif", np.zeros((1, 4, 400), np.uint8))
    assert quicklook.render(source, max_px=100).shape == (4, 1, 100)


def test_errors_are_sentences_and_leave_nothing(tmp_path):
    (tmp_path / "text.tif").write_text("not a raster")
    with pytest.raises(InputError, match="cannot be read as a raster"):
        quicklook.write(tmp_path / "text.tif", tmp_path / "out.png")
    source = write(tmp_path / "a.tif", np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(OutputError, match="cannot be written"):
        quicklook.write(source, tmp_path / "missing" / "out.png")
    quicklook.write(source, tmp_path / "out.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "out.png", "text.tif"]


def test_bands_that_are_called_red_green_and_blue_are_shown_wherever_they_lie(tmp_path):
    levels = np.arange(5, dtype=np.uint8)[:, None, None] * 50 + np.zeros((1, 4, 4), np.uint8)
    source = write(tmp_path / "image.tif", levels)
    names = ("gray", "blue", "green", "red", "undefined")
    with rasterio.open(source, "r+") as file:
        file.colorinterp = [rasterio.enums.ColorInterp[name] for name in names]
    quicklook.write(source, tmp_path / "image.png")
    assert read(tmp_path / "image.png")[:3, 0, 0].tolist() == [150, 100, 50]
