import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.tiling.lattice import Box, chunks, lattice_windows

sizes = st.integers(1, 400)
places = st.integers(-1000, 1000)
boxes = st.builds(Box, places, places, sizes, sizes)
origins = st.tuples(places, places)


@given(sizes, sizes, st.integers(3, 130))
def test_chunks_cover_each_pixel_once(height, width, size):
    count = np.zeros((height, width), dtype=int)
    for chunk in chunks(height, width, size):
        count[chunk.slices] += 1
    assert (count == 1).all()


@given(boxes, st.integers(1, 64), origins)
def test_snapped_box_is_the_smallest_on_the_lattice(box, multiple, origin):
    snapped = box.snapped_out(multiple, origin)
    assert snapped.intersection(box) == box
    for edge, start in zip(
        (*snapped.rows, *snapped.cols), (origin[0], origin[0], origin[1], origin[1]), strict=True
    ):
        assert (edge + start) % multiple == 0
    assert snapped.height < box.height + 2 * multiple
    assert snapped.width < box.width + 2 * multiple


@given(boxes, st.integers(2, 80), st.integers(0, 30), origins)
def test_inner_parts_of_windows_cover_the_box(box, stride, overlap, origin):
    size = stride + overlap
    windows = lattice_windows(box, size, stride, origin)
    count = np.zeros((box.height, box.width), dtype=int)
    for window in windows:
        common = window.intersection(box)
        assert common is not None, "a window that adds nothing was asked for"
        count[common.within(box).slices] += 1
    assert (count >= 1).all()
    assert windows == sorted(windows, key=lambda w: (w.row, w.col))


@given(boxes, st.integers(4, 80), st.integers(0, 20), origins, places, places)
def test_lattice_does_not_move_with_the_raster(box, stride, inset, origin, rows, cols):
    size = stride + 2 * inset
    here = lattice_windows(box, size, stride, origin, inset)
    moved = lattice_windows(
        box.shifted(-rows, -cols), size, stride, (origin[0] + rows, origin[1] + cols), inset
    )
    assert [w.shifted(-rows, -cols) for w in here] == moved


@given(boxes, boxes)
def test_intersection_is_what_both_have(a, b):
    common = a.intersection(b)
    rows = range(max(a.rows[0], b.rows[0]), min(a.rows[1], b.rows[1]))
    cols = range(max(a.cols[0], b.cols[0]), min(a.cols[1], b.cols[1]))
    if common is None:
        assert not (rows and cols)
    else:
        assert (range(*common.rows), range(*common.cols)) == (rows, cols)
