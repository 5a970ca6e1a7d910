"""Published files from a model hub at a pinned revision: resumed, checked, and nothing but the named files.

Addresses, credentials and the transfer itself are ``huggingface_hub``'s. Its own cache starts a file anew in
every process, which is no way to fetch gigabytes over a poor line, so unfinished files are kept here.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock

from engine.errors import InputError, MissingPackageError, ModelError, OutputError
from engine.models.tensor_files import MAX_CHECKPOINT_BYTES

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHECKSUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
_CHUNK_BYTES = 1 << 20
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Snapshot:
    """Files of a repository as they were in one commit.

    Attributes:
        repository: ``owner/name``.
        commit: 40 hexadecimal digits.
        files: Path in the repository -> local copy.
    """

    repository: str
    commit: str
    files: dict[str, Path]

    def forget(self) -> None:
        """Deletes the local copies."""
        for path in self.files.values():
            path.unlink(missing_ok=True)


def fetch(repository: str, revision: str, names: Sequence[str]) -> Snapshot:
    """Downloads files that are not there yet, going on with unfinished ones; ``HF_ENDPOINT`` names the hub.

    Args:
        repository: ``owner/name``.
        revision: Commit, tag or branch; the commit that it stands for now is taken for every file.
        names: Paths in the repository.

    Raises:
        InputError: ``repository`` is no name of a repository, or there is no such revision.
        ModelError: The hub cannot be reached, has not the file, or what came is not what it promised.
        OutputError: There is no room for the files.
        MissingPackageError: huggingface_hub is not installed.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise InputError(f"The repository {repository!r} must be written as owner/name.")
    if not revision:
        raise InputError(f"Say which revision of {repository} is meant: a commit, a tag or a branch.")
    pinned, promised = revision, {}
    for name in names:
        with _plain_errors(repository, name, revision):
            promised[name] = _promise(repository, name, pinned)
        pinned = promised[name].commit_hash
        if _COMMIT.fullmatch(revision) and pinned != revision:
            raise ModelError(
                f"The hub gave the commit {pinned} of {repository} where {revision} was asked for."
            )
    folder = _folder()
    _check_room(folder, repository, promised)
    return Snapshot(
        repository, pinned, {n: _download(repository, n, p, folder, revision) for n, p in promised.items()}
    )


def _promise(repository: str, name: str, revision: str) -> HfFileMetadata:
    """Commit, checksum and size of a file, none of them missing."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repository, name, revision=revision, endpoint=_endpoint())
    found = get_hf_file_metadata(url)
    if not (
        _COMMIT.fullmatch(found.commit_hash or "")
        and _CHECKSUM.fullmatch(found.etag or "")
        and found.size is not None
        and 0 < found.size <= MAX_CHECKPOINT_BYTES
    ):
        raise ModelError(
            f"The hub gives no commit, checksum and usable size for {name} of {repository}, so a download "
            "could not be checked; fetch the file yourself and give its path instead."
        )
    return found


def _download(repository: str, name: str, promised: HfFileMetadata, folder: Path, revision: str) -> Path:
    """A checked local copy, fetched where there is none yet."""
    target = folder / f"{promised.etag}{PurePosixPath(name).suffix}"
    part = target.with_name(target.name + ".part")
    with FileLock(folder / "lock"):
        if not (target.is_file() and target.stat().st_size == promised.size):
            with _plain_errors(repository, name, revision):
                _transfer(repository, name, promised, part)
            if _checksum(part, promised.etag) != promised.etag:
                part.unlink()
                raise ModelError(
                    f"The file {name} of {repository} arrived damaged (its checksum is not the hub's) and "
                    "was deleted; run the same command again."
                )
            part.replace(target)
    return target


def _transfer(repository: str, name: str, promised: HfFileMetadata, part: Path) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(repository, name, revision=promised.commit_hash, endpoint=_endpoint())
    with part.open("ab") as file:
        if file.tell() > promised.size:
            file.truncate(0)
    with part.open("r+b") as file:
        http_get(
            url,
            file,
            resume_size=file.seek(0, os.SEEK_END),
            headers=build_hf_headers(),
            expected_size=promised.size,
            displayed_filename=name,
        )


def _endpoint() -> str | None:
    """The user's own hub; None: huggingface.co."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _checksum(path: Path, like: str) -> str:
    """SHA-256, or for a file kept in git itself git's own SHA-1, whichever has the length of ``like``."""
    is_git = len(like) == 40
    digest = hashlib.sha1(usedforsecurity=False) if is_git else hashlib.sha256()
    if is_git:
        digest.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while block := file.read(_CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _folder() -> Path:
    folder = Path(platformdirs.user_cache_dir("eo-translate")) / "downloads"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Downloads cannot be written to {folder}: {error.strerror}.") from None
    return folder


def _check_room(folder: Path, repository: str, promised: dict[str, HfFileMetadata]) -> None:
    """The files twice over, as they are and converted, less what is there already."""
    total = sum(found.size for found in promised.values())
    etags = {found.etag for found in promised.values()}
    there = sum(path.stat().st_size for path in folder.iterdir() if path.name.split(".")[0] in etags)
    needed, free = 2 * total - there, shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"The files of {repository} need {needed / 1e9:.1f} GB while they are fetched and converted, and "
            f"{folder} has {free / 1e9:.1f} GB free; make room first."
        )


@contextmanager
def _plain_errors(repository: str, name: str, revision: str) -> Iterator[None]:
    try:
        from huggingface_hub import errors
    except ImportError:
        raise MissingPackageError(
            "Downloading from a hub needs huggingface_hub, which is not installed; "
            "run: pip install 'eo-translate[diffusion]'."
        ) from None
    endpoint = _endpoint() or "huggingface.co"
    try:
        yield
    except errors.GatedRepoError:
        raise ModelError(
            f"The repository {repository} is open only to people who agreed to its terms; do so on "
            f"{endpoint}, then say 'hf auth login'."
        ) from None
    except errors.RepositoryNotFoundError:
        raise ModelError(f"There is no public repository {repository} on {endpoint}.") from None
    except errors.RevisionNotFoundError:
        raise InputError(f"The repository {repository} has no revision {revision}.") from None
    except errors.EntryNotFoundError:
        raise ModelError(f"The repository {repository} has no file {name} at revision {revision}.") from None
    except errors.OfflineModeIsEnabled:
        raise ModelError(
            f"The file {name} of {repository} is not fetched since HF_HUB_OFFLINE is set; unset it, or give "
            "the path of a file on this machine."
        ) from None
    # The transport's own errors have no common base with other versions' but this one.
    except (*errors.HfHubHTTPError.__bases__, OSError) as error:
        if isinstance(error, OSError) and error.errno in _FULL_DISK:
            raise OutputError(
                f"The disk is full while {name} of {repository} is fetched; make room."
            ) from None
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ModelError(
            f"The file {name} of {repository} cannot be fetched from {endpoint} ({reason}); check the "
            "connection and run the same command again, which goes on where it stopped."
        ) from None
