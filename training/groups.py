"""Which groups a joint model is fitted on: a published set, or those of a store, a file or a package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from engine.errors import InputError
from engine.models.joint_schema import Group
from engine.networks.cop_gen import LatentGroup

PUBLISHED = ("cop-gen-beta", "cop-gen")
_GROUPS = TypeAdapter(tuple[Group, ...])


def groups_of(source: Any) -> tuple[Group, ...]:
    """Groups in the denoiser's order.

    Args:
        source: ``cop-gen-beta``, ``cop-gen``, the folder of a store or of a model package, a JSON file with a
            list of groups, or such a list itself.

    Raises:
        InputError: There are no groups there, or they are not valid.
    """
    if isinstance(source, str) and source in PUBLISHED:
        from engine.modalities.published import published_groups

        return published_groups(source)
    where, found = ("The recipe", source) if not isinstance(source, (str, Path)) else _read(Path(source))
    try:
        return _GROUPS.validate_json(json.dumps(found))  # tuples are lists in JSON only
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{where} holds no valid groups: {place}: {first['msg']}.") from None


def latent_group(group: Group) -> LatentGroup:
    """The group as the denoiser sees it."""
    latent = group.latent
    return LatentGroup(group.name, latent.channels, latent.height, latent.width, latent.patch)


def _read(path: Path) -> tuple[str, Any]:
    names = [name for name in ("store.json", "item.json") if (path / name).is_file()]
    file = path / (names or ["store.json"])[0] if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read as a list of groups ({error}); give {', '.join(PUBLISHED)}, the folder "
            "of a store of latents, or a JSON file."
        ) from None
    if isinstance(document, Mapping):
        properties = document.get("properties", {})
        document = document.get("groups") or properties.get("eo_translate:groups", document)
    return str(file), document
