"""Deterministic mutations of JSON documents, ONNX graphs, TIFF directories and plain bytes.

All randomness comes from the ``random.Random`` that is handed in.
"""

from __future__ import annotations

import copy
import json
import struct

from google.protobuf.descriptor import FieldDescriptor

NUMBERS = (
    *(0, -1, 1, 2, 3, 7, 255, 256, 1023, 65535, 65536, 65537, 2**31 - 1, 2**31, -(2**31), 2**32, 2**63 - 1),
    *(2**63, -(2**63), 2**64, 10**30, 10**400, -(10**400), 0.0, -0.0, 0.5, 1e-320, 1e-9, 1e38, 1e308, -1e308),
)
TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "a\x00b",
        "\n",
        "\t\r\n",
        "..",
        ".",
        "/",
        "//",
        "~",
        "\\",
        "C:\\x",
        "../x",
        "../../canary",
    ),
    *("../outside/canary", "/etc/passwd", "/dev/null", "/proc/self/environ", "file:///etc/passwd", "%s%n%d"),
    *("http://127.0.0.1:9/x", "/vsicurl/http://127.0.0.1:9/x.tif", "/vsistdin/", "/vsimem/x", "data:,x"),
    *("nan", "inf", "NaN", "1e999", "null", "true", "[]", "{}", "0", "-1", "1.5", "EPSG:4326", "EPSG:999999"),
    *(
        "EPSG:-1",
        "+proj=longlat",
        "PROJCS[",
        'GEOGCS["x"]',
        "LOCAL_CS",
        "é",
        "水",
        "\u202e",
        "\ud800",
        "\U0001f30d",
    ),
    *("x" * 300, "x" * 5000, "é" * 70_000, "a/" * 3000, "$(id)", "`id`", "'; --", "<xml>", "{0}", "../" * 50),
    *("model.onnx", "./model.onnx", "a/../model.onnx", "item.json", "model.pth", "model.safetensors", "tiny"),
)
# What JSON has no value for stands in the text itself.
TOKENS = (
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1" * 5000,
        "0." + "0" * 5000 + "1",
        "01",
        "+1",
        ".5",
    ),
    *("'x'", "undefined", "/*x*/1", '"\\ud800"', '"\\x"', '"\t"', "[" * 500 + "]" * 500),
    *("[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":1,"a":2}', ""),
)
_TAGS = (
    *(254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 338, 339),
    *(33550, 33922, 34264, 34735, 42112, 42113),
)
_MARK = "@@token-%d@@"


def json_text(rng, document, steps=None):
    """Bytes of a mutated copy of a JSON document."""
    mutated, tokens = document, []
    for _ in range(steps or rng.choice((1, 1, 1, 2, 3, 8))):
        mutated = json_step(rng, mutated, tokens)
    text = json.dumps(mutated)
    for number, token in enumerate(tokens):
        text = text.replace(json.dumps(_MARK % number), token, 3)
    data = text.encode("utf-8", "surrogatepass")
    kind = rng.random()
    if kind < 0.06:
        return mangle(rng, data)
    if kind < 0.08:
        return rng.choice(
            (b"\xef\xbb\xbf" + data, text.encode("utf-16", "surrogatepass"), b"", b"\x00", b"null")
        )
    return data


def json_step(rng, document, tokens=None):
    """A copy with one change; ``tokens`` collects raw text to put in later (None: values only)."""
    document = [copy.deepcopy(document)]
    places = list(_places(document))[1:] or [(document, 0)]
    holder, key = rng.choice(places)
    kind = rng.choice(
        ("delete", "double", "replace", "replace", "extreme", "nest", "swap", "rename", "token")
    )
    if kind == "token" and tokens is not None:
        tokens.append(rng.choice(TOKENS))
        holder[key] = _MARK % (len(tokens) - 1)
    elif kind == "delete" and holder is not document:
        del holder[key]
    elif kind == "double" and isinstance(holder, list) and holder is not document:
        many = 300 if len(repr(holder[key])) < 200 else 3
        holder[key:key] = copy.deepcopy([holder[key]]) * rng.choice((1, 1, 2, many))
    elif kind == "double" and isinstance(holder, dict):
        holder[f"{key}{rng.choice(('', ' ', '2', '_'))}x"] = copy.deepcopy(holder[key])
    elif kind == "extreme":
        holder[key] = rng.choice(NUMBERS) if rng.random() < 0.6 else rng.choice(TEXTS)
    elif kind == "nest":
        many = 2000 if len(repr(holder[key])) < 200 else 3
        holder[key] = rng.choice(
            ([holder[key]], {"x": holder[key]}, [[[[holder[key]]]]], [holder[key]] * many)
        )
    elif kind == "swap":
        other, place = rng.choice(places)
        holder[key] = copy.deepcopy(other[place])
    elif kind == "rename" and isinstance(holder, dict):
        holder[rng.choice((key.upper(), key[:-1], key + " ", *TEXTS))] = holder.pop(key)
    else:
        holder[key] = _value(rng, holder[key])
    return document[0]


def _places(value):
    """(holder, key) of every value in a document."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield value, key
        yield from _places(child)


def _value(rng, old):
    near = [old]
    if isinstance(old, bool):
        near = [not old, int(old), str(old)]
    elif isinstance(old, int | float):
        near = [old + 1, old - 1, -old, old * 2, old * 10**6, old // 3, str(old), [old]]
    elif isinstance(old, str):
        near = [old + "x", old[:-1], old.upper(), old * 3, ascii(old), f" {old}", old[::-1]]
    far = [None, True, False, [], {}, [None], {"": None}, rng.choice(NUMBERS), rng.choice(TEXTS)]
    return rng.choice(near if rng.random() < 0.5 else far)


def mangle(rng, data):
    """Bytes with flips, cuts and insertions."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(len(data) + 1)
        size = rng.choice((1, 1, 2, 4, 8, 64, 1000))
        kind = rng.choice(("flip", "flip", "set", "cut", "insert", "delete", "repeat", "number"))
        if kind == "flip" and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == "set":
            data[place : place + size] = bytes([rng.choice((0, 255, rng.randrange(256)))]) * size
        elif kind == "cut" and rng.random() < 0.3:
            del data[place:]
        elif kind == "insert":
            data[place:place] = rng.randbytes(size)
        elif kind == "delete":
            del data[place : place + size]
        elif kind == "repeat":
            data[place:place] = data[place : place + size] * rng.choice((1, 2, 50))
        else:
            data[place : place + 4] = struct.pack(
                rng.choice("<>") + "I", rng.choice(NUMBERS[:16]) & 0xFFFFFFFF
            )
    return bytes(data)


def tiff(rng, data):
    """A TIFF (classic or BigTIFF, little endian) with changed header or directory entries."""
    data = bytearray(data)
    big = data[2] == 43
    first = struct.unpack_from("<Q" if big else "<I", data, 8 if big else 4)[0]
    entry_size, count_size = (20, 8) if big else (12, 2)
    (count,) = struct.unpack_from("<Q" if big else "<H", data, first)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        place = first + count_size + entry_size * rng.randrange(count)
        kind = rng.choice(
            ("value", "value", "value", "count", "type", "tag", "swap", "header", "next", "number")
        )
        value = rng.choice(NUMBERS[:20]) if rng.random() < 0.7 else rng.randrange(len(data) * 2)
        if kind == "value":
            _put(data, place + (12 if big else 8), 8 if big else 4, value)
        elif kind == "count":
            _put(data, place + 4, 8 if big else 4, value)
        elif kind == "type":
            _put(data, place + 2, 2, rng.choice((*range(20), 255, 65535)))
        elif kind == "tag":
            _put(data, place, 2, rng.choice(_TAGS))
        elif kind == "swap":
            other = first + count_size + entry_size * rng.randrange(count)
            size = entry_size
            data[place : place + size], data[other : other + size] = (
                data[other : other + size],
                data[place : place + size],
            )
        elif kind == "header":
            _put(data, rng.randrange(8), 1, value)
        elif kind == "next":
            _put(data, first + count_size + entry_size * count, 8 if big else 4, rng.choice((first, value)))
        else:
            _put(data, first, count_size, value)
    return bytes(data) if rng.random() < 0.85 else mangle(rng, data)


def _put(data, place, size, value):
    part = (int(value) & (1 << 8 * size) - 1).to_bytes(size, "little")
    data[place : place + size] = part[: max(len(data) - place, 0)]


def onnx_model(rng, model):
    """Changes an ``onnx.ModelProto`` in place, message by message."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        messages = list(_messages(model))
        message = rng.choice(messages)
        field = rng.choice(message.DESCRIPTOR.fields)
        present = [found for found, _ in message.ListFields()]
        if present and rng.random() < 0.8:
            field = rng.choice(present)
        try:
            _change_field(rng, message, field, messages)
        except (ValueError, TypeError, OverflowError):
            message.ClearField(field.name)


def _messages(message):
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if _repeated(field) else (value,):
                yield from _messages(child)


def _change_field(rng, message, field, messages):
    if rng.random() < 0.12:
        message.ClearField(field.name)
    elif field.message_type is not None:
        same = [found for found in messages if found.DESCRIPTOR is field.message_type]
        source = copy.deepcopy(rng.choice(same)) if same else None
        if _repeated(field):
            held = getattr(message, field.name)
            if held and rng.random() < 0.4:
                del held[rng.randrange(len(held))]
            else:
                held.extend([source] * rng.choice((1, 1, 2)) if source is not None else [held.add()])
        elif source is not None:
            getattr(message, field.name).CopyFrom(source)
    elif _repeated(field):
        held = getattr(message, field.name)
        new = _scalar(rng, field, held[0] if held else None)
        if held and rng.random() < 0.5:
            held[rng.randrange(len(held))] = new
        else:
            held.extend([new] * rng.choice((1, 1, 3, 1000)))
    else:
        setattr(message, field.name, _scalar(rng, field, getattr(message, field.name)))


def _repeated(field):
    # ``label`` is deprecated where ``is_repeated`` is known.
    known = getattr(field, "is_repeated", None)
    return field.label == FieldDescriptor.LABEL_REPEATED if known is None else known


def _scalar(rng, field, old):
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(TEXTS)[:1000] if rng.random() < 0.7 else (old or "") + "x"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return (
            mangle(rng, old or b"abc") if rng.random() < 0.7 else rng.choice(TEXTS).encode("utf-8", "replace")
        )
    if field.enum_type is not None:
        return rng.choice(field.enum_type.values).number
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf"), -float("inf"), 1e-40))
    near = int(old or 0) + rng.choice((-1, 1))
    return rng.choice(
        (near, near, *range(-2, 17), *(n for n in NUMBERS if isinstance(n, int) and abs(n) < 2**63))
    )
