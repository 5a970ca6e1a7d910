import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.tiling.blend import Blender, flank_weights
from engine.tiling.lattice import Box, lattice_windows


@given(st.integers(2, 90), st.data())
def test_weights_are_positive_everywhere(size, data):
    stride = data.draw(st.integers(1, size))
    weights = flank_weights(size, stride)
    assert weights.shape == (size, size)
    assert (weights > 0).all()
    assert (weights <= 1).all()
    np.testing.assert_array_equal(weights, weights[::-1, ::-1])


@given(st.integers(2, 40), st.data())
def test_weights_of_overlapping_windows_sum_to_one(half, data):
    size, overlap = 2 * half, data.draw(st.integers(0, half))
    profile = np.sqrt(np.diagonal(flank_weights(size, size - overlap)))
    assert profile[:overlap] + profile[size - overlap :] == pytest.approx(1, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(-60, 60), st.integers(-60, 60), st.integers(1, 90), st.integers(1, 90))
def test_blend_of_agreeing_windows_is_the_picture(row, col, height, width):
    box, size, stride = Box(row, col, height, width), 24, 16
    weights = flank_weights(size, stride)
    blender = Blender(1, box)
    for window in lattice_windows(box, size, stride, (0, 0)):
        rows, cols = np.mgrid[slice(*window.rows), slice(*window.cols)]
        blender.feed(window, (rows * 1000.0 + cols)[None].astype(np.float32), weights)
    rows, cols = np.mgrid[slice(*box.rows), slice(*box.cols)]
    np.testing.assert_allclose(blender.data[0], rows * 1000.0 + cols, rtol=1e-6, atol=0.02)
