import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from encoder_groups import ENCODINGS, group, padded, scene
from hypothesis import given
from hypothesis import strategies as st
from property_profile import examples

from engine.errors import InputError
from engine.modalities.encoders import encoder
from engine.modalities.physical import decibels
from engine.models.encodings import Date
from engine.models.joint_schema import Group, Latent

KINDS = sorted(ENCODINGS)
SEEDS = st.integers(0, 2**16)


def ones(values):
    return np.ones(values.shape[1:], bool)


def encoded(made, values, valid, statistics=None):
    around = padded(values, valid, made.margin_px)
    return made.encode(*around, made.statistics([around]) if statistics is None else statistics)


@pytest.mark.parametrize("kind", KINDS)
@examples(15)
@given(SEEDS)
def test_values_in_range_stay_in_the_models_range(kind, seed):
    values = scene(kind, seed)
    x = encoded(encoder(group(kind)), values, ones(values))
    assert x.dtype == np.float32
    assert np.abs(x).max() <= 1 + 1e-6


@pytest.mark.parametrize("kind", KINDS)
@examples(15)
@given(SEEDS, st.lists(st.sampled_from([np.nan, np.inf, -np.inf, -9999, 0, 3e38, -3e38]), max_size=20))
def test_whatever_a_raster_holds_is_finite_to_the_model(kind, seed, odd):
    values = scene(kind, seed)
    if kind == "classes":
        odd = [value for value in odd if not np.isfinite(value)]
    rng = np.random.default_rng(seed)
    values.flat[rng.integers(0, values.size, len(odd))] = odd
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = encoded(encoder(group(kind)), values, rng.random(values.shape[1:]) < 0.9)
    assert np.isfinite(x).all()
    assert np.abs(x).max() <= 20


@pytest.mark.parametrize("kind", KINDS)
@examples(10)
@given(SEEDS, st.integers(0, 20), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))
def test_a_pixel_is_the_same_in_every_window(kind, seed, row, col, height, width):
    made, values = encoder(group(kind)), scene(kind, seed)
    valid = np.random.default_rng(seed).random(values.shape[1:]) < 0.8
    margin = made.margin_px
    around, around_valid = padded(values, valid, margin)
    statistics = made.statistics([(around, around_valid)])
    whole = made.encode(around, around_valid, statistics)
    rows, cols = slice(row, row + height), slice(col, col + width)
    read = (slice(row, row + height + 2 * margin), slice(col, col + width + 2 * margin))
    part = made.encode(around[(slice(None), *read)], around_valid[read], statistics)
    np.testing.assert_array_equal(part, whole[:, rows, cols])


def given_back(kind, values):
    made = encoder(group(kind))
    return made.decode(encoded(made, values, ones(values)))


@examples(15)
@given(SEEDS)
@pytest.mark.parametrize(
    ("kind", "units", "absolute", "relative"),
    [
        ("reflectance", 10_000, 1e-6, 0),
        ("backscatter", 1, 2e-5, 0),
        ("height", 1, 1e-5, 5e-6),
        ("linear", 1, 1e-5, 0),
        ("classes", 1, 0, 0),
    ],
)
def test_physical_values_come_back(kind, units, absolute, relative, seed):
    values = scene(kind, seed)
    np.testing.assert_allclose(given_back(kind, values), values / units, rtol=relative, atol=absolute)


@examples(15)
@given(SEEDS)
def test_display_values_come_back_as_they_went_in(seed):
    for kind in ("sentinel2-thumbnail", "sentinel1-thumbnail", "hillshade-thumbnail"):
        made, values = encoder(group(kind)), scene(kind, seed)
        x = encoded(made, values, ones(values))
        shown = made.decode(x)
        assert (shown == np.rint(shown)).all()
        np.testing.assert_allclose(shown / 127.5 - 1, x[: len(shown)], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_within_the_stated_range(kind):
    made = encoder(group(kind))
    channels = encoded(made, scene(kind, 1), ones(scene(kind, 1))).shape[0]
    wild = np.random.default_rng(1).normal(0, 3, (channels, 9, 9)).astype(np.float32)
    result = made.decode(wild)
    low, high = made.output.range
    assert result.dtype == np.float32
    assert len(result) == len(made.output.bands)
    assert result.min() >= low - 1e-3
    assert result.max() <= high + 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_can_be_stored_and_are_of_all_pieces(kind):
    made, values = encoder(group(kind)), scene(kind, 3)
    whole = padded(values, ones(values), made.margin_px)
    told = made.statistics([whole])
    assert bool(told) == made.needs_statistics
    stored = {name: tuple(numbers) for name, numbers in json.loads(json.dumps(told)).items()}
    np.testing.assert_array_equal(made.encode(*whole, stored), made.encode(*whole, told))
    edge = 25 + 2 * made.margin_px
    halves = [(whole[0][..., :edge], whole[1][:, :edge]), (whole[0][..., 25:], whole[1][:, 25:])]
    for name, numbers in made.statistics(halves).items():
        assert numbers == pytest.approx(told[name], rel=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if encoder(group(kind)).needs_statistics])
def test_a_scene_without_a_valid_pixel_is_refused(kind):
    made, values = encoder(group(kind)), scene(kind, 1)
    with pytest.raises(InputError, match="no valid pixel"):
        made.statistics([padded(values, ~ones(values), made.margin_px)])


@pytest.mark.parametrize("kind", KINDS)
def test_windows_that_are_all_nodata_are_of_one_value(kind):
    made, values = encoder(group(kind)), scene(kind, 1)
    statistics = made.statistics([padded(values, ones(values), made.margin_px)])
    x = encoded(made, np.full_like(values, np.nan), ~ones(values), statistics)
    assert all(np.ptp(plane) == 0 for plane in x)


def test_a_constant_scene_has_no_stretch():
    flat = np.full((1, 20, 20), 12.5, np.float32)
    hillshade = encoder(group("hillshade-thumbnail"))
    assert (hillshade.decode(encoded(hillshade, flat, ones(flat))) == 180).all()  # 255 sin 45
    radar = encoder(group("sentinel1-thumbnail"))
    assert (encoded(radar, np.repeat(flat, 2, axis=0), ones(flat)) == -1).all()
    standardised = encoder(group("standardised"))
    assert (encoded(standardised, flat, ones(flat)) == 0).all()


def test_what_is_beyond_the_sampled_extremes_stays_in_range():
    made, values = encoder(group("sentinel1-thumbnail")), scene("sentinel1-thumbnail", 4)
    statistics = made.statistics([(values, ones(values))])
    x = made.encode(values + np.float32(10), ones(values), statistics)
    assert x.max() == 1
    assert (made.encode(values - np.float32(60), ones(values), statistics) == -1).all()


def test_no_power_is_the_darkest_radar_level():
    made = encoder(group("sentinel1-thumbnail"))
    power = np.linspace(0.01, 1, 800, dtype=np.float32).reshape(2, 20, 20)
    power[:, 0, :3] = 0, -0.001, np.nan
    values = decibels(power)
    assert np.isneginf(values[:, 0, :2]).all()
    x = encoded(made, values, ones(values))
    assert (x[[0, 2], 0, :3] == -1).all()
    assert made.statistics([(values, ones(values))])["low"][0] > -30


def test_heights_below_the_sea_come_back_as_none():
    values = np.array([[[-400.0, -1.0, 0.0, 5.0]]], np.float32)
    np.testing.assert_allclose(given_back("height", values), [[[0, 0, 0, 5]]], atol=1e-5)


def test_slopes_of_a_coarse_dem_are_those_of_its_own_grid():
    """A 30 m DEM on a 10 m grid, with three pixels on each side, slopes like the DEM itself."""
    rng = np.random.default_rng(5)
    coarse = rng.uniform(0, 40, (9, 9)).cumsum(axis=0)
    at = np.arange(0, 25) / 3
    fine = np.array([np.interp(at, np.arange(9), row) for row in coarse])
    fine = np.array([np.interp(at, np.arange(9), column) for column in fine.T]).T
    made = encoder(group("hillshade-thumbnail"))
    own = encoder(
        group("hillshade-thumbnail").model_copy(
            update={"encoding": ENCODINGS["hillshade-thumbnail"].model_copy(update={"spacing_px": 1})}
        )
    )
    statistics = {"low": (0.0,), "high": (1.0,)}
    fine, coarse = fine[None].astype(np.float32), coarse[None].astype(np.float32)
    found = encoded(made, fine, ones(fine), statistics)[:, ::3, ::3]
    expected = encoded(own, coarse, ones(coarse), statistics)
    np.testing.assert_allclose(found, expected, atol=1.01 / 127.5)  # float32 heights may cross a level


def test_unknown_class_codes_are_named_with_their_share():
    made = encoder(group("classes"))
    codes = np.full((1, 10, 10), 4, np.float32)
    codes[0, 0, :3], codes[0, 1, 0] = 7, 1.5
    with pytest.raises(
        InputError, match=r"7: 3\.0% of the pixels; 1\.5: 1\.0% of the pixels.*4 Reed"
    ) as told:
        made.encode(codes, ones(codes), {})
    assert "\n" not in str(told.value)
    made.encode(codes, codes[0] == 4, {})


def test_output_says_what_its_numbers_are():
    units = {kind: encoder(group(kind)).output.units for kind in KINDS}
    assert {units[kind] for kind in KINDS if kind.endswith("thumbnail")} == {"display value"}
    assert units["reflectance"] == "reflectance"
    assert units["backscatter"] == "dB"
    assert units["height"] == "m"
    shown = encoder(group("sentinel1-thumbnail")).output.bands
    assert [band.name for band in shown] == [
        "VV display value",
        "VV plus VH display value",
        "VH display value",
    ]


def test_encoders_need_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; "
        "from engine.modalities import cells, class_codes, encoders, reflectance_units, vectors"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_vector_has_no_raster():
    latent = Latent(channels=1, height=1, width=3, patch=1)
    with pytest.raises(ValueError, match="no raster"):
        encoder(Group(name="when", modality="date", latent=latent, encoding=Date(kind="date")))
