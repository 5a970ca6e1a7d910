"""What the options of ``eo-translate run`` say, as fields of a Job."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.errors import InputError

_EXAMPLES = {
    "--bands": "sar=1,2",
    "--units": "sar=db",
    "--legend": "mask=corine",
    "--nodata": "sar=-9999",
    "--statistics": "sar=earlier_result.tif",
    "--co": "COMPRESS=ZSTD",
}
_UNITS = {"dn": "DN", "dn + 1000": "DN + 1000", "dn+1000": "DN + 1000"}  # the others are in small letters
_FILE_SUFFIXES = (".tif", ".tiff", ".vrt")
_SPREAD_ENDING = "_uncertainty"


def _pair(word: str, option: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    if not key or not value:
        example = _EXAMPLES.get(option, "sar=scene.tif")
        raise InputError(f"{option} {word!r} must have the form KEY=VALUE, for example {option} {example}.")
    return key, value


def pairs(words: list[str] | None, option: str) -> dict[str, str]:
    """``KEY=VALUE`` words by key.

    Raises:
        InputError: One has another form, or a key comes twice.
    """
    found: dict[str, str] = {}
    for key, value in (_pair(word, option) for word in words or []):
        if key in found:
            raise InputError(f"{option} gives {key} twice; give it once.")
        found[key] = value
    return found


def names(words: list[str] | None) -> list[str]:
    """The modalities of ``--generate``: comma-separated, and the option may be repeated."""
    found = [name.strip() for word in words or [] for name in word.split(",")]
    return [name for name in dict.fromkeys(found) if name]


def places(place: str | None, option: str, generate: list[str], suffix: str) -> str | dict[str, str] | None:
    """The file, or a file for each modality, that ``--output`` or ``--uncertainty`` names.

    Args:
        place: A file; or, with ``--generate``, a folder.
        option: Name of the option.
        generate: Modalities to make.
        suffix: Of the files in a folder.

    Raises:
        InputError: One file is to hold several modalities.
    """
    if place is None or not generate:
        return place
    if not place.lower().endswith(_FILE_SUFFIXES):
        ending = _SPREAD_ENDING if option == "--uncertainty" else ""
        return {name: str(Path(place) / f"{name}{ending}{suffix}") for name in generate}
    if len(generate) > 1:
        raise InputError(
            f"--generate asks for {', '.join(generate)} and {option} names the one file {place}; name a "
            "folder, which gets one file a modality."
        )
    return place


@contextlib.contextmanager
def result_folders(*places: str | dict[str, str] | None) -> Iterator[None]:
    """Makes the folders that ``places`` told of, where only the last part is missing.

    One in which nothing was written is removed at the end: a refused job leaves nothing.
    """
    files = [Path(file) for place in places if isinstance(place, dict) for file in place.values()]
    made = [folder for folder in dict.fromkeys(file.parent for file in files) if not folder.exists()]
    for folder in made:
        with contextlib.suppress(OSError):  # the sentence about it is that of the output
            folder.mkdir()
    try:
        yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def position(text: str | None) -> str | tuple[float, ...] | None:
    """``scene``, or latitude and longitude in degrees."""
    if text is None or text.casefold() == "scene":
        return text and text.casefold()
    numbers = _numbers(text)
    if len(numbers) != 2 or not (-90 <= numbers[0] <= 90 and -180 <= numbers[1] <= 180):
        raise InputError(
            f"The position {text!r} must be latitude,longitude in degrees, as 46.5,7.9, or the word scene."
        )
    return numbers


def inputs(rasters: list[str] | None, *settings: list[str] | None) -> dict[str, dict[str, Any]]:
    """The job's inputs by modality.

    Args:
        rasters: Words of ``--input``.
        *settings: Words of ``--bands``, ``--units``, ``--legend``, ``--nodata`` and ``--statistics``.

    Raises:
        InputError: A word has another form, or speaks of a modality that is not given.
    """
    found: dict[str, dict[str, Any]] = {}
    for modality, path in (_pair(word, "--input") for word in rasters or []):
        found.setdefault(modality, {"path": ()})["path"] += (path,)
    for given in found.values():
        if len(given["path"]) == 1:
            (given["path"],) = given["path"]
    readers: dict[str, Callable[[str, str], Any]] = {
        "bands": lambda text, _: _bands(text),
        "units": lambda text, _: _UNITS.get(text.casefold(), text.casefold()),
        "legend": lambda text, _: text,
        "nodata": lambda text, _: _number(text),
        "statistics": _statistics,
    }
    for (name, read), words in zip(readers.items(), settings, strict=True):
        for modality, text in pairs(words, f"--{name}").items():
            if modality not in found:
                raise InputError(
                    f"--{name} speaks of {modality}, which is not among the inputs; give --input "
                    f"{modality}=... too."
                )
            found[modality][name] = read(text, modality)
    return found


def _bands(text: str) -> list[int | str]:
    return [int(word) if word.strip().isdigit() else word.strip() for word in text.split(",")]


def _statistics(text: str, modality: str) -> dict[str, tuple[float, ...]]:
    from engine.provenance import recorded_statistics
    from engine.raster.statistics import parse_statistics

    bands = parse_statistics(text)
    if bands is None and not os.path.exists(text):
        raise InputError(
            f"The statistics {text!r} of {modality} are neither of the form BAND:MEAN:DEVIATION,BAND:... nor "
            "the file of an earlier result."
        )
    return bands or recorded_statistics(text, modality)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"The nodata value {text!r} is not a number.") from None


def extent(text: str | None) -> tuple[float, ...] | None:
    """``xmin,ymin,xmax,ymax``."""
    if text is None:
        return None
    numbers = _numbers(text)
    if len(numbers) != 4:
        raise InputError(f"The extent {text!r} must be four numbers: xmin,ymin,xmax,ymax.")
    return numbers


def _numbers(text: str) -> tuple[float, ...]:
    """Comma-separated numbers; none where one of them is something else."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        return ()
