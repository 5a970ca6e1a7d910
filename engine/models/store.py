"""Finds, installs and removes model packages."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

import platformdirs

from engine.errors import ModelError, OutputError
from engine.models.document import Document
from engine.models.item import ITEM_NAME, MAX_ITEM_BYTES, ModelItem, clipped, parse
from engine.models.schema import NAME_PATTERN

BUNDLED_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "models"
_MAX_ZIP_ENTRIES = 10_000
_CHUNK_BYTES = 1 << 20
# What zipfile and the decompressors raise for archives that contradict themselves.
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, NotImplementedError),
    *(RuntimeError, ValueError, OverflowError),
)

Origin = Literal["environment", "user", "bundled"]


@dataclass(frozen=True)
class Entry:
    """A package on the search path: either it loads (``item``) or it does not (``problem`` says why)."""

    name: str
    folder: Path
    origin: Origin
    item: ModelItem | None
    problem: str | None


def user_folder() -> Path:
    """Where ``install`` and ``import`` put packages."""
    return Path(platformdirs.user_data_dir("eo-translate")) / "models"


def search_folders() -> list[tuple[Origin, Path]]:
    """Folders that hold packages, in search order."""
    listed = os.environ.get("EO_TRANSLATE_MODELS", "").split(os.pathsep)
    return [
        *(("environment", Path(f)) for f in listed if f),
        ("user", user_folder()),
        ("bundled", BUNDLED_FOLDER),
    ]


def entries() -> list[Entry]:
    """Every package on the search path, the first of a name only, broken ones included."""
    found: dict[str, Entry] = {}
    for origin, parent in search_folders():
        for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
            if (
                folder.name not in found
                and (folder / ITEM_NAME).is_file()
                and not folder.name.endswith(".part")
            ):
                found[folder.name] = _entry(folder, origin)
    return list(found.values())


def installed() -> list[ModelItem]:
    """Every package on the search path that loads."""
    return [entry.item for entry in entries() if entry.item is not None]


def find(name_or_folder: str | Path) -> ModelItem:
    """Loads a package by name or by folder.

    Raises:
        ModelError: No such package, or it is invalid.
    """
    text = str(name_or_folder)
    is_path = isinstance(name_or_folder, Path) or "/" in text or "\\" in text or text in {".", ".."}
    if is_path or os.path.isfile(os.path.join(text, ITEM_NAME)):
        return ModelItem.load(text)
    for _, parent in search_folders():
        if text and os.path.isfile(parent / text / ITEM_NAME):
            return _load_named(parent / text)
    known = ", ".join(sorted(entry.name for entry in entries())) or "none"
    raise ModelError(
        f"There is no model named '{clipped(text)}'; installed: {known}. Give one of these names or "
        "the folder of a model package."
    )


def install(source: str | Path, replace: bool = False) -> ModelItem:
    """Checks a package folder or .zip completely and copies it to the user's models folder.

    Only ``item.json`` and the files it names are copied, and no more bytes of each than it declares.

    Raises:
        ModelError: The package is invalid or damaged, or its name is taken and ``replace`` is False.
        OutputError: The models folder cannot be written or is full.
    """
    source = Path(source)
    if os.path.isdir(source):
        item = ModelItem.load(source)
        paths = {path.relative_to(item.folder).as_posix(): path for path in item.files}
        text = (item.folder / ITEM_NAME).read_bytes()
        return _install(
            parse(text, str(source / ITEM_NAME)), text, lambda name: paths[name].open("rb"), replace
        )
    if not os.path.isfile(source):
        raise ModelError(
            f"There is nothing at {clipped(source)}; give the folder or the .zip of a model package."
        )
    if not zipfile.is_zipfile(source):
        raise ModelError(
            f"The file {source} is neither a model package folder nor a zip file of one; a weights file "
            "alone is "
            "taken in by 'eo-translate models import'."
        )
    with _zip_errors(source), zipfile.ZipFile(source) as archive:
        return _install_zip(archive, source, replace)


def remove(name: str) -> Path:
    """Deletes a package from the user's models folder and returns where it was.

    Raises:
        ModelError: It is unknown, bundled with the program, or in a folder that is managed elsewhere.
        OutputError: It cannot be deleted.
    """
    folder = user_folder() / name
    if not name or Path(name).name != name or not os.path.isfile(folder / ITEM_NAME):
        raise ModelError(_why_not_removable(name))
    if folder.is_symlink():
        folder.unlink()
        return folder
    try:
        # Renamed first, so that a half-deleted package is never found.
        doomed = folder.with_name(f".{name}.removed-{os.getpid()}.part")
        folder.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise OutputError(f"The model {name} at {folder} cannot be deleted: {error.strerror}.") from None
    return folder


@contextmanager
def new_package(name: str, replace: bool = False) -> Iterator[Path]:
    """A folder to write a package in; it moves to the user's models folder when the block ends well.

    Raises:
        ModelError: The name cannot be used, or is taken and ``replace`` is False.
        OutputError: The models folder cannot be written or is full.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ModelError(
            f"'{clipped(name)}' cannot be a model's name; use small letters, digits, '.', '_' and '-', at "
            "most 64."
        )
    target = user_folder() / name
    if target.exists() and not replace:
        raise ModelError(
            f"A model named {name} is installed already at {target}; remove it first, or say --replace."
        )
    part = target.with_name(f"{name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        yield part
        _swap(part, target)
    except OSError as error:
        raise OutputError(f"The model cannot be written to {target}: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _swap(part: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.old-{os.getpid()}.part")
    if target.exists():
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _entry(folder: Path, origin: Origin) -> Entry:
    try:
        return Entry(folder.name, folder, origin, _load_named(folder), None)
    except ModelError as error:
        return Entry(folder.name, folder, origin, None, str(error))


def _load_named(folder: Path) -> ModelItem:
    item = ModelItem.load(folder)
    if item.id != folder.name:
        raise ModelError(
            f"The folder {folder} holds a model named {item.id}; rename the folder to {item.id}."
        )
    return item


def _why_not_removable(name: str) -> str:
    for origin, parent in search_folders():
        if name and Path(name).name == name and os.path.isfile(parent / name / ITEM_NAME):
            if origin == "bundled":
                return f"The model {name} is part of EO Translate and cannot be removed."
            return (
                f"The model {name} lies in {parent}, a folder named in EO_TRANSLATE_MODELS; delete it there "
                "yourself."
            )
    mine = ", ".join(entry.name for entry in entries() if entry.origin == "user") or "none"
    return f"There is no installed model named '{clipped(name)}'; you can remove: {mine}."


def _install(
    document: Document, text: bytes, open_file: Callable[[str], IO[bytes]], replace: bool
) -> ModelItem:
    from engine.models.verify import verify

    with new_package(document.id, replace) as part:
        _check_space(document, part)
        (part / ITEM_NAME).write_bytes(text)
        _copy_assets(document, open_file, part)
        verify(part)
    return ModelItem.load(user_folder() / document.id)


def _copy_assets(document: Document, open_file: Callable[[str], IO[bytes]], part: Path) -> None:
    for asset in document.assets.values():
        target = part / asset.href
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_file(asset.href) as source, target.open("wb") as file:
            left = asset.size + 1
            while left and (block := source.read(min(left, _CHUNK_BYTES))):
                file.write(block)
                left -= len(block)
        if not left:
            raise ModelError(
                f"The file {asset.href} is larger than the {asset.size} bytes that the package "
                "declares; it is not what its author made."
            )


def _check_space(document: Document, folder: Path) -> None:
    needed, free = sum(asset.size for asset in document.assets.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"The model {document.id} needs {needed / 1e6:.0f} MB and {folder.parent} has "
            f"{free / 1e6:.0f} MB free; make room first."
        )


def _install_zip(archive: zipfile.ZipFile, source: Path, replace: bool) -> ModelItem:
    members = _checked_members(archive, source)
    item_name = min(
        (name for name in members if PurePosixPath(name).name == ITEM_NAME),
        key=lambda n: n.count("/"),
        default=None,
    )
    if item_name is None:
        raise ModelError(f"The file {source} is not a model package: it holds no {ITEM_NAME}.")
    prefix = item_name.removesuffix(ITEM_NAME)
    with archive.open(item_name) as file:
        text = file.read(MAX_ITEM_BYTES + 1)
    if len(text) > MAX_ITEM_BYTES:
        raise ModelError(
            f"The file {item_name} in {source} is larger than {MAX_ITEM_BYTES // 1024**2} MiB, which no "
            "model item is."
        )
    document = parse(text, f"{source}:{item_name}")
    missing = [a.href for a in document.assets.values() if prefix + a.href not in members]
    if missing:
        raise ModelError(f"The model package {source} is incomplete: {missing[0]} is missing.")
    return _install(document, text, lambda name: archive.open(members[prefix + name]), replace)


def _checked_members(archive: zipfile.ZipFile, source: Path) -> dict[str, zipfile.ZipInfo]:
    """The archive's files by name.

    Raises:
        ModelError: A name leaves the archive, a link, an encrypted or doubled file, or absurdly many files.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename
        if name[:1] in ("", "/") or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts:
            raise ModelError(
                f"The file {source} holds '{clipped(name)}', a path that leaves the archive; nothing was "
                "installed."
            )
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ModelError(
                f"The file {source} holds the link '{clipped(name)}'; a model package holds plain "
                "files only, and nothing was installed."
            )
        if info.flag_bits & 1:
            raise ModelError(f"The file {source} is encrypted; unpack it and install the folder.")
        if name in members or len(members) >= _MAX_ZIP_ENTRIES:
            raise ModelError(
                f"The file {source} holds '{clipped(name)}' twice or too many files to be a model package; "
                "nothing was "
                "installed."
            )
        if not info.is_dir():
            members[name] = info
    return members


@contextmanager
def _zip_errors(source: Path) -> Iterator[None]:
    try:
        yield
    except _ZIP_ERRORS as error:
        raise ModelError(
            f"The zip file {source} is damaged or in a form that cannot be read ({clipped(error)}); download "
            "it again."
        ) from None
