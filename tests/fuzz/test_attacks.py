"""Attacks that chance does not find: each is made by hand."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio

onnx = pytest.importorskip("onnx", reason="needs the [train] extra")
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "engine")]

import model_packages  # noqa: E402
import rasters  # noqa: E402
import tiny_models  # noqa: E402
from model_packages import assert_sentence  # noqa: E402

from engine.errors import InputError, ModelError  # noqa: E402
from engine.models import legends, store  # noqa: E402
from engine.models.item import ModelItem  # noqa: E402
from engine.models.onnx_graph import external_files  # noqa: E402
from engine.models.onnx_import import import_onnx  # noqa: E402
from engine.models.verify import verify  # noqa: E402
from engine.raster import quicklook  # noqa: E402
from engine.raster.grid import target_grid  # noqa: E402
from engine.raster.source import Source, gdal_environment, open_raster  # noqa: E402
from engine.spec import InputRaster  # noqa: E402
from engine.tiling.lattice import Box  # noqa: E402

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A valid package, and a models folder that is not the user's."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return model_packages.package(tmp_path / "given")


def refused(door, *arguments, match, error=ModelError):
    with pytest.raises(error, match=match) as caught:
        door(*arguments)
    assert_sentence(caught.value)
    assert len(str(caught.value)) < 1500


def change(package, **properties):
    document = model_packages.read(package)
    document["properties"].update({f"eo_translate:{key}": value for key, value in properties.items()})
    model_packages.write(package, document)


# Packages


def test_item_that_is_a_link_is_not_read(package, tmp_path):
    (tmp_path / "secret").write_text("no JSON at all")
    (package / "item.json").unlink()
    (package / "item.json").symlink_to("../../secret")
    refused(ModelItem.load, package, match="link to a place outside")


@pytest.mark.parametrize(
    "href", ["./model.onnx", "sub/../model.onnx", "sub//model.onnx", "model.onnx/", "a\nb"]
)
def test_file_under_another_spelling(package, href):
    document = model_packages.read(package)
    document["assets"]["model"]["href"] = href
    model_packages.write(package, document)
    refused(store.install, package, match="plain relative path")


@pytest.mark.parametrize("place", ["x" * 300, "a/" * 5000, "\x00", "\ud800", "x" * 100_000])
def test_names_that_no_file_can_have(package, place):
    refused(store.find, place, match="There is no model")
    refused(store.install, place, match="There is nothing at")
    refused(ModelItem.load, place, match="no model package")


def test_item_names_a_file_of_endless_name(package):
    document = model_packages.read(package)
    document["assets"]["model"]["href"] = "x" * 400 + ".onnx"
    model_packages.write(package, document)
    refused(ModelItem.load, package, match="is missing")


@pytest.mark.parametrize("depth", [200, 900, 5000, 100_000])
def test_nested_item(package, depth):
    text = (package / "item.json").read_text()
    nested = '"title": ' + "[" * depth + "]" * depth + ","
    (package / "item.json").write_text(text.replace('"title": "A test model",', nested))
    refused(ModelItem.load, package, match="item.json")


def test_item_that_names_a_file_of_the_users_as_its_legend(tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text('{"0": "water"}')
    folder = tiny_models.package(
        tmp_path, inputs=(tiny_models.MASK_INPUT | {"default_legend": str(secret)},), noise=()
    )
    refused(legends.load, None, ModelItem.load(folder), match="names the legend")


@pytest.mark.parametrize(
    "wrong", [{"sar": []}, {"sar": {"VV": [1]}}, {"sar": {"VV": {"mean": "x"}}}, {"sar": {"VV": 3}}]
)
def test_statistics_of_another_shape(package, wrong):
    change(package, sample_statistics=wrong)
    refused(ModelItem.load, package, match="sample_statistics")


def test_windows_that_overlap_without_end(package):
    change(package, tiling={"mode": "lattice", "window_px": 65536, "stride_px": 1})
    refused(ModelItem.load, package, match="stride_px must be at least window_px / 256")


def zipped(package, path, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in package.iterdir():
            archive.write(file, file.name)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_compression(package, tmp_path, method):
    path = zipped(package, tmp_path / "a.zip", method)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            data[info.header_offset + 60 : info.header_offset + 90] = b"\xff" * 30
    path.write_bytes(data)
    refused(store.install, path, match="damaged")


def test_archive_that_points_before_its_start(package, tmp_path):
    path = zipped(package, tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    for place in (entry, data.index(b"PK\x01\x02", entry + 1)):
        struct.pack_into("<I", data, place + 42, 0xFFFFFFF0)
    path.write_bytes(data)
    refused(store.install, path, match="damaged")


@pytest.mark.parametrize("name", ["\x00a", "/a", "a/../../b", "C:a", "a\\b"])
def test_archive_with_a_name_that_leaves_it(package, tmp_path, name):
    path = zipped(package, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("@" * len(name), b"x")
    path.write_bytes(path.read_bytes().replace(b"@" * len(name), name.encode()))
    refused(store.install, path, match="leaves the archive")


# ONNX files


def varint(number):
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def with_external_data(path, place, tag=0x6A):
    """A graph whose first weight lies at ``place``, as ``tag`` (13, length-delimited) says it in the file."""
    model_packages.local_graph(path, fixed=32)
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    path.with_name("weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = onnx.StringStringEntryProto(key="location", value=place).SerializeToString()
    weight = tensor.SerializeToString() + varint(tag) + varint(len(entry)) + entry
    del model.graph.initializer[0]
    graph = model.graph.SerializeToString() + b"\x2a" + varint(len(weight)) + weight
    model.ClearField("graph")
    path.write_bytes(model.SerializeToString() + b"\x3a" + varint(len(graph)) + graph)
    return path


def test_external_data_made_by_hand_is_seen(tmp_path):
    assert external_files(with_external_data(tmp_path / "a.onnx", "weights.bin")) == ["weights.bin"]


def test_external_data_under_a_tag_of_33_bits(tmp_path):
    """Protobuf drops the 33rd bit and onnxruntime would read a file that nobody has listed."""
    path = with_external_data(tmp_path / "a.onnx", "weights.bin", tag=1 << 32 | 0x6A)
    refused(external_files, path, match="not an ONNX file")


@pytest.mark.parametrize("place", ["*/_ORT_MEM_ADDR_/*", "", "a\x00b", "a\nb", "x" * 300, "a/" * 2000])
def test_external_data_at_no_possible_place(tmp_path, package, place):
    path = with_external_data(tmp_path / "a.onnx", place)
    refused(import_onnx, path, "stranger", match="cannot be the name of a file")


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "sub/../../secret", "link"])
def test_external_data_outside_the_folder(tmp_path, package, place):
    (tmp_path / "secret").write_bytes(bytes(400))
    folder = tmp_path / "net"
    (folder / "sub").mkdir(parents=True)
    (folder / "link").symlink_to("../secret")
    refused(
        import_onnx, with_external_data(folder / "a.onnx", place), "stranger", match="outside its own folder"
    )
    assert not (store.user_folder() / "stranger").exists()


@pytest.mark.parametrize("text", [b"1@@@@", b"test-net"])
def test_metadata_that_are_no_text(tmp_path, package, text):
    path = model_packages.local_graph(tmp_path / "a.onnx", fixed=32, metadata={"resolution": "1@@@@"})
    path.write_bytes(path.read_bytes().replace(text, b"\xff" * len(text)))
    refused(import_onnx, path, "stranger", match="not UTF-8")


def test_names_that_are_no_text(tmp_path, package, capfd):
    path = model_packages.local_graph(tmp_path / "a.onnx", fixed=32)
    data = path.read_bytes()
    assert data.count(b"\n\x01x") == 2
    path.write_bytes(data.replace(b"\n\x01x", b"\n\x01\xff"))
    refused(import_onnx, path, "stranger", match="cannot be opened|not UTF-8")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "numbers", ["1" + "0" * 400, "[1e308, 1e308, 1e308]", "[1" + "0" * 400 + "]", "NaN", "Infinity"]
)
def test_metadata_with_endless_numbers(tmp_path, package, numbers):
    metadata = {"resolution": "10", "standardization_mean": numbers}
    path = model_packages.local_graph(tmp_path / "a.onnx", fixed=32, metadata=metadata)
    refused(import_onnx, path, "stranger", match="standardization_mean")


def test_network_that_wants_a_window_as_large_as_a_country(tmp_path, package):
    path = model_packages.local_graph(tmp_path / "a.onnx", fixed=200_000)
    refused(import_onnx, path, "stranger", match="too many to try it out")


def test_network_that_fails_on_the_only_size_it_takes(tmp_path, package):
    nodes = [onnx.helper.make_node("Reshape", ["x", "shape"], ["y"])]
    shape = onnx.numpy_helper.from_array(np.array([1, 3, 50, 50], np.int64), "shape")
    sizes = (1, 3, 32, 32), (1, 3, "h", "w")
    path = model_packages.graph(tmp_path / "a.onnx", nodes, [shape], *sizes)
    refused(import_onnx, path, "stranger", match="fails on a trial window|cannot be opened")


# Legends


def test_legend_of_many_values_is_read_at_once(tmp_path):
    path, item = (
        tmp_path / "legend.csv",
        ModelItem.load(tiny_models.package(tmp_path, inputs=(tiny_models.MASK_INPUT,), noise=())),
    )
    path.write_text("".join(f"{number},trees\n" for number in range(80_000)))
    started = time.monotonic()
    legends.load(str(path), item)
    assert time.monotonic() - started < 5


BAD_COLOR = '{"title": "x", "classes": [{"value": 1, "name": "x", "model_class": "trees", "color": "abc"}]}'


@pytest.mark.parametrize(
    "text", ['1,"' + "x" * 200_000, "[" * 100_000, BAD_COLOR], ids=["csv", "nested", "color"]
)
def test_legend_that_is_none(tmp_path, text):
    item = ModelItem.load(tiny_models.package(tmp_path, inputs=(tiny_models.MASK_INPUT,), noise=()))
    path = tmp_path / ("legend.csv" if text[0] == "1" else "legend.json")
    path.write_text(text)
    refused(legends.load, str(path), item, match="legend", error=InputError)


@pytest.mark.parametrize("name", ["x" * 5000 + ".json", "\x00.csv", "x" * 5000])
def test_legend_of_impossible_name(tmp_path, name):
    item = ModelItem.load(tiny_models.package(tmp_path, inputs=(tiny_models.MASK_INPUT,), noise=()))
    refused(legends.load, name, item, match="There is no legend", error=InputError)


# Rasters


@pytest.fixture
def server():
    """A web server on this machine, and the requests that came."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}", requests
        listening.shutdown()


def vrt(path, source):
    path.write_text(
        '<VRTDataset rasterXSize="20" rasterYSize="20"><VRTRasterBand dataType="Float32" band="1">'
        "<SimpleSource>"
        f"<SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


PLACES = [
    "/vsicurl/{0}/a.no-network",
    "/vsicurl_streaming/{0}/a.no-network",
    "{0}/a.tif",
    "WMS:{0}/wms?x",
    "WCS:{0}/wcs?coverage=x",
    "WMTS:{0}/wmts",
    'ZARR:"/vsicurl/{0}/a.zarr"',
    'STACIT:"{0}/a.json"',
    "DAAS:{0}/a",
    "GTI:{0}/a.gti.gpkg",
    "vrt:///vsicurl/{0}/a.no-network",
]


@pytest.mark.parametrize("nested", [False, True], ids=["direct", "nested"])
@pytest.mark.parametrize("place", PLACES)
def test_virtual_raster_sends_no_request(tmp_path, server, place, nested, monkeypatch):
    address, requests = server
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    path = vrt(tmp_path / "far.vrt", place.format(address))
    path = vrt(tmp_path / "near.vrt", path) if nested else path
    with gdal_environment(), pytest.raises(InputError) as caught:
        read_some(path)
    assert_sentence(caught.value)
    assert requests == []


def read_some(path):
    dataset = open_raster(str(path), "sar")
    with contextlib.closing(Source("sar", InputRaster(path=str(path)), dataset, [1], (0,))) as source:
        source.sample()
        source.read(Box(0, 0, 64, 64))


def test_picture_of_a_virtual_raster_sends_no_request(tmp_path, server):
    address, requests = server
    path = vrt(tmp_path / "far.vrt", f"{address}/a.tif")
    refused(quicklook.write, path, tmp_path / "a.png", match="cannot be read", error=InputError)
    assert requests == []


@pytest.mark.parametrize("tag", ["", "[", "[1]", "[[1], 2]", '{"a": 1}', "[NaN, 1]", "[2, 1]", "[" * 50_000])
def test_picture_of_a_result_with_a_damaged_tag(tmp_path, tag):
    path = rasters.write(tmp_path / "a.tif", np.arange(400, dtype=np.int16).reshape(1, 20, 20))
    quicklook.write(Path(path), tmp_path / "plain.png")
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns=quicklook.TAG_DOMAIN, **{quicklook.DISPLAY_TAG: tag})
    quicklook.write(Path(path), tmp_path / "tagged.png")
    assert (tmp_path / "tagged.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def with_tags(path, **tags):
    """Changes entries of a small TIFF's directory (long values only)."""
    data = bytearray(Path(path).read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    for entry in range(first + 2, first + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if (value := tags.get(f"t{tag}")) is not None:
            struct.pack_into("<HII", data, entry + 2, 4, 1, value)
    Path(path).write_bytes(data)
    return path


@linux
@pytest.mark.parametrize(
    "layout", [{}, {"tiled": True, "blockxsize": 256, "blockysize": 256}], ids=["strips", "tiles"]
)
def test_raster_that_claims_two_billion_pixels_a_side(tmp_path, layout):
    from guard import peak_bytes, reset_peak

    values = rasters.sar_values(300, 300, bands=1)
    path = with_tags(rasters.write(tmp_path / "a.tif", values, **layout), t256=2 * 10**9, t257=2 * 10**9)
    reset_peak()
    before = peak_bytes()
    with gdal_environment(), contextlib.suppress(InputError):
        read_some(path)
    assert peak_bytes() - before < 300 << 20


@pytest.mark.parametrize("pixel", [float("nan"), float("inf"), 1e-320, 1e-160, 1e300])
def test_raster_whose_pixels_have_no_size(tmp_path, pixel):
    path = Path(rasters.write(tmp_path / "a.tif", np.zeros((1, 20, 20), np.uint8)))
    data = path.read_bytes()
    assert data.count(struct.pack("<3d", 10.0, 10.0, 0.0)) == 1
    path.write_bytes(data.replace(struct.pack("<3d", 10.0, 10.0, 0.0), struct.pack("<3d", pixel, pixel, 0.0)))
    refused(open_raster, str(path), "sar", match="broken georeference", error=InputError)


def test_grids_beyond_all_bounds(tmp_path):
    path = rasters.write(tmp_path / "a.tif", np.zeros((1, 20, 20), np.uint8))
    with contextlib.closing(open_raster(path, "sar")) as dataset:
        for resolution in (1e-9, 1e-300):
            refused(target_grid, dataset, None, resolution, match="larger", error=InputError)
        grid = target_grid(dataset, None, None)
    for number in (float("nan"), float("inf")):
        refused(grid.box_of, (0.0, 0.0, number, number), match="finite", error=InputError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names")
def test_pipe_instead_of_a_raster(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    refused(open_raster, str(tmp_path / "a.tif"), "sar", match="device or a pipe", error=InputError)


NO_RASTERS = [
    "/vsistdin/",
    "/vsigzip//vsistdin/",
    "/dev/null",
    "x" * 70_000,
    "a\x00b",
    "\ud800",
    "<VRTDataset/>",
]


@pytest.mark.parametrize("place", NO_RASTERS, ids=range(len(NO_RASTERS)))
def test_places_that_are_no_rasters(place):
    refused(open_raster, place, "sar", match="does not exist|device or a pipe", error=InputError)


def test_verified_package_lists_what_its_graph_reads(package):
    """The weights beside the graph are read by onnxruntime; unlisted they would have no checksum."""
    data = with_external_data(package / "model.onnx", "weights.bin").read_bytes()
    document = model_packages.read(package)
    from hashlib import sha256

    document["assets"]["model"] |= {
        "file:size": len(data),
        "file:checksum": "1220" + sha256(data).hexdigest(),
    }
    model_packages.write(package, document)
    refused(verify, package, match="does not list as an asset")


def test_nested_job(tmp_path):
    from targets import run_program

    for text in ('{"model": ' + "[" * 100_000, "[" * 100_000 + "]" * 100_000):
        (tmp_path / "job.json").write_text(text)
        assert run_program(["run", str(tmp_path / "job.json")], tmp_path) is False


def test_nested_line_of_the_protocol(tmp_path):
    from engine import worker

    with open(tmp_path / "events", "w+b") as stream:
        server = worker.Worker(worker.EventStream(stream.fileno()))
        for line in (b"[" * 100_000, b'{"id": 1, "type": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"):
            server.accept(line)
        events = [json.loads(line) for line in (tmp_path / "events").read_bytes().splitlines()]
    assert [event["code"] for event in events] == ["protocol", "protocol"]
