"""What an ONNX file wants, gives and needs beside it, found with onnxruntime alone."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.errors import ModelError
from engine.models.item import clipped

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
}

# Which length-delimited fields of which message lead to a TensorProto (onnx.proto3): field number -> message.
_CHILDREN = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse_tensor",
        23: "sparse_tensor",
    },
    "sparse_tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external_data"},
}
_MAX_DEPTH = 64
_MAX_PLACE, _MAX_NAME_BYTES = 500, 255


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a graph; a dimension that may vary is None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dimensions = " x ".join("any" if size is None else str(size) for size in self.shape)
        return f"{clipped(self.name)} ({dimensions}, {self.dtype})"


@dataclass(frozen=True)
class ImageGraph:
    """A graph with one image in and one image out.

    Attributes:
        layout: Axis order of both.
        channels: Of the input.
    """

    session: onnxruntime.InferenceSession
    input: TensorInfo
    output: TensorInfo
    layout: Literal["NCHW", "NHWC"]
    channels: int

    @property
    def fixed_px(self) -> int | None:
        """The only window size that the network takes; None: several.

        Raises:
            ModelError: Its windows are not square.
        """
        height, width = self.input.shape[2:] if self.layout == "NCHW" else self.input.shape[1:3]
        if height is not None and width is not None and height != width:
            raise ModelError(
                f"The network takes windows of {width} x {height} pixels; only square windows can be used."
            )
        return height or width

    def run(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, C, H, W) float32 -> (1, C_out, H * f, W * f) float32, whatever the graph's axes and type."""
        fed = np.moveaxis(picture, 1, -1) if self.layout == "NHWC" else picture
        dtype = np.dtype(self.input.dtype)
        fed = (np.rint(fed) if dtype.kind == "u" else fed).astype(dtype)
        (result,) = self.session.run([self.output.name], {self.input.name: np.ascontiguousarray(fed)})
        if result.ndim != 4:
            raise ModelError(
                f"The network's output has {result.ndim} dimensions; an image has four (batch, "
                "channels, height, width)."
            )
        return (np.moveaxis(result, -1, 1) if self.layout == "NHWC" else result).astype(np.float32)


def open_session(path: Path, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Opens a graph on the CPU.

    Raises:
        ModelError: It is no ONNX graph, is damaged, lacks its external data, or uses an operator that is
            unknown here.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if threads:
        options.intra_op_num_threads = threads
    missing = [name for name in external_files(path) if not (path.parent / name).is_file()]
    if missing:
        raise ModelError(
            f"The ONNX file {path} keeps weights in {missing[0]}, which is not beside it; put both "
            "files in one folder."
        )
    try:
        # Its second try with the same provider would only print to stdout.
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        reason = clipped(str(error).partition("\n")[0].split(" : ", 2)[-1], 300)
        raise ModelError(f"The ONNX file {path} cannot be opened ({reason}); export it again.") from None


def tensors(
    session: onnxruntime.InferenceSession,
) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """Inputs and outputs of a graph.

    Raises:
        ModelError: A name is not UTF-8.
    """
    try:
        return _described(session.get_inputs()), _described(session.get_outputs())
    except UnicodeDecodeError:
        raise ModelError("The ONNX graph has names that are not UTF-8 text; export it again.") from None


def _described(entries: Iterable[onnxruntime.NodeArg]) -> list[TensorInfo]:
    return [
        TensorInfo(
            entry.name,
            _DTYPES.get(entry.type, entry.type),
            tuple(size if isinstance(size, int) and size > 0 else None for size in entry.shape or ()),
        )
        for entry in entries
    ]


def external_files(path: Path) -> list[str]:
    """Relative places of the files in which an ONNX file keeps weights, each once.

    Walks the protobuf wire format, so that the files are known before anything opens them.

    Raises:
        ModelError: The file is empty, truncated or no protobuf, or names a file that cannot be.
    """
    names = _external_names(path)
    if wrong := [name for name in names if not _can_name_a_file(name)]:
        raise ModelError(
            f"The ONNX file {path} keeps weights in '{clipped(wrong[0])}', which cannot be the name of a "
            "file; export it again."
        )
    return names


def _can_name_a_file(name: str) -> bool:
    # onnxruntime gives a meaning of its own to a place with asterisks: an address in memory.
    plain = name.isprintable() and not set(name) & set('*?"<>|')
    return (
        0 < len(name) <= _MAX_PLACE
        and plain
        and all(len(part.encode()) <= _MAX_NAME_BYTES for part in name.split("/"))
    )


def _external_names(path: Path) -> list[str]:
    try:
        if path.stat().st_size == 0:
            raise ModelError(f"The ONNX file {path} is empty; export it again.")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return list(dict.fromkeys(_locations(data, 0, len(data), "model", 0)))
    except OSError as error:
        raise ModelError(f"The ONNX file {path} cannot be read: {error.strerror}.") from None
    except (IndexError, ValueError, UnicodeDecodeError):
        raise ModelError(f"The file {path} is not an ONNX file, or it is cut off; export it again.") from None


def _locations(data: mmap.mmap, start: int, end: int, message: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    children = _CHILDREN[message]
    for field, low, high in _fields(data, start, end):
        child = children.get(field)
        if child == "external_data":
            entry = {number: bytes(data[a:b]) for number, a, b in _fields(data, low, high)}
            if entry.get(1) == b"location":
                yield entry.get(2, b"").decode()
        elif child is not None:
            yield from _locations(data, low, high, child, depth + 1)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each length-delimited field of a message; the others are stepped over."""
    position = start
    while position < end:
        key, position = _varint(data, position)
        if key >> 32:
            # Protobuf drops the upper bits, so that another field would be read than is seen here.
            raise ValueError("field number too large")
        wire = key & 7
        if wire == 0:
            _, position = _varint(data, position)
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        elif wire == 2:
            size, position = _varint(data, position)
            if position + size > end:
                raise ValueError("cut off")
            yield key >> 3, position, position + size
            position += size
        else:
            raise ValueError("unknown wire type")
    if position > end:
        raise ValueError("cut off")


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")
