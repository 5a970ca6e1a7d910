"""``eo-train``: fit, evaluate and package models.

``eo-train experiment=NAME [key=value ...]`` trains (Hydra's own syntax); the other commands are subcommands.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from engine.cli_errors import reported
from engine.errors import EOTranslateError

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONFIGS = Path(__file__).parent / "configs"
_TABLE_WIDTH = 140  # of ten columns: narrower ones would cut the numbers

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Fit, evaluate and package models. To train: eo-train experiment=sar_to_optical [key=value ...]",
)
Run = Annotated[Path, typer.Argument(help="Folder of a training run.")]


@app.command()
def evaluate(
    run: Run,
    patches: Annotated[int, typer.Option(min=1, help="Joint models: held-out patches.")] = 32,
    samples: Annotated[int, typer.Option(min=1, help="Joint models: samples of each.")] = 4,
    steps: Annotated[
        int, typer.Option(min=1, help="Joint models: evaluations of the network a sample.")
    ] = 50,
) -> None:
    """Score a run on places never trained on, beside baselines: real images of other places and the like."""
    from training import evaluate_joint, export_joint, export_student
    from training.evaluate import evaluate as score

    if export_student.is_student(run):
        students([str(run)], patches=patches, draws=samples, teacher_steps=steps)
    elif export_joint.is_joint(run):
        show_joint(evaluate_joint.evaluate(run, evaluate_joint.Plan(patches, samples, steps)))
    else:
        show(score(run))


@app.command()
def calibrate(run: Run) -> None:
    """Find how far the run's colours should be mixed with the mean colour; evaluate and package use it."""
    from training.calibrate import calibrate as fit_share

    found = fit_share(run)
    Console().print(f"Mean spectral angle by share: {found['angles']}; chosen: {found['share']}.")


@app.command()
def package(
    run: Run,
    output: Annotated[Path, typer.Argument(help="Folder of the model package to write.")],
) -> None:
    """Write a run as a model package with its scores; feed-forward models as ONNX, checked against torch."""
    from training import export, export_joint, export_student
    from training.evaluate import SCORES_NAME

    scores = run / SCORES_NAME
    kinds = ((export_student.is_student, export_student), (export_joint.is_joint, export_joint))
    write = next((module.package for is_one, module in kinds if is_one(run)), export.package)
    write(run, output, json.loads(scores.read_text()) if scores.is_file() else None)
    Console().print(f"Wrote {output}.")


@app.command()
def encode(
    source: Annotated[
        Path, typer.Argument(help="CSV file of rasters, or folder of Major TOM's cells or patches.")
    ],
    output: Annotated[Path, typer.Argument(help="Folder of the store of latents; an earlier run goes on.")],
    groups: Annotated[
        str,
        typer.Option(help="cop-gen-beta, cop-gen, a model package's folder, or a JSON file of groups."),
    ],
    autoencoder: Annotated[
        list[str] | None, typer.Option(help="KEY=FILE of an autoencoder; once for each that the groups name.")
    ] = None,
    folder: Annotated[bool, typer.Option("--folder", help="One file a sample rather than an LMDB.")] = False,
    least_valid: Annotated[
        float, typer.Option(min=0, max=1, help="A group with a smaller share of valid pixels is left out.")
    ] = 0.95,
    batch_size: Annotated[int, typer.Option(min=1, help="Patches a pass.")] = 8,
    device: Annotated[str, typer.Option(help="cpu, cuda ...")] = "cpu",
) -> None:
    """Encode patches of rasters, once: experiment=cop_gen_beta and cop_gen train on their latents."""
    from training.encode import run

    settings = {"least_valid": least_valid, "batch_size": batch_size, "device": device}
    new = run(source, output, groups, autoencoder or [], folder, **settings)
    Console().print(f"Wrote {new} new samples to {output}.")


@app.command()
def codec(run: Run) -> None:
    """Write the weights of a fitted autoencoder or small decoder into its run, as packages hold them."""
    from training.codecs import export

    file, scale = export(run)
    Console().print(f"Wrote {file}" + ("." if scale is None else f"; its latents' scale is {scale:.4f}."))


@app.command()
def encode_layers(
    output: Annotated[Path, typer.Argument(help="Folder of the store of latents; an earlier run goes on.")],
    groups: Annotated[Path, typer.Option(help="JSON file of groups.")] = CONFIGS / "groups/any_to_any.json",
    runs: Annotated[Path, typer.Option(help="Folder of the autoencoders' runs, kl-s1 and so on.")] = Path(
        "runs"
    ),
    window_px: Annotated[int, typer.Option(min=8, help="Side of a window.")] = 64,
) -> None:
    """Encode the bundled recipes' scenes: experiment=any_to_any trains on their latents."""
    from training.datasets.joint_latents import encode_sets

    info = encode_sets(groups, runs, output, window_px)
    Console().print(f"Wrote {info.source} to {output}.")


@app.command()
def figures(
    run: Run,
    output: Annotated[Path, typer.Argument(help="Folder for the PNG files.")],
) -> None:
    """Draw input, output and truth of the best, the median and the worst held-out image."""
    from training.figures import figures as draw

    for path in draw(run, output):
        Console().print(str(path))


@app.command()
def students(
    models: Annotated[list[str], typer.Argument(help="Students: runs of experiment=distil, or packages.")],
    teacher: Annotated[str | None, typer.Option(help="Package or run; by default the first run's.")] = None,
    store: Annotated[str | None, typer.Option(help="Folder of latents; by default the first run's.")] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(help="Location to compare on; by default those the first run held out."),
    ] = None,
    patches: Annotated[int, typer.Option(min=1, help="At most so many held-out patches.")] = 16,
    draws: Annotated[int, typer.Option(min=2, help="Samples of each patch, at once.")] = 4,
    teacher_steps: Annotated[int, typer.Option(min=1, help="Steps of the teacher.")] = 50,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda ...")] = "cpu",
) -> None:
    """Compare few-step students with their teacher: time, and quality on held-out patches."""
    from training.students import report

    settings = {"patches": patches, "draws": draws, "teacher_steps": teacher_steps, "device": device}
    table = report(models, threads, teacher=teacher, store=store, held_out=held_out, **settings)
    Console(width=max(_TABLE_WIDTH, Console().width)).print(table)


def show(result: dict) -> None:
    """Print scores as a table."""
    rows = {name: found for name, found in result.items() if isinstance(found, dict) and "psnr" in found}
    table = Table("", *next(iter(rows.values())))
    for name, found in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in found.values()))
    Console().print(table)


def show_joint(result: dict) -> None:
    """Print the scores of a joint model."""
    from training.evaluate_joint import rows

    for name, kind, scores in rows(result):
        figures = [f"{score} {value:.4g}" for score, value in scores.items() if value is not None]
        typer.echo(f"{name}, {kind.replace('_', ' ')}: {', '.join(figures)}")
    typer.echo(f"Truth: {result['truth']}. The best of the samples is optimistic: each score for itself.")


def main() -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    training = any("=" in argument for argument in sys.argv[1:2])
    with reported():
        _train() if training else app()


def _train() -> None:
    import hydra

    hydra.main(config_path=str(CONFIGS), config_name="train", version_base="1.3")(_fit)()


def _fit(config: DictConfig) -> None:
    """Runs an experiment inside Hydra, which would show a stack where a sentence is due."""
    from hydra.errors import InstantiationException

    from training.fit import fit

    with reported():
        try:
            fit(config)
        except InstantiationException as error:
            if isinstance(error.__cause__, EOTranslateError):
                raise error.__cause__ from None
            raise


if __name__ == "__main__":
    main()
