"""Positions and dates beside the authors' store of COP-GEN, which holds images only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from training.datasets.latent_store import LatentStore, StoreInfo, location
from training.datasets.restricted_pickle import loads

POSITION, DATE = "3d_cartesian_lat_lon", "mean_timestamps"
_PATCH = re.compile(r".+_patch_(-?\d+)")


class VectorCaches:
    """A store whose samples have the vectors of the caches too; as ``LatentStore``.

    Args:
        store: The images.
        positions: Folder with ``cells.npy``, ``latlon_patches.npy`` (cells, side, side, 3) and
            ``latlon_cells.npy``; None: there are none.
        dates: Pickle of a dict: cell -> (3,) float32; None: there are none.

    Raises:
        InputError: A cache is missing or damaged.
    """

    def __init__(self, store: LatentStore, positions: str | None = None, dates: str | None = None) -> None:
        self._store = store
        self.keys: tuple[str, ...] = store.keys
        self.info: StoreInfo | None = store.info
        self._cells: dict[str, int] = {}
        if positions:
            cells = _array(Path(positions) / "cells.npy")
            self._cells = {str(cell): i for i, cell in enumerate(cells)}
            self._patches = _array(Path(positions) / "latlon_patches.npy")
            self._centres = _array(Path(positions) / "latlon_cells.npy")
        self._dates = _dates(Path(dates)) if dates else {}

    def read(self, key: str) -> Mapping[str, Any]:
        """See ``LatentStore``; a cell that a cache lacks has no such vector."""
        found = dict(self._store.read(key))
        cell = location(key)
        if cell in self._cells:
            found[POSITION] = self._position(self._cells[cell], key).reshape(1, 1, 3)
        if cell in self._dates:
            found[DATE] = self._dates[cell].reshape(1, 1, 3)
        return found

    def metadata(self, key: str) -> Mapping[str, str]:
        """See ``LatentStore``."""
        return self._store.metadata(key)

    def _position(self, cell: int, key: str) -> NDArray[np.float32]:
        match = _PATCH.fullmatch(key)
        patch = int(match[1]) if match else -1
        if patch < 0:
            return self._centres[cell]  # the whole cell
        side = self._patches.shape[2]
        return self._patches[cell, patch // side, patch % side]


def _array(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"The cache {path} cannot be read: {error}") from None


def _dates(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"The cache {path} cannot be read: {error}") from None
    found = loads(content, f"The cache {path}")
    if not isinstance(found, dict) or not all(np.shape(vector) == (3,) for vector in found.values()):
        raise InputError(f"The cache {path} is no dict of vectors of three numbers.")
    return found
