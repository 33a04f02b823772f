"""`prove`: arms at equal budgets, paired by seed, and a verdict."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from terse.config import join, read_yaml, validate
from terse.errors import RecipeError, RunError
from terse.proof.arms import Job, arm_recipe
from terse.proof.verdict import ARMS, judge
from terse.proof.workers import Watcher, run_jobs, usable_cores
from terse.recipe import Recipe, dump_recipe, load_recipe
from terse.training.checkpoint import write_atomically
from terse.training.cycle import primary_metric

__all__ = ["Nobody", "default_arms", "prove", "read_runs", "summarise"]

_FREE_BYTES = 64 << 20
_NOT_COMPARED = ("runtime", "checkpoint", "description")


class Nobody:
    """Watches nothing."""

    def cycle(self, job: Job, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def done(self, job: Job) -> None:
        """Nothing."""

    def say(self, job: Job, message: str) -> None:
        """Nothing."""

    def stop(self) -> bool:
        """Never."""
        return False


def default_arms(task: str) -> tuple[str, ...]:
    """All six for detectors; without those that paste into photographs for classifiers.

    Source: the paper's baselines, 4.1 and 4.2.
    """
    return ARMS if task == "detection" else ("none", "random", "mined", "learned")


def prove(
    recipe: Recipe | str | Path,
    overrides: Sequence[str] = (),
    *,
    out: str | Path,
    arms: Sequence[str] | None = None,
    seeds: int = 5,
    treatment: str | None = None,
    reference: str | None = None,
    worth: float = 0.0,
    workers: int | None = None,
    resume: bool = False,
    data: Any = None,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Run every arm with every seed, all from the same starts, and judge; the object that `result.json` holds.

    Arms of a seed share its trained start, real images and their order, the number of synthetic images and of
    fine-tuning steps. The figures are of test images, which neither trained nor chose a model.

    Args:
        recipe: a Recipe, a built-in name or a file; its own `synthesis.kind` is one of the arms at most.
        overrides: `key=value`, as on the command line.
        out: folder of the proof.
        arms: their kinds; all six for detectors by default, none, random, mined and learned for classifiers.
        seeds: how many, from the recipe's seed on; fewer than five give no no-go, one gives no verdict.
        treatment: the arm in question; learned where it is run.
        reference: what it is compared with; none where it is run.
        worth: the smallest gain worth having.
        workers: processes side by side; by default one a core. No number depends on it.
        resume: go on with the proof that `out` holds, also with more arms or seeds.
        data: material made by you; then everything runs in this process.
        watcher: who watches.

    Raises:
        TerseError: a recipe, arm, source or folder that cannot be used; the message says which and why.
        Interrupted: the watcher asked to stop; `resume` goes on.
    """
    began = time.monotonic()
    recipe = _settled(recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides), data)
    names = _arms(recipe, arms)
    if seeds < 1:
        raise RecipeError(f"seeds: expected 1 or more, got {seeds}; 5 give a verdict")
    folder = Path(out)
    _claim(folder, recipe, resume=resume)
    numbers = range(recipe.seed, recipe.seed + seeds)
    starts = [Job(None, seed, folder / "start" / f"seed-{seed}") for seed in numbers]
    jobs = [
        Job(arm, start.seed, folder / "arms" / arm / f"seed-{start.seed}", start.folder)
        for start in starts
        for arm in names
    ]
    count = 1 if data is not None else min(workers or _workers(recipe), len(jobs))
    run_jobs(recipe, starts, jobs, watcher or Nobody(), workers=count, data=data)
    found = summarise(folder, treatment=treatment, reference=reference, worth=worth)
    whole = {"out": str(folder), **found, "elapsed_seconds": round(time.monotonic() - began, 3)}
    write_atomically(folder / "result.json", (json.dumps(whole, indent=1) + "\n").encode())
    return whole


def summarise(
    folder: Path, *, treatment: str | None = None, reference: str | None = None, worth: float = 0.0
) -> dict[str, Any]:
    """The verdict on the runs that a proof's folder holds by now, and what it rests on.

    Raises:
        RunError: fewer than two arms have a finished run.
    """
    runs = read_runs(folder)
    primary = primary_metric(load_recipe(folder / "recipe.yaml").task)
    per_seed = {arm: {s: _figure(run, primary, arm, s) for s, run in of.items()} for arm, of in runs.items()}
    units = {arm: {s: run["measured"]["units"] for s, run in of.items()} for arm, of in runs.items()}
    words = {"accuracy": "accuracy", "ap50": "AP50"}
    verdict = judge(per_seed, units=units, treatment=treatment, reference=reference, worth=worth, metric=words[primary])
    return {
        **verdict.to_json(),
        "primary": primary,
        "seeds": sorted({seed for of in runs.values() for seed in of}),
        "curves": {arm: _curve(list(of.values()), primary) for arm, of in runs.items()},
        "hardness": {arm: _histogram(list(of.values())) for arm, of in runs.items() if arm != "none"},
        "costs": {arm: _costs(list(of.values())) for arm, of in runs.items()},
        "alarms": _unequal(runs),
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


def _settled(recipe: Recipe, data: Any) -> Recipe:
    """With test images of its own: what chose the model is not what proves it."""
    if data is None and recipe.data is None and recipe.test is None:
        settings = join(Recipe, recipe.model_dump(mode="json"), {"test": 0.2})
        return validate(Recipe, settings, None)
    return recipe


def _arms(recipe: Recipe, arms: Sequence[str] | None) -> list[str]:
    names = list(dict.fromkeys(arms if arms is not None else default_arms(recipe.task)))
    for arm in names:
        arm_recipe(recipe, arm, recipe.seed)
    if len(names) < 2:
        raise RecipeError(
            f"arms: expected two or more, got {', '.join(names) or 'none'}; for example none,random,learned"
        )
    return names


def _workers(recipe: Recipe) -> int:
    """One a core; one where a GPU does the work."""
    import torch

    device = recipe.runtime.device
    on_gpu = device not in ("auto", "cpu") or (device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else usable_cores()


def _claim(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    written = folder / "recipe.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise RunError(f"{folder}: expected a folder that can be written, got: {error.strerror}") from None
    if free < _FREE_BYTES:
        raise RunError(f"{folder}: expected 64 MB of room at least, got {free >> 20} MB; make room or give --out")
    if written.is_file() and not (folder / "start").is_dir():
        raise RunError(f"{folder}: expected a new folder, got one that holds another kind of run; give --out another")
    if written.is_file() and not resume:
        raise RunError(f"{folder}: expected a new folder, got one that holds a proof; add --resume to go on with it")
    if written.is_file():
        _same(folder, read_yaml(written.read_text("utf-8"), str(written)), recipe)
        return
    if resume:
        raise RunError(f"{folder}: expected a proof to go on with, got none; leave --resume out to begin one")
    if any(folder.iterdir()):
        raise RunError(f"{folder}: expected a new or empty folder, got one with files in it; give --out another")
    (folder / "start").mkdir()
    write_atomically(written, dump_recipe(recipe).encode())


def _same(folder: Path, old: Mapping[str, Any], recipe: Recipe) -> None:
    new = recipe.model_dump(mode="json")
    for key, value in new.items():
        if key not in _NOT_COMPARED and old.get(key) != value:
            raise RunError(
                f"{folder}: expected the recipe that the proof began with, got another {key}: "
                f"{json.dumps(value)} in the place of {json.dumps(old.get(key))}"
            )


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


def _seconds(runs: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> float:
    """Of all cycles, and of each seed's start once: every run's own seconds hold the start that it shares."""
    cycles = [
        (seed, run, sum(row["seconds"] for row in run["cycles"])) for of in runs.values() for seed, run in of.items()
    ]
    starts = {seed: run["seconds"] - own for seed, run, own in cycles}
    return math.fsum([own for _, _, own in cycles]) + math.fsum(starts.values())


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
