"""The one thing that GDAL cannot do: point a TIFF's directory at blocks that lie anywhere in the file.

TIFF 6.0, section 2, and the BigTIFF layout. Only little-endian tiled files, as GDAL makes them on request.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_TILE_OFFSETS, _TILE_BYTE_COUNTS = 324, 325
_DTYPES = {3: np.dtype("<u2"), 4: np.dtype("<u4"), 16: np.dtype("<u8")}
_TYPE_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


@dataclass(frozen=True)
class _Form:
    """Sizes of classic TIFF or BigTIFF."""

    pointer: str
    count: str
    pointer_at: int
    long_type: int

    @property
    def field(self) -> int:
        """Bytes of an entry's value, or of the pointer to it."""
        return struct.calcsize(self.pointer)

    @property
    def entry(self) -> struct.Struct:
        """Tag, type, count, value."""
        return struct.Struct(f"<HH{self.pointer}{self.field}s")


_CLASSIC = _Form("I", "H", 4, 4)
_BIG = _Form("Q", "Q", 8, 16)


@dataclass(frozen=True)
class Patch:
    """Bytes to write over a place of the file."""

    at: int
    data: bytes


@dataclass(frozen=True)
class Directory:
    """The first image of a TIFF.

    Attributes:
        form: Classic or BigTIFF.
        entries: Tag -> (type, count, the entry's value field).
        offsets, sizes: Place of each tile in the file (bytes), plane by plane and row by row; 0, 0: absent.
    """

    form: _Form
    entries: dict[int, tuple[int, int, bytes]]
    offsets: NDArray[np.uint64]
    sizes: NDArray[np.uint64]

    @classmethod
    def read(cls, file: BinaryIO, base: int = 0) -> Directory:
        """Reads the directory of a TIFF that starts at byte ``base`` of a file.

        Raises:
            ValueError: It is none that GDAL made for us.
        """
        try:
            return cls._read(file, base)
        except (struct.error, KeyError) as error:
            raise ValueError(f"the TIFF is cut short or has no tiles ({error})") from None

    @classmethod
    def _read(cls, file: BinaryIO, base: int) -> Directory:
        file.seek(base)
        head = file.read(16)
        if head[:4] not in (b"II*\0", b"II+\0"):
            raise ValueError("not a little-endian TIFF")
        form = _BIG if head[2] == 43 else _CLASSIC
        (at,) = struct.unpack_from(f"<{form.pointer}", head, form.pointer_at)
        file.seek(base + at)
        (count,) = struct.unpack(f"<{form.count}", file.read(struct.calcsize(form.count)))
        entries = {}
        for tag, kind, number, value in form.entry.iter_unpack(file.read(count * form.entry.size)):
            entries[tag] = (kind, number, value)
        arrays = [_array(file, base, form, entries[tag]) for tag in (_TILE_OFFSETS, _TILE_BYTE_COUNTS)]
        return cls(form, entries, *arrays)

    def tail(self, at: int, offsets: NDArray[np.uint64], sizes: NDArray[np.uint64]) -> tuple[bytes, Patch]:
        """This directory with other tiles.

        Args:
            at: Byte of the file from which it will lie.
            offsets: As the attribute.
            sizes: As the attribute.

        Returns:
            What to append, and what to put over the file's head when that is done.
        """
        form, entries, data = self.form, dict(self.entries), bytearray()
        data += b"\0" * (-at % 8)
        for tag, values in ((_TILE_OFFSETS, offsets), (_TILE_BYTE_COUNTS, sizes)):
            array = values.astype(_DTYPES[form.long_type]).tobytes()
            if len(array) > form.field:
                place = struct.pack(f"<{form.pointer}", at + len(data))
                data += array + b"\0" * (-len(array) % 8)
                array = place
            entries[tag] = (form.long_type, len(values), array.ljust(form.field, b"\0"))
        start = at + len(data)
        data += struct.pack(f"<{form.count}", len(entries))
        for tag in sorted(entries):
            data += form.entry.pack(tag, *entries[tag])
        data += struct.pack(f"<{form.pointer}", 0)
        return bytes(data), Patch(form.pointer_at, struct.pack(f"<{form.pointer}", start))


def _array(file: BinaryIO, base: int, form: _Form, entry: tuple[int, int, bytes]) -> NDArray[np.uint64]:
    kind, count, value = entry
    size = _TYPE_SIZES[kind] * count
    if size > len(value):
        file.seek(base + struct.unpack(f"<{form.pointer}", value)[0])
        value = file.read(size)
    return np.frombuffer(value[:size], dtype=_DTYPES[kind]).astype(np.uint64)
