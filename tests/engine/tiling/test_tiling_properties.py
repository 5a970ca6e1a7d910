"""What must hold for every window plan and every noise window, wherever in the world it lies."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from property_profile import examples

from engine.models.schema import Tiling
from engine.tiling.lattice import Box
from engine.tiling.noise import BLOCK_PX, gaussian
from engine.tiling.plan import Assembly, Plan

# Near the origin, around block borders, and as far out as millimetre pixels in metre coordinates or beyond.
places = st.one_of(
    st.integers(-700, 700),
    st.builds(lambda k, d: k * BLOCK_PX + d, st.integers(-(2**40), 2**40), st.integers(-3, 3)),
    st.integers(-(2**62), 2**62),
    st.integers(-(10**22), 10**22),
)
origins = st.tuples(places, places)
boxes = st.builds(Box, st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 90), st.integers(1, 90))


@st.composite
def lattice_tilings(draw, partition=False):
    """Blended windows; with ``partition`` no pixel lies in more than two of a row."""
    multiple = draw(st.sampled_from([1, 2, 4, 8]))
    size = draw(st.integers(1, max(2, 48 // multiple)))
    least = -(-size // 2) if partition else 1
    stride = draw(st.integers(max(1, least), size))
    return Tiling(
        mode="lattice",
        stride_multiple=multiple,
        window_px=size * multiple,
        stride_px=stride * multiple,
    )


@st.composite
def crop_tilings(draw):
    multiple = draw(st.sampled_from([1, 2, 8]))
    halo = draw(st.integers(0, 3))
    size = 2 * halo + draw(st.integers(1, 9))
    return Tiling(
        mode="crop",
        stride_multiple=multiple,
        halo_px=halo * multiple,
        window_px=size * multiple,
        fixed_window=draw(st.booleans()),
    )


tilings = st.one_of(lattice_tilings(), crop_tilings())


def world(window, origin):
    return window.box.shifted(*origin), window.core and window.core.shifted(*origin)


@examples(60)
@given(tilings, boxes, origins)
def test_windows_cover_each_pixel(tiling, box, origin):
    count = np.zeros((box.height, box.width), dtype=int)
    windows = Plan(tiling, origin).windows(box)
    for window in windows:
        common = window.reach.intersection(box)
        assert common is not None, "a window that adds nothing was asked for"
        count[common.within(box).slices] += 1
    assert (count >= 1).all()
    if tiling.mode == "crop":
        assert (count == 1).all(), "in crop mode exactly one window decides about a pixel"
    else:
        assert count.max() <= math.ceil(tiling.window_px / tiling.stride_px) ** 2
    assert len({window.reach for window in windows}) == len(windows)


@examples(60)
@given(crop_tilings(), boxes, origins)
def test_every_core_has_its_halo(tiling, box, origin):
    plan = Plan(tiling, origin)
    context = plan.context(box)
    for window in plan.windows(box):
        needed = window.core.grown(tiling.halo_px)
        assert window.box.intersection(needed) == needed
        assert max(window.box.height, window.box.width) <= tiling.window_px
        assert context.intersection(window.box) == window.box
        for start, size, zero in (
            (window.box.row, window.box.height, origin[0]),
            (window.box.col, window.box.width, origin[1]),
        ):
            assert (start + zero) % tiling.stride_multiple == 0
            assert size % tiling.stride_multiple == 0


def weight_sums(plan, box):
    total = np.zeros((box.height, box.width))
    for window in plan.windows(box):
        common = window.box.intersection(box)
        total[common.within(box).slices] += plan.weights[common.within(window.box).slices]
    return total


@examples(60)
@given(lattice_tilings(), boxes, origins)
def test_weights_sum_to_more_than_nothing(tiling, box, origin):
    total = weight_sums(Plan(tiling, origin), box)
    # sin^2 of half a pixel's share of the flank, on both axes, is the least that a single window gives.
    assert total.min() >= np.sin(np.pi / 4 / tiling.window_px) ** 4
    assert np.isfinite(total).all()


@examples(60)
@given(lattice_tilings(partition=True), boxes, origins)
def test_weights_sum_to_one_where_two_windows_meet(tiling, box, origin):
    np.testing.assert_allclose(weight_sums(Plan(tiling, origin), box), 1, atol=1e-6)


@examples(80)
@given(tilings, boxes, origins, st.integers(-200, 200), st.integers(-200, 200))
def test_any_shift_of_the_raster_keeps_the_world_windows(tiling, box, origin, rows, cols):
    """The same place in two rasters whose corners differ: the windows are the same place too."""
    moved_origin = origin[0] + rows, origin[1] + cols
    here = Plan(tiling, origin).windows(box)
    there = Plan(tiling, moved_origin).windows(box.shifted(-rows, -cols))
    assert [world(w, origin) for w in here] == [world(w, moved_origin) for w in there]


@examples(80)
@given(tilings, boxes, origins, st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_shift_by_whole_strides_keeps_the_windows_of_the_raster(tiling, box, origin, rows, cols):
    stride = tiling.stride_px or tiling.stride_multiple
    if tiling.mode == "crop" and Plan(tiling, origin).on_lattice:
        stride = tiling.window_px - 2 * tiling.halo_px
    moved = origin[0] + rows * stride, origin[1] + cols * stride
    assert Plan(tiling, origin).windows(box) == Plan(tiling, moved).windows(box)


@examples(60)
@given(tilings, boxes, origins, st.data())
def test_part_needs_the_windows_of_the_whole_that_touch_it(tiling, box, origin, data):
    plan, part = Plan(tiling, origin), data.draw(parts_of(box))
    if plan.on_lattice:
        touching = [w for w in plan.windows(box) if w.reach.intersection(part)]
        assert plan.windows(part) == touching
    else:
        assert plan.context(box).intersection(plan.context(part)) == plan.context(part)


@st.composite
def parts_of(draw, box):
    height, width = draw(st.integers(1, box.height)), draw(st.integers(1, box.width))
    row = box.row + draw(st.integers(0, box.height - height))
    col = box.col + draw(st.integers(0, box.width - width))
    return Box(row, col, height, width)


def imagined(plan, window, factor):
    """A result that depends on the window and not on the pixel alone, as of a network that normalises."""
    box = (window.core or window.box).shifted(*plan.origin)
    rng = np.random.default_rng([abs(box.row), abs(box.col), box.row < 0, box.col < 0])
    shape = (2, window.box.height * factor, window.box.width * factor)
    return rng.normal(size=shape).astype(np.float32)


def assembled(plan, box, factor):
    assembly = Assembly(plan, 2, factor, box)
    for window in plan.windows(box):
        assembly.feed(window, imagined(plan, window, factor))
    return assembly.data


@examples(50)
@given(tilings, boxes, origins, st.sampled_from([1, 2, 3]), st.data())
def test_assembled_part_is_the_crop_of_the_whole(tiling, box, origin, factor, data):
    plan, part = Plan(tiling, origin), data.draw(parts_of(box))
    whole = assembled(plan, box, factor)
    assert whole.shape == (2, box.height * factor, box.width * factor)
    assert np.isfinite(whole).all()
    if plan.on_lattice:
        place = (slice(None), *part.within(box).scaled(factor).slices)
        np.testing.assert_array_equal(assembled(plan, part, factor), whole[place])


@examples(60)
@given(
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    origins,
    st.tuples(st.integers(1, 300), st.integers(1, 40)),
    st.sampled_from([1, 2, 3, 8, 256, 257, 1000]),
    st.booleans(),
    st.data(),
)
def test_noise_of_a_window_is_the_crop_of_a_larger_one(
    seed, sample, channel, place, size, cell, upright, data
):
    box = Box(*place, *(size if upright else size[::-1]))
    part = data.draw(parts_of(box))
    large = gaussian(seed, sample, channel, box.row, box.col, box.height, box.width, cell)
    small = gaussian(seed, sample, channel, part.row, part.col, part.height, part.width, cell)
    assert large.dtype == np.float32
    assert np.isfinite(large).all()
    np.testing.assert_array_equal(small, large[part.within(box).slices])


@examples(40)
@given(origins, st.integers(2, 300), st.integers(1, 60), st.integers(1, 60))
def test_cell_has_the_value_of_its_world_index(place, cell, height, width):
    coarse = gaussian(9, 2, 1, *place, height, width, cell)
    for row, col in ((0, 0), (height - 1, width - 1), (height // 2, 0), (0, width // 2)):
        index = (place[0] + row) // cell, (place[1] + col) // cell
        assert coarse[row, col] == gaussian(9, 2, 1, *index, 1, 1)[0, 0]


keys = st.tuples(
    st.one_of(st.integers(0, 3), st.integers(0, 2**63 - 1)),
    st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)),
    st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)),
)


@examples(25)
@given(st.lists(keys, min_size=2, max_size=2, unique=True), origins)
def test_other_seeds_samples_and_channels_are_independent(two, place):
    a, b = (gaussian(*key, *place, 128, 128).ravel().astype(float) for key in two)
    assert (a != b).mean() > 0.999
    assert abs((a * b).mean()) < 6 / np.sqrt(a.size)


@examples(25)
@given(keys, origins, st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)))
def test_other_places_are_independent_and_normal(key, place, step):
    here = gaussian(*key, *place, 128, 128).ravel().astype(float)
    n = here.size
    assert abs(here.mean()) < 6 / np.sqrt(n)
    assert abs((here**2).mean() - 1) < 6 * np.sqrt(2 / n)
    assert abs((here**3).mean()) < 6 * np.sqrt(15 / n)
    assert abs((here**4).mean() - 3) < 6 * np.sqrt(96 / n)
    if step != (0, 0):
        there = gaussian(*key, place[0] + step[0], place[1] + step[1], 128, 128).ravel().astype(float)
        assert abs((here * there).mean()) < 6 / np.sqrt(n)


@examples(25)
@given(keys, origins)
def test_mirrored_and_swapped_places_are_independent(key, place):
    """Negative indices wrap to the top of the counter: they must not meet the positive ones."""
    row, col = place
    here = gaussian(*key, row, col, 64, 64).ravel().astype(float)
    others = {(-row, -col), (col, row), (-row, col), (row, -col)} - {(row, col)}
    for other in others:
        there = gaussian(*key, *other, 64, 64).ravel().astype(float)
        assert abs((here * there).mean()) < 6 / np.sqrt(here.size)
