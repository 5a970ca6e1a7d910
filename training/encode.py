"""``eo-train encode``: rasters or cells of Major TOM to a store of latents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.errors import InputError
from engine.models.joint_schema import Group
from training.datasets.major_tom import Cells
from training.datasets.moments import encode
from training.datasets.patch_folders import FOLDERS, PatchFolders
from training.datasets.raster_scenes import RasterScenes
from training.groups import groups_of


def run(
    source: Path, output: Path, groups: str, autoencoders: Sequence[str], folder: bool, **settings: Any
) -> int:
    """Encodes a source, telling of each scene.

    Args:
        source: CSV file, see ``RasterScenes``; folder of Major TOM, see ``Cells``; or of
            patches, see ``PatchFolders``.
        output: Folder of the store.
        groups: As for ``groups_of``; a model package gives its autoencoders, too.
        autoencoders: ``KEY=FILE`` each.
        folder: One file a sample rather than an LMDB.
        settings: Of ``training.datasets.moments.encode``.

    Returns:
        Number of new samples.

    Raises:
        InputError: The source or an autoencoder is missing or wrong.
    """
    known = groups_of(groups)
    files = {**_of_package(Path(groups)), **_given(autoencoders)}
    thumbnails = all(group.encoding.kind.endswith("-thumbnail") for group in known)
    scenes = _scenes(source, known)
    cutting = "centred" if thumbnails and isinstance(scenes, Cells) else "covering"
    console, count = Console(), len(scenes)
    seen = 0

    def tell(name: str, new: int) -> None:
        nonlocal seen
        seen += 1
        console.print(f"[{seen}/{count}] {name}: {new} new patches", highlight=False)

    return encode(
        scenes,
        known,
        files,
        output,
        str(source),
        database=not folder,
        cutting=cutting,
        on_scene=tell,
        **settings,
    )


def _scenes(source: Path, groups: Sequence[Group]) -> Cells | RasterScenes | PatchFolders:
    if any((source / folder).is_dir() for folder in FOLDERS.values()):
        return PatchFolders(source, groups)
    if source.is_dir():
        return Cells(source, groups)
    if source.suffix.lower() == ".csv":
        return RasterScenes(source, groups)
    raise InputError(
        f"{source} is no folder of Major TOM's cells or patches, nor a CSV file; see docs/training.md."
    )


def _given(words: Sequence[str]) -> dict[str, Path]:
    found = {}
    for word in words:
        key, sign, file = word.partition("=")
        if not sign or not file:
            raise InputError(f"--autoencoder takes KEY=FILE, and was given {word!r}.")
        found[key] = Path(file)
    return found


def _of_package(path: Path) -> Mapping[str, Path]:
    """Weights that a model package holds, by the key of their asset."""
    item = path / "item.json"
    if not item.is_file():
        return {}
    assets = json.loads(item.read_text(encoding="utf-8")).get("assets", {})
    return {key: path / asset["href"] for key, asset in assets.items()}
