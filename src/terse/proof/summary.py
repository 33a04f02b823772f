"""What the runs of a proof's folder say together: the verdict, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from terse.errors import RunError
from terse.proof.budgets import budget_tables
from terse.proof.proposed import SETS
from terse.proof.results import ArmCosts, CoverageMeans, HardShares, Measured, Point, ProofResult, read_measured
from terse.proof.verdict import arm_order, judge
from terse.recipe import load_recipe
from terse.results import (
    FORMAT,
    Coverage,
    Figures,
    HardnessCounts,
    RunResult,
    Shortcut,
    hardness_counts,
    read_object,
    read_record,
    read_run,
    read_text,
)
from terse.tasks.task import Metric, task_of
from terse.yaml_text import read_yaml

__all__ = ["ArmRun", "coverage_of", "finished", "read_arms", "read_runs", "summarise"]


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One finished run of an arm."""

    result: RunResult
    measured: Measured
    pastes: bool = True
    passes_per_wanted: float | None = None


Runs = Mapping[str, Mapping[int, ArmRun]]  # by arm and seed


def summarise(
    folder: Path, *, treatment: str | None = None, reference: str | None = None, worth: float = 0.0
) -> ProofResult:
    """The verdict on the runs that a proof's folder holds by now, and what it rests on.

    Raises:
        RunError: fewer than two arms have a finished run.
    """
    metric = task_of(load_recipe(folder / "recipe.yaml")).primary
    written = folder / "shortcut.json"
    shortcut = read_record(written, Shortcut, "what a probe found") if written.is_file() else None
    found = summary_of(read_runs(folder), metric, shortcut, treatment=treatment, reference=reference, worth=worth)
    return found.model_copy(update={"arm_overrides": read_arms(folder)})


def summary_of(
    runs: Runs,
    metric: Metric,
    shortcut: Shortcut | None = None,
    *,
    treatment: str | None = None,
    reference: str | None = None,
    worth: float = 0.0,
) -> ProofResult:
    """The verdict on finished runs, and what it rests on.

    Raises:
        RunError: fewer than two arms.
    """
    primary = metric.name
    per_seed = {arm: {s: _figure(run, primary, arm, s) for s, run in of.items()} for arm, of in runs.items()}
    units = {
        arm: {seed: run.measured.units for seed, run in of.items()}
        for arm, of in runs.items()
        if all(run.measured.units for run in of.values())
    }
    halves = {
        arm: {seed: run.measured.halves for seed, run in of.items()}
        for arm, of in runs.items()
        if all(run.measured.halves for run in of.values())
    }
    verdict = judge(
        per_seed,
        units=units,
        halves=halves,
        treatment=treatment,
        reference=reference,
        worth=worth,
        metric=metric.short,
        larger_is_better=metric.larger_is_better,
    )
    by_arm = {arm: list(of.values()) for arm, of in runs.items()}
    pasting = {arm: of for arm, of in by_arm.items() if any(run.pastes for run in of)}
    return ProofResult(
        **dict(verdict),
        format=FORMAT,
        primary=primary,
        seeds=sorted({seed for of in runs.values() for seed in of}),
        curves={arm: _curve(of, primary) for arm, of in by_arm.items()},
        metrics={arm: _metrics(of) for arm, of in by_arm.items()},
        by_class={arm: _by_class(of, primary) for arm, of in by_arm.items()},
        hardness={arm: _hardness(of) for arm, of in pasting.items()},
        hard_shares={arm: _hard_shares(of) for arm, of in pasting.items()},
        coverage={arm: _covered(of) for arm, of in pasting.items()},
        costs={arm: _costs(of) for arm, of in by_arm.items()},
        tables=budget_tables(runs, per_seed, units, halves, larger_is_better=metric.larger_is_better),
        groups={arm: groups for arm, of in by_arm.items() if (groups := _groups(of))},
        shortcut=shortcut,
        alarms=[
            *_unequal(runs),
            *_of_treatment(runs, verdict.treatment),
            *(shortcut.warnings if shortcut else ()),
        ],
        seconds=round(_seconds(runs), 3),
    )


def read_runs(folder: Path) -> dict[str, dict[int, ArmRun]]:
    """The finished runs of a proof by arm and seed.

    Raises:
        RunError: a file that cannot be read, or one of another format.
    """
    return {arm: {seed: _arm_run(path) for seed, path in of.items()} for arm, of in finished(folder).items()}


def finished(folder: Path) -> dict[str, dict[int, Path]]:
    """The folders of a proof's finished runs by arm and seed; `seed-0.old`, a user's copy, is none."""
    runs: dict[str, dict[int, Path]] = {}
    for path in folder.glob("arms/*/seed-*/measured.json"):
        arm, seed = path.parent.parent.name, path.parent.name.removeprefix("seed-")
        if seed.isdecimal():
            runs.setdefault(arm, {})[int(seed)] = path.parent
    return {arm: dict(sorted(runs[arm].items())) for arm in sorted(runs, key=arm_order)}


def read_arms(folder: Path) -> dict[str, list[str]]:
    """The overrides of each arm of a proof by name, as key=value; nothing before the proof has begun."""
    path = folder / "arms.json"
    return read_object(path, "the arms of a proof") if path.is_file() else {}


def _arm_run(folder: Path) -> ArmRun:
    written = folder / "recipe.yaml"
    settings = read_yaml(read_text(written), str(written))
    bound = settings["pool"].get("passes_per_wanted")
    return ArmRun(read_run(folder), read_measured(folder), settings["synthesis"]["kind"] != "none", bound)


def coverage_of(folder: Path) -> dict[str, dict[int, Coverage]]:
    """The coverage of every run that pastes, by arm and seed."""
    return {
        arm: {seed: run.measured.coverage for seed, run in of.items() if run.measured.coverage}
        for arm, of in read_runs(folder).items()
        if any(run.pastes for run in of.values())
    }


def _figure(run: ArmRun, primary: str, arm: str, seed: int) -> float:
    value = run.result.metrics.end.figure(primary)
    if value is None:
        raise RunError(f"{arm}, seed {seed}: expected test images with objects to find, got none; look at `test:`")
    if not math.isfinite(value):
        raise RunError(
            f"{arm}, seed {seed}: expected a finite {primary}, got {value}; look at the target's answers, or run the proof "
            "without this arm"
        )
    return value


def _curve(runs: Sequence[ArmRun], primary: str) -> list[Point]:
    """The metric after each cycle as far as every seed has come, against samples and target passes."""

    def point(values: Sequence[float | None], **spent: float) -> Point:
        known = [value for value in values if value is not None]
        ends = {"low": min(known), "high": max(known)} if len(known) > 1 else {}
        return Point.model_validate({**spent, primary: _mean(known), **ends})

    forwards = backwards = 0.0
    start = [run.result.metrics.start.figure(primary) for run in runs]
    points = [point(start, samples=0.0, target_forwards=0.0, target_backwards=0.0)]
    for cycles in zip(*(run.result.cycles for run in runs), strict=False):
        forwards += _mean([cycle.target_forwards or 0 for cycle in cycles])
        backwards += _mean([cycle.target_backwards or 0 for cycle in cycles])
        samples = _mean([cycle.samples for cycle in cycles])
        values = [cycle.figure(primary) for cycle in cycles]
        points.append(point(values, samples=samples, target_forwards=forwards, target_backwards=backwards))
    return points


def _metrics(runs: Sequence[ArmRun]) -> Figures:
    """Means at the end, of the metrics that every seed has a number for."""
    ends = [run.result.metrics.end for run in runs]
    found = {name: [end.figure(name) for end in ends] for name in ends[0].figures}
    return {name: _mean([v for v in values if v is not None]) for name, values in found.items() if None not in values}


def _by_class(runs: Sequence[ArmRun], primary: str) -> dict[str, float | None]:
    """Means at the end; None for a class that some seed found nothing of in the test images."""
    ends = [run.result.metrics.end.by_class for run in runs]
    found = {name: [end.get(name, {}).get(primary) for end in ends] for name in ends[0]}
    return {name: None if None in of else _mean([v for v in of if v is not None]) for name, of in found.items()}


def _hardness(runs: Sequence[ArmRun]) -> HardnessCounts:
    """1 - p under the frozen start (Fig. 8)."""
    return hardness_counts([value for run in runs for value in run.measured.hardness])


def _hard_shares(runs: Sequence[ArmRun]) -> HardShares:
    """How much of what an arm proposes and keeps has p below 0.5, set by set (Fig. 8)."""
    kept = [run.measured.hardness[first::SETS] for run in runs for first in range(SETS)]
    sets = {"proposes": [one for run in runs for one in run.measured.proposed], "keeps": kept}
    return HardShares(
        **{name: [sum(value > 0.5 for value in one) / len(one) for one in of if one] for name, of in sets.items()}
    )


def _covered(runs: Sequence[ArmRun]) -> CoverageMeans:
    """Of poses, repeats and feature distance; `coverage.json` holds the rest."""
    seen = [run.measured.coverage for run in runs if run.measured.coverage]
    apart = [one.diversity.distance for one in seen if one.diversity]
    return CoverageMeans(
        entropy=_mean([one.entropy for one in seen]) if seen else None,
        duplicates=_mean([one.duplicates for one in seen]) if seen else None,
        near_duplicates=_mean([one.near_duplicates for one in seen]) if seen else None,
        feature_distance=_mean(apart) if apart else None,
    )


def _groups(runs: Sequence[ArmRun]) -> dict[str, dict[str, Figures]]:
    """Figures by field and value, means over the seeds that have them."""
    found: dict[str, dict[str, Figures]] = {}
    for field, values in runs[0].measured.groups.items():
        for value, figures in values.items():
            of = [run.measured.groups.get(field, {}).get(value, {}) for run in runs]
            known = {name: [one for part in of if (one := part.get(name)) is not None] for name in figures}
            found.setdefault(field, {})[value] = {name: _mean(all_) if all_ else None for name, all_ in known.items()}
    return found


def _costs(runs: Sequence[ArmRun]) -> ArmCosts:
    cycles = [run.result.cycles for run in runs]
    rates = [rate for of in cycles if of and (rate := of[-1].hard_rate) is not None]
    return ArmCosts(
        samples=_mean([of[-1].samples if of else 0 for of in cycles]),
        target_forwards=_mean([sum(cycle.target_forwards or 0 for cycle in of) for of in cycles]),
        target_backwards=_mean([sum(cycle.target_backwards or 0 for cycle in of) for of in cycles]),
        synthesizer_forwards=_mean([sum(cycle.synthesizer_forwards or 0 for cycle in of) for of in cycles]),
        judging_passes=_mean([sum(cycle.judging_passes or 0 for cycle in of) for of in cycles]),
        seconds=_mean([sum(cycle.seconds for cycle in of) for of in cycles]),
        hard_rate=_mean(rates) if rates else None,
        topped_up=_mean([sum(cycle.topped_up or 0 for cycle in of) for of in cycles]),
    )


def _unequal(runs: Runs) -> list[str]:
    """A sentence for each seed whose arms ended with unequal numbers of synthetic images."""
    alarms = []
    for seed in sorted({seed for of in runs.values() for seed in of}):
        kept = {
            arm: of[seed].result.cycles[-1].samples
            for arm, of in runs.items()
            if seed in of and of[seed].pastes and of[seed].result.cycles
        }
        if len(set(kept.values())) > 1:
            listed = ", ".join(f"{arm} {count:,}" for arm, count in kept.items())
            alarms.append(
                f"seed {seed}: the arms found unequal numbers of synthetic images ({listed}); raise pool.candidates"
            )
    return alarms


def _of_treatment(runs: Runs, arm: str) -> list[str]:
    """A sentence for each seed in which the arm in question raised an alarm: the first, and how many more."""
    told = []
    for seed, run in runs[arm].items():
        alarms, cycles = run.result.alarms, run.result.alarm_cycles
        # Those of cycle 0 are of the shared start; a run of an older terse does not say.
        own = alarms if cycles is None else [one for one, cycle in zip(alarms, cycles, strict=True) if cycle]
        more = f" (and {len(own) - 1} more)" if len(own) > 1 else ""
        told += [f"{arm}, seed {seed}: {own[0]}{more}"] if own else []
    return told


def _seconds(runs: Runs) -> float:
    """Of all cycles, and of each seed's start once: every run's own seconds hold the start that it shares."""
    cycles = [
        (seed, run.result.seconds, sum(cycle.seconds for cycle in run.result.cycles))
        for of in runs.values()
        for seed, run in of.items()
    ]
    starts = {seed: whole - own for seed, whole, own in cycles}
    return math.fsum([own for _, _, own in cycles]) + math.fsum(starts.values())


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
