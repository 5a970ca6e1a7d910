from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pairs import make_pair

from training.datasets.crops import NONE, Augmentation, cell_noise, random_crop, whole
from training.datasets.module import Crops, EpochSampler, Sampling
from training.datasets.pairs import band_statistics

ALWAYS = Augmentation(border=1.0, hole=1.0, drop_band=1.0, drop_dem=0.0, border_px=24)


@given(seed=st.integers(0, 2**32), size=st.sampled_from([32, 64, 128]))
@settings(max_examples=30, deadline=None)
def test_crop_shapes_and_ranges(seed, size):
    sample = random_crop(make_pair(3), np.random.default_rng(seed), size, ALWAYS, (1, 8), 2)
    shapes = {key: value.shape for key, value in sample.items()}
    assert shapes == {
        "sar": (4, size, size),
        "dem": (2, size, size),
        "mask": (7, size, size),
        "noise": (4, size, size),
        "optical": (3, size, size),
        "valid": (1, size, size),
    }
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in sample.values())
    assert np.abs(sample["sar"][:2]).max() <= 4
    assert set(np.unique(sample["sar"][2:])) <= {0.0, 1.0}


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_nothing_is_said_where_validity_is_zero(seed):
    sample = random_crop(make_pair(3), np.random.default_rng(seed), 64, ALWAYS, (1,))
    sar = sample["sar"]
    assert (sar[:2][sar[2:] == 0] == 0).all()
    assert (sample["dem"][:1][sample["dem"][1:] == 0] == 0).all()
    assert (sample["valid"][0] <= sar[2:].max(axis=0)).all()


def test_equal_keys_give_equal_crops_and_others_do_not(pair):
    def draw(key):
        return random_crop(pair, np.random.default_rng(key), 48, Augmentation(), (1, 8))

    first, again, other = draw((7, 1)), draw((7, 1)), draw((7, 2))
    assert all((first[key] == again[key]).all() for key in first)
    assert any((first[key] != other[key]).any() for key in first)


def test_augmentation_turns_input_and_target_together():
    pair = make_pair(5)
    linked = replace(pair, sar={"VV": pair.optical[0] * 100}, statistics=({"VV": (20.0, 5.0)},))
    turning = replace(NONE, dihedral=True)
    for seed in range(12):
        sample = random_crop(linked, np.random.default_rng(seed), 96, turning)
        expected = np.clip((sample["optical"][0] * 100 - 20) / 5, -4, 4)
        np.testing.assert_allclose(sample["sar"][0], expected, atol=1e-4)


@given(gain=st.floats(0.01, 100), offset=st.floats(-50, 50))
@settings(max_examples=25, deadline=None)
def test_any_linear_scale_of_db_gives_the_same_tensor(gain, offset):
    pair = make_pair(2)
    stretched = {band: values * np.float32(gain) + np.float32(offset) for band, values in pair.sar.items()}
    other = replace(pair, sar=stretched, statistics=(band_statistics(stretched),))
    np.testing.assert_allclose(whole(pair)["sar"], whole(other)["sar"], atol=5e-3)


def test_image_smaller_than_the_crop_is_padded_with_nothing():
    sample = random_crop(make_pair(1, size=40), np.random.default_rng(0), 64, NONE)
    assert sample["valid"].sum() == 40 * 40
    assert sample["sar"][2].sum() == 40 * 40


def test_padding_of_whole_images(pair):
    sample = whole(pair, pad_px=16)
    assert sample["optical"].shape == (3, 128, 128)
    np.testing.assert_array_equal(sample["optical"][:, 16:-16, 16:-16], pair.optical)
    assert sample["valid"][:, :16].sum() == 0


@pytest.mark.parametrize("cell", [1, 2, 8, 32])
def test_noise_is_constant_over_cells_on_multiples_of_eight(cell):
    noise = cell_noise(np.random.default_rng(3), 64, (cell,))[0]
    step = min(cell, 8)
    blocks = noise.reshape(64 // step, step, 64 // step, step)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert len(np.unique(noise)) >= (64 // cell) ** 2
    jumps = np.abs(np.diff(noise[0])) > 0
    assert jumps.mean() == pytest.approx(1 / cell, abs=0.05)


def test_balance_between_places():
    pairs = [make_pair(k, 32, "large") for k in range(9)] + [make_pair(9, 32, "small")]

    def share(balance):
        crops = Crops(pairs, Sampling(0, 32, 1, 1, balance=balance), {0: NONE}, ())
        return 1 - crops.cumulative[-2]

    assert share(1.0) == pytest.approx(0.1)
    assert share(0.0) == pytest.approx(0.5)
    assert share(0.5) == pytest.approx(0.25)


def test_epochs_continue_the_numbering():
    sampler = EpochSampler(Sampling(0, 32, 3, 4))
    first = list(sampler)
    sampler.set_epoch(1)
    assert first + list(sampler) == list(range(24))


def test_decoys_stand_in_for_what_the_pair_lacks():
    pair = make_pair(3)
    bare = replace(pair, sar={"VV": pair.sar["VV"]}, elevation=None)
    decoys = replace(NONE, decoy_band=1.0, decoy_dem=1.0)
    sample = random_crop(bare, np.random.default_rng(0), 48, decoys)
    plain = random_crop(bare, np.random.default_rng(0), 48, NONE)
    assert np.array_equal(sample["sar"][0], plain["sar"][0])
    assert sample["sar"][2:].min() == 1
    assert 0.2 < np.corrcoef(sample["sar"][0].ravel(), sample["sar"][1].ravel())[0, 1] < 0.999
    assert sample["dem"][1].min() == 1
    assert sample["dem"][0].std() > 0


def test_augmentation_changes_with_the_epoch():
    pair = make_pair(3)
    late = replace(NONE, decoy_dem=1.0)
    bare = replace(pair, elevation=None)
    crops = Crops([bare], Sampling(0, 32, 2, 5), {0: NONE, 3: late}, ())
    given = [bool(crops[number]["dem"][1].any()) for number in (0, 29, 30, 99)]
    assert given == [False, False, True, True]
