"""Imported models run through the engine's main path and give what the network itself gives."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")
rasterio = pytest.importorskip("rasterio")

import onnxruntime  # noqa: E402
from model_packages import conv, graph, local_graph  # noqa: E402
from onnx import helper  # noqa: E402
from rasterio.transform import from_origin  # noqa: E402

from engine import job  # noqa: E402
from engine.models.onnx_import import import_onnx  # noqa: E402
from engine.models.onnx_item import OnnxOptions  # noqa: E402
from engine.spec import InputRaster, Job  # noqa: E402

HEIGHT, WIDTH = 210, 170
TRANSFORM = from_origin(500_120, 5_000_370, 10, 10)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def write(path, values, **profile):
    bands, height, width = values.shape
    fields = {"driver": "GTiff", "crs": "EPSG:32633", "transform": TRANSFORM, **profile}
    with rasterio.open(
        path, "w", count=bands, height=height, width=width, dtype=values.dtype.name, **fields
    ) as file:
        file.write(values)
    return str(path)


def picture(bands=3):
    return np.random.default_rng(0).integers(1, 255, (bands, HEIGHT, WIDTH)).astype(np.uint8)


def translated(tmp_path, model, modality, raster, name="out.tif", **fields):
    job.run(
        Job(model=model, inputs={modality: InputRaster(path=raster)}, output=str(tmp_path / name), **fields)
    )
    with rasterio.open(tmp_path / name) as file:
        return file.read(), file.transform, file.profile


def direct(path, values):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": values.astype(np.float32)})[0]


@pytest.mark.parametrize("fixed", [None, 64])
def test_local_network_equals_itself_on_the_whole_raster(tmp_path, fixed):
    import_onnx(local_graph(tmp_path / "m.onnx", fixed=fixed), "mine", OnnxOptions(scale=1 / 255))
    values = picture()
    found, transform, profile = translated(tmp_path, "mine", "optical", write(tmp_path / "in.tif", values))
    assert (transform, profile["dtype"]) == (TRANSFORM, "float32")
    expected = direct(local_graph(tmp_path / "free.onnx"), values[None] / 255)[0]
    halo = 2
    inner = (slice(None), slice(halo, -halo), slice(halo, -halo))
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-5)


def test_super_resolution_halves_the_pixel(tmp_path):
    first, weights = conv("first", "x", "a", 3, 12)
    shuffle = helper.make_node("DepthToSpace", ["a"], ["y"], blocksize=2, mode="CRD")
    path = graph(tmp_path / "m.onnx", [first, shuffle], [weights])
    import_onnx(path, "mine", OnnxOptions(scale=1 / 255))
    values = picture()
    found, transform, _ = translated(tmp_path, "mine", "optical", write(tmp_path / "in.tif", values))
    assert found.shape == (3, 2 * HEIGHT, 2 * WIDTH)
    assert (transform.a, transform.e, transform.c, transform.f) == (5, -5, TRANSFORM.c, TRANSFORM.f)
    expected = direct(path, values[None] / 255)[0]
    np.testing.assert_allclose(found[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2], atol=1e-5)


def test_channels_last_network(tmp_path):
    first, weights = conv("first", "c", "a", 3, 3)
    nodes = [
        helper.make_node("Transpose", ["x"], ["c"], perm=[0, 3, 1, 2]),
        first,
        helper.make_node("Transpose", ["a"], ["y"], perm=[0, 2, 3, 1]),
    ]
    path = graph(tmp_path / "m.onnx", nodes, [weights], (1, "h", "w", 3), (1, "h", "w", 3))
    import_onnx(path, "mine", OnnxOptions(scale=1 / 255))
    values = picture()
    found, *_ = translated(tmp_path, "mine", "optical", write(tmp_path / "in.tif", values))
    expected = direct(path, values.transpose(1, 2, 0)[None] / 255)[0].transpose(2, 0, 1)
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-5)


def test_bytes_out(tmp_path):
    path = local_graph(tmp_path / "m.onnx")
    import_onnx(path, "mine", OnnxOptions(scale=1 / 255, output_range=(-1, 1), output_dtype="uint8"))
    values = picture()
    values[:, 20:40, 20:60] = 0
    raster = write(tmp_path / "in.tif", values, nodata=0)
    found, _, profile = translated(tmp_path, "mine", "optical", raster)
    assert (profile["dtype"], profile["nodata"]) == ("uint8", 0)
    assert (found[:, 20:40, 20:60] == 0).all()
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[20:40, 20:60] = False
    assert (found[:, valid] > 0).all()
    expected = np.clip(direct(path, values[None] / 255)[0], -1, 1)
    physical = found * (2 / 254) - 1 - 2 / 254
    # Away from the raster's edge and from nodata, which is fed as 0 after normalisation as well.
    inner = (slice(None), slice(60, -4), slice(4, -4))
    np.testing.assert_allclose(physical[inner], expected[inner], atol=1.01 / 254)


def test_aras400k_in_lattice_mode(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion or train)")
    from engine.models.checkpoint_import import import_checkpoint
    from engine.networks.aras400k import SpadeGenerator

    torch.manual_seed(0)
    torch.save(SpadeGenerator(width=2, hidden=4).state_dict(), tmp_path / "g.pth")
    import_checkpoint("aras400k", tmp_path / "g.pth", "aras")
    codes = np.array([10, 20, 30, 40, 50, 60, 80], np.uint8)
    mask = codes[np.random.default_rng(0).integers(0, 7, (1, 10, 12)).repeat(32, 1).repeat(32, 2)]
    mask[:, :20, :20] = 0
    raster = write(tmp_path / "mask.tif", mask)
    found, transform, profile = translated(tmp_path, "aras", "mask", raster)
    assert found.shape == (3, 320, 384)
    assert (transform, profile["dtype"]) == (TRANSFORM, "uint8")
    assert (found[:, :20, :20] == 0).all()
    assert (found[:, 20:, 20:] > 0).all()

    # A part of the raster, run alone, is the same part of the whole.
    west, north = TRANSFORM.c + 600, TRANSFORM.f - 900
    extent = (west, north - 1500, west + 2000, north)
    part, *_ = translated(tmp_path, "aras", "mask", raster, "part.tif", extent=extent)
    np.testing.assert_array_equal(part, found[:, 90:240, 60:260])
