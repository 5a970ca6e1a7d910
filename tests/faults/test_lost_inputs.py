"""Inputs that are removed, cut short, damaged or unmounted while a run reads them."""

import os
import shutil

import numpy as np
import pytest
import rasterio
from fault_jobs import CHUNK, Place, journal_of
from rasters import sar_values, write

from engine import job as engine_job
from engine.errors import InputError
from engine.spec import Job

COUNT = 24
PROFILES = {
    "plain": {},
    "compressed": {"compress": "deflate"},
    "tiled": {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "zstd"},
}


@pytest.fixture(params=PROFILES)
def place(request, tmp_path):
    place = Place(tmp_path, COUNT, resume="continue")
    write(place.sar, sar_values(CHUNK * COUNT - 7, 40), **PROFILES[request.param])
    engine_job.run(Job.model_validate(place.document))
    place.expected = place.digest()
    place.files[0].unlink()
    return place


def run(place, disturb=lambda: None, chunks=2, said=None):
    """Runs the job and disturbs it once: when some chunks are finished, or as soon as something is said."""
    disturbed = []

    def once():
        if not disturbed:
            disturbed.append(disturb())

    def on_progress(fraction, text):
        if chunks is not None and len(journal_of(place.document["output"])) >= chunks:
            once()

    def log(level, text):
        if said is not None and said in text:
            once()

    engine_job.run(Job.model_validate(place.document), on_progress, log=log)
    assert disturbed


def test_an_input_removed_while_it_is_read_stays_readable(place):
    if os.name != "posix":
        pytest.skip("Windows removes no open file")
    run(place, lambda: os.unlink(place.sar))
    assert place.digest() == place.expected


def test_an_input_removed_before_the_first_part_is_a_sentence(place):
    with pytest.raises(InputError, match=r"sar\.tif cannot be opened any more"):
        run(place, lambda: os.unlink(place.sar), chunks=None, said="normalise the input")
    assert place.names() == []


def test_an_input_cut_short_is_a_sentence_and_the_parts_are_kept(place):
    copy = shutil.copy(place.sar, place.folder / "whole.tif")
    with pytest.raises(InputError) as caught:
        run(place, lambda: os.truncate(place.sar, os.path.getsize(place.sar) // 2))
    text = str(caught.value)
    assert f"sar raster {place.sar} cannot be read" in text
    done = len(journal_of(place.document["output"]))
    assert 2 <= done < COUNT
    assert f"{done} of {COUNT} parts are finished and kept" in text
    shutil.copy(copy, place.sar)
    run(place)
    assert place.digest() == place.expected


@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw"])
def test_a_damaged_block_names_the_file_and_leaves_nothing(tmp_path, compress):
    place = Place(tmp_path, 4)
    write(
        place.sar,
        sar_values(CHUNK * 4 - 7, 300),
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress=compress,
    )
    with rasterio.open(place.sar) as dataset:
        at = int(dataset.get_tag_item("BLOCK_OFFSET_0_3", "TIFF", bidx=1))
        size = int(dataset.get_tag_item("BLOCK_SIZE_0_3", "TIFF", bidx=1))
    with open(place.sar, "r+b") as file:
        file.seek(at)
        file.write(np.random.default_rng(0).bytes(size))
    with pytest.raises(InputError) as caught:
        engine_job.run(Job.model_validate(place.document))
    assert place.sar in str(caught.value)
    assert "damaged" in str(caught.value)
    assert place.names() == []
