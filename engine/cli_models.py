"""``eo-translate models``: list, show, verify, install, remove and import model packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli_errors import plain_errors
from engine.errors import InputError

if TYPE_CHECKING:
    from engine.models.item import ModelItem

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
                **_summary(e.item),
            }
            for e in found
        ]
        _print_json(rows)
        return
    _print_table(
        ("model", "from", "to", "size", "where", "title"),
        [
            (e.name, *_cells(e.item), e.origin, e.item.title)
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
        _print_json({**_summary(item), **_details(item)})
        return
    from engine.models.describe import describe

    _print_table(("", ""), describe(item))


@app.command()
@plain_errors
def verify(model: Model, as_json: Json = False) -> None:
    """Check a model package completely: fields, checksums, and the weights against the description."""
    from engine.models.store import find
    from engine.models.verify import verify as verify_package

    report = verify_package(find(model).folder)
    if as_json:
        _print_json({"model": report.item.id, "passed": report.passed, "notes": report.notes})
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

    _installed(install_package(source, replace), as_json)


@app.command()
@plain_errors
def remove(name: Annotated[str, typer.Argument(help="Name of a model in your models folder.")]) -> None:
    """Delete a model that was installed or imported; bundled models stay."""
    from engine.models.store import remove as remove_package

    typer.echo(f"Removed {name} from {remove_package(name).parent}.")


@app.command("import")
@plain_errors
def import_model(
    source: Annotated[
        list[str], typer.Argument(help="FILE.onnx NAME; with --family only NAME.", metavar="[FILE.onnx] NAME")
    ],
    family: Annotated[
        str | None, typer.Option(help="Published model family whose checkpoint --weights is: aras400k.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Published checkpoint, .pth or .safetensors.")] = None,
    modality: Annotated[
        str | None, typer.Option(help="Of the input: sar, dem, optical ... [optical]")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Input bands in the network's order, as VV,VH.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="Class names, where the input is a one-hot class mask.")
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Units of the input values; dB for SAR in decibels.")
    ] = None,
    normalisation: Annotated[str | None, typer.Option(help="linear, constant or scene.")] = None,
    scale: Annotated[float | None, typer.Option(help="linear: x * scale + offset.")] = None,
    offset: Annotated[float | None, typer.Option(help="linear: x * scale + offset.")] = None,
    mean: Annotated[str | None, typer.Option(help="constant: (x - mean) / std, one number a band.")] = None,
    std: Annotated[str | None, typer.Option(help="constant: (x - mean) / std, one number a band.")] = None,
    clip: Annotated[str | None, typer.Option(help="Interval after normalisation, as -1,1.")] = None,
    layout: Annotated[str | None, typer.Option(help="NCHW or NHWC, where the shape does not tell.")] = None,
    output_modality: Annotated[str, typer.Option(help="Of the result.")] = "optical",
    output_bands: Annotated[str | None, typer.Option(help="Bands of the result, as B04,B03,B02.")] = None,
    output_range: Annotated[
        str | None, typer.Option(help="Interval of the network's output, as 0,1.")
    ] = None,
    output_dtype: Annotated[
        str | None, typer.Option(help="Stored as uint8, uint16, int16 or float32.")
    ] = None,
    output_units: Annotated[str | None, typer.Option(help="Units of the result.")] = None,
    gsd: Annotated[
        float | None, typer.Option(help="Ground sample distance in metres that it was made for.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="Side of the windows in pixels, where it takes several.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title to show.")] = None,
    license_: Annotated[str, typer.Option("--license", help="SPDX name, or other.")] = "other",
    citation: Annotated[str, typer.Option(help="How to cite the model.")] = "",
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Take in an image-to-image ONNX file (any, Deepness metadata are read), or a published checkpoint."""
    if family is not None:
        _installed(_import_family(family, weights, source, replace), as_json)
        return
    if weights is not None:
        raise InputError("--weights goes with --family; for an ONNX file give: models import FILE.onnx NAME.")
    if len(source) != 2:
        raise InputError("Give the ONNX file and the model's new name: models import FILE.onnx NAME.")
    from engine.models.onnx_import import import_onnx
    from engine.models.onnx_item import OnnxOptions

    options = _options(
        OnnxOptions,
        modality=modality,
        bands=_words(bands),
        classes=_words(classes),
        units=units,
        normalisation=normalisation,
        scale=scale,
        offset=offset,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        clip=_numbers("--clip", clip),
        layout=layout,
        output_modality=output_modality,
        output_bands=_words(output_bands),
        output_range=_numbers("--output-range", output_range),
        output_dtype=output_dtype,
        output_units=output_units,
        gsd_m=gsd,
        window_px=window,
        title=title,
        license=license_,
        citation=citation,
    )
    path, name = source
    _installed(import_onnx(Path(path), name, options, replace), as_json)


def _import_family(family: str, weights: Path | None, source: list[str], replace: bool) -> ModelItem:
    if weights is None or len(source) != 1:
        raise InputError(
            "Give the checkpoint and the model's new name: models import --family FAMILY --weights FILE NAME."
        )
    from engine.models.checkpoint_import import import_checkpoint

    return import_checkpoint(family, weights, source[0], replace)


def _options(kind: type, **fields: Any) -> Any:
    from pydantic import ValidationError

    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = "--" + str(first["loc"][0]).replace("_", "-").removesuffix("-m").removesuffix("-px")
        raise InputError(
            f"The option {option} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."
        ) from None


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise InputError(
            f"The option {option} is {text!r}; it must be numbers with commas between them."
        ) from None


def _installed(item: ModelItem, as_json: bool) -> None:
    if as_json:
        _print_json({**_summary(item), "folder": str(item.folder)})
    else:
        from engine.models.describe import summary

        typer.echo(f"Installed {item.id} in {item.folder}.")
        _print_table(("", ""), summary(item))


def _summary(item: ModelItem | None) -> dict[str, Any]:
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


def _cells(item: ModelItem) -> tuple[str, str, str]:
    inputs = " + ".join(name if name in item.needs else f"[{name}]" for name in item.takes)
    return inputs, ", ".join(item.gives), f"{item.weights_path.stat().st_size / 1e6:.1f} MB"


def _details(item: ModelItem) -> dict[str, Any]:
    fields = item.model_dump(mode="json", exclude={"files", "folder", "weights_path"})
    fields["folder"] = str(item.folder)
    fields["weights"] = item.weights_path.name
    return fields


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)
