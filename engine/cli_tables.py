"""How ``eo-translate models`` prints packages: tables for people, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from engine.models.item import ModelItem


def print_installed(item: ModelItem, as_json: bool) -> None:
    """Says where a package is now and what it takes and gives."""
    if as_json:
        print_json({**summary(item), "folder": str(item.folder)})
    else:
        from engine.models import describe

        typer.echo(f"Installed {item.id} in {item.folder}.")
        print_table(("", ""), describe.summary(item))


def summary(item: ModelItem | None) -> dict[str, Any]:
    """The fields that every list of models has; none for a broken package."""
    if item is None:
        return {}
    return {
        "id": item.id,
        "title": item.title,
        "inputs": [{"modality": name, "required": name in item.needs} for name in item.takes],
        "outputs": list(item.gives),
        "weights_bytes": item.weights_path.stat().st_size,
        "sha256": item.sha256,
    }


def cells(item: ModelItem) -> tuple[str, str, str]:
    """What it takes, what it gives, and the size of its files."""
    inputs = " + ".join(name if name in item.needs else f"[{name}]" for name in item.takes)
    return inputs, ", ".join(item.gives), f"{sum(a.size for a in item.files.values()) / 1e6:.1f} MB"


def details(item: ModelItem) -> dict[str, Any]:
    """Every field of a package."""
    fields = item.model_dump(mode="json", exclude={"files", "folder", "weights_path"})
    fields["folder"] = str(item.folder)
    fields["weights"] = item.weights_path.name
    return fields


def print_json(value: Any) -> None:
    """Prints a value for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Prints a table for people."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)
