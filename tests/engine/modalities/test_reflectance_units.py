import numpy as np
import pytest

from engine.errors import InputError
from engine.modalities.reflectance_units import tell_reflectance, to_dn


@pytest.fixture
def land():
    """DN of land and water without an offset."""
    rng = np.random.default_rng(2)
    return np.rint(rng.gamma(2, 700, 50_000) + rng.uniform(20, 80, 50_000)).astype(np.float32)


@pytest.mark.parametrize("text", ["", "S2A_MSIL2A_20190705T100031_N0212_R122", "anything"])
def test_numbers_without_an_offset(land, text):
    reading = tell_reflectance(land, [text])
    assert (reading.units, reading.certain) == ("DN", True)


@pytest.mark.parametrize(
    "text",
    [
        "S2B_MSIL2A_20220705T100031_N0400_R122_T33UUP",
        "/data/S2A_MSIL1C_20240705T100031_N0510_R122.zip",
        "PROCESSING_BASELINE=05.09",
        "BOA_ADD_OFFSET_B02=-1000",
    ],
)
def test_an_offset_that_the_file_names_is_certain(land, text):
    reading = tell_reflectance(land + 1000, [text])
    assert (reading.units, reading.certain) == ("DN + 1000", True)
    np.testing.assert_array_equal(to_dn(land + 1000, reading.units), land)


def test_an_offset_without_a_name_is_a_guess(land):
    reading = tell_reflectance(land + 1000)
    assert (reading.units, reading.certain) == ("DN + 1000", False)
    assert "processing baseline" in reading.reason


def test_a_bright_desert_has_no_offset_unless_the_file_says_so(land):
    desert = 0.2 * land + 2000
    assert tell_reflectance(desert).units == "DN"
    assert not tell_reflectance(desert).certain
    assert tell_reflectance(desert, ["_N0301_"]).certain
    assert tell_reflectance(desert, ["_N0400_"]).units == "DN + 1000"


def test_an_offset_that_was_taken_off_is_not_taken_off_again(land):
    assert tell_reflectance(land, ["_N0400_"]).units == "DN"
    assert tell_reflectance(land + 1000, ["_N0400_ harmonized"]).units == "DN"


def test_reflectance(land):
    reading = tell_reflectance(land / 10_000)
    assert (reading.units, reading.certain) == ("reflectance", True)
    np.testing.assert_allclose(to_dn(land / np.float32(10_000), reading.units), land, rtol=1e-6)


def test_pictures_are_no_reflectance(land):
    picture = np.minimum(land // 20, 255)
    reading = tell_reflectance(picture, dtype="uint8")
    assert (reading.units, reading.certain) == ("display", True)
    assert not tell_reflectance(picture).certain
    with pytest.raises(InputError, match="display values"):
        to_dn(land, reading.units)


def test_a_dark_band_is_no_picture():
    assert tell_reflectance(np.arange(10, 150, dtype=np.float32), dtype="uint16").units == "DN"


def test_scenes_from_before_the_offset_have_none(land):
    reading = tell_reflectance(land + 1200, ["S2A_MSIL2A_20170617T113321_4_55_B11.tif"])
    assert (reading.units, reading.certain) == ("DN", True)


def test_nothing_valid_is_no_certainty():
    assert not tell_reflectance(np.array([np.nan, np.inf], np.float32)).certain
    assert not tell_reflectance(np.array([], np.float32)).certain
