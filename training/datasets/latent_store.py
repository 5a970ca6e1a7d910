"""Where the autoencoders' moments of patches lie: an LMDB or a folder, written once and read at every step.

A sample is a dict: group -> (2 C, h, w) float32, mean and log-variance, unscaled; a vector is its own latent
(1, 1, 3). Groups may be missing from a sample. Keys are ``<location>_<number>``; samples of one location are
never split between training and validation. ``store.json`` says what the store holds.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.errors import InputError, MissingPackageError, OutputError
from engine.models.joint_schema import Group
from engine.models.schema import Strict
from training.datasets.restricted_pickle import loads

Sample = dict[str, NDArray[np.float32]]
INFO_NAME = "store.json"
_DATABASE, _FOLDER = "data.mdb", "samples"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_LOCATION = re.compile(r"(.+?)(?:_patch)?_(?:\d+|center)(?:\.npy)?")
_MAP_BYTES = 1 << 40


class StoreInfo(Strict):
    """What a store holds.

    Attributes:
        version: Of this format.
        groups: Groups of the samples, in the denoiser's order.
        autoencoders: Key of each autoencoder -> SHA-256 of the weights that encoded.
        source: What was encoded.
    """

    version: int = 1
    groups: tuple[Group, ...]
    autoencoders: dict[str, str] = Field(default_factory=dict)
    source: str = ""


class LatentStore(Protocol):
    """Samples by key.

    Attributes:
        keys: Of all samples, sorted.
        info: Of ``store.json``; None: the authors' stores have none.
    """

    keys: tuple[str, ...]
    info: StoreInfo | None

    def read(self, key: str) -> Mapping[str, Any]:
        """Groups of a sample; in the authors' stores by their names."""

    def metadata(self, key: str) -> Mapping[str, str]:
        """Where and when the patch is, see ``scenes.Prepared``; empty in the authors' stores."""


def location(key: str) -> str:
    """The place of a sample, without the number of the patch."""
    match = _LOCATION.fullmatch(key)
    return match[1] if match else key


def open_store(path: Path) -> LatentStore:
    """A store of either kind, ours or the authors', for reading.

    Raises:
        InputError: There is none.
        MissingPackageError: It is an LMDB and lmdb is not installed.
    """
    if (path / _DATABASE).is_file():
        return LmdbStore(path)
    if (path / _FOLDER).is_dir():
        return FolderStore(path)
    if any(path.glob("*/*.npy")):
        return MomentFolders(path)
    raise InputError(
        f"{path} holds no latents: neither {_DATABASE}, nor {_FOLDER}/, nor a folder of .npy files a group; "
        "make one with eo-train encode."
    )


class LmdbStore:
    """A database; values are safetensors, or the authors' pickles, read without running them."""

    def __init__(self, path: Path) -> None:
        self._path, self._process, self._environment = path, 0, None
        self.info = _read_info(path)
        with self._opened().begin() as transaction:
            names = (bytes(key) for key in transaction.cursor().iternext(values=False))
            self.keys = tuple(sorted(name.decode("utf-8", "replace") for name in names))

    def read(self, key: str) -> Mapping[str, Any]:
        """See ``LatentStore``."""
        with self._opened().begin() as transaction:
            value = transaction.get(key.encode())
        where = f"The sample {key} of {self._path}"
        if value is None:
            raise InputError(f"{where} is missing.")
        return _unpacked(value, where) if _is_safetensors(value) else loads(value, where)

    def metadata(self, key: str) -> dict[str, str]:
        """See ``LatentStore``."""
        with self._opened().begin() as transaction:
            value = transaction.get(key.encode(), b"")
        return _header(value) if _is_safetensors(value) else {}

    def _opened(self) -> Any:
        # An environment must not be used in a process forked from the one that opened it.
        if self._environment is None or self._process != os.getpid():
            lmdb = _lmdb()
            try:
                self._environment = lmdb.open(str(self._path), readonly=True, lock=False, readahead=False)
            except lmdb.Error as error:
                raise InputError(f"{self._path} is no readable database ({error}).") from None
            self._process = os.getpid()
        return self._environment

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_environment": None}


class FolderStore:
    """A folder with one safetensors file a sample."""

    def __init__(self, path: Path) -> None:
        self._path, self.info = path, _read_info(path)
        self.keys = tuple(sorted(file.stem for file in (path / _FOLDER).glob("*.safetensors")))

    def read(self, key: str) -> Mapping[str, Any]:
        """See ``LatentStore``."""
        file = self._path / _FOLDER / f"{key}.safetensors"
        return _unpacked(file.read_bytes(), f"The sample {file}")

    def metadata(self, key: str) -> dict[str, str]:
        """See ``LatentStore``."""
        return _header((self._path / _FOLDER / f"{key}.safetensors").read_bytes())


class MomentFolders:
    """The authors' folders: ``<group>/<key>.npy``."""

    info = None

    def __init__(self, path: Path) -> None:
        self._folders = sorted(folder for folder in path.iterdir() if any(folder.glob("*.npy")))
        self.keys = tuple(sorted({file.stem for folder in self._folders for file in folder.glob("*.npy")}))

    def read(self, key: str) -> Mapping[str, Any]:
        """See ``LatentStore``."""
        files = {folder.name: folder / f"{key}.npy" for folder in self._folders}
        try:
            return {name: np.load(file, allow_pickle=False) for name, file in files.items() if file.is_file()}
        except ValueError as error:
            raise InputError(f"The sample {key} is damaged: {error}") from None

    def metadata(self, key: str) -> dict[str, str]:
        """None."""
        return {}


class StoreWriter:
    """Adds samples to a store and keeps those that are there, so that encoding can go on after a stop.

    Args:
        path: Folder of the store.
        info: What it will hold.
        database: LMDB rather than a folder of files.

    Raises:
        InputError: The folder holds a store of other groups or of another autoencoder.
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, info: StoreInfo, database: bool = True) -> None:
        try:
            earlier = _read_info(path)
            if earlier and (earlier.groups, earlier.autoencoders) != (info.groups, info.autoencoders):
                raise InputError(
                    f"{path} holds latents of other groups or of other autoencoders; encode to another "
                    "folder."
                )
            path.mkdir(parents=True, exist_ok=True)
            self._database = _database(path) if database else None
            self._folder = path / _FOLDER
            if not database:
                self._folder.mkdir(exist_ok=True)
            _write(path / INFO_NAME, (info.model_dump_json(indent=2) + "\n").encode())
        except OSError as error:
            raise OutputError(f"The store {path} cannot be written: {error}.") from None

    def __contains__(self, key: str) -> bool:
        if self._database is None:
            return (self._folder / f"{key}.safetensors").is_file()
        with self._database.begin() as transaction:
            return transaction.get(key.encode()) is not None

    def add(
        self, samples: Mapping[str, Sample], metadata: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        """Writes some samples, all or none of a database's.

        Args:
            samples: By key.
            metadata: Key -> where and when the patch is.

        Raises:
            ValueError: A key with other characters than letters, digits, ``_``, ``.`` and ``-``.
            OutputError: The disk is full.
        """
        for key in samples:
            if not _KEY.fullmatch(key):
                raise ValueError(f"{key!r} cannot be the key of a sample")
        told = metadata or {}
        packed = {key: save(_in_order(sample), dict(told.get(key, {}))) for key, sample in samples.items()}
        try:
            if self._database is None:
                for key, value in packed.items():
                    _write(self._folder / f"{key}.safetensors", value)
                return
            with self._database.begin(write=True) as transaction:
                for key, value in packed.items():
                    transaction.put(key.encode(), value)
        except Exception as error:
            if self._database is None and not isinstance(error, OSError):
                raise
            raise OutputError(f"The store {self._folder.parent} cannot be written: {error}.") from None


def _lmdb() -> Any:
    try:
        import lmdb
    except ImportError:
        raise MissingPackageError(
            "Latents in an LMDB need the package lmdb, which is not installed; run: "
            "pip install 'eo-translate[train]'."
        ) from None
    return lmdb


def _database(path: Path) -> Any:
    lmdb = _lmdb()
    try:
        return lmdb.open(str(path), map_size=_MAP_BYTES)
    except lmdb.Error as error:
        raise OutputError(f"The store {path} cannot be written: {error}.") from None


def _is_safetensors(value: bytes) -> bool:
    """Whether it begins with a length and a JSON header of that length; no pickle does."""
    return 8 + int.from_bytes(value[:8], "little") <= len(value) and value[8:9] == b"{"


def _in_order(sample: Sample) -> Sample:
    """Safetensors writes the memory of an array, whatever the order of its axes."""
    return {name: np.ascontiguousarray(value, np.float32) for name, value in sample.items()}


def _header(value: bytes) -> dict[str, str]:
    return json.loads(value[8 : 8 + int.from_bytes(value[:8], "little")]).get("__metadata__", {})


def _unpacked(value: bytes, where: str) -> Sample:
    try:
        return load(value)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{where} is damaged ({error}); delete it and encode it again.") from None


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def _read_info(path: Path) -> StoreInfo | None:
    file = path / INFO_NAME
    if not file.is_file():
        return None
    try:
        return StoreInfo.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise InputError(f"{file} does not describe a store of latents: {error}") from None
