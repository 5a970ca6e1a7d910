"""Windows of joint diffusion: what they come to depends on the job and their place, and on nothing else."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from property_profile import examples

pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")

from window_fakes import CELL, GIVEN, WANTED, FakeScene, assembled

from engine import latent_lattice, latent_windows
from engine.errors import CancelledError
from engine.tiling.lattice import Box, split


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(latent_lattice, "_TILE_CELLS", 5)


@st.composite
def scenes(draw, samples=(1, 2), stages=(1, 4)):
    """Any lattice, any place in the world, with and without holes."""
    cells = draw(st.integers(2, 6))
    stride = draw(st.integers(-(-cells // 2), cells))
    origin = draw(st.tuples(st.integers(-500, 500), st.integers(-500, 500)))
    box = Box(0, 0, draw(st.integers(3, 40)), draw(st.integers(3, 40)))
    hole = draw(
        st.builds(Box, st.integers(-20, 40), st.integers(-20, 40), st.integers(0, 60), st.integers(0, 60))
    )
    return FakeScene(
        cells,
        stride,
        box,
        origin,
        stages=draw(st.integers(*stages)),
        samples=draw(st.integers(*samples)),
        holes=(hole.shifted(*origin),),
    )


def same(first, second):
    """Whether draws are equal bit by bit, NaN for NaN."""
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name, image in one.items():
            np.testing.assert_array_equal(image, other[name])


@examples(20)
@given(scene=scenes(), side=st.integers(5, 40), order=st.randoms(use_true_random=False), kept=st.booleans())
def test_any_cut_in_any_order_and_with_any_memory_gives_the_same_numbers(scene, side, order, kept):
    whole = scene.made(scene.box)
    boxes = list(split(scene.box, side))
    order.shuffle(boxes)
    with pytest.MonkeyPatch.context() as patch:
        if not kept:
            patch.setattr(latent_windows, "_KEPT_LATENT_BYTES", 0)
            patch.setattr(latent_windows, "_KEPT_IMAGE_BYTES", 0)
        same(assembled(scene.reopened(), boxes), whole)


@examples(8)
@given(scene=scenes(), rows=st.integers(1, 5))
def test_rows_that_are_run_together_have_no_say(scene, rows):
    whole = scene.made(scene.box)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_windows, "_ROWS_AT_ONCE", rows)
        same(scene.reopened().made(scene.box), whole)


@examples(8)
@given(scene=scenes(samples=(1, 3)), side=st.integers(8, 40))
def test_every_window_is_evaluated_once_a_stage_and_draw_and_encoded_once(scene, side):
    assembled(scene, split(scene.box, side))
    seen = scene.networks.evaluated
    assert len(set(seen)) == len(seen)
    # The first stage has all windows of the others.
    windows = {corner for _, _, corner in seen}
    assert scene.networks.encoded == {name: len(windows) for name in GIVEN}
    # Draw by draw nothing is added but the draw.
    of_draw = [{(stage, corner) for stage, s, corner in seen if s == sample} for sample in range(3)]
    assert all(found in ({*of_draw[0]}, set()) for found in of_draw)


@examples(8)
@given(scene=scenes(stages=(2, 4)))
def test_overlapping_windows_start_a_stage_from_the_same_state(scene):
    scene.made(scene.box)
    states, shared = {}, 0
    for (stage, sample, (row, col)), groups in scene.networks.clean.items():
        for name in WANTED if groups else ():
            for (i, j), value in np.ndenumerate(groups[name][0]):
                known = states.setdefault((stage, sample, name, row + i, col + j), value)
                assert known == value
                shared += known is not value
    cells = scene.item.sampler.window_px // CELL
    several = len({corner for _, _, corner in scene.networks.evaluated}) > 1
    if several and scene.item.sampler.stride_px < cells * CELL:
        assert shared > 0


@examples(12)
@given(scene=scenes())
def test_valid_pixels_are_numbers_and_windows_without_any_are_not_evaluated(scene):
    valid = scene.valid(scene.box)
    for draw in scene.made(scene.box):
        assert np.isfinite(draw["place"][:, valid]).all()
        assert np.isfinite(draw["image"][:, valid]).all()
        assert np.isfinite(draw["local"][:, valid]).all()
    side = scene.item.sampler.window_px
    for _, _, (row, col) in scene.networks.evaluated:
        window = Box(row * CELL, col * CELL, side, side).shifted(-scene.origin[0], -scene.origin[1])
        inside = window.intersection(scene.box)
        assert inside is not None
        assert valid[inside.slices].any()


@examples(8)
@given(scene=scenes(), value=st.sampled_from([float("nan"), float("inf"), -1e30]))
def test_what_lies_under_nodata_has_no_say(scene, value):
    expected = scene.made(scene.box)
    scene.unknown = value
    same(scene.reopened().made(scene.box), expected)


def small(**fields):
    return FakeScene(4, 3, Box(0, 0, 40, 44), (5, -9), **fields)


def test_a_box_reads_what_it_is_made_from_and_no_more():
    layer, box = Box(0, 0, 150, 150), Box(70, 70, 3, 2)
    scene = FakeScene(4, 3, layer, (5, -9), stages=3, generate=("image",))
    (expected,) = scene.made(box)
    read = scene.context

    def changed(place):
        context = read(place)
        assert place == scene.lattice.seen(box, 3)
        context.images["fine"][:, 0, 0] += 1e8
        return context

    # The corner pixel of the first window of the first stage: the farthest that there is.
    scene.reopened().context = changed
    (other,) = scene.made(box)
    assert not np.array_equal(other["image"], expected["image"])


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_a_stage_has_the_windows_that_the_next_one_overlaps(stages):
    scene = small(stages=stages)
    levels = scene.lattice.levels(Box(17, 17, 1, 1), stages)
    assert len(levels) == stages
    for earlier, later in zip(levels, levels[1:], strict=False):
        around = scene.lattice.windows(Box(-200, -200, 400, 400))
        assert set(earlier) == {w for w in around if any(w.intersection(v) for v in later)}


def test_a_cancelled_box_costs_no_more_than_the_rows_that_were_under_way():
    scene = small(stages=2)
    expected = scene.made(scene.box)
    total, announced = len(scene.networks.evaluated), scene.networks.evaluations
    scene.reopened()
    shares = []

    def cancel(share):
        shares.append(share)
        if len(shares) == announced * 3 // 4:
            raise CancelledError("Stop.")

    with pytest.raises(CancelledError):
        scene.made(scene.box, cancel)
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1
    before = len(scene.networks.evaluated)
    assert 0 < before < total
    same(scene.made(scene.box), expected)
    assert len(scene.networks.evaluated) == total


def test_a_scene_without_any_valid_pixel_asks_nothing_of_the_networks():
    scene = small(holes=(Box(-500, -500, 1000, 1000),))
    (draw,) = scene.made(scene.box)
    assert np.isnan(draw["image"]).all()
    assert scene.networks.evaluated == []
    assert set(scene.networks.encoded.values()) == {0}


def test_draws_differ_and_a_draw_is_the_same_whatever_their_number():
    scene = small(samples=3)
    three = scene.made(scene.box)
    assert not np.array_equal(three[0]["image"], three[1]["image"])
    same(small(samples=1).made(scene.box), three[:1])
    order = list(split(scene.box, 11))
    random.Random(2).shuffle(order)
    same(assembled(small(samples=3), order), three)
