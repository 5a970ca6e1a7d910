"""Makes real, tiny model packages and ONNX graphs for the tests."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.models.build import write_item

ITEM = "item.json"


def conv(name, source, target, channels_in, channels_out, kernel=3, stride=1, seed=0, dtype=np.float32):
    """A convolution node with its weights."""
    rng = np.random.default_rng(seed)
    weights = (rng.normal(size=(channels_out, channels_in, kernel, kernel)) / kernel).astype(dtype)
    pad = [kernel // 2] * 4
    node = helper.make_node(
        "Conv", [source, f"{name}.w"], [target], pads=pad, strides=[stride, stride], kernel_shape=[kernel] * 2
    )
    return node, numpy_helper.from_array(weights, f"{name}.w")


def graph(
    path,
    nodes,
    initializers=(),
    input_shape=(1, 3, "h", "w"),
    output_shape=(1, 3, "h2", "w2"),
    input_type=TensorProto.FLOAT,
    output_type=TensorProto.FLOAT,
    metadata=None,
    external=None,
):
    """Writes a graph from x to y."""
    x = helper.make_tensor_value_info("x", input_type, input_shape)
    y = helper.make_tensor_value_info("y", output_type, output_shape)
    made = helper.make_graph(list(nodes), "test-net", [x], [y], list(initializers))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    if external:
        onnx.save_model(model, str(path), save_as_external_data=True, location=external, size_threshold=0)
    else:
        onnx.save_model(model, str(path))
    return path


def local_graph(path, channels=3, fixed=None, layers=2, kernel=3, **options):
    """Convolutions and ReLUs: reach is layers * (kernel // 2)."""
    nodes, weights, name = [], [], "x"
    for i in range(layers):
        target = "y" if i == layers - 1 else f"h{i}"
        node, weight = conv(
            f"c{i}", name, f"{target}" if target == "y" else f"a{i}", channels, channels, kernel, seed=i
        )
        nodes.append(node)
        weights.append(weight)
        if target != "y":
            nodes.append(helper.make_node("Relu", [f"a{i}"], [f"h{i}"]))
        name = target
    size = (fixed, fixed) if fixed else ("h", "w")
    shape = (1, channels, *size)
    return graph(path, nodes, weights, shape, shape, **options)


def properties(**changes):
    """Fields of a valid item for ``local_graph(channels=3)``."""
    fields = {
        "title": "A test model",
        "description": "Three bands in, three bands out.",
        "license": "MIT",
        "mlm:architecture": "two convolutions",
        "mlm:total_parameters": 162,
        "eo_translate:family": "feed-forward",
        "eo_translate:network": None,
        "eo_translate:inputs": [
            {
                "modality": "optical",
                "tensor": "x",
                "required": True,
                "encoding": "continuous",
                "bands": [{"name": "B04"}, {"name": "B03"}, {"name": "B02"}],
                "units": "reflectance",
                "normalisation": {"kind": "linear", "scale": 1.0, "offset": 0.0},
            }
        ],
        "eo_translate:noise": None,
        "eo_translate:output": {
            "modality": "optical",
            "tensor": "y",
            "bands": [{"name": "B04", "color": "red"}, {"name": "B03"}, {"name": "B02"}],
            "range": [0, 1],
            "dtype": "uint8",
            "scale": 1 / 255,
            "offset": 0.0,
            "nodata": 0,
            "units": "reflectance",
            "display": [1, 255],
        },
        "eo_translate:tiling": {"mode": "crop", "halo_px": 2, "window_px": 64},
        "eo_translate:gsd_m": 10.0,
    }
    return {**fields, **changes}


def package(parent, name="test-model", **changes):
    """A valid package in ``parent/name``."""
    folder = parent / name
    folder.mkdir(parents=True)
    local_graph(folder / "model.onnx")
    write_item(folder, name, "model.onnx", properties(**changes))
    return folder


def read(folder):
    return json.loads((folder / ITEM).read_text())


def write(folder, document):
    (folder / ITEM).write_text(json.dumps(document))


def assert_sentence(error):
    """One plain sentence (two at most), no traceback, no class names of libraries."""
    text = str(error)
    assert text[0].isupper() or text[0] == "'", text
    assert text.endswith("."), text
    assert "\n" not in text, text
    assert "Traceback" not in text, text
    assert "pydantic" not in text, text
