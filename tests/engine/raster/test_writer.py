import os

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from engine.errors import OutputError
from engine.raster.grid import Grid
from engine.raster.source import gdal_environment
from engine.raster.writer import Layout, MosaicWriter, check_output
from engine.tiling.lattice import chunks

GRID = Grid.make(CRS.from_epsg(32633), Affine(10, 0, 5e5, 0, -10, 5e6), 1100, 700)
LAYOUT = Layout("uint8", 0, ("a", "b", "c"), ("red", "green", "blue"), "1", tags={"EO_TRANSLATE": {"K": "v"}})


def picture():
    rng = np.random.default_rng(0)
    return rng.integers(1, 255, (3, GRID.height, GRID.width), dtype=np.uint8)


def write(path, **options):
    with gdal_environment():
        writer = MosaicWriter(path, GRID, LAYOUT, **options)
        for chunk in chunks(GRID.height, GRID.width, 512):
            writer.write(chunk, picture()[(slice(None), *chunk.slices)])
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
    writer = MosaicWriter(path, GRID, LAYOUT)
    writer.write(chunks(GRID.height, GRID.width, 512)[0], picture()[:, :512, :512])
    writer.discard()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.tif"]


def test_lost_block_is_noticed(tmp_path):
    """What a full disk does: the file closes well, and a block of it is gone."""
    writer = MosaicWriter(tmp_path / "a.tif", GRID, LAYOUT)
    for chunk in chunks(GRID.height, GRID.width, 512):
        writer.write(chunk, picture()[(slice(None), *chunk.slices)])
    writer._dataset.close()
    with rasterio.open(writer.part) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
    with writer.part.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(64))
    with pytest.raises(OutputError, match="could not be written"):
        writer.complete()
    assert os.listdir(tmp_path) == []


def test_too_little_room(tmp_path):
    with pytest.raises(OutputError, match="free"):
        check_output(tmp_path / "a.tif", [], 10**18)
