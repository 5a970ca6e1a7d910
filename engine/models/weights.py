"""SHA-256 of a package's files, compared with what its item says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.errors import ModelError
from engine.models.item import ModelItem

_CHUNK_BYTES = 1 << 20
_known: dict[tuple[str, int, int], str] = {}


def sha256_file(path: Path) -> str:
    """SHA-256 of a file (hexadecimal), remembered in this process while size and modification time stay."""
    state = path.stat()
    key = (str(path), state.st_size, state.st_mtime_ns)
    if key not in _known:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_CHUNK_BYTES):
                digest.update(block)
        _known[key] = digest.hexdigest()
    return _known[key]


def check_hash(item: ModelItem) -> str:
    """Compares every file of the package with its declared size and SHA-256.

    Returns:
        SHA-256 of the weights.

    Raises:
        ModelError: A file is damaged or was changed.
    """
    for path, asset in item.files.items():
        found = path.stat().st_size
        if found != asset.size:
            raise ModelError(
                f"The file {path.name} of the model {item.id} is damaged: it has {found} bytes and "
                "should have "
                f"{asset.size}; install the model again."
            )
        if sha256_file(path) != asset.sha256:
            raise ModelError(
                f"The file {path.name} of the model {item.id} is damaged or was changed: its SHA-256 "
                "starts with "
                f"{sha256_file(path)[:12]} and should start with {asset.sha256[:12]}; install the model "
                "again."
            )
    return item.sha256
