import numpy as np
import pytest
from encoder_groups import group

from engine.errors import InputError
from engine.modalities.class_codes import class_legend, to_codes
from engine.models import legends
from engine.models.encodings import Classes, CodedClass

ESRI = {
    0: "No data",
    1: "Water",
    2: "Trees",
    4: "Flooded vegetation",
    5: "Crops",
    7: "Built area",
    8: "Bare ground",
    9: "Snow / ice",
    10: "Clouds",
    11: "Rangeland",
}


@pytest.fixture
def land_cover():
    classes = tuple(CodedClass(value=code, name=name, color=(0, 0, 0)) for code, name in ESRI.items())
    return group("classes").model_copy(update={"encoding": Classes(kind="classes", classes=classes)})


def recoded(land_cover, legend, values):
    bound = class_legend(land_cover, legend)
    return to_codes(np.array([[values]], np.float32), land_cover, bound)[0, 0].tolist()


@pytest.mark.parametrize(
    ("legend", "pairs"),
    [
        ("esa-worldcover", {10: 2, 20: 11, 30: 11, 40: 5, 50: 7, 60: 8, 70: 9, 80: 1, 90: 4, 95: 2, 100: 11}),
        ("dynamic-world", {0: 1, 1: 2, 2: 11, 3: 4, 4: 5, 5: 11, 6: 7, 7: 8, 8: 9}),
        ("esri-lulc", {code: code for code in ESRI if code not in (0, 10)}),
        ("terramesh-lulc", {1: 1, 2: 2, 3: 4, 4: 5, 5: 7, 6: 8, 7: 9, 9: 11}),
        ("corine", {111: 7, 211: 5, 223: 5, 231: 11, 311: 2, 332: 8, 335: 9, 411: 4, 412: 4, 523: 1}),
        ("nlcd", {11: 1, 12: 9, 24: 7, 31: 8, 42: 2, 52: 11, 71: 11, 82: 5, 95: 4}),
        (None, {code: code for code in ESRI}),
        ({3: "trees", 4: "Snow / ice"}, {3: 2, 4: 9}),
    ],
)
def test_land_cover_of_other_makers(land_cover, legend, pairs):
    assert recoded(land_cover, legend, list(pairs)) == list(pairs.values())


@pytest.mark.parametrize("name", [name for name in legends.names() if name != legends.MODEL_LEGEND])
def test_every_value_of_every_legend_has_a_class(land_cover, name):
    bound = class_legend(land_cover, name)
    values = [value for entry in bound.classes for value in entry.values]
    assert bound.unknown(np.array([values])) == {}


def test_no_data_and_unknown_values_are_nan(land_cover):
    assert np.isnan(recoded(land_cover, "esa-worldcover", [0, 33])).all()
    bound = class_legend(land_cover, None)
    counts = bound.unknown(np.array([[3.0, 3.0, 4.0, 0.0]], np.float32))
    assert counts == {3: 2}
    sentence = bound.unknown_sentence(counts, 4, "map.tif")
    assert "3: 50 %" in sentence


def test_a_class_that_the_model_lacks_is_refused(land_cover):
    with pytest.raises(InputError, match="swamp"):
        class_legend(land_cover, {1: "swamp"})
