"""Reads the pickles of COP-GEN's latent stores without letting them run anything.

They hold dicts of text, byte strings and float arrays. Arrays are rebuilt here, not by the class that the
pickle names: whatever else it names is refused before it is imported.
"""

from __future__ import annotations

import io
import pickle  # nosec B403 - only as the base of a reader that resolves no foreign name
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

_FLOATS = ("f4", "f8", "f2")
_MAX_AXES = 8


def loads(data: bytes, where: str) -> Any:
    """What a pickle of dicts, lists, text, bytes, numbers and float arrays holds; arrays become float32.

    Args:
        data: The pickle.
        where: What it belongs to, for error messages.

    Raises:
        InputError: It names any other object, or is damaged.
    """
    try:
        return _resolved(_Reader(io.BytesIO(data), where).load())
    except InputError:
        raise
    except _ForeignError as error:
        raise InputError(
            f"{where} holds {error}, and not float arrays alone; nothing of it was used. Give a store of "
            "float arrays."
        ) from None
    except Exception as error:
        # A damaged pickle fails in as many ways as there are opcodes.
        raise InputError(
            f"{where} is damaged and cannot be read ({type(error).__name__}); copy or encode it again."
        ) from None


class _ForeignError(Exception):
    """Something that no store of latents holds."""


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, where: str) -> None:
        super().__init__(file)
        self._where = where

    def find_class(self, module: str, name: str) -> Any:
        """Stand-ins for numpy's arrays; nothing else."""
        if (module.replace("._core.", ".core."), name) in _STAND_INS:
            return _STAND_INS[module.replace("._core.", ".core."), name]
        raise InputError(
            f"{self._where} holds {module}.{name}, which may run code; nothing of it was loaded. Give a "
            "store of float arrays."
        )

    def persistent_load(self, pid: Any) -> Any:
        """Never used by the stores."""
        raise InputError(f"{self._where} refers to objects outside of it; give a store of float arrays.")


class _Kind:
    """Stands for ``numpy.ndarray``, which pickles name as an argument only."""


class _Type:
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if code not in _FLOATS:
            raise _ForeignError(f"an array of {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        order = state[1]
        if order not in ("<", ">", "="):
            raise _ForeignError(f"an array of byte order {order!r}")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for an array; its numbers come with the state that follows it in the pickle."""

    values: NDArray[np.float32]

    def __setstate__(self, state: tuple) -> None:
        _version, shape, kind, fortran, raw = state
        self.values = _floats(raw, kind, shape, "F" if fortran else "C")


def _floats(raw: bytes, kind: _Type, shape: tuple[int, ...], order: str) -> NDArray[np.float32]:
    if not isinstance(kind, _Type) or not isinstance(raw, (bytes, bytearray)) or len(shape) > _MAX_AXES:
        raise _ForeignError("an array of something else than floats")
    return np.frombuffer(raw, kind.dtype).reshape(shape, order=order).astype(np.float32)


def _reconstructed(kind: type, shape: tuple, code: bytes) -> _Array:
    if kind is not _Kind:
        raise _ForeignError("an array of another class")
    return _Array()


def _from_buffer(raw: bytes, kind: _Type, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.values = _floats(raw, kind, shape, order)
    return array


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstructed,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _Kind,
    ("numpy", "dtype"): _Type,
}


def _resolved(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_resolved(entry) for entry in value)
    return value.values if isinstance(value, _Array) else value
