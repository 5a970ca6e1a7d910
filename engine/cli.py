"""``eo-translate``: run a translation, look after models, check the installation."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import engine
from engine import cli_evaluate, cli_models, cli_tools
from engine import cli_options as options
from engine.cli_errors import plain_errors, reported
from engine.cli_terminal import run_interruptibly
from engine.errors import CancelledError, InputError

if TYPE_CHECKING:
    from engine.job import RunResult
    from engine.spec import Job

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_models.app, name="models")
cli_tools.register(app)
cli_evaluate.register(app)

# Panels of the help of ``run``.
_GRID, _INPUTS = "Where", "More about the inputs"
_DIFFUSION, _WORK = "Diffusion models", "How the work is done"
# Options that say how a job is carried out, not what it is.
_BESIDE_A_FILE = frozenset(["job_file", "as_json", "resume", "restart", "scheduler", "local_cluster"])
# Click's, which newer typers carry inside themselves and older ones import.
_UsageError = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"eo-translate {engine.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Earth-observation imagery you do not have, from the rasters you do."""


@app.command()
@plain_errors
def run(
    context: typer.Context,
    job_file: Annotated[
        Path | None, typer.Argument(help="A job as JSON; other options are then not allowed.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name of a model, or the folder of a model package.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="MODALITY=RASTER",
            help="A raster, as sar=scene.tif; repeat it for other inputs, and for bands in several files.",
        ),
    ] = None,
    generate: Annotated[
        list[str] | None,
        typer.Option(metavar="MODALITY,...", help="What an any-to-any model is to make, as s2_l2a,dem."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="The GeoTIFF to write; with --generate also a folder, for a MODALITY.tif each."),
    ] = None,
    uncertainty: Annotated[
        str | None,
        typer.Option(
            help="GeoTIFF of how the samples differ; with --generate also a folder, for a "
            "MODALITY_uncertainty.tif each."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another number gives another draw.")] = 0,
    samples: Annotated[int, typer.Option(help="Draws of the noise.")] = 1,
    all_samples: Annotated[
        bool, typer.Option("--all-samples", help="Write every sample, the second as NAME_v2.tif and so on.")
    ] = False,
    extent: Annotated[
        str | None,
        typer.Option(metavar="XMIN,YMIN,XMAX,YMAX", help="Part to translate.", rich_help_panel=_GRID),
    ] = None,
    extent_crs: Annotated[
        str | None, typer.Option(help="CRS of the extent, if not the output's.", rich_help_panel=_GRID)
    ] = None,
    crs: Annotated[
        str | None,
        typer.Option(help="CRS of the output, if not the first input's.", rich_help_panel=_GRID),
    ] = None,
    resolution: Annotated[
        float | None, typer.Option(help="Pixel size of the output, in CRS units.", rich_help_panel=_GRID)
    ] = None,
    bands: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=BAND,...", help="Band numbers or names, as sar=1,2.", rich_help_panel=_INPUTS
        ),
    ] = None,
    units: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=UNITS",
            help="linear, db or relative, as sar=db; DN, DN+1000 or reflectance for Sentinel-2.",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    legend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=LEGEND",
            help="Class legend, as mask=corine, or a CSV file with the columns value,class.",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    nodata: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=VALUE",
            help="Nodata value, if the file has the wrong one.",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    statistics: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=STATISTICS",
            help="For scenes that must join: an earlier result's file, or BAND:MEAN:DEVIATION,... as a run "
            "logs them.",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(
            metavar="YYYY-MM-DD",
            help="Day of the scene, where the model knows it.",
            rich_help_panel=_DIFFUSION,
        ),
    ] = None,
    position: Annotated[
        str | None,
        typer.Option(
            metavar="LAT,LON|scene",
            help="Place of the scene, in degrees or from its georeference, where the model knows it.",
            rich_help_panel=_DIFFUSION,
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Evaluations of the network.", rich_help_panel=_DIFFUSION)
    ] = None,
    stages: Annotated[
        int | None, typer.Option(help="How often windows are reconciled.", rich_help_panel=_DIFFUSION)
    ] = None,
    anchor: Annotated[
        str,
        typer.Option(
            help="world: windows lie the same for all scenes, which then join; scene: as few as possible.",
            rich_help_panel=_DIFFUSION,
        ),
    ] = "world",
    distant_view: Annotated[
        int | None,
        typer.Option(
            "--context",
            metavar="N",
            help="Draw the scene first in pixels N times as wide, where absolute height or tone matters.",
            rich_help_panel=_DIFFUSION,
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="Weight of the inputs beyond their own; 0: none.", rich_help_panel=_DIFFUSION),
    ] = None,
    solver: Annotated[
        str | None, typer.Option(help="singlestep, multistep or consistency.", rich_help_panel=_DIFFUSION)
    ] = None,
    posterior: Annotated[
        str | None,
        typer.Option(help="Latents of the inputs: sample or mean.", rich_help_panel=_DIFFUSION),
    ] = None,
    published_ignored: Annotated[
        bool,
        typer.Option(
            "--published-ignored",
            help="Treat what is neither given nor made as the authors of COP-GEN did.",
            rich_help_panel=_DIFFUSION,
        ),
    ] = False,
    output_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="gtiff, cog, or vrt: a folder of GeoTIFFs and what joins them.",
            rich_help_panel=_WORK,
        ),
    ] = "gtiff",
    creation_options: Annotated[
        list[str] | None,
        typer.Option("--co", metavar="KEY=VALUE", help="GDAL creation option.", rich_help_panel=_WORK),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_WORK)] = "auto",
    precision: Annotated[
        str, typer.Option(help="float32, float16 or bfloat16.", rich_help_panel=_WORK)
    ] = "float32",
    profile: Annotated[
        str,
        typer.Option(
            help="deterministic, or fast: pixels may then differ in the last bits.", rich_help_panel=_WORK
        ),
    ] = "deterministic",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; default: all cores.", rich_help_panel=_WORK)
    ] = None,
    chunk_px: Annotated[
        int | None,
        typer.Option(
            "--chunk", metavar="PX", help="Side of the squares that work is done in.", rich_help_panel=_WORK
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with an interrupted run, and keep this one if it is.",
            rich_help_panel=_WORK,
        ),
    ] = False,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Remove what an interrupted run has left, and start over.",
            rich_help_panel=_WORK,
        ),
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Dask scheduler to run on, as tcp://host:8786.",
            rich_help_panel=_WORK,
        ),
    ] = None,
    local_cluster: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Run on N Dask workers on this machine.", rich_help_panel=_WORK
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Translate rasters: eo-translate run --model NAME --input sar=scene.tif --output out.tif.

    Any to any: eo-translate run --model NAME --input dem=dem.tif --generate s1_rtc,s2_l2a --output folder.
    """
    wanted, suffix = options.names(generate), ".vrt" if output_format.casefold() == "vrt" else ".tif"
    given = {
        "model": model,
        "inputs": options.inputs(inputs, bands, units, legend, nodata, statistics),
        "generate": wanted,
        "output": options.places(output, "--output", wanted, suffix),
        "uncertainty": options.places(uncertainty, "--uncertainty", wanted, suffix),
        "extent": options.extent(extent),
        "extent_crs": extent_crs,
        "crs": crs,
        "resolution": resolution,
        "seed": seed,
        "samples": samples,
        "all_samples": all_samples,
        "date": date,
        "position": options.position(position),
        "steps": steps,
        "stages": stages,
        "context": distant_view,
        "anchor": anchor.casefold(),
        "guidance": guidance,
        "solver": solver and solver.casefold(),
        "posterior": posterior and posterior.casefold(),
        "published_ignored": published_ignored,
        "device": device.casefold(),
        "precision": precision.casefold(),
        "threads": threads,
        "profile": profile.casefold(),
        "chunk_px": chunk_px,
        "format": output_format.casefold(),
        "creation_options": options.pairs(creation_options, "--co"),
    }
    job = _job(context, job_file, given).model_copy(update=_resume(resume, restart))
    folders = options.result_folders(given["output"], given["uncertainty"])
    with folders, _where(scheduler, local_cluster) as where:
        result = run_interruptibly(job, where)
    _print_result(result, as_json)


@app.command()
@plain_errors
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check the installation: versions, devices, models, and a small translation with each model."""
    from engine.doctor import examine

    findings = examine()
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what}: {finding.detail}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def main() -> None:
    """Entry point of the console script; wrong options are one sentence too."""
    with reported():
        try:
            status = app(standalone_mode=False)
        except _UsageError as error:
            if message := error.format_message():
                typer.echo(f"{message.rstrip('.')}; see eo-translate --help.", err=True)
            status = error.exit_code
        except typer.Abort:
            status = CancelledError.exit_code
        sys.exit(status if isinstance(status, int) else 0)


def _job(context: typer.Context, job_file: Path | None, given: dict[str, Any]) -> Job:
    from pydantic import ValidationError

    from engine.models.item import clipped
    from engine.spec import Job

    source = given
    if job_file is not None:
        _refuse_options_beside_file(context, job_file)
        source = _read_job(job_file)
    else:
        for option, name in (("--model", "model"), ("--input", "inputs"), ("--output", "output")):
            # What an any-to-any model generates, it can generate from nothing.
            if not (given[name] or (name == "inputs" and given["generate"])):
                raise InputError(f"The option {option} is missing; see eo-translate run --help.")
    try:
        return Job.model_validate({key: value for key, value in source.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = clipped(".".join(str(part) for part in first["loc"]))
        problem = "is not known" if first["type"] == "extra_forbidden" else f"is invalid ({first['msg']})"
        raise InputError(
            f"The job's setting {where} {problem}, found {clipped(repr(first['input']))}."
        ) from None


def _refuse_options_beside_file(context: typer.Context, job_file: Path) -> None:
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name not in _BESIDE_A_FILE:
            raise InputError(
                f"The job file {job_file} says everything; give no other option beside it than --json, "
                "--resume, --restart, --scheduler and --local-cluster."
            )


def _read_job(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"The job file {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"The job file {path} is not valid JSON ({error}).") from None
    if not isinstance(document, dict):
        raise InputError(f"The job file {path} must hold one JSON object with model, inputs and output.")
    return document


def _resume(resume: bool, restart: bool) -> dict[str, str]:
    if resume and restart:
        raise InputError("The options --resume and --restart exclude each other; give one of them.")
    return {"resume": "continue"} if resume else {"resume": "restart"} if restart else {}


@contextmanager
def _where(scheduler: str | None, workers: int | None) -> Iterator[dict[str, Any]]:
    """What runs the chunks, as an argument of ``engine.job.run``; none for this process."""
    if scheduler is None and workers is None:
        yield {}
        return
    if scheduler is not None and workers is not None:
        raise InputError("The options --scheduler and --local-cluster exclude each other; give one of them.")
    from engine import cluster

    with cluster.connected(scheduler, workers) as open_runner:
        yield {"open_runner": open_runner}


def _print_result(result: RunResult, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        typer.echo(json.dumps(asdict(result), indent=2, default=str))
        return
    for file in result.files:
        typer.echo(file.path)


if __name__ == "__main__":
    main()
