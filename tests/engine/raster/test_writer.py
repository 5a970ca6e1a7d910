import os

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from engine.errors import OutputError
from engine.raster.encode import Encoder, Layout
from engine.raster.grid import Grid
from engine.raster.source import gdal_environment
from engine.raster.writer import MosaicWriter, check_output
from engine.tiling.lattice import chunks

GRID = Grid.make(CRS.from_epsg(32633), Affine(10, 0, 5e5, 0, -10, 5e6), 1100, 700)
LAYOUT = Layout("uint8", 0, ("a", "b", "c"), ("red", "green", "blue"), "1", tags={"EO_TRANSLATE": {"K": "v"}})


def picture():
    rng = np.random.default_rng(0)
    return rng.integers(1, 255, (3, GRID.height, GRID.width), dtype=np.uint8)


def encoded(creation_options=None, cog=False):
    encoder = Encoder(GRID, LAYOUT, creation_options or {}, cog)
    places = chunks(GRID.height, GRID.width, 512)
    return encoder, [
        (place, encoder.encode(place, picture()[(slice(None), *place.slices)])) for place in places
    ]


def write(path, cog=False, creation_options=None):
    with gdal_environment():
        encoder, parts = encoded(creation_options, cog)
        writer = MosaicWriter(path, encoder)
        for place, chunk in reversed(parts):
            writer.append(place, chunk)
        writer.complete()
        assert not path.exists()
        writer.publish()
        writer.discard()


@pytest.mark.parametrize(
    ("options", "cog"),
    [
        ({}, False),
        ({}, True),
        ({"COMPRESS": "ZSTD"}, False),
        ({"COMPRESS": "LZW"}, True),
        ({"COMPRESS": "NONE"}, False),
        ({"TILED": "NO"}, False),
        ({"BLOCKXSIZE": "256", "BLOCKYSIZE": "128"}, False),
        ({"BLOCKSIZE": "256"}, True),
        ({"INTERLEAVE": "BAND"}, False),
        ({"NUM_THREADS": "2", "ZLEVEL": "9"}, False),
        ({"COMPRESS": "JPEG", "PHOTOMETRIC": "YCBCR"}, False),
        ({"COMPRESS": "JPEG"}, True),
        ({"COMPRESS": "ZSTD"}, True),
    ],
    ids=str,
)
def test_pixels_come_back(tmp_path, options, cog):
    path = tmp_path / "ü a.tif"
    write(path, cog=cog, creation_options=options)
    with rasterio.open(path) as dataset:
        if options.get("COMPRESS") != "JPEG":
            np.testing.assert_array_equal(dataset.read(), picture())
        assert dataset.overviews(1) == [2, 4]
        codec = options.get("COMPRESS", "DEFLATE")
        assert dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "NONE").endswith(codec)
        assert dataset.tags(ns="EO_TRANSLATE") == {"K": "v"}
        assert (dataset.crs, dataset.transform) == (GRID.crs, GRID.transform)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("cog", [False, True])
def test_unknown_option_leaves_nothing(tmp_path, cog):
    with pytest.raises(OutputError, match="creation option"):
        write(tmp_path / "a.tif", cog=cog, creation_options={"BLOKSIZE": "9"})
    assert os.listdir(tmp_path) == []


def test_discarded_file_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    encoder, parts = encoded()
    writer = MosaicWriter(path, encoder)
    writer.append(*parts[0])
    writer.discard()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("finished", [False, True], ids=["killed while filling", "killed while finishing"])
@pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
def test_a_later_writer_takes_over_what_is_whole(tmp_path, interleave, finished):
    path = tmp_path / "a.tif"
    encoder, parts = encoded({"INTERLEAVE": interleave})
    first = MosaicWriter(path, encoder)
    stored = [first.append(*part) for part in parts[:4]]
    if finished:
        first.complete()
    first.release()
    with first.part.open("r+b") as file:
        file.seek(stored[1].at + stored[1].size // 2)
        file.write(b"torn")
    second = MosaicWriter(path, encoder, start=first.start)
    whole = second.restore([place for place, _ in parts[:4]], stored)
    assert whole == [True, False, True, True]
    for part in (parts[1], *parts[4:]):
        second.append(*part)
    second.complete()
    second.publish()
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), picture())
        assert dataset.overviews(1) == [2, 4]
    assert os.listdir(tmp_path) == [path.name]


def test_chunks_without_a_pixel_take_no_room_and_read_as_nodata(tmp_path):
    path = tmp_path / "a.tif"
    encoder, parts = encoded()
    writer = MosaicWriter(path, encoder)
    for number, (place, chunk) in enumerate(parts):
        writer.append(place, chunk if number % 2 else b"")
    writer.complete()
    writer.publish()
    with rasterio.open(path) as dataset:
        for number, (place, _) in enumerate(parts):
            found = dataset.read()[(slice(None), *place.slices)]
            expected = picture()[(slice(None), *place.slices)] if number % 2 else 0
            np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


def test_a_lost_overview_is_noticed(tmp_path, monkeypatch):
    """What a full disk does: GDAL closes the file well, and the overviews are not there."""
    encoder, parts = encoded()
    writer = MosaicWriter(tmp_path / "a.tif", encoder)
    for part in parts:
        writer.append(*part)
    monkeypatch.setattr(rasterio.io.DatasetWriter, "build_overviews", lambda *_: None)
    with pytest.raises(OutputError, match="overviews were lost"):
        writer.complete()
    writer.discard()
    assert os.listdir(tmp_path) == []


def test_classic_and_big_files_are_both_pointed_at(tmp_path):
    for big in ("YES", "NO"):
        path = tmp_path / f"{big}.tif"
        write(path, creation_options={"BIGTIFF": big})
        with rasterio.open(path) as dataset:
            np.testing.assert_array_equal(dataset.read(), picture())
        assert path.read_bytes()[2] == (43 if big == "YES" else 42)


def test_too_little_room(tmp_path):
    with pytest.raises(OutputError, match="free"):
        check_output(tmp_path / "a.tif", [], 10**18, (".tif",))
