"""Which bands of a file are the model's bands: by the user's word, by name, or by order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from engine.errors import InputError
from engine.models.schema import ContinuousInput, InputBand

_SYNONYMS = {"elevation": {"dem", "dsm", "dtm", "height", "altitude", "elev", "z", "srtm"}}


@dataclass(frozen=True)
class Band:
    """One band of an input's files.

    Attributes:
        file: Index of its file.
        number: In that file, from 1.
        text: Description; "" without one.
        dtype: As NumPy names it.
        alpha: It is an alpha band.
    """

    file: int
    number: int
    text: str
    dtype: str
    alpha: bool


class BandList:
    """The bands of a raster, or of several files in order, numbered from 1.

    Args:
        datasets: Opened files. Where there are several, a file with one band without a description goes by
            its file name.
    """

    def __init__(self, datasets: Sequence[DatasetReader]) -> None:
        self.name = ", ".join(dataset.name for dataset in datasets)
        by_file_name = len(datasets) > 1
        self.bands = tuple(
            band for file, dataset in enumerate(datasets) for band in _bands_of(file, dataset, by_file_name)
        )

    def __len__(self) -> int:
        return len(self.bands)

    def __getitem__(self, number: int) -> Band:
        """The band with a number, from 1."""
        return self.bands[number - 1]

    @property
    def numbers(self) -> range:
        """All numbers."""
        return range(1, len(self) + 1)

    @property
    def measured(self) -> list[int]:
        """Numbers of the bands that are no alpha band."""
        return [number for number in self.numbers if not self[number].alpha]


def choose_bands(
    bands: BandList, entry: ContinuousInput, asked: Sequence[int | str] | None
) -> list[int | None]:
    """Band numbers (from 1), one a band of the model; None where an optional one is absent.

    Args:
        bands: What the files have.
        entry: The model's input.
        asked: Numbers or names in the order of the model's bands; None lets names, then the file's order,
            decide.

    Raises:
        InputError: A band does not exist, or which one is which cannot be told.
    """
    if asked is not None:
        chosen: list[int | None] = [named_band(bands, band, entry.modality) for band in asked]
    else:
        chosen = _by_name(bands, entry) or list(bands.measured)
    _check_count(bands, entry, chosen, asked is not None)
    return chosen + [None] * (len(entry.bands) - len(chosen))


def mask_bands(bands: BandList, modality: str, asked: Sequence[int | str] | None, colors: bool) -> list[int]:
    """The band of a class mask, or its red, green and blue where the legend has colours.

    Raises:
        InputError: The file has another number of bands and none was chosen.
    """
    chosen = [named_band(bands, band, modality) for band in asked] if asked is not None else bands.measured
    is_color = len(chosen) == 3 and colors and all(bands[number].dtype == "uint8" for number in chosen)
    if len(chosen) == 1 or is_color:
        return chosen
    raise InputError(
        f"The {modality} raster {bands.name} has {len(chosen)} bands, and a class mask has one; say "
        f"which, for example bands {modality}=1."
    )


def _bands_of(file: int, dataset: DatasetReader, by_file_name: bool) -> Iterator[Band]:
    columns = (dataset.indexes, dataset.descriptions, dataset.dtypes, dataset.colorinterp)
    fallback = Path(dataset.name).stem if by_file_name and dataset.count == 1 else ""
    for number, text, dtype, use in zip(*columns, strict=True):
        yield Band(file, number, text or fallback, dtype, use == ColorInterp.alpha)


def named_band(bands: BandList, band: int | str, modality: str) -> int:
    """Number of the band that a user means by a number or a name.

    Raises:
        InputError: There is none, or several.
    """
    if isinstance(band, int):
        if band in bands.numbers:
            return band
        raise InputError(
            f"Band {band} was asked for, and the {modality} raster {bands.name} has bands 1 to {len(bands)}."
        )
    exact = [number for number in bands.numbers if bands[number].text == band]
    found = exact or [number for number in bands.numbers if _words(band) & _description(bands[number])]
    if len(found) == 1:
        return found[0]
    have = ", ".join(bands[number].text or f"(band {number})" for number in bands.numbers)
    problem = "has several bands" if found else "has no band"
    raise InputError(f"The {modality} raster {bands.name} {problem} named {band!r}; it has {have}.")


def _by_name(bands: BandList, entry: ContinuousInput) -> list[int | None] | None:
    """A number for each of the model's bands whose name the file has; None if it has none of them."""
    chosen: list[int | None] = []
    for band in entry.bands:
        found = [number for number in bands.measured if _names(band) & _description(bands[number])]
        if len(found) > 1:
            raise InputError(
                f"The {entry.modality} raster {bands.name} has {len(found)} bands that could be "
                f"{band.name} (numbers {', '.join(map(str, found))}); say which bands to use."
            )
        chosen.append(found[0] if found else None)
    return chosen if any(chosen) else None


def _check_count(bands: BandList, entry: ContinuousInput, chosen: list[int | None], asked: bool) -> None:
    wanted = ", ".join(band.name + ("" if band.required else " (optional)") for band in entry.bands)
    if len(chosen) > len(entry.bands):
        what = "names" if asked else "has"
        raise InputError(
            f"The {entry.modality} input {bands.name} {what} {len(chosen)} bands, and the model takes "
            f"{wanted}; say which bands to use, in that order."
        )
    for place, band in enumerate(entry.bands):
        if band.required and (place >= len(chosen) or chosen[place] is None):
            texts = [each.text for each in bands.bands if each.text]
            have = ", ".join(texts) or f"{len(bands)} band(s) without names"
            raise InputError(
                f"The {entry.modality} raster {bands.name} has no band for {band.name}: it has {have}, and "
                f"the model takes {wanted}; give a file with that band, or say which bands to use."
            )


def _names(band: InputBand) -> set[str]:
    names = _words(band.name) if len(_words(band.name)) == 1 else {plain_name(band.name)}
    if band.common_name:
        names = names | {plain_name(band.common_name)}
    return names | _SYNONYMS.get(plain_name(band.name), set())


def _description(band: Band) -> set[str]:
    return _words(band.text) | {plain_name(band.text)} - {""}


def _words(text: str) -> set[str]:
    return {plain_name(part) for part in re.split(r"[^0-9A-Za-z]+", text) if part}


def plain_name(text: str) -> str:
    """A band's name for comparisons: case and leading zeros of a number do not matter: B08 is b8."""
    return re.sub(r"^([a-z]+)0+(?=\d)", r"\1", re.sub(r"[^0-9a-z]+", "", text.casefold()))
