"""Small networks as model packages: one convolution, and one whose normalisation sees the whole window."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import rasterio
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rasterio.windows import Window

from engine.models.build import write_item

_FILLED_PX = 512


def one_convolution(folder: Path) -> str:
    """A 3 x 3 binomial filter over one band of bytes; gives the package's folder."""
    kernel = np.outer([1, 2, 1], [1, 2, 1])[None, None].astype(np.float32) / 16
    node = helper.make_node("Conv", ["image", "kernel"], ["smooth"], pads=[1] * 4, kernel_shape=[3, 3])
    _save(folder, [node], {"kernel": kernel}, ("image", 1), ("smooth", 1))
    value = {"range": [0, 1], "dtype": "uint8", "scale": 1 / 255, "units": "1"}
    return _package(
        folder,
        {"modality": "image", "bands": [{"name": "value"}], "units": "DN"},
        {"modality": "smooth", "bands": [{"name": "value", "color": "gray"}], **value},
        {"kind": "linear", "scale": 1 / 255},
        {"mode": "crop", "halo_px": 1, "window_px": 1056},
    )


def instance_norm(folder: Path) -> str:
    """Random convolutions with InstanceNorm between, so blended over a lattice; from one radar band."""
    random, width = np.random.default_rng(0), 16
    channels = (1, width, width, width, 3)
    weights = {
        f"w{number}": random.normal(0, np.sqrt(2 / (9 * fed)), (given, fed, 3, 3)).astype(np.float32)
        for number, (fed, given) in enumerate(pairwise(channels))
    }
    weights["w3"] *= 0.5
    weights |= {"one": np.ones(width, np.float32), "zero": np.zeros(width, np.float32)}
    nodes = []

    def add(operator: str, *inputs: str, **attributes: Any) -> str:
        output = attributes.pop("output", f"x{len(nodes)}")
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    x = "image"
    for number in range(3):
        x = add("Conv", x, f"w{number}", pads=[1] * 4, kernel_shape=[3, 3])
        x = add("LeakyRelu", add("InstanceNormalization", x, "one", "zero"), alpha=0.1)
    add("Sigmoid", add("Conv", x, "w3", pads=[1] * 4, kernel_shape=[3, 3]), output="optical")
    _save(folder, nodes, weights, ("image", 1), ("optical", 3))
    colors = (("B11", "red"), ("B8", "green"), ("B3", "blue"))
    bands = [{"name": name, "color": color} for name, color in colors]
    value = {"range": [0, 1], "dtype": "uint8", "scale": 1 / 255, "nodata": 0, "units": "reflectance"}
    return _package(
        folder,
        {"modality": "sar", "bands": [{"name": "VV"}], "units": "dB"},
        {"modality": "optical", "bands": bands, **value},
        {"kind": "scene", "clip": [-4.0, 4.0]},
        {"mode": "lattice", "window_px": 256, "stride_px": 192},
    )


def raster(path: Path, side: int) -> Path:
    """A square of bytes of any size: a ramp in the first corner, and holes that read as 0."""
    grid = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 600_000, 0, -10, 5_300_000)}
    blocks = {"tiled": True, "blockxsize": _FILLED_PX, "blockysize": _FILLED_PX, "compress": "deflate"}
    ramp = np.arange(_FILLED_PX**2, dtype=np.uint8).reshape(1, _FILLED_PX, _FILLED_PX)
    layout = {"driver": "GTiff", "count": 1, "dtype": "uint8", "sparse_ok": True}
    with rasterio.open(path, "w", width=side, height=side, **layout, **blocks, **grid) as file:
        file.write(ramp, window=Window(0, 0, _FILLED_PX, _FILLED_PX))
    return path


def _save(
    folder: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, NDArray[np.float32]],
    fed: tuple[str, int],
    given: tuple[str, int],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, channels, "h", "w"))
        for name, channels in (fed, given)
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "benchmark", ends[:1], ends[1:], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(made, str(folder / "model.onnx"))


def _package(
    folder: Path,
    fed: dict[str, Any],
    given: dict[str, Any],
    normalisation: dict[str, Any],
    tiling: dict[str, Any],
) -> str:
    fields = {
        "title": folder.name,
        "license": "CC0-1.0",
        "mlm:architecture": folder.name,
        "mlm:total_parameters": 0,
        "eo_translate:family": "feed-forward",
        "eo_translate:inputs": [
            {"tensor": "image", "encoding": "continuous", "normalisation": normalisation, **fed}
        ],
        "eo_translate:output": {"tensor": given["modality"], **given},
        "eo_translate:tiling": tiling,
    }
    write_item(folder, folder.name, "model.onnx", fields)
    return str(folder)
