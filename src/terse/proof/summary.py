"""What the runs of a proof's folder say together: the verdict, and what it rests on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from terse.errors import RunError
from terse.proof.verdict import ARMS, judge
from terse.recipe import load_recipe
from terse.tasks.task import task

__all__ = ["coverage_of", "read_runs", "summarise"]


def summarise(
    folder: Path, *, treatment: str | None = None, reference: str | None = None, worth: float = 0.0
) -> dict[str, Any]:
    """The verdict on the runs that a proof's folder holds by now, and what it rests on.

    Raises:
        RunError: fewer than two arms have a finished run.
    """
    runs = read_runs(folder)
    metric = task(load_recipe(folder / "recipe.yaml").task).primary
    primary = metric.name
    per_seed = {arm: {s: _figure(run, primary, arm, s) for s, run in of.items()} for arm, of in runs.items()}
    units = {arm: {s: run["measured"]["units"] for s, run in of.items()} for arm, of in runs.items()}
    written = folder / "shortcut.json"
    shortcut = json.loads(written.read_text("utf-8")) if written.is_file() else None
    verdict = judge(
        per_seed,
        units=units,
        treatment=treatment,
        reference=reference,
        worth=worth,
        metric=metric.short,
        larger_is_better=metric.larger_is_better,
    )
    return {
        **verdict.to_json(),
        "primary": primary,
        "seeds": sorted({seed for of in runs.values() for seed in of}),
        "curves": {arm: _curve(list(of.values()), primary) for arm, of in runs.items()},
        "hardness": {arm: _histogram(list(of.values())) for arm, of in runs.items() if arm != "none"},
        "coverage": {arm: _covered(list(of.values())) for arm, of in runs.items() if arm != "none"},
        "costs": {arm: _costs(list(of.values())) for arm, of in runs.items()},
        "shortcut": shortcut,
        "alarms": [
            *_unequal(runs),
            *_of_treatment(runs, verdict.treatment),
            *(shortcut["warnings"] if shortcut else ()),
        ],
        "seconds": round(_seconds(runs), 3),
    }


def read_runs(folder: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """The finished runs of a proof by arm and seed: `result.json`, with `measured.json` as `measured`."""
    runs: dict[str, dict[int, dict[str, Any]]] = {}
    for path in sorted(folder.glob("arms/*/seed-*/measured.json")):
        arm, seed = path.parent.parent.name, int(path.parent.name.removeprefix("seed-"))
        result = json.loads((path.parent / "result.json").read_text("utf-8"))
        runs.setdefault(arm, {})[seed] = {**result, "measured": json.loads(path.read_text("utf-8"))}
    order = sorted(runs, key=lambda arm: (ARMS.index(arm) if arm in ARMS else len(ARMS), arm))
    return {arm: dict(sorted(runs[arm].items())) for arm in order}


def _figure(run: Mapping[str, Any], primary: str, arm: str, seed: int) -> float:
    value = run["metrics"]["end"][primary]
    if value is None:
        raise RunError(f"{arm}, seed {seed}: expected test images with objects to find, got none; look at `test:`")
    return float(value)


def _curve(runs: Sequence[Mapping[str, Any]], primary: str) -> list[dict[str, float]]:
    """The metric after each cycle, mean over seeds, against samples and target passes."""
    spent = dict.fromkeys(("target_forwards", "target_backwards"), 0.0)
    points = [{"samples": 0.0, **spent, primary: _mean([run["metrics"]["start"][primary] for run in runs])}]
    for rows in zip(*(run["cycles"] for run in runs), strict=False):
        spent = {key: before + _mean([row[key] for row in rows]) for key, before in spent.items()}
        points.append({key: _mean([row[key] for row in rows]) for key in ("samples", primary)} | spent)
    return points


def _histogram(runs: Sequence[Mapping[str, Any]], bins: int = 20) -> dict[str, Any]:
    """1 - p under the frozen start in equal bins from 0 to 1 (Fig. 8)."""
    values = [value for run in runs for value in run["measured"]["hardness"]]
    counts = [0] * bins
    for value in values:
        counts[min(int(value * bins), bins - 1)] += 1
    return {"counts": counts, "mean": _mean(values) if values else None}


def _covered(runs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Of poses, repeats and feature distance, means over seeds; `coverage.json` holds the rest."""
    seen = [run["measured"]["coverage"] for run in runs if run["measured"]["coverage"]]
    keys = ("entropy", "duplicates", "near_duplicates")
    found: dict[str, float | None] = {key: _mean([one[key] for one in seen]) if seen else None for key in keys}
    apart = [one["diversity"]["distance"] for one in seen if one.get("diversity")]
    return {**found, "feature_distance": _mean(apart) if apart else None}


def coverage_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The coverage audit of every run: arm, seed, `Coverage.to_json()` with the feature distance beside it."""
    return {
        arm: {str(seed): run["measured"]["coverage"] for seed, run in of.items() if run["measured"]["coverage"]}
        for arm, of in read_runs(folder).items()
        if arm != "none"
    }


def _costs(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sums over the cycles, mean over seeds."""
    keys = ("target_forwards", "target_backwards", "synthesizer_forwards", "seconds")
    spent = {key: _mean([sum(row[key] for row in run["cycles"]) for run in runs]) for key in keys}
    return {"samples": _mean([run["cycles"][-1]["samples"] if run["cycles"] else 0 for run in runs]), **spent}


def _unequal(runs: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[str]:
    """A sentence for each seed whose arms ended with unequal numbers of synthetic images."""
    alarms = []
    for seed in sorted({seed for of in runs.values() for seed in of}):
        kept = {
            arm: of[seed]["cycles"][-1]["samples"]
            for arm, of in runs.items()
            if arm != "none" and seed in of and of[seed]["cycles"]
        }
        if len(set(kept.values())) > 1:
            listed = ", ".join(f"{arm} {count:,}" for arm, count in kept.items())
            alarms.append(
                f"seed {seed}: the arms found unequal numbers of synthetic images ({listed}); raise pool.candidates"
            )
    return alarms


def _of_treatment(runs: Mapping[str, Mapping[int, Mapping[str, Any]]], arm: str) -> list[str]:
    """A sentence for each seed in which the arm in question raised an alarm: the first, and how many more."""
    told = []
    for seed, run in runs[arm].items():
        own = [alarm for alarm in run.get("alarms", ()) if alarm.startswith("cycle ")]  # others are of the shared start
        more = f" (and {len(own) - 1} more)" if len(own) > 1 else ""
        told += [f"{arm}, seed {seed}: {own[0]}{more}"] if own else []
    return told


def _seconds(runs: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> float:
    """Of all cycles, and of each seed's start once: every run's own seconds hold the start that it shares."""
    cycles = [
        (seed, run, sum(row["seconds"] for row in run["cycles"])) for of in runs.values() for seed, run in of.items()
    ]
    starts = {seed: run["seconds"] - own for seed, run, own in cycles}
    return math.fsum([own for _, _, own in cycles]) + math.fsum(starts.values())


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
