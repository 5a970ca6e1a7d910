"""Any image-to-image ONNX file becomes a package whose geometry was measured on the network itself."""

import json

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")

from model_packages import assert_sentence, conv, graph, local_graph  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from engine.errors import ModelError  # noqa: E402
from engine.models import store  # noqa: E402
from engine.models.onnx_import import import_onnx  # noqa: E402
from engine.models.onnx_item import OnnxOptions  # noqa: E402
from engine.models.verify import verify  # noqa: E402
from engine.translators import feed_forward  # noqa: E402


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return store.user_folder()


def imported(path, **options):
    item = import_onnx(path, "imported", OnnxOptions(**options))
    assert verify(item.folder).item.id == "imported"
    return item


def refused(path, home, match, **options):
    with pytest.raises(ModelError, match=match) as caught:
        import_onnx(path, "imported", OnnxOptions(**options))
    assert_sentence(caught.value)
    assert not home.exists() or list(home.iterdir()) == []


@pytest.mark.parametrize(("layers", "kernel"), [(1, 1), (2, 3), (3, 5)])
def test_local_network_runs_exactly_with_the_measured_halo(tmp_path, layers, kernel):
    item = imported(local_graph(tmp_path / "m.onnx", layers=layers, kernel=kernel))
    assert item.tiling.mode == "crop"
    assert item.tiling.halo_px == layers * (kernel // 2)
    assert item.tiling.stride_multiple == 1
    assert item.tiling.fixed_window is False


def test_the_whole_and_its_parts_agree(tmp_path):
    """What the measured halo promises: a crop computed alone equals the crop of the whole."""
    item = imported(local_graph(tmp_path / "m.onnx", layers=3, kernel=5))
    translator = feed_forward.open(item, "cpu", 1)
    picture = np.random.default_rng(0).normal(size=(1, 3, 160, 160)).astype(np.float32)
    whole = translator.translate({"x": picture})
    halo = item.tiling.halo_px
    part = translator.translate(
        {"x": np.ascontiguousarray(picture[:, :, 40 - halo : 104 + halo, 40 - halo : 104 + halo])}
    )
    inner = part[:, :, halo:-halo, halo:-halo] if halo else part
    np.testing.assert_allclose(inner, whole[:, :, 40:104, 40:104], atol=1e-5)


def unet(path):
    """Half resolution inside: sizes and shifts must be even."""
    down, w0 = conv("down", "x", "d", 3, 4, stride=2, seed=1)
    middle, w1 = conv("middle", "d", "m", 4, 4, seed=2)
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    up = helper.make_node(
        "Resize",
        ["m", "", "scales"],
        ["u"],
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
    skip, w2 = conv("skip", "x", "s", 3, 4, seed=3)
    add = helper.make_node("Add", ["u", "s"], ["a"])
    last, w3 = conv("last", "a", "y", 4, 3, seed=4)
    return graph(path, [down, middle, up, skip, add, last], [w0, w1, scales, w2, w3])


def test_network_with_a_stride(tmp_path):
    item = imported(unet(tmp_path / "m.onnx"))
    assert (item.tiling.mode, item.tiling.stride_multiple) == ("crop", 2)
    assert item.tiling.halo_px % 2 == 0
    # last 1, then at half size middle 1 and down 1 (3 px): 1 + 2 + 1 px, up to the next even number.
    assert 4 <= item.tiling.halo_px <= 6


@pytest.mark.parametrize("norm", ["InstanceNormalization", "GlobalAveragePool"])
def test_network_with_window_statistics_is_blended(tmp_path, norm):
    first, w0 = conv("first", "x", "a", 3, 3, seed=1)
    if norm == "InstanceNormalization":
        ones = [numpy_helper.from_array(np.ones(3, np.float32), n) for n in ("gain", "bias")]
        nodes = [first, helper.make_node(norm, ["a", "gain", "bias"], ["y"])]
    else:
        ones = []
        nodes = [first, helper.make_node(norm, ["a"], ["p"]), helper.make_node("Add", ["a", "p"], ["y"])]
    item = imported(graph(tmp_path / "m.onnx", nodes, [w0, *ones]))
    assert (item.tiling.mode, item.tiling.window_px, item.tiling.stride_px) == ("lattice", 512, 384)


def test_network_with_position_encoding_is_blended(tmp_path):
    position = numpy_helper.from_array(
        np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32), "p"
    )
    node = helper.make_node("Add", ["x", "p"], ["y"])
    item = imported(graph(tmp_path / "m.onnx", [node], [position], (1, 3, 64, 64), (1, 3, 64, 64)))
    assert (item.tiling.mode, item.tiling.fixed_window, item.tiling.window_px) == ("lattice", True, 64)


def test_fixed_size_stays_fixed(tmp_path):
    item = imported(local_graph(tmp_path / "m.onnx", fixed=96))
    assert (item.tiling.mode, item.tiling.halo_px, item.tiling.window_px) == ("crop", 2, 96)
    assert item.tiling.fixed_window is True


def super_resolution(path, factor, metadata=None):
    first, w0 = conv("first", "x", "a", 3, 3 * factor**2)
    shuffle = helper.make_node("DepthToSpace", ["a"], ["y"], blocksize=factor, mode="CRD")
    return graph(path, [first, shuffle], [w0], metadata=metadata)


@pytest.mark.parametrize("factor", [2, 4])
def test_scale_factor_is_found(tmp_path, factor):
    item = imported(super_resolution(tmp_path / "m.onnx", factor))
    assert item.output.scale_factor == factor
    assert (item.tiling.mode, item.tiling.halo_px) == ("crop", 1)


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8", "uint16"])
def test_other_types_run(tmp_path, dtype):
    """Casts inside the graph make it a float32 network with other ends."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    first, w0 = conv("first", "f", "a", 3, 3)
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        first,
        helper.make_node("Abs", ["a"], ["b"]),
        helper.make_node("Cast", ["b"], ["y"], to=kind),
    ]
    path = graph(tmp_path / "m.onnx", nodes, [w0], input_type=kind, output_type=kind)
    item = imported(path)
    assert (item.tiling.mode, item.tiling.halo_px) == ("crop", 1)
    assert item.output.dtype == (dtype if dtype.startswith("uint") else "float32")
    result = feed_forward.open(item, "cpu", 1).translate({"x": np.full((1, 3, 16, 16), 7, np.float32)})
    assert result.dtype == np.float32
    assert result.shape == (1, 3, 16, 16)


def test_channels_last(tmp_path):
    first, w0 = conv("first", "c", "a", 2, 3)
    nodes = [
        helper.make_node("Transpose", ["x"], ["c"], perm=[0, 3, 1, 2]),
        first,
        helper.make_node("Transpose", ["a"], ["y"], perm=[0, 2, 3, 1]),
    ]
    item = imported(
        graph(tmp_path / "m.onnx", nodes, [w0], (1, "h", "w", 2), (1, "h", "w", 3)), modality="sar"
    )
    assert (item.inputs[0].layout, item.output.layout) == ("NHWC", "NHWC")
    assert [band.name for band in item.inputs[0].bands] == ["VV", "VH"]
    result = feed_forward.open(item, "cpu", 1).translate({"x": np.ones((1, 2, 16, 24), np.float32)})
    assert result.shape == (1, 3, 16, 24)


DEEPNESS = {
    "model_type": json.dumps("Regressor"),
    "resolution": json.dumps(50),
    "tile_size": json.dumps(256),
    "tiles_overlap": json.dumps(40),
    "standardization_mean": json.dumps([0.5, 0.4, 0.3]),
    "standardization_std": json.dumps([0.2, 0.25, 0.5]),
    "reg_output_scaling": json.dumps(100.0),
    "class_names": json.dumps({"1": "green", "0": "red", "2": "blue"}),
}


def test_deepness_metadata(tmp_path):
    item = imported(local_graph(tmp_path / "m.onnx", metadata=DEEPNESS))
    assert (item.gsd_m, item.gsd_range_m) == (0.5, (0.25, 1.0))
    assert item.tiling.window_px == 256
    normalisation = item.inputs[0].normalisation
    # A byte x becomes (x / 255 - mean) / std.
    byte = np.array([10.0, 100.0, 255.0])
    ours = (byte - normalisation.mean) / normalisation.std
    np.testing.assert_allclose(ours, (byte / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5], rtol=1e-6)
    assert [band.name for band in item.output.bands] == ["red", "green", "blue"]
    # A network's 0.5 is stored as 50: stored * scale + offset = what the network gave.
    assert item.output.scale == pytest.approx(0.01)


def test_deepness_without_standardisation_divides_by_255(tmp_path):
    item = imported(local_graph(tmp_path / "m.onnx", metadata={"resolution": "10"}))
    assert item.inputs[0].normalisation.scale == pytest.approx(1 / 255)


def test_deepness_super_resolution_gives_bytes(tmp_path):
    metadata = {"model_type": '"Superresolution"', "resolution": "100"}
    output = imported(super_resolution(tmp_path / "m.onnx", 2, metadata)).output
    assert (output.dtype, output.range, output.scale_factor) == ("uint8", (0.0, 1.0), 2)


def test_options_win_over_metadata(tmp_path):
    path = local_graph(tmp_path / "m.onnx", metadata=DEEPNESS)
    item = imported(
        path,
        modality="sar",
        bands=("VV", "VH", "ratio"),
        units="dB",
        scale=0.1,
        offset=2.0,
        clip=(-1, 1),
        gsd_m=20,
        output_bands=("B11", "B8", "B3"),
        output_range=(0, 1),
        output_dtype="uint8",
        license="MIT",
    )
    source, output = item.inputs[0], item.output
    assert (source.modality, source.units, item.gsd_m, item.license) == ("sar", "dB", 20, "MIT")
    normalisation = source.normalisation
    assert (normalisation.kind, normalisation.scale, normalisation.offset) == ("linear", 0.1, 2.0)
    assert normalisation.clip == (-1, 1)
    assert [band.name for band in output.bands] == ["B11", "B8", "B3"]
    # 0 is kept for nodata; the interval fills 1 to 255.
    assert (1 * output.scale + output.offset, 255 * output.scale + output.offset) == pytest.approx((0, 1))
    assert output.nodata == 0


def test_one_hot_input(tmp_path):
    item = imported(local_graph(tmp_path / "m.onnx"), classes=("water", "land", "ice"))
    assert item.mask.modality == "mask"
    assert [entry.name for entry in item.mask.classes] == ["water", "land", "ice"]
    assert len({entry.color for entry in item.mask.classes}) == 3


def test_external_weights_are_copied(tmp_path):
    item = imported(local_graph(tmp_path / "m.onnx", external="weights.data"))
    assert sorted(p.name for p in item.folder.iterdir()) == ["item.json", "model.onnx", "weights.data"]
    assert len(item.files) == 2
    (item.folder / "weights.data").write_bytes(b"changed")
    with pytest.raises(ModelError, match="damaged"):
        verify(item.folder)


def test_missing_external_weights(tmp_path, home):
    path = local_graph(tmp_path / "m.onnx", external="weights.data")
    (tmp_path / "weights.data").unlink()
    refused(path, home, "weights.data, which is not beside it")


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd1"])
def test_external_weights_outside_the_folder(tmp_path, home, place):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    path = local_graph(folder / "m.onnx", external="w" * len(place))
    path.write_bytes(path.read_bytes().replace(b"w" * len(place), place.encode()))
    refused(path, home, "outside its own folder")


def test_two_inputs(tmp_path, home):
    node = helper.make_node("Add", ["x", "z"], ["y"])
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 3, "h", "w")) for n in "xzy"]
    made = helper.make_graph([node], "g", tensors[:2], tensors[2:])
    path = tmp_path / "m.onnx"
    onnx.save_model(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path)
    )
    refused(path, home, r"2 inputs \(x .*, z ")


def test_classifier(tmp_path, home):
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    refused(graph(tmp_path / "m.onnx", nodes, output_shape=(1, 3)), home, "four dimensions")


def test_network_that_shrinks(tmp_path, home):
    node, weight = conv("c", "x", "y", 3, 3, stride=2)
    refused(graph(tmp_path / "m.onnx", [node], [weight]), home, "256 x 256 pixels into 128 x 128")


def test_batches_and_types_that_do_not_fit(tmp_path, home):
    node = helper.make_node("Identity", ["x"], ["y"])
    refused(graph(tmp_path / "a.onnx", [node], (), (4, 3, 64, 64), (4, 3, 64, 64)), home, "batches of 4")
    kind = TensorProto.INT64
    path = graph(tmp_path / "b.onnx", [node], input_type=kind, output_type=kind)
    refused(path, home, "must be float32, float16")
    refused(
        graph(tmp_path / "c.onnx", [node], (), (1, 3, 64, 32), (1, 3, 64, 32)), home, "only square windows"
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"bands": ("VV", "VH")}, "takes 3 channels and 2 bands"),
        ({"output_bands": ("B04",)}, "gives 3 bands and 1 were named"),
        ({"output_dtype": "uint8"}, "--output-range"),
        ({"normalisation": "constant"}, "--mean and --std"),
        ({"mean": (1.0, 2.0), "std": (1.0, 1.0)}, "one number a band"),
        ({"bands": ("B04", "B04", "B02")}, "band names must differ"),
    ],
)
def test_options_that_do_not_fit(tmp_path, home, options, match):
    refused(local_graph(tmp_path / "m.onnx"), home, match, **options)


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ({"model_type": '"Detector"', "resolution": "10"}, "Detector"),
        ({"resolution": '"fine"'}, "'fine'; it must be a number"),
        ({"resolution": "10", "tile_size": "0"}, "tile_size"),
        ({"resolution": "10", "standardization_std": "[0.1, 0, 1]"}, "positive numbers"),
        ({"resolution": "10", "standardization_mean": "[]"}, "a list of numbers"),
        ({"resolution": "10", "class_names": '{"a": "b"}'}, "whole numbers"),
    ],
)
def test_malformed_metadata(tmp_path, home, metadata, match):
    refused(local_graph(tmp_path / "m.onnx", metadata=metadata), home, match)


@pytest.mark.parametrize("cut", [0, 1, 50, 0.5, -1])
def test_cut_off_file(tmp_path, home, cut):
    whole = local_graph(tmp_path / "m.onnx").read_bytes()
    length = int(cut * len(whole)) if isinstance(cut, float) else cut
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[:length])
    refused(path, home, "again")


def test_what_is_no_onnx_file(tmp_path, home):
    refused(tmp_path / "gone.onnx", home, "no ONNX file at")
    (tmp_path / "text.onnx").write_text("hello world, this is text")
    refused(tmp_path / "text.onnx", home, "not an ONNX file")


def test_names_that_cannot_be_used(tmp_path, home):
    path = local_graph(tmp_path / "m.onnx")
    for name in ("Big Name", "../x", "", "a/b", ".part"):
        with pytest.raises(ModelError, match="cannot be a model's name"):
            import_onnx(path, name)
    import_onnx(path, "mine")
    with pytest.raises(ModelError, match="installed already"):
        import_onnx(path, "mine")
    assert import_onnx(path, "mine", replace=True).id == "mine"
