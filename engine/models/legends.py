"""Class legends: from the values (or colours) of a land-cover raster to the classes of a model."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError, ModelError
from engine.models.item import ModelItem, clipped
from engine.models.schema import OneHotInput

NODATA = 255
MODEL_LEGEND = "model"
_UNKNOWN = 254
_NODATA_WORDS = frozenset({"", "nodata", "no_data", "none", "null", "ignore"})
_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "legends"
_MAX_FILE_BYTES = 1 << 20
_MAX_TABLE = 1 << 16

Color = tuple[int, int, int]


@dataclass(frozen=True)
class LegendClass:
    """One entry of a legend.

    Attributes:
        values: Raster values that mean this class.
        color: The legend's own display colour.
        index: Class index of the model; None: the model has no such class.
        nodata: Pixels of this class carry no information.
    """

    values: tuple[int, ...]
    name: str
    color: Color | None
    index: int | None
    nodata: bool = False


@dataclass(frozen=True)
class Legend:
    """A legend bound to one model.

    Attributes:
        name, title, source: What it is and who published it.
        classes: All entries.
        model_classes: Names of the model's classes; a class index points here.
        model_colors: Their display colours.
    """

    name: str
    title: str
    source: str
    classes: tuple[LegendClass, ...]
    model_classes: tuple[str, ...]
    model_colors: tuple[Color, ...] = field(default=())

    @cached_property
    def mapping(self) -> dict[int, int]:
        """Raster value -> class index, ``NODATA`` where it means no data; values without a class left out."""
        return {
            value: NODATA if entry.nodata else entry.index
            for entry in self.classes
            for value in entry.values
            if entry.nodata or entry.index is not None
        }

    @property
    def has_colors(self) -> bool:
        """Whether colour-coded masks (three bands) can be read with this legend."""
        return bool(self._color_mapping)

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Class index of every pixel.

        Args:
            values: (H, W) raster values, integers or whole floats; or (3, H, W) uint8 red, green, blue of a
                colour-coded mask.

        Returns:
            (H, W) uint8: class index; 255 where there is no data or the value has no class (see ``unknown``).

        Raises:
            InputError: Three bands with a legend that has no colours, or another number of bands.
        """
        index = self._lookup(values)
        index[index == _UNKNOWN] = NODATA
        return index

    def unknown(self, values: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> dict[int, int]:
        """Pixel count of every value that has no class in the model.

        Args:
            values: As for ``apply``.
            valid: (H, W) bool; only these pixels are looked at.

        Returns:
            Value -> pixels. The value of a colour is ``0xRRGGBB``; values that are no whole number are cut.
        """
        missing = self._lookup(values) == _UNKNOWN
        if valid is not None:
            missing &= valid
        if not missing.any():
            return {}
        codes = _color_codes(values) if values.ndim == 3 else values
        found, counts = np.unique(codes[missing].astype(np.int64), return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    def unknown_sentence(
        self,
        counts: Mapping[int, int],
        pixels: int,
        path: str,
        colors: bool = False,
        fitting: Sequence[str] = (),
    ) -> str:
        """The error for values without a class.

        Args:
            counts: Value (or colour) -> pixels.
            pixels: Number of valid pixels, for the shares.
            path: The mask.
            colors: The values are colours.
            fitting: Names of legends that know these values.
        """
        ranked = sorted(counts.items(), key=lambda pair: -pair[1])
        names = {value: entry.name for entry in self.classes for value in entry.values}
        parts = []
        for value, count in ranked[:10]:
            name = (
                f"#{value:06x}" if colors else f"{value} ({names[value]})" if value in names else str(value)
            )
            parts.append(f"{name}: {_percent(count / max(pixels, 1))}")
        more = f" and {len(ranked) - 10} more" if len(ranked) > 10 else ""
        what = "colours" if colors else "values"
        hint = f" ({', '.join(fitting)} {'knows' if len(fitting) == 1 else 'know'} them)" if fitting else ""
        return (
            f"The mask {path} has {what} that the legend {self.name} gives no class of the model "
            f"({'; '.join(parts)}{more}); choose the right legend{hint} or give your own mapping of values "
            f"to {', '.join(self.model_classes)} or nodata."
        )

    def _lookup(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        if values.ndim == 3:
            if values.shape[0] != 3:
                raise InputError(
                    "A class mask must have one band of values or three of colour, and this one has "
                    f"{values.shape[0]}."
                )
            if not self._color_mapping:
                raise InputError(
                    f"The mask has three bands, and the legend {self.name} has no colours; give a mask "
                    "with one band of class values."
                )
            return _translate(_color_codes(values), self._color_mapping)
        if values.dtype.kind == "f":
            whole = np.isfinite(values) & (values == np.rint(values)) & (np.abs(values) < 2**31)
            index = _translate(np.where(whole, values, 0).astype(np.int64), self.mapping)
            index[~whole] = _UNKNOWN
            index[np.isnan(values)] = NODATA
            return index
        return _translate(values, self.mapping)

    @cached_property
    def _color_mapping(self) -> dict[int, int]:
        return {
            _code(entry.color): NODATA if entry.nodata else entry.index
            for entry in self.classes
            if entry.color is not None and (entry.nodata or entry.index is not None)
        }


def names() -> list[str]:
    """Names of the bundled legends, and ``model``: the raster already holds the model's class indices."""
    return [*sorted(path.stem for path in _FOLDER.glob("*.json")), MODEL_LEGEND]


def class_colors(name: str) -> list[tuple[str, Color]]:
    """Class names and colours of a bundled legend, in its order."""
    return [
        (entry["name"], tuple(entry["color"]))
        for entry in _read_json(_FOLDER / f"{name}.json")["classes"]
        if entry["color"] is not None
    ]


def fitting(values: Iterable[int], mask: OneHotInput) -> list[str]:
    """Names of the bundled legends that give each of these raster values a class of the model or no data."""
    wanted = set(values)
    bundled = {name: _read_json(_FOLDER / f"{name}.json") for name in names() if name != MODEL_LEGEND}
    return [
        name
        for name, document in bundled.items()
        if wanted <= set(_from_document(name, document, mask).mapping)
    ]


def load(legend: str | Mapping[int, str] | None, item: ModelItem) -> Legend:
    """Binds a legend to a model.

    Args:
        legend: A bundled legend's name; a JSON or CSV file (``value,class``); raster value -> model class
            name; None takes the model's default.
        item: A model with a class-map input.

    Raises:
        InputError: The legend is unknown or malformed, or names a class that the model does not have.
        ModelError: The model takes no mask.
    """
    mask = item.mask
    if mask is None:
        raise ModelError(f"The model {item.id} takes no class mask, so a legend makes no sense for it.")
    if legend is None:
        # A package may name a bundled legend and nothing else: it must not point at files of the user's.
        legend = mask.default_legend or MODEL_LEGEND
        if legend not in names():
            raise ModelError(
                f"The model {item.id} names the legend '{clipped(legend)}', which is none of "
                f"{', '.join(names())}; give a legend, or ask the model's author."
            )
    return bind(legend, mask)


def bind(legend: str | Mapping[int, str], mask: OneHotInput) -> Legend:
    """A legend, as for ``load``, bound to the classes of an input.

    Raises:
        InputError: The legend is unknown or malformed, or names a class that the input does not have.
    """
    if isinstance(legend, Mapping):
        return _from_mapping("own mapping", legend, mask)
    if legend == MODEL_LEGEND:
        return _from_model(mask)
    if legend in names():
        return _from_document(legend, _read_json(_FOLDER / f"{legend}.json"), mask)
    return _from_file(Path(legend), mask)


def _from_model(mask: OneHotInput) -> Legend:
    classes = tuple(LegendClass((i,), entry.name, entry.color, i) for i, entry in enumerate(mask.classes))
    return _bind(MODEL_LEGEND, "The model's own class indices", "", classes, mask)


def _from_mapping(name: str, mapping: Mapping[Any, Any], mask: OneHotInput) -> Legend:
    if not mapping:
        raise InputError(f"The legend {name} is empty; give at least one value and its class.")
    indices, classes = _indices(mask), []
    for key, target in mapping.items():
        value = _integer(key, name)
        word = _normal("" if target is None else str(target))
        if word in _NODATA_WORDS:
            classes.append(LegendClass((value,), "no data", None, None, nodata=True))
            continue
        if word not in indices:
            raise InputError(
                f"The legend {name} gives value {value} the class {clipped(repr(target))}, which the "
                f"model does not have; it has {', '.join(entry.name for entry in mask.classes)} (or nodata)."
            )
        classes.append(LegendClass((value,), str(target), mask.classes[indices[word]].color, indices[word]))
    # Colours are the model's, not the raster's: a colour-coded mask cannot be read by them.
    classes = [LegendClass(c.values, c.name, None, c.index, c.nodata) for c in classes]
    return _bind(name, name, "", tuple(classes), mask)


def _from_document(name: str, document: Any, mask: OneHotInput) -> Legend:
    indices = _indices(mask)
    classes = []
    try:
        for entry in document["classes"]:
            model_class = entry["model_class"]
            candidates = [_normal(word) for word in [model_class, *entry.get("also", [])] if word is not None]
            index = next((indices[word] for word in candidates if word in indices), None)
            color = _color(entry.get("color"))
            values = tuple(_integer(v, name) for v in [entry["value"], *entry.get("other_values", [])])
            classes.append(LegendClass(values, str(entry["name"]), color, index, model_class is None))
        title, source = str(document["title"]), str(document.get("source", ""))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"The legend {name} is malformed ({clipped(error)}); it must hold a title and classes with "
            "value, name, color and model_class."
        ) from None
    return _bind(name, title, source, tuple(classes), mask)


def _bind(name: str, title: str, source: str, classes: tuple[LegendClass, ...], mask: OneHotInput) -> Legend:
    counts = Counter(value for entry in classes for value in entry.values)
    twice = next((value for value, count in counts.items() if count > 1), None)
    if twice is not None:
        raise InputError(f"The legend {name} has the value {twice} twice; each value needs one class.")
    model_names, colors = tuple(c.name for c in mask.classes), tuple(c.color for c in mask.classes)
    legend = Legend(name, title, source, classes, model_names, colors)
    if not any(index != NODATA for index in legend.mapping.values()):
        raise InputError(
            f"The legend {name} fits none of the model's classes ({', '.join(model_names)}); give your "
            "own mapping."
        )
    return legend


def _from_file(path: Path, mask: OneHotInput) -> Legend:
    suffix = path.suffix.lower()
    if suffix not in {".json", ".csv"}:
        raise InputError(
            f"There is no legend named {clipped(path)}; known are {', '.join(names())}, or give a .json "
            "or .csv file."
        )
    if not os.path.isfile(path):
        raise InputError(f"There is no legend file {clipped(path)}.")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise InputError(f"The legend file {path} is larger than 1 MiB, which no legend is.")
    if suffix == ".csv":
        return _from_mapping(str(path), _read_csv(path), mask)
    document = _read_json(path)
    if isinstance(document, dict) and "classes" not in document:
        return _from_mapping(str(path), document, mask)
    return _from_document(str(path), document, mask)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"The legend file {path} is not valid JSON ({clipped(error)}).") from None


def _read_csv(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"The legend file {path} is not UTF-8 text; save it as UTF-8.") from None
    delimiter = max(",;\t", key=text.count)
    try:
        lines = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=delimiter)]
    except csv.Error as error:
        raise InputError(f"The legend file {path} is not a CSV file ({error}); check it.") from None
    rows = [row for row in lines if any(row)]
    if rows and not re.fullmatch(r"[+-]?\d+", rows[0][0]):
        rows = rows[1:]
    mapping: dict[str, str] = {}
    for row in rows:
        if len(row) < 2:
            raise InputError(
                f"The legend file {path} has the line {clipped(repr(row[0]))}; each line must be value,class."
            )
        if row[0] in mapping:
            raise InputError(
                f"The legend file {path} has the value {clipped(row[0])} twice; each value needs one class."
            )
        mapping[row[0]] = row[1]
    return mapping


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[+-]?\d{1,10}", str(value).strip()):
        raise InputError(
            f"The legend {name} has {clipped(repr(value))} where a whole raster value was expected."
        )
    return int(value)


def _color(given: Any) -> Color | None:
    if not given:
        return None
    if len(given) != 3 or not all(isinstance(value, int) and 0 <= value <= 255 for value in given):
        raise TypeError(f"color {given}")
    red, green, blue = given
    return red, green, blue


def _indices(mask: OneHotInput) -> dict[str, int]:
    return {_normal(entry.name): index for index, entry in enumerate(mask.classes)}


def _normal(word: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", word.strip().casefold()).strip("_")


def _code(color: Color) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]


def _color_codes(rgb: NDArray[Any]) -> NDArray[np.int64]:
    red, green, blue = (band.astype(np.int64) for band in rgb)
    return red << 16 | green << 8 | blue


def _translate(values: NDArray[Any], mapping: Mapping[int, int]) -> NDArray[np.uint8]:
    """Looks every value up: a dense table where the keys span little, else binary search."""
    keys = np.array(sorted(mapping), dtype=np.int64)
    targets = np.array([mapping[key] for key in keys.tolist()], dtype=np.uint8)
    low, high = int(keys[0]), int(keys[-1])
    if high - low < _MAX_TABLE:
        # One slot beyond each end catches every value outside.
        table = np.full(high - low + 3, _UNKNOWN, dtype=np.uint8)
        table[keys - low + 1] = targets
        return table[np.clip(values.astype(np.int64), low - 1, high + 1) - low + 1]
    place = np.searchsorted(keys, values).clip(0, len(keys) - 1)
    return np.where(keys[place] == values, targets[place], _UNKNOWN).astype(np.uint8)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} % of the pixels" if share >= 0.001 else "under 0.1 % of the pixels"
