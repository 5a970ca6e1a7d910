"""A tiny ONNX file whose weights lie in another file, as protobuf bytes (without the onnx package)."""

from __future__ import annotations


def _varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 0x80 else bytes([low | 0x80]) + _varint(value >> 7)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    payload = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _message(*fields: tuple[int, int | str | bytes]) -> bytes:
    return b"".join(_field(number, value) for number, value in fields)


def _tensor_info(name: str, shape: tuple[int | str, ...]) -> bytes:
    sizes = (_message((1, _message((2 if isinstance(size, str) else 1, size)))) for size in shape)
    tensor = _message((1, 1), (2, b"".join(sizes)))
    return _message((1, name), (2, _message((1, tensor))))


def model_with_external_weights(input_channels: int, location: str) -> bytes:
    """``optical = Conv(mask, weights)`` with its 1 x 1 weights in the file ``location``."""
    weights = _message(
        *((1, size) for size in (3, input_channels, 1, 1)),
        (2, 1),
        (8, "weights"),
        (13, _message((1, "location"), (2, location))),
        (14, 1),
    )
    node = _message((1, "mask"), (1, "weights"), (2, "optical"), (4, "Conv"))
    graph = _message(
        (1, node),
        (2, "tiny"),
        (5, weights),
        (11, _tensor_info("mask", (1, input_channels, "h", "w"))),
        (12, _tensor_info("optical", (1, 3, "h", "w"))),
    )
    return _message((1, 8), (7, graph), (8, _message((2, 17))))
