"""Which bands of a file are the model's bands: by the user's word, by name, or by order."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rasterio.io import DatasetReader

from engine.errors import InputError
from engine.models.schema import ContinuousInput, InputBand
from engine.raster.source import measured_bands

_SYNONYMS = {"elevation": {"dem", "dsm", "dtm", "height", "altitude", "elev", "z", "srtm"}}


def choose_bands(
    dataset: DatasetReader, entry: ContinuousInput, asked: Sequence[int | str] | None
) -> list[int | None]:
    """Band numbers (from 1), one a band of the model; None where an optional one is absent.

    Args:
        dataset: The raster.
        entry: The model's input.
        asked: Numbers or names in the order of the model's bands; None lets names, then the file's order,
            decide.

    Raises:
        InputError: A band does not exist, or which one is which cannot be told.
    """
    if asked is not None:
        chosen: list[int | None] = [_named(dataset, band, entry.modality) for band in asked]
    else:
        chosen = _by_name(dataset, entry) or list(measured_bands(dataset))
    _check_count(dataset, entry, chosen, asked is not None)
    return chosen + [None] * (len(entry.bands) - len(chosen))


def mask_bands(
    dataset: DatasetReader, modality: str, asked: Sequence[int | str] | None, colors: bool
) -> list[int]:
    """The band of a class mask, or its red, green and blue where the legend has colours.

    Raises:
        InputError: The file has another number of bands and none was chosen.
    """
    if asked is not None:
        bands = [_named(dataset, band, modality) for band in asked]
    else:
        bands = measured_bands(dataset)
    is_color = len(bands) == 3 and colors and all(dataset.dtypes[band - 1] == "uint8" for band in bands)
    if len(bands) == 1 or is_color:
        return bands
    raise InputError(
        f"The {modality} raster {dataset.name} has {len(bands)} bands, and a class mask has one; say "
        "which, for example "
        f"bands {modality}=1."
    )


def _named(dataset: DatasetReader, band: int | str, modality: str) -> int:
    if isinstance(band, int):
        if 1 <= band <= dataset.count:
            return band
        raise InputError(
            f"Band {band} was asked for, and the {modality} raster {dataset.name} has bands 1 to "
            f"{dataset.count}."
        )
    exact = [n for n, text in zip(dataset.indexes, dataset.descriptions, strict=True) if text == band]
    found = exact or [n for n in dataset.indexes if _words(band) & _description(dataset, n)]
    if len(found) == 1:
        return found[0]
    have = ", ".join(
        text or f"(band {n})" for n, text in zip(dataset.indexes, dataset.descriptions, strict=True)
    )
    problem = "has several bands" if found else "has no band"
    raise InputError(f"The {modality} raster {dataset.name} {problem} named {band!r}; it has {have}.")


def _by_name(dataset: DatasetReader, entry: ContinuousInput) -> list[int | None] | None:
    """A number for each of the model's bands whose name the file has; None if it has none of them."""
    chosen: list[int | None] = []
    for band in entry.bands:
        found = [n for n in measured_bands(dataset) if _names(band) & _description(dataset, n)]
        if len(found) > 1:
            raise InputError(
                f"The {entry.modality} raster {dataset.name} has {len(found)} bands that could be "
                f"{band.name} (numbers "
                f"{', '.join(map(str, found))}); say which bands to use."
            )
        chosen.append(found[0] if found else None)
    return chosen if any(chosen) else None


def _check_count(
    dataset: DatasetReader, entry: ContinuousInput, chosen: list[int | None], asked: bool
) -> None:
    wanted = ", ".join(band.name + ("" if band.required else " (optional)") for band in entry.bands)
    if len(chosen) > len(entry.bands):
        what = "names" if asked else "has"
        raise InputError(
            f"The {entry.modality} input {dataset.name} {what} {len(chosen)} bands, and the model takes "
            f"{wanted}; "
            "say which bands to use, in that order."
        )
    for place, band in enumerate(entry.bands):
        if band.required and (place >= len(chosen) or chosen[place] is None):
            have = (
                ", ".join(text for text in dataset.descriptions if text)
                or f"{dataset.count} band(s) without names"
            )
            raise InputError(
                f"The {entry.modality} raster {dataset.name} has no band for {band.name}: it has "
                f"{have}, and the model takes "
                f"{wanted}; give a file with that band, or say which bands to use."
            )


def _names(band: InputBand) -> set[str]:
    names = _words(band.name) if len(_words(band.name)) == 1 else {_word(band.name)}
    if band.common_name:
        names = names | {_word(band.common_name)}
    return names | _SYNONYMS.get(_word(band.name), set())


def _description(dataset: DatasetReader, number: int) -> set[str]:
    text = dataset.descriptions[number - 1] or ""
    return _words(text) | {_word(text)} - {""}


def _words(text: str) -> set[str]:
    return {_word(part) for part in re.split(r"[^0-9A-Za-z]+", text) if part}


def _word(text: str) -> str:
    """Case and leading zeros of a number do not matter: B08 is b8."""
    return re.sub(r"^([a-z]+)0+(?=\d)", r"\1", re.sub(r"[^0-9a-z]+", "", text.casefold()))
