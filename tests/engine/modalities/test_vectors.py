from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from property_profile import examples

from engine.modalities.vectors import date_of, date_vector, position_of, position_vector


@examples(200)
@given(st.dates())
def test_every_calendar_date_comes_back(day):
    assert date_of(date_vector(day)) == day


@examples(100)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_any_vector_has_a_date_and_a_position(vector):
    assert date.min <= date_of(vector) <= date.max
    lat, lon = position_of(vector)
    assert -90 <= lat <= 90
    assert -180 <= lon <= 180


@examples(100)
@given(st.floats(-89.9, 89.9), st.floats(-179.9, 179.9), st.floats(0.2, 3))
def test_a_place_comes_back_whatever_the_length_of_its_vector(lat, lon, length):
    vector = position_vector(lat, lon)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    found = position_of(length * vector.astype(np.float64))
    assert found[0] == pytest.approx(lat, abs=1e-4)
    # A degree of longitude shrinks towards the poles, where float32 tells fewer of them apart.
    assert found[1] == pytest.approx(lon, abs=1e-4 / np.cos(np.radians(lat)))


def test_the_authors_rule_depends_on_the_length():
    longer = 1.1 * position_vector(45, 10).astype(np.float64)
    assert position_of(longer)[0] == pytest.approx(45, abs=1e-4)
    assert position_of(longer, published=True)[0] == pytest.approx(51.06, abs=0.01)
