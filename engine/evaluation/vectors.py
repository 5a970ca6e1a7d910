"""Tables of positions and dates: generated ones against true ones, matched by their id."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np

from engine.errors import InputError
from engine.evaluation.scalars import date_scores, position_scores

_POSITION, _DATE = ("lat", "lon"), ("day", "month", "year")
_ID = "id"


def evaluate_tables(truth: Path, result: Path) -> dict[str, float]:
    """Scores of the positions (columns lat, lon) or dates (day, month, year) of two CSV files.

    Raises:
        InputError: A file cannot be read, lacks the columns, or no id is in both.
    """
    tables = _read(truth), _read(result)
    common = [key for key in tables[0] if key in tables[1]]
    if not common:
        raise InputError(f"The tables {truth} and {result} have no {_ID} in common.")
    for columns, score in ((_POSITION, _positions), (_DATE, _dates)):
        if all(columns[0] in table[key] for table in tables for key in common):
            rows = [[table[key] for key in common] for table in tables]
            return {"rows": float(len(common)), **score(rows[1], rows[0])}
    raise InputError(
        f"The tables {truth} and {result} need the columns {_ID}, {', '.join(_POSITION)} for positions, or "
        f"{_ID}, {', '.join(_DATE)} for dates."
    )


Row = Mapping[str, str]


def _positions(predicted: list[Row], truth: list[Row]) -> dict[str, float]:
    pairs = [
        np.array([[_number(row, name) for name in _POSITION] for row in rows]) for rows in (predicted, truth)
    ]
    return position_scores(*pairs)


def _dates(predicted: list[Row], truth: list[Row]) -> dict[str, float]:
    return date_scores(*([_date(row) for row in rows] for rows in (predicted, truth)))


def _date(row: Row) -> date:
    day, month, year = (int(_number(row, name)) for name in _DATE)
    try:
        return date(year, month, day)
    except ValueError as error:
        raise InputError(f"The row {row[_ID]} holds the date {day}-{month}-{year}: {error}.") from None


def _number(row: Row, name: str) -> float:
    try:
        return float(row[name])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"The row {row[_ID]} holds {row.get(name)!r} for {name}, which is no number."
        ) from None


def _read(path: Path) -> dict[str, Row]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [{(k or "").strip().casefold(): v for k, v in row.items()} for row in csv.DictReader(file)]
    except OSError as error:
        raise InputError(f"The table {path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The table {path} is no CSV text ({error}).") from None
    if not rows or _ID not in rows[0]:
        raise InputError(
            f"The table {path} needs a first line with column names, {_ID} among them, and rows."
        )
    return {row[_ID]: row for row in rows}
