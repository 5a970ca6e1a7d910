"""A package is read strictly: what is wrong is one sentence with file, field, value and what is allowed."""

import copy
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")

from model_packages import assert_sentence, package, read, write

from engine.errors import ModelError
from engine.models.item import MAX_ITEM_BYTES, ModelItem, parse
from engine.models.weights import check_hash

P = "properties"
INPUTS, OUTPUT, TILING = "eo_translate:inputs", "eo_translate:output", "eo_translate:tiling"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return package(tmp_path_factory.mktemp("packages"))


@pytest.fixture
def document(folder):
    return read(folder)


def test_valid_package(folder):
    item = ModelItem.load(folder)
    assert (item.id, item.family, item.network) == ("test-model", "feed-forward", None)
    assert item.weights_path == folder.resolve() / "model.onnx"
    assert [band.name for band in item.inputs[0].bands] == ["B04", "B03", "B02"]
    assert item.output.scale_factor == 1
    assert item.tiling.fixed_window is False
    assert check_hash(item) == item.sha256


def set_in(*path):
    *steps, last, value = path

    def change(document):
        for step in steps:
            document = document[step]
        document[last] = value

    return change


def drop(*path):
    *steps, last = path

    def change(document):
        for step in steps:
            document = document[step]
        del document[last]

    return change


WRONG = [
    (drop("id"), "id is missing"),
    (set_in("id", "Has Spaces"), '"Has Spaces"'),
    (set_in("id", "../x"), '"../x"'),
    (drop(P, INPUTS), f"{P}.{INPUTS} is missing"),
    (drop(P, "license"), f"{P}.license is missing"),
    (set_in(P, INPUTS, []), "at least 1 item"),
    (set_in(P, INPUTS, 0, "encoding", "two-hot"), "'continuous', 'one-hot'"),
    (set_in(P, INPUTS, 0, "modality", "S A R"), '"S A R"'),
    (set_in(P, INPUTS, 0, "bands", 0, "name", 7), f"{INPUTS}[0].bands[0].name is 7"),
    (set_in(P, INPUTS, 0, "bands", 1, "name", "B04"), "band names must differ"),
    (set_in(P, INPUTS, 0, "bands", 1, "required", False), "validity_planes"),
    (set_in(P, INPUTS, 0, "required", False), "at least one input with required: true"),
    (set_in(P, INPUTS, 0, "nmae", 1), f"{INPUTS}[0].nmae is not known"),
    (set_in(P, INPUTS, 0, "normalisation", {"kind": "magic"}), "'scene', 'scene-mean', 'constant', 'linear'"),
    (
        set_in(P, INPUTS, 0, "normalisation", {"kind": "constant", "mean": [1], "std": [1]}),
        "one number a band",
    ),
    (
        set_in(P, INPUTS, 0, "normalisation", {"kind": "constant", "mean": [0, 0, 0], "std": [1, 0, 1]}),
        "greater than 0",
    ),
    (set_in(P, INPUTS, 0, "normalisation", {"kind": "scene", "clip": [4, -4]}), "two rising numbers"),
    (set_in(P, OUTPUT, "dtype", "complex64"), "'uint8', 'uint16', 'int16' or 'float32'"),
    (set_in(P, OUTPUT, "nodata", 300), "from 0 to 255"),
    (set_in(P, OUTPUT, "nodata", 0.5), "whole number"),
    (set_in(P, OUTPUT, "range", [1, 0]), "two rising numbers"),
    (set_in(P, OUTPUT, "scale", 0), "scale must not be 0"),
    (set_in(P, OUTPUT, "scale", 0.0001), "do not fit uint8"),
    (set_in(P, OUTPUT, "scale_factor", 0), "greater than or equal to 1"),
    (set_in(P, OUTPUT, "bands", []), "at least 1 item"),
    (set_in(P, TILING, "mode", "magic"), "'crop' or 'lattice'"),
    (set_in(P, TILING, "halo_px", 32), "more than twice halo_px"),
    (set_in(P, TILING, "stride_px", 32), "must be null in crop mode"),
    (set_in(P, TILING, {"mode": "lattice", "window_px": 64}), "stride_px"),
    (set_in(P, TILING, {"mode": "lattice", "window_px": 64, "stride_px": 65}), "from 1 to window_px"),
    (set_in(P, TILING, "stride_multiple", 7), "multiple of stride_multiple"),
    (set_in(P, "eo_translate:family", "magic"), "'feed-forward'"),
    (set_in(P, "eo_translate:network", "aras400k-spade"), "must be null"),
    (set_in(P, "eo_translate:network", "unheard-of"), "'aras400k-spade'"),
    (set_in(P, "eo_translate:version", 2), "version 2"),
    (set_in(P, "eo_translate:gsd_range_m", [30, 5]), "must be rising"),
    (set_in(P, "eo_translate:surprise", 1), "no field eo_translate:surprise"),
    (set_in("assets", {}), "at least 1 item"),
    (set_in("assets", "model", "roles", []), "'mlm:model'"),
    (set_in("assets", "model", "file:checksum", "sha256:00"), "file:checksum"),
    (drop("assets", "model", "file:size"), "file:size is missing"),
    (set_in("assets", "model", "href", "../model.onnx"), "plain relative path"),
    (set_in("assets", "model", "href", "/etc/passwd"), "an absolute path"),
    (set_in("assets", "model", "href", "C:\\model.onnx"), "an absolute path"),
    (set_in("assets", "model", "href", "a\\..\\model.onnx"), "plain relative path"),
    (set_in("assets", "model", "href", "https://example.org/model.onnx"), "remote address"),
    (set_in("assets", "model", "href", "file:model.onnx"), "remote address"),
    (set_in("assets", "model", "href", "model.pth"), "run code"),
    (set_in("assets", "model", "href", "model.pt"), "run code"),
    (set_in("assets", "model", "href", "model.txt"), ".onnx or .safetensors"),
    (set_in("assets", "model", "href", "gone.onnx"), "gone.onnx"),
]


@pytest.mark.parametrize(("change", "fragment"), WRONG, ids=[fragment for _, fragment in WRONG])
def test_wrong_field_is_one_sentence(folder, document, tmp_path, change, fragment):
    broken = tmp_path / "test-model"
    broken.mkdir()
    os.link(folder / "model.onnx", broken / "model.onnx")
    change(document)
    write(broken, document)
    with pytest.raises(ModelError) as caught:
        ModelItem.load(broken)
    assert_sentence(caught.value)
    assert fragment in str(caught.value)
    assert str(broken) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        (b"", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "F"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1, 2]", "not a STAC Item"),
        (b'{"gsd": NaN}', "NaN"),
        (b'{"gsd": 1e999}', "1e999"),
        (b'{"id": 1, "id": 2}', "twice"),
        (b'{"id": "\\ud800"}', "F"),
    ],
)
def test_text_that_is_no_item(text, fragment):
    with pytest.raises(ModelError) as caught:
        parse(text, "F")
    assert_sentence(caught.value)
    assert fragment in str(caught.value)


def test_huge_item_is_not_read(tmp_path):
    (tmp_path / "item.json").write_bytes(b" " * (MAX_ITEM_BYTES + 1))
    with pytest.raises(ModelError, match="larger than 4 MiB"):
        ModelItem.load(tmp_path)


def test_link_out_of_the_folder_is_refused(folder, document, tmp_path):
    linked = tmp_path / "test-model"
    linked.mkdir()
    (linked / "model.onnx").symlink_to(folder / "model.onnx")
    write(linked, document)
    with pytest.raises(ModelError, match="a link to a place outside"):
        ModelItem.load(linked)


@pytest.mark.parametrize("content", [b"", b"damaged", None])
def test_damaged_weights(folder, tmp_path, content):
    copy_of = package(tmp_path)
    weights = copy_of / "model.onnx"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?" if content is None else content)
    with pytest.raises(ModelError) as caught:
        check_hash(ModelItem.load(copy_of))
    assert_sentence(caught.value)
    assert "damaged" in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(value, prefix=()):
    """Every place in a JSON document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*prefix, key)
        yield from paths(inner, (*prefix, key))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_anywhere_loads_or_is_a_sentence(folder, data):
    document = copy.deepcopy(read(folder))
    path = data.draw(st.sampled_from(list(paths(document))))
    value = data.draw(json_values)
    set_in(*path, value)(document)
    try:
        parse(json.dumps(document).encode(), "F")
    except ModelError as error:
        assert_sentence(error)


def test_loading_needs_no_slow_import(folder):
    code = (
        "import sys; from engine.models.item import ModelItem; ModelItem.load(sys.argv[1]);"
        "print([m for m in ('pystac', 'stac_model', 'onnxruntime', 'torch', 'rasterio', 'numpy') if m "
        "in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
