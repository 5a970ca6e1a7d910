"""All cases, with a table: ``python tests/fuzz/run.py [--cases N] [--target T [--case N]]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "engine")]

import pool  # noqa: E402
from targets import SHARES  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--target", choices=SHARES)
    parser.add_argument("--case", type=int, help="Run this one alone.")
    parser.add_argument("--start", type=int, default=0)
    asked = parser.parse_args()
    tallies = {}
    for target, share in SHARES.items():
        if asked.target in (None, target):
            numbers = range(asked.start, asked.start + round(asked.cases * (1.0 if asked.target else share)))
            numbers = [asked.case] if asked.case is not None else numbers
            tallies[target] = pool.fuzz(
                target, numbers, lambda line: print(line, file=sys.stderr, flush=True)
            )
    print_table(tallies)
    return 1 if any(tally.findings for tally in tallies.values()) else 0


def print_table(tallies):
    print(f"{'target':10}{'cases':>8}{'accepted':>10}{'refused':>9}{'findings':>10}{'seconds':>9}"
          f"{'slowest':>9}{'peak MiB':>10}")  # fmt: skip
    for target, tally in tallies.items():
        found = sum(map(len, tally.findings.values()))
        print(f"{target:10}{tally.cases:8}{tally.accepted:10}{tally.refused:9}{found:10}{tally.seconds:9.0f}"
              f"{tally.slowest_s:9.1f}{tally.peak_bytes / 2**20:10.0f}")  # fmt: skip
    for target, tally in tallies.items():
        for kind, cases in tally.findings.items():
            numbers = ", ".join(str(number) for number, _ in cases[:5])
            print(f"\n{target}: {kind} ({len(cases)} cases: {numbers})\n{cases[0][1]}")


if __name__ == "__main__":
    sys.exit(main())
