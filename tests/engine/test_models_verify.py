"""The full check finds what the quick one cannot, and never asks the network."""

import socket

import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")

from model_packages import assert_sentence, local_graph, package, properties, read, write  # noqa: E402

from engine.errors import ModelError  # noqa: E402
from engine.models.build import write_item  # noqa: E402
from engine.models.store import BUNDLED_FOLDER  # noqa: E402
from engine.models.verify import verify  # noqa: E402


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the check of a package asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def wrong(folder, fragment):
    with pytest.raises(ModelError) as caught:
        verify(folder)
    assert_sentence(caught.value)
    assert fragment in str(caught.value)


def test_valid_package_passes_every_check(tmp_path):
    report = verify(package(tmp_path))
    assert len(report.passed) == 5
    assert report.notes == ()


@pytest.mark.parametrize("name", ["sar-to-optical", "mask-to-image"])
def test_bundled_package_passes(name):
    assert verify(BUNDLED_FOLDER / name).item.id == name


@pytest.mark.parametrize(
    ("key", "value", "fragment"),
    [
        ("geometry", {"type": "Polygon", "coordinates": "here"}, "geometry"),
        ("bbox", [0, 0], "bbox"),
        ("links", "none", "links"),
        ("stac_extensions", [], "MLM extension"),
    ],
)
def test_item_that_is_not_stac(tmp_path, key, value, fragment):
    folder = package(tmp_path)
    document = read(folder)
    document[key] = value
    write(folder, document)
    wrong(folder, fragment)


@pytest.mark.parametrize(
    ("key", "value", "fragment"),
    [
        ("datetime", "yesterday", "datetime"),
        ("mlm:tasks", ["magic"], "tasks"),
        ("mlm:input", "an image", "input"),
        ("mlm:name", "", "name"),
    ],
)
def test_properties_that_are_not_mlm(tmp_path, key, value, fragment):
    folder = package(tmp_path)
    document = read(folder)
    document["properties"][key] = value
    write(folder, document)
    wrong(folder, fragment)


def test_mlm_and_own_fields_must_agree(tmp_path):
    folder = package(tmp_path)
    document = read(folder)
    document["properties"]["mlm:input"][0]["input"]["shape"] = [-1, 4, -1, -1]
    write(folder, document)
    wrong(folder, "same tensor")


def test_item_and_graph_must_agree(tmp_path):
    fields = properties()
    for path, value, fragment in (
        (("eo_translate:inputs", 0, "tensor"), "image", "has the input x"),
        (("eo_translate:output", "tensor"), "image", "no output named image"),
        (("eo_translate:output", "bands"), [{"name": "only"}], "1 channels"),
    ):
        changed = properties()
        *steps, last = path
        place = changed
        for step in steps:
            place = place[step]
        place[last] = value
        folder = tmp_path / fragment.replace(" ", "-")
        folder.mkdir()
        local_graph(folder / "model.onnx")
        write_item(folder, "test-model", "model.onnx", changed)
        wrong(folder, fragment)
    assert fields == properties()


def test_graph_that_does_not_open(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(local_graph(tmp_path / "whole.onnx").read_bytes()[:-200])
    write_item(folder, "test-model", "model.onnx", properties())
    wrong(folder, "export it again")


def test_external_weights_must_be_listed(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    local_graph(folder / "model.onnx", external="weights.data")
    write_item(folder, "test-model", "model.onnx", properties())
    wrong(folder, "weights.data")
    write_item(folder, "test-model", "model.onnx", properties(), extra_files=["weights.data"])
    assert verify(folder).item.id == "test-model"
    (folder / "weights.data").unlink()
    wrong(folder, "weights.data")
