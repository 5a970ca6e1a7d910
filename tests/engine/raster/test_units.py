import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from engine.raster.units import FLOOR_DB, tell_units, to_db

DATA = Path(os.environ.get("EO_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))


def speckled_power(size=20_000, looks=4, seed=0):
    """Linear backscatter: log-normal scene times gamma speckle."""
    rng = np.random.default_rng(seed)
    return 10 ** (rng.normal(-12, 4, size) / 10) * rng.gamma(looks, 1 / looks, size)


@pytest.mark.parametrize(
    ("make", "units", "certain"),
    [
        (lambda p: p, "linear", True),
        (lambda p: 10 * np.log10(p), "db", True),
        (lambda p: 10 * np.log10(p) + 16, "db", False),  # brighter than any land: mixed signs
        (lambda p: np.clip(np.rint((10 * np.log10(p) + 30) * 7), 0, 255), "relative", True),
        (lambda p: np.clip((10 * np.log10(p) + 30) / 36, 0, 1), "relative", False),
        (lambda p: np.rint(np.sqrt(p) * 400), "linear", False),  # amplitude digital numbers
    ],
)
def test_units_of_the_same_scene_in_each_form(make, units, certain):
    reading = tell_units(make(speckled_power()))
    assert (reading.units, reading.certain) == (units, certain), reading


@pytest.mark.parametrize(
    ("text", "units", "certain"),
    [("Sigma0_VV_db", "db", True), ("gamma0 linear power", "linear", False), ("bdb", "db", True)],
)
def test_words_of_the_file_count(text, units, certain):
    reading = tell_units(10 * np.log10(speckled_power()), [text])
    assert reading.certain is certain
    assert reading.units == "db"


@pytest.mark.parametrize(
    ("path", "band", "units"),
    [
        ("terramind/S1RTC/38D_378R_2_3.tif", 1, "db"),
        ("terramind/S1RTC/609U_541L_3_0.tif", 2, "db"),
        ("sen1floods11/Spain_7370579_S1Hand.tif", 1, "db"),
        ("ssl4eo_s12/s1/VV.tif", 1, "db"),
        ("strath_dip/S1_linear_256.tif", 1, "linear"),
        ("strath_dip/S1_linear_256.tif", 2, "linear"),
        ("ombria_mosaic/scene_s06_s1_vv_harmonised.tif", 1, "relative"),
    ],
)
def test_units_of_real_scenes(path, band, units):
    if not (DATA / path).is_file():
        pytest.skip(f"no data set at {DATA} (set EO_DATA)")
    with rasterio.open(DATA / path) as dataset:
        values = dataset.read(band)
        reading = tell_units(values[(dataset.read_masks(band) > 0) & np.isfinite(values)])
    assert (reading.units, reading.certain) == (units, True), reading


def test_to_db_is_ten_log_ten_with_a_floor():
    power = np.array([1, 0.01, 1e-9, 0, -1, np.nan], np.float32)
    db, valid = to_db(power, "linear")
    np.testing.assert_allclose(db[:3], [0, -20, FLOOR_DB], atol=1e-5)
    assert valid.tolist() == [True, True, True, False, False, False]
    assert np.isfinite(db).all()


def test_decibel_and_stretches_stay_as_they_are():
    values = np.array([-30, 0, 255], np.float32)
    for units in ("db", "relative"):
        same, valid = to_db(values, units)
        np.testing.assert_array_equal(same, values)
        assert valid.all()
