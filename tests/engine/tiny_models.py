"""Real, tiny networks with random weights, as model packages."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.models.build import write_item

SAR_INPUT = {
    "modality": "sar",
    "tensor": "sar",
    "required": True,
    "encoding": "continuous",
    "bands": [{"name": "VV"}, {"name": "VH", "required": False}],
    "units": "dB",
    "normalisation": {"kind": "scene", "clip": [-4.0, 4.0]},
    "validity_planes": True,
}
DEM_INPUT = {
    "modality": "dem",
    "tensor": "dem",
    "required": False,
    "encoding": "continuous",
    "bands": [{"name": "elevation"}],
    "units": "m",
    "normalisation": {"kind": "scene-mean", "scale": 300.0, "clip": [-8.0, 8.0]},
    "validity_planes": True,
}
CLASSES = ["water", "trees", "grass_crops", "built"]
MASK_INPUT = {
    "modality": "mask",
    "tensor": "mask",
    "required": True,
    "encoding": "one-hot",
    "classes": [{"name": name, "color": [0, i, 0]} for i, name in enumerate(CLASSES)],
    "default_legend": "model",
}
CROP = {"mode": "crop", "stride_multiple": 2, "halo_px": 8, "window_px": 256}
FIXED = {**CROP, "window_px": 64, "fixed_window": True}
LATTICE = {"mode": "lattice", "stride_multiple": 2, "window_px": 64, "stride_px": 48}


class _Graph:
    def __init__(self, seed):
        self.nodes, self.weights, self.rng = [], [], np.random.default_rng(seed)

    def constant(self, array, name):
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op, inputs, **attributes):
        name = f"{op}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def conv(self, x, channels_in, channels_out, stride=1):
        spread = np.sqrt(2 / (9 * channels_in))
        weight = self.rng.normal(0, spread, (channels_out, channels_in, 3, 3)).astype(np.float32)
        name = self.constant(weight, f"w{len(self.weights)}")
        return self.add("Conv", [x, name], pads=[1] * 4, strides=[stride] * 2, kernel_shape=[3, 3])


def _network(path, channels, factor, instance_norm):
    """Concatenated inputs through one level of a U-Net; reach 8 px, total stride 2."""
    graph, width = _Graph(0), 16
    x = graph.add("Concat", list(channels), axis=1)
    top = graph.add("LeakyRelu", [graph.conv(x, sum(channels.values()), width)], alpha=0.1)
    low = graph.add("LeakyRelu", [graph.conv(top, width, width, stride=2)], alpha=0.1)
    if instance_norm:
        one = graph.constant(np.ones(width, np.float32), "one")
        zero = graph.constant(np.zeros(width, np.float32), "zero")
        low = graph.add("InstanceNormalization", [low, one, zero])
    up = graph.add("DepthToSpace", [graph.conv(low, width, 4 * width)], blocksize=2)
    joined = graph.add("Add", [top, up])
    if factor > 1:
        joined = graph.add("DepthToSpace", [graph.conv(joined, width, width * factor**2)], blocksize=factor)
    graph.nodes.append(helper.make_node("Sigmoid", [graph.conv(joined, width, 3)], ["optical"]))
    value = helper.make_tensor_value_info
    inputs = [value(name, TensorProto.FLOAT, (1, c, "h", "w")) for name, c in channels.items()]
    output = value("optical", TensorProto.FLOAT, (1, 3, "h2", "w2"))
    made = helper.make_graph(graph.nodes, "tiny", inputs, [output], graph.weights)
    onnx.save_model(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path)
    )


def package(
    parent,
    name="tiny",
    inputs=(SAR_INPUT, DEM_INPUT),
    tiling=None,
    noise=(1, 4),
    factor=1,
    norm=False,
    **output,
):
    """A model package in ``parent/name``; gives its folder as text."""
    folder = parent / name
    folder.mkdir(parents=True)
    channels = {entry["tensor"]: _channels(entry) for entry in inputs}
    if noise:
        channels["noise"] = len(noise)
    _network(folder / "model.onnx", channels, factor, norm)
    bands = [{"name": n, "color": c} for n, c in (("B11", "red"), ("B8", "green"), ("B3", "blue"))]
    fields = {
        "title": "A tiny model",
        "description": "Random weights.",
        "license": "CC0-1.0",
        "mlm:architecture": "tiny",
        "mlm:total_parameters": 1,
        "eo_translate:family": "feed-forward",
        "eo_translate:network": None,
        "eo_translate:inputs": list(inputs),
        "eo_translate:noise": {"tensor": "noise", "cells_px": list(noise)} if noise else None,
        "eo_translate:output": {
            "modality": "optical",
            "tensor": "optical",
            "bands": bands,
            "range": [0, 1],
            "dtype": "uint8",
            "scale": 1 / 255,
            "nodata": 0,
            "units": "reflectance",
            "scale_factor": factor,
            **output,
        },
        "eo_translate:tiling": tiling or CROP,
        "eo_translate:gsd_m": 10.0,
        "eo_translate:gsd_range_m": [5.0, 30.0],
    }
    write_item(folder, name, "model.onnx", fields)
    return str(folder)


def _channels(entry):
    if entry["encoding"] == "one-hot":
        return len(entry["classes"])
    return len(entry["bands"]) * (2 if entry["validity_planes"] else 1)
