"""Runs side by side as a Markdown table: the metric against samples, what each run cost, and how many samples a level takes.

    uv run python benchmarks/curves.py RUN RUN ...
    uv run python benchmarks/curves.py --kept docs/results/runs/digits [--levels 0.8 0.9]

`--kept` reads the finished runs that `terse prove --kept` wrote, `ARM/seed-N.json`, and prints means over each arm's seeds. A level is
reached at the first count of samples from which on the mean stays at or above it.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COSTS = ("target_forwards", "target_backwards", "judging_passes", "synthesizer_forwards", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of runs")
    parser.add_argument("--kept", nargs="+", type=Path, default=[], help="folders of kept runs, ARM/seed-N.json")
    parser.add_argument("--levels", nargs="+", type=float, default=[0.8, 0.9])
    given = parser.parse_args()
    arms: dict[str, list[Any]] = {run.name: [_read(run / "result.json")] for run in given.runs}
    for folder in given.kept:
        for arm in sorted(path for path in folder.iterdir() if path.is_dir()):
            name = arm.name if len(given.kept) == 1 else f"{folder.name} {arm.name}"
            arms[name] = [_read(file)["result"] for file in sorted(arm.glob("*.json"))]
    if not arms:
        parser.error("name runs, or --kept and a folder")
    metric = next(iter(arms.values()))[0]["primary"]
    curves = {name: _curve(results, metric) for name, results in arms.items()}
    _row(["samples", *(f"{name} ({len(results)})" for name, results in arms.items())])
    _row(["---"] * (1 + len(arms)))
    for cycle in range(max(map(len, curves.values()))):
        points = [curve[cycle] if cycle < len(curve) else None for curve in curves.values()]
        most = max(count for point in points if point for count, _ in point)
        _row([f"{most:,}", *("" if point is None else _spread([value for _, value in point]) for point in points)])
    for cost in COSTS:
        sums = [[sum(row.get(cost, 0) for row in one["cycles"]) for one in results] for results in arms.values()]
        _row([cost.replace("_", " "), *(f"{sum(values) / len(values):,.0f}" for values in sums)])
    for level in given.levels:
        _row([f"samples to {level:g}", *(_reached(curve, level) for curve in curves.values())])


def _read(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


def _curve(results: Sequence[Mapping[str, Any]], metric: str) -> list[list[tuple[int, float]]]:
    """For the start and each cycle that all seeds have, the samples so far and the metric of each seed."""
    begun = [[(0, one["metrics"]["start"][metric])] for one in results]
    runs = [
        at + [(row["samples"], row[metric]) for row in one["cycles"]] for at, one in zip(begun, results, strict=True)
    ]
    return [list(point) for point in zip(*runs, strict=False)]


def _spread(values: Sequence[float]) -> str:
    """The mean, and the lowest and highest of several."""
    mean = f"{sum(values) / len(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def _reached(curve: Sequence[Sequence[tuple[int, float]]], level: float) -> str:
    """The samples, the most of any seed, from which on the mean is never below the level."""
    found, last = None, max(count for count, _ in curve[-1])
    for point in reversed(curve):
        if sum(value for _, value in point) / len(point) < level:
            break
        found = max(count for count, _ in point)
    return f"over {last:,}" if found is None else f"{found:,}"


def _row(cells: Sequence[str]) -> None:
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
