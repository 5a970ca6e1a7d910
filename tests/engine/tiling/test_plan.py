import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.schema import Tiling
from engine.tiling.lattice import Box
from engine.tiling.plan import Plan, Runner

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
    for piece in plan.pieces(box):
        count[piece.within(box).slices] += 1
        region = plan.context(piece)
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
        assert window.intersection(context) == window
        assert (window.height, window.width) == (tiling.window_px, tiling.window_px)


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
    result = Runner(Plan(tiling, (17, -5)), 1, factor).run(box, np.ones((130, 111), bool), evaluate, 0)
    whole = local_mean(picture)[box.shifted(100, 100).slices]
    np.testing.assert_array_equal(result[0], np.kron(whole, np.ones((factor, factor), np.float32)))


def test_windows_are_not_evaluated_twice_for_neighbouring_chunks():
    tiling, seen = Tiling(mode="lattice", window_px=64, stride_px=48), []

    def evaluate(box):
        seen.append(box)
        return np.zeros((1, 64, 64), np.float32)

    runner = Runner(Plan(tiling, (0, 0)), 1, 1)
    for col in (0, 100, 200):
        runner.run(Box(0, col, 100, 100), np.ones((100, 100), bool), evaluate, 0)
    assert len(seen) == len(set(seen))
