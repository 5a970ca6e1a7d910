"""Legends: every raster value finds its model class, and what finds none is said."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.errors import InputError, ModelError
from engine.models import legends
from engine.models.checkpoint_import import aras400k_properties
from engine.models.schema import OneHotInput
from engine.models.store import find

DATA = Path(os.environ.get("EO_DATA", Path(__file__).resolve().parents[2] / "../shared/data"))
CLASSES = ["water", "trees", "grass_crops", "shrub_sparse", "built", "bare", "snow"]


@pytest.fixture(scope="module")
def bundled():
    return find("mask-to-image")


@pytest.fixture(scope="module")
def aras():
    (entry,) = aras400k_properties(1, {})["eo_translate:inputs"]
    return SimpleNamespace(id="aras", mask=OneHotInput.model_validate_json(json.dumps(entry)))


def by_name(legend, pairs):
    return {value: legend.model_classes[legend.mapping[value]] for value in pairs}


def test_names_of_all_legends():
    required = {"esa-worldcover", "corine", "dynamic-world", "aras400k", "esri-lulc", "nlcd", "model"}
    assert required <= set(legends.names())


@pytest.mark.parametrize("name", legends.names())
def test_every_bundled_legend_gives_every_value_a_class(name, bundled, aras):
    for item in (bundled, aras):
        legend = legends.load(name, item)
        values = [value for entry in legend.classes for value in entry.values]
        assert legend.mapping.keys() == set(values)
        assert legend.unknown(np.array([values])) == {}


def test_worldcover_to_the_bundled_classes(bundled):
    expected = {
        10: "trees",
        20: "shrub_sparse",
        30: "grass_crops",
        40: "grass_crops",
        50: "built",
        60: "bare",
        70: "snow",
        80: "water",
        90: "grass_crops",
        95: "trees",
        100: "shrub_sparse",
    }
    legend = legends.load("esa-worldcover", bundled)
    assert by_name(legend, expected) == expected
    assert legend.mapping[0] == legends.NODATA
    assert legends.load(None, bundled).name == "esa-worldcover"


def test_worldcover_to_the_classes_of_aras400k(aras):
    # Table in section 2 of the ARAS400k specification: code -> class index.
    expected = {
        10: 0,
        20: 1,
        30: 2,
        40: 3,
        50: 4,
        60: 5,
        70: 5,
        80: 6,
        90: 2,
        95: 0,
        100: 2,
        0: legends.NODATA,
    }
    assert legends.load("esa-worldcover", aras).mapping == expected


def test_corine_codes_and_raster_values_agree(bundled):
    legend = legends.load("corine", bundled)
    codes = [entry for entry in legend.classes if 111 <= entry.values[0] <= 523]
    assert [entry.values[1] for entry in codes] == list(range(1, 45))
    assert len({legend.mapping[entry.values[0]] for entry in codes}) == 7
    for entry in codes:
        assert legend.mapping[entry.values[0]] == legend.mapping[entry.values[1]]
    assert by_name(legend, [112, 2, 312, 24, 512, 41]) == {
        112: "built",
        2: "built",
        312: "trees",
        24: "trees",
        512: "water",
        41: "water",
    }


def test_real_land_cover_has_no_unknown_values(bundled):
    rasterio = pytest.importorskip("rasterio")
    for path, name in (("zion/nlcd2011.tif", "nlcd"), ("terramind/LULC", "terramesh-lulc")):
        files = sorted((DATA / path).glob("*.tif")) or [DATA / path]
        if not files[0].is_file():
            pytest.skip(f"no {files[0]} (set EO_DATA)")
        legend = legends.load(name, bundled)
        for file in files:
            with rasterio.open(file) as raster:
                values, valid = raster.read(1), raster.read_masks(1) > 0
            assert legend.unknown(values, valid) == {}
            assert (legend.apply(values)[valid] < 7).mean() > 0.9


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_apply_is_the_mapping(bundled, data):
    keys = st.integers(-(2**31), 2**31 - 1) | st.integers(-5, 300)
    targets = st.sampled_from([*CLASSES, "nodata"])
    mapping = data.draw(st.dictionaries(keys, targets, min_size=1, max_size=20))
    if set(mapping.values()) == {"nodata"}:
        mapping[next(iter(mapping))] = "water"
    values = data.draw(
        hnp.arrays(
            np.int32, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.sampled_from(list(mapping)) | keys
        )
    )
    legend = legends.load(mapping, bundled)

    def expected(value):
        target = mapping.get(int(value), "nodata")
        return legends.NODATA if target == "nodata" else CLASSES.index(target)

    found = legend.apply(values)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.vectorize(expected)(values))
    unknown = {int(v): int((values == v).sum()) for v in np.unique(values) if int(v) not in mapping}
    assert legend.unknown(values) == unknown


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]
)
def test_every_raster_type(bundled, dtype):
    legend = legends.load("esa-worldcover", bundled)
    values = np.array([[10, 80, 0, 11]], dtype=dtype)
    np.testing.assert_array_equal(legend.apply(values), [[1, 0, 255, 255]])
    assert legend.unknown(values) == {11: 1}


def test_floats_that_are_no_values(bundled):
    legend = legends.load("esa-worldcover", bundled)
    values = np.array([[10.0, np.nan, np.inf, 10.5]])
    np.testing.assert_array_equal(legend.apply(values), [[1, 255, 255, 255]])
    assert sum(legend.unknown(values[:, [0, 1, 3]]).values()) == 1


def test_unknown_looks_at_valid_pixels_only(bundled):
    legend = legends.load("esa-worldcover", bundled)
    values, valid = np.array([[33, 33, 10]]), np.array([[True, False, True]])
    assert legend.unknown(values, valid) == {33: 1}
    sentence = legend.unknown_sentence({33: 1}, 2, "mask.tif")
    assert "know" not in sentence
    assert "33: 50 % of the pixels" in sentence
    assert "esa-worldcover" in sentence
    assert "trees" in sentence


def test_legends_that_know_the_values_are_named(bundled):
    assert legends.fitting([42, 52, 41, 31], bundled.mask) == ["nlcd"]
    assert legends.fitting([10, 100], bundled.mask) == ["esa-worldcover"]
    assert legends.fitting([-7], bundled.mask) == []
    sentence = legends.load(None, bundled).unknown_sentence({42: 1}, 2, "mask.tif", fitting=["nlcd"])
    assert "(nlcd knows them)" in sentence


def test_colour_coded_masks(bundled):
    legend = legends.load("aras400k", bundled)
    colors = np.array([[0, 0, 255], [0, 100, 0], [1, 2, 3]], np.uint8).T[:, None, :]
    np.testing.assert_array_equal(legend.apply(colors), [[0, 1, 255]])
    assert legend.unknown(colors) == {0x010203: 1}
    assert "#010203" in legend.unknown_sentence(legend.unknown(colors), 3, "mask.png", colors=True)
    np.testing.assert_array_equal(legend.apply(np.array([[6, 0]])), [[0, 1]])
    with pytest.raises(InputError, match="one band of values or three"):
        legend.apply(np.zeros((4, 2, 2), np.uint8))
    with pytest.raises(InputError, match="no colours"):
        legends.load({1: "water"}, bundled).apply(colors)


def test_official_colours_of_worldcover_can_be_read(bundled):
    legend = legends.load("esa-worldcover", bundled)
    rendered = np.array([[0x00, 0x64, 0xC8], [0xFA, 0, 0]], np.uint8).T[:, None, :]
    np.testing.assert_array_equal(legend.apply(rendered), [[0, 4]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.json", '{"1": "Water", "7": "grass crops", "9": "nodata"}'),
        ("m.csv", "value,class\n1,water\n7,Grass_Crops\n9,nodata\n"),
        ("m.csv", "1;water\n7;grass-crops\n9;\n"),
        (
            "m.json",
            '{"title": "Mine", "classes": ['
            '{"value": 1, "name": "Sea", "color": [0, 0, 9], "model_class": "water"},'
            '{"value": 7, "name": "Field", "color": null, "model_class": "crops", "also": ["grass_crops"]},'
            '{"value": 9, "name": "Cloud", "color": null, "model_class": null}]}',
        ),
    ],
)
def test_own_legend_files(bundled, tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert legends.load(str(path), bundled).mapping == {1: 0, 7: 2, 9: legends.NODATA}


@pytest.mark.parametrize(
    ("legend", "match"),
    [
        ("corin", "There is no legend named corin; known are aras400k"),
        ({1: "ocean"}, "'ocean', which the model does not have; it has water, trees"),
        ({1: "nodata"}, "fits none"),
        ({}, "is empty"),
        ({"a": "water"}, "'a' where a whole raster value"),
        ("gone.csv", "no legend file"),
    ],
)
def test_wrong_legends(bundled, legend, match):
    with pytest.raises(InputError, match=match):
        legends.load(legend, bundled)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("m.json", b"{", "not valid JSON"),
        ("m.json", b'{"classes": [{"value": 1}]}', "malformed"),
        ("m.json", b'{"classes": 3}', "malformed"),
        ("m.json", b"[1]", "malformed"),
        ("m.csv", b"1,water\n1,trees\n", "1 twice"),
        ("m.csv", b"1\n", "value,class"),
        ("m.csv", b"\xff\xff", "UTF-8"),
        ("m.csv", b" " * (2 << 20), "larger than 1 MiB"),
    ],
)
def test_wrong_legend_files(bundled, tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=match):
        legends.load(str(tmp_path / name), bundled)


def test_model_without_mask():
    with pytest.raises(ModelError, match="takes no class mask"):
        legends.load("corine", find("sar-to-optical"))
