import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.schema import Tiling
from engine.tiling.lattice import Box
from engine.tiling.plan import Assembly, Kept, Plan, chunk_px, chunk_unit, in_strips

origins = st.tuples(st.integers(-500, 500), st.integers(-500, 500))
boxes = st.builds(Box, st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 200), st.integers(1, 200))
tilings = st.builds(
    lambda multiple, halo, extra: Tiling(
        mode="crop",
        stride_multiple=multiple,
        halo_px=halo * multiple,
        window_px=(2 * halo + extra) * multiple,
    ),
    st.sampled_from([1, 2, 8]),
    st.integers(0, 5),
    st.integers(1, 12),
)


@settings(deadline=None)
@given(boxes, origins, tilings)
def test_crop_pieces_cover_once_and_fit_the_window(box, origin, tiling):
    plan = Plan(tiling, origin)
    if plan.on_lattice:
        return
    count = np.zeros((box.height, box.width), dtype=int)
    for window in plan.windows(box):
        piece, region = window.core, window.box
        count[piece.within(box).slices] += 1
        assert max(region.height, region.width) <= tiling.window_px
        assert region.intersection(piece.grown(tiling.halo_px)) == piece.grown(tiling.halo_px)
        assert (region.row + origin[0]) % tiling.stride_multiple == 0
        assert region.height % tiling.stride_multiple == 0
    assert (count == 1).all()


@settings(deadline=None, max_examples=50)
@given(boxes, origins, tilings)
def test_context_holds_every_window(box, origin, tiling):
    fixed = Plan(tiling.model_copy(update={"fixed_window": True}), origin)
    context = fixed.context(box)
    for window in fixed.windows(box):
        assert window.box.intersection(context) == window.box
        assert (window.box.height, window.box.width) == (tiling.window_px, tiling.window_px)


@settings(deadline=None)
@given(boxes, origins, tilings)
def test_halves_make_the_same_core_from_parts_of_the_same_window(box, origin, tiling):
    plan = Plan(tiling, origin)
    for window in plan.windows(box):
        halves = plan.halves(window)
        if halves is None:
            assert plan.on_lattice or max(window.core.height, window.core.width) <= tiling.stride_multiple
            continue
        count = np.zeros((window.core.height, window.core.width), dtype=int)
        for half in halves:
            assert half.box.intersection(window.box) == half.box
            count[half.core.within(window.core).slices] += 1
        assert (count == 1).all()


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_local_function_is_reproduced_exactly(fixed, factor):
    """Local means of a picture: windows must give what the whole picture gives."""
    rng = np.random.default_rng(0)
    picture = rng.random((300, 300)).astype(np.float32)

    def local_mean(values):
        padded = np.pad(values, 2)
        return sum(
            padded[i : i + values.shape[0], j : j + values.shape[1]] for i in range(5) for j in range(5)
        )

    def evaluate(box):
        inside = local_mean(picture[box.shifted(100, 100).slices])
        return np.kron(inside, np.ones((factor, factor), np.float32))[None]

    tiling = Tiling(mode="crop", stride_multiple=4, halo_px=4, window_px=48, fixed_window=fixed)
    box = Box(3, -7, 130, 111)
    plan = Plan(tiling, (17, -5))
    assembly = Assembly(plan, 1, factor, box)
    for window in plan.windows(box):
        assembly.feed(window, evaluate(window.box))
    whole = local_mean(picture)[box.shifted(100, 100).slices]
    np.testing.assert_array_equal(assembly.data[0], np.kron(whole, np.ones((factor, factor), np.float32)))


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 5))
def test_two_that_see_the_same_keys_keep_the_same(keys, capacity):
    mine, other = Kept(capacity), Kept(capacity)
    for key in keys:
        found = mine.get(key)
        assert (found is None) == (other.get(key) is None)
        if found is None:
            mine.put(key, True)
            other.put(key, key)


def test_what_was_used_longest_ago_goes_first():
    kept = Kept(2)
    kept.put("a", 1)
    kept.put("b", 2)
    kept.get("a")
    kept.put("c", 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)


@pytest.mark.parametrize("factor", range(1, 17))
def test_chunks_make_whole_blocks_of_about_a_thousand_pixels(factor):
    side = chunk_px(factor, 512)
    assert side * factor % 512 == 0
    assert side % chunk_unit(factor, 512) == 0
    assert side * factor >= 1024 or factor == 1
    assert side * factor < 2048 or side == chunk_unit(factor, 512)


@given(st.integers(1, 90), st.integers(1, 40), st.data())
def test_strips_hold_every_chunk_once_and_go_down(columns, rows, data):
    wanted = data.draw(st.lists(st.integers(0, rows * columns - 1), unique=True))
    ordered = in_strips(wanted, columns)
    assert sorted(ordered) == sorted(wanted)
    strips = [i % columns // 16 for i in ordered]
    assert strips == sorted(strips)
