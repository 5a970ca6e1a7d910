"""A model package in words, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.models.item import ModelItem
from engine.models.joint_schema import Group
from engine.models.schema import Input, OneHotInput


def describe(item: ModelItem) -> list[tuple[str, str]]:
    """(topic, text): what a model takes, gives, was made from and must not be used for."""
    rows = [
        ("name", item.id),
        ("title", item.title),
        ("description", item.description),
        *_modalities(item),
        ("noise", _noise(item)),
        ("resolution", _resolution(item)),
        ("windows", _windows(item)),
        ("precision", _precision(item)),
        ("limits", item.limits),
        *_flattened("metrics", item.metrics),
        *_flattened("training", item.training),
        ("architecture", _architecture(item)),
        ("licence", item.license),
        ("citation", item.citation),
        ("weights", f"{item.weights_path.name}, {item.weights_path.stat().st_size / 1e6:.1f} MB"),
        ("SHA-256", item.sha256),
        ("folder", str(item.folder)),
    ]
    return [(topic, text) for topic, text in rows if text]


def summary(item: ModelItem) -> list[tuple[str, str]]:
    """The rows of ``describe`` that decide whether a result can be right; to look over after an import."""
    wanted = {"resolution", "windows", "limits", *(topic for topic, _ in _modalities(item))}
    return [(topic, text) for topic, text in describe(item) if topic in wanted]


def outputs(item: ModelItem) -> dict[str, dict[str, Any]]:
    """How each raster that a model makes is stored and shown, as JSON types.

    Returns:
        Modality -> the fields of ``engine.models.schema.Output``, and ``classes``: value, name and colour of
        the classes of a class map, else none.
    """
    from engine.results import modality_output

    return {
        modality: {
            **modality_output(item, modality).model_dump(mode="json"),
            "classes": _classes(item.groups_of(modality)[0]) if item.is_joint else [],
        }
        for modality in item.gives
    }


def _classes(group: Group) -> list[dict[str, Any]]:
    return [entry.model_dump(mode="json") for entry in getattr(group.encoding, "classes", ())]


def _modalities(item: ModelItem) -> list[tuple[str, str]]:
    if item.is_joint:
        names = dict.fromkeys(group.modality for group in item.groups)
        return [(f"takes or gives {name}", _groups(item, name)) for name in names]
    taken = [(f"takes {entry.modality}", _input(entry)) for entry in item.inputs]
    return [*taken, (f"gives {item.output.modality}", _output(item))]


def _groups(item: ModelItem, modality: str) -> str:
    texts = []
    for group in item.groups_of(modality):
        if group.is_vector:
            texts.append("one value a window")
            continue
        gsd = f" at {item.gsd_m * group.pixel:g} m" if item.gsd_m else ""
        texts.append(f"bands {', '.join(band.name for band in group.bands)}{gsd} ({group.encoding.kind})")
    return "; ".join(texts)


def _noise(item: ModelItem) -> str:
    if item.is_joint:
        return "drawn for every sample; samples of one input differ"
    return f"{len(item.noise.cells_px)} planes" if item.noise else "none: one input gives one result"


def _input(entry: Input) -> str:
    need = "needed" if entry.required else "optional"
    if isinstance(entry, OneHotInput):
        legend = f"; default legend {entry.default_legend}" if entry.default_legend else ""
        return f"{need}; classes {', '.join(c.name for c in entry.classes)}{legend}"
    bands = ", ".join(band.name if band.required else f"[{band.name}]" for band in entry.bands)
    fields = entry.normalisation.model_dump(exclude={"kind"}, exclude_none=True)
    details = ", ".join(f"{key} {_plain(value)}" for key, value in fields.items())
    how = f"{entry.normalisation.kind} ({details})" if details else entry.normalisation.kind
    return f"{need}; bands {bands} in {entry.units}; normalisation {how}"


def _output(item: ModelItem) -> str:
    output = item.output
    bands = ", ".join(band.name for band in output.bands)
    finer = f"; {output.scale_factor} times finer than the input" if output.scale_factor > 1 else ""
    return f"bands {bands} in {output.units}; stored as {output.dtype}{finer}"


def _resolution(item: ModelItem) -> str:
    if item.gsd_m is None:
        return ""
    usable = f", usable from {item.gsd_range_m[0]:g} to {item.gsd_range_m[1]:g} m" if item.gsd_range_m else ""
    return f"made for {item.gsd_m:g} m{usable}"


def _windows(item: ModelItem) -> str:
    tiling = item.tiling
    if tiling.mode == "crop":
        return f"local network, exact: {tiling.window_px} px with {tiling.halo_px} px of context"
    return f"blended: {tiling.window_px} px every {tiling.stride_px} px"


def _precision(item: ModelItem) -> str:
    return f"may be run in {', '.join(item.precisions)}" if len(item.precisions) > 1 else ""


def _architecture(item: ModelItem) -> str:
    count = f", {item.total_parameters:,} parameters" if item.total_parameters else ""
    return item.architecture + count


def _flattened(topic: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{topic}: {key}"
        if isinstance(value, Mapping):
            yield from _flattened(name, value)
        else:
            yield name, _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(_plain(entry) for entry in value.values())
    if isinstance(value, list | tuple):
        separator = " | " if any(isinstance(entry, Mapping) for entry in value) else ", "
        return separator.join(_plain(entry) for entry in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
