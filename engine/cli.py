"""``eo-translate``: run a translation, look after models, check the installation."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import engine
from engine import cli_models, cli_tools
from engine.cli_errors import plain_errors, reported
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

_POLL_S = 0.2
# Options that say how a job is carried out, not what it is.
_BESIDE_A_FILE = frozenset(["job_file", "as_json", "resume", "restart", "scheduler", "local_cluster"])
_EXAMPLES = {
    "--bands": "sar=1,2",
    "--units": "sar=db",
    "--legend": "mask=corine",
    "--nodata": "sar=-9999",
    "--statistics": "sar=earlier_result.tif",
    "--co": "COMPRESS=ZSTD",
}
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
    output: Annotated[str | None, typer.Option(help="The GeoTIFF to write.")] = None,
    uncertainty: Annotated[
        str | None, typer.Option(help="GeoTIFF with mean and standard deviation over the samples.")
    ] = None,
    extent: Annotated[
        str | None, typer.Option(metavar="XMIN,YMIN,XMAX,YMAX", help="Part to translate.")
    ] = None,
    extent_crs: Annotated[str | None, typer.Option(help="CRS of the extent, if not the output's.")] = None,
    crs: Annotated[str | None, typer.Option(help="CRS of the output, if not the first input's.")] = None,
    resolution: Annotated[float | None, typer.Option(help="Pixel size of the output, in CRS units.")] = None,
    seed: Annotated[int, typer.Option(help="Another number gives another draw.")] = 0,
    samples: Annotated[int, typer.Option(help="Draws of the noise, for --uncertainty.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all cores.")] = None,
    bands: Annotated[
        list[str] | None, typer.Option(metavar="MODALITY=BAND,...", help="Band numbers or names, as sar=1,2.")
    ] = None,
    units: Annotated[
        list[str] | None, typer.Option(metavar="MODALITY=UNITS", help="linear, db or relative, as sar=db.")
    ] = None,
    legend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=LEGEND",
            help="Class legend, as mask=corine, or a CSV file with the columns value,class.",
        ),
    ] = None,
    nodata: Annotated[
        list[str] | None,
        typer.Option(metavar="MODALITY=VALUE", help="Nodata value, if the file has the wrong one."),
    ] = None,
    statistics: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=STATISTICS",
            help="For scenes that must join: an earlier result's file, or BAND:MEAN:DEVIATION,... as a run "
            "logs them.",
        ),
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", help="gtiff, cog, or vrt: a folder of GeoTIFFs and what joins them.")
    ] = "gtiff",
    creation_options: Annotated[
        list[str] | None, typer.Option("--co", metavar="KEY=VALUE", help="GDAL creation option.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="deterministic, or fast: pixels may then differ in the last bits.")
    ] = "deterministic",
    chunk_px: Annotated[
        int | None, typer.Option("--chunk", metavar="PX", help="Side of the squares that work is done in.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, and keep this one if it is.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Remove what an interrupted run has left, and start over.")
    ] = False,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler to run on, as tcp://host:8786.")
    ] = None,
    local_cluster: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Run on N Dask workers on this machine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Translate rasters: eo-translate run --model NAME --input sar=scene.tif --output out.tif."""
    given = {
        "model": model,
        "output": output,
        "uncertainty": uncertainty,
        "extent": _extent(extent),
        "extent_crs": extent_crs,
        "crs": crs,
        "resolution": resolution,
        "seed": seed,
        "samples": samples,
        "device": device.casefold(),
        "threads": threads,
        "profile": profile.casefold(),
        "chunk_px": chunk_px,
        "format": output_format.casefold(),
        "creation_options": _pairs(creation_options, "--co"),
        "inputs": _inputs(inputs, bands, units, legend, nodata, statistics),
    }
    job = _job(context, job_file, given).model_copy(update=_resume(resume, restart))
    with _where(scheduler, local_cluster) as where:
        result = _run_interruptibly(job, where)
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
            if not given[name]:
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


def _pair(word: str, option: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    if not key or not value:
        example = _EXAMPLES.get(option, "sar=scene.tif")
        raise InputError(f"{option} {word!r} must have the form KEY=VALUE, for example {option} {example}.")
    return key, value


def _pairs(words: list[str] | None, option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for key, value in (_pair(word, option) for word in words or []):
        if key in pairs:
            raise InputError(f"{option} gives {key} twice; give it once.")
        pairs[key] = value
    return pairs


def _inputs(rasters: list[str] | None, *settings: list[str] | None) -> dict[str, dict[str, Any]]:
    inputs: dict[str, dict[str, Any]] = {}
    for modality, path in (_pair(word, "--input") for word in rasters or []):
        inputs.setdefault(modality, {"path": ()})["path"] += (path,)
    for given in inputs.values():
        if len(given["path"]) == 1:
            (given["path"],) = given["path"]
    readers: dict[str, Callable[[str, str], Any]] = {
        "bands": lambda text, _: _bands(text),
        "units": lambda text, _: text.casefold(),
        "legend": lambda text, _: text,
        "nodata": lambda text, _: _number(text),
        "statistics": _statistics,
    }
    for (name, read), words in zip(readers.items(), settings, strict=True):
        for modality, text in _pairs(words, f"--{name}").items():
            if modality not in inputs:
                raise InputError(
                    f"--{name} speaks of {modality}, which is not among the inputs; give --input "
                    f"{modality}=... too."
                )
            inputs[modality][name] = read(text, modality)
    return inputs


def _bands(text: str) -> list[int | str]:
    return [int(word) if word.strip().isdigit() else word.strip() for word in text.split(",")]


def _statistics(text: str, modality: str) -> dict[str, tuple[float, float]]:
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


def _extent(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4:
        raise InputError(f"The extent {text!r} must be four numbers: xmin,ymin,xmax,ymax.")
    return numbers


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


def _run_interruptibly(job: Job, where: dict[str, Any]) -> RunResult:
    """Runs in a second thread, so that Ctrl-C is seen while the network works."""
    from concurrent.futures import ThreadPoolExecutor
    from concurrent.futures import TimeoutError as NotYet

    from engine import job as engine_job

    cancelled = threading.Event()
    with (
        _quiet_libraries(),
        _progress() as (on_progress, log),
        _signals(cancelled),
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(engine_job.run, job, on_progress, cancelled.is_set, log, **where)
        while True:
            try:
                return running.result(timeout=_POLL_S)
            except NotYet:
                if running.done():
                    raise


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keeps what C libraries print by themselves (libtiff on a full disk) off the terminal."""
    if sys.stderr is not sys.__stderr__:
        yield
        return
    terminal = os.dup(2)
    with open(os.devnull, "wb") as nowhere, open(terminal, "w", encoding=sys.stderr.encoding) as own:
        os.dup2(nowhere.fileno(), 2)
        sys.stderr = own
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            sys.stderr = sys.__stderr__


@contextmanager
def _signals(cancelled: threading.Event) -> Iterator[None]:
    """Ctrl-C and a polite kill cancel the run, which then cleans up."""
    import signal

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: cancelled.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[float, str], None], Callable[[str, str], None]]]:
    """A progress bar on a terminal; messages go to stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())

    def log(level: Literal["info", "warning"] | str, text: str) -> None:
        console.print(f"Warning: {text}" if level == "warning" else text, markup=False)

    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("Opening", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text), log


def _print_result(result: RunResult, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        typer.echo(json.dumps(asdict(result), indent=2))
        return
    typer.echo(result.output)
    if result.uncertainty:
        typer.echo(result.uncertainty)


if __name__ == "__main__":
    main()
