"""The files of a joint diffusion model before its import: on this machine, or in a repository of a hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ModelError
from engine.models.hub import Snapshot, fetch
from engine.models.joint_families import PUBLISHED, Family, autoencoder_files

_EMA_NAME = "nnet_ema.pth"
_SUFFIXES = (".pth", ".safetensors")


@dataclass(frozen=True)
class HubSource:
    """Files of a repository.

    Attributes:
        repository: ``owner/name``.
        revision: Commit, tag or branch.
        file: Path in the repository; None: as the authors named it.
    """

    repository: str
    revision: str
    file: str | None = None


Source = Path | HubSource


@dataclass(frozen=True)
class JointFiles:
    """What an import reads.

    Attributes:
        weights: The denoiser.
        autoencoders: By asset key.
        origins: Repository, commit and path in it of what was downloaded, by asset key (``model``: the
            denoiser).
        downloaded: Local copies.
    """

    weights: Path
    autoencoders: Mapping[str, Path]
    origins: Mapping[str, Mapping[str, str]]
    downloaded: tuple[Snapshot, ...] = ()

    def forget(self) -> None:
        """Deletes what was downloaded."""
        for snapshot in self.downloaded:
            snapshot.forget()


def gather(family: Family, weights: Source, autoencoders: Source) -> JointFiles:
    """Finds the files, and downloads those that a hub has.

    Args:
        family: The model.
        weights: The denoiser's file; or the folder ``<step>.ckpt`` of a training, whose averaged weights are
            taken.
        autoencoders: COP-GEN-Beta's file, or the folder or repository with COP-GEN's ten folders.

    Raises:
        ModelError: A file is missing, and which; or see ``engine.models.hub.fetch``.
        InputError, OutputError, MissingPackageError: See there.
    """
    # Everything on this machine is looked for before anything is downloaded.
    path = _local_weights(weights) if isinstance(weights, Path) else None
    paths = _local_autoencoders(family, autoencoders) if isinstance(autoencoders, Path) else None
    fetched = []
    if path is None:
        fetched.append(_fetched(weights, {"model": PUBLISHED[family].weights}))
    if paths is None:
        fetched.append(_fetched(autoencoders, autoencoder_files(family)))
    copies = {key: snapshot.files[file] for snapshot, names in fetched for key, file in names.items()}
    origins = {
        key: {"file": file, "hub": snapshot.repository, "revision": snapshot.commit}
        for snapshot, names in fetched
        for key, file in names.items()
    }
    return JointFiles(
        path or copies.pop("model"), paths or copies, origins, tuple(snapshot for snapshot, _ in fetched)
    )


def _fetched(source: HubSource, names: Mapping[str, str]) -> tuple[Snapshot, dict[str, str]]:
    """What was downloaded, and which file of it is for which asset key."""
    wanted = dict.fromkeys(names, source.file) if source.file else dict(names)
    return fetch(source.repository, source.revision, list(wanted.values())), wanted


def _local_weights(path: Path) -> Path:
    path = path / _EMA_NAME if path.is_dir() else path
    if not path.is_file():
        raise ModelError(f"There is no weights file at {path}.")
    return path


def _local_autoencoders(family: Family, place: Path) -> dict[str, Path]:
    wanted = autoencoder_files(family)
    if len(wanted) == 1:
        if not place.is_file():
            raise ModelError(f"There is no autoencoder file at {place}.")
        return dict.fromkeys(wanted, place)
    if not place.is_dir():
        raise ModelError(
            f"There is no folder of autoencoders at {place}; give the one that holds COP-GEN's {len(wanted)} "
            "folders."
        )
    found = {key: _existing(place / name) for key, name in wanted.items()}
    if missing := [name for key, name in wanted.items() if found[key] is None]:
        raise ModelError(
            f"The folder {place} lacks {len(missing)} of COP-GEN's {len(wanted)} autoencoders: "
            f"{', '.join(missing)}."
        )
    return {key: path for key, path in found.items() if path}


def _existing(path: Path) -> Path | None:
    """The file, also under another suffix that can be read."""
    return next((p for p in map(path.with_suffix, _SUFFIXES) if p.is_file()), None)
