import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from property_profile import examples

from engine.errors import InputError
from engine.modalities.base import SAMPLE_PX, SAMPLE_WINDOWS, sample_boxes
from engine.modalities.cells import centre_box, centred_patches, covering_patches
from engine.tiling.lattice import Box

# Cell and window of COP-GEN on its four grids; all are the same ground.
GRIDS = [(1068, 192, 10), (534, 96, 20), (178, 32, 60), (356, 64, 30)]


@pytest.mark.parametrize(("cell", "size", "metres"), GRIDS)
def test_cop_gens_window_is_the_same_ground_on_every_grid(cell, size, metres):
    box = centre_box(cell, cell, size)
    assert (box.row * metres, box.height * metres) == (4380, 1920)


@pytest.mark.parametrize(("cell", "size", "metres"), GRIDS)
def test_cop_gens_patches_cover_the_cell(cell, size, metres):
    patches = covering_patches(cell, cell, size)
    assert [patch.index for patch in patches] == list(range(36))
    assert (patches[7].row, patches[7].col) == (1, 1)
    assert patches[5].box.cols[1] * metres == 10_680
    assert patches[4].box.col == 4 * size
    seen = np.zeros((cell, cell), bool)
    for patch in patches:
        seen[patch.box.slices] = True
    assert seen.all()


def test_betas_patches_lie_in_the_middle():
    patches = centred_patches(1068, 1068, 256)
    assert len(patches) == 16
    assert patches[0].box == Box(22, 22, 256, 256)
    assert patches[6].box == Box(22 + 256, 22 + 512, 256, 256)


@pytest.mark.parametrize("cut", [centre_box, centred_patches, covering_patches])
def test_a_raster_smaller_than_a_patch_is_refused(cut):
    with pytest.raises(InputError, match="100 x 300"):
        cut(100, 300, 128)


@examples(60)
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_sampled_windows_lie_in_the_scene(height, width):
    boxes = sample_boxes(height, width)
    assert 1 <= len(boxes) <= SAMPLE_WINDOWS
    for box in boxes:
        assert box.intersection(Box(0, 0, height, width)) == box
        assert max(box.height, box.width) <= SAMPLE_PX


def test_a_small_scene_is_sampled_whole():
    boxes = sample_boxes(1024, 700)
    assert sum(box.height * box.width for box in boxes) == 1024 * 700


def test_sampled_windows_of_a_large_scene_are_spread_and_avoid_nodata():
    boxes = sample_boxes(20_000, 20_000)
    for start in (0, 10_000):
        inside = [box for box in boxes if start <= box.row < start + 10_000]
        assert len(inside) == SAMPLE_WINDOWS // 2
        assert {box.col // 5000 for box in inside} == {0, 1, 2, 3}
    valid = np.zeros((100, 100), bool)
    valid[70:90, 10:30] = True
    for box in sample_boxes(20_000, 20_000, valid):
        assert valid[(box.row + 128) // 200, (box.col + 128) // 200]
