"""``eo-translate models``: list, show, verify, install, remove and import model packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli_errors import plain_errors
from engine.cli_import import import_model
from engine.cli_tables import cells, details, print_installed, print_json, print_table, summary

app = typer.Typer(help="Model packages: what is installed, and how to add more.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Model = Annotated[str, typer.Argument(help="Name of an installed model, or the folder of a model package.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace an installed model of the same name.")]


@app.command("list")
@plain_errors
def list_models(as_json: Json = False) -> None:
    """List every model that can be run, and every package that is broken."""
    from engine.models.store import entries

    found = entries()
    if as_json:
        rows = [
            {
                "name": e.name,
                "folder": str(e.folder),
                "origin": e.origin,
                "problem": e.problem,
                **summary(e.item),
            }
            for e in found
        ]
        print_json(rows)
        return
    print_table(
        ("model", "from", "to", "size", "where", "title"),
        [
            (e.name, *cells(e.item), e.origin, e.item.title)
            if e.item
            else (e.name, "", "", "", e.origin, f"BROKEN: {e.problem}")
            for e in found
        ],
    )


@app.command()
@plain_errors
def show(model: Model, as_json: Json = False) -> None:
    """Show what a model takes, gives, was trained on, scores and must not be used for."""
    from engine.models.store import find

    item = find(model)
    if as_json:
        print_json({**summary(item), **details(item)})
        return
    from engine.models.describe import describe

    print_table(("", ""), describe(item))


@app.command()
@plain_errors
def verify(model: Model, as_json: Json = False) -> None:
    """Check a model package completely: fields, checksums, and the weights against the description."""
    from engine.models.store import find
    from engine.models.verify import verify as verify_package

    report = verify_package(find(model).folder)
    if as_json:
        print_json({"model": report.item.id, "passed": report.passed, "notes": report.notes})
        return
    for check in report.passed:
        typer.echo(f"passed: {check}")
    for note in report.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"The model {report.item.id} is valid.")


@app.command()
@plain_errors
def install(
    source: Annotated[Path, typer.Argument(help="Folder or .zip of a model package.")],
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Check a model package completely and copy it to your models folder."""
    from engine.models.store import install as install_package

    print_installed(install_package(source, replace), as_json)


@app.command()
@plain_errors
def remove(name: Annotated[str, typer.Argument(help="Name of a model in your models folder.")]) -> None:
    """Delete a model that was installed or imported; bundled models stay."""
    from engine.models.store import remove as remove_package

    typer.echo(f"Removed {name} from {remove_package(name).parent}.")


app.command("import")(plain_errors(import_model))
