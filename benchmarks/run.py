"""Every figure of the project beside its bar: ``make bench``, or ``run.py --only memory,growth``.

Prints a table and writes ``benchmarks/results/bench.json`` and ``bench.md``. Ratios compare numbers of one
run. With ``--only``, the other figures stay as they were measured before; each says when and at which commit.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from common import RESULTS, Bench, machine, now
from rich.console import Console
from rich.table import Table

FIGURES = {
    "startup": "Starting",
    "share": "Speed, and its share of the bare network's",
    "two_cores": "Speed on two CPU cores",
    "windows": "Pixels evaluated",
    "memory": "Peak memory, in a process of its own",
    "growth": "Cost by size",
    "workers": "Dask workers",
    "deepness": "Against the method of Deepness (tile by tile, one thread)",
    "identity": "S5: same pixels over threads, order, chunks, kill and resume, Dask, formats, sub-extent",
    "visible": "Seams: S1 to S4 on real scenes",
    "joint_training": "A training step of joint diffusion, against a plain PyTorch loop",
    "joint_import": "COP-GEN-Beta at its published size",
    "students": "One and two steps against fifty",
    "joint_evaluations": "Joint diffusion: evaluations of the networks",
    "joint_seams": "Joint diffusion: S1 to S5",
    "joint_speed": "Joint diffusion: samples a second at the published size",
    "joint_held_out": "Any to any beside the feed-forward model, on places never trained on",
    "joint_share": "Joint diffusion: speed over a scene, and its share of the networks'",
}
PREFACE = (
    "Made by `make bench`; `bench.json` holds all that the values were computed from. A figure of seams",
    "is *unclear* where it misses its bar by no more than other places of the same image differ (z standard",
    "deviations); see `docs/seams.md`.",
)


def main() -> None:
    """Every figure that was asked for."""
    arguments = options()
    names = arguments.only.split(",") if arguments.only else list(FIGURES)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise SystemExit(f"There is no figure {unknown[0]}; there are {', '.join(FIGURES)}.")
    console, store = Console(), RESULTS / "bench.json"
    figures = {} if arguments.quick else earlier(store)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.quick)
        for name in names:
            figures[name] = measured(name, bench)
            console.print(table(name, figures[name]))
            if not arguments.quick:
                write(store, figures)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"figures to measure, of {','.join(FIGURES)}")
    parser.add_argument("--quick", action="store_true", help="small rasters; only shows that it works")
    return parser.parse_args()


def measured(name: str, bench: Bench) -> dict[str, Any]:
    """One figure, with when, where and how long."""
    module, about = importlib.import_module(name), {**now(), "machine": machine()}
    started = time.perf_counter()
    rows = [row.as_dict() for row in module.measure(bench)]
    return {**about, "seconds": round(time.perf_counter() - started, 1), "rows": rows}


def earlier(store: Path) -> dict[str, Any]:
    """Figures that were measured before."""
    if not store.exists():
        return {}
    return json.loads(store.read_text(encoding="utf-8")).get("figures", {})


def write(store: Path, figures: dict[str, Any]) -> None:
    """JSON and Markdown."""
    figures = {name: figures[name] for name in FIGURES if name in figures}
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_text(json.dumps({"figures": figures}, indent=2) + "\n", encoding="utf-8")
    store.with_suffix(".md").write_text(markdown(figures), encoding="utf-8")


def markdown(figures: dict[str, Any]) -> str:
    """The tables, grouped by machine and commit where they differ."""
    lines = ["# Benchmarks", "", *PREFACE, ""]
    for name, figure in figures.items():
        lines += [f"## {FIGURES[name]}", ""]
        lines += ["| figure | value | bar | |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(cells(row))} |" for row in figure["rows"]]
        about = ", ".join(f"{key} {value}" for key, value in figure["machine"].items())
        lines += ["", f"{figure['date']}, commit {figure['commit'][:12]}{suffix(figure)}, {about}.", ""]
    return "\n".join(lines)


def suffix(figure: dict[str, Any]) -> str:
    """Says so where the sources were not as committed."""
    return " with changes" if figure["commit"].endswith("with changes") else ""


def cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """A row as text."""
    value = "-" if row["value"] is None else f"{row['value']:.4g} {row['unit']}".strip()
    bar = f"{row['bar']} {row['unit']}".strip() if row["bar"] else ""
    return row["what"], value, bar, row["verdict"]


def table(name: str, figure: dict[str, Any]) -> Table:
    """One figure for the terminal."""
    made = Table("figure", "value", "bar", "", title=f"{FIGURES[name]} ({figure['seconds']} s)")
    for row in figure["rows"]:
        made.add_row(*cells(row))
    return made


if __name__ == "__main__":
    main()
