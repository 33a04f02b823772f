"""`terse prove`."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from terse.cli.answers import Json, Yes, answer
from terse.cli.jobs import folder_of, trust_given, with_device, with_trust
from terse.cli.progress import Lines, stoppable
from terse.progress import Observer

__all__ = ["prove"]


@with_trust
def prove(
    recipe: str,
    *overrides: str,
    arms: str | None = None,
    seeds: int = 5,
    out: Path | None = None,
    resume: bool = False,
    treatment: str | None = None,
    reference: str | None = None,
    worth: float = 0.0,
    workers: int | None = None,
    audit: Yes = True,
    kept: Path | None = None,
    passes: str | None = None,
    device: str | None = None,
    as_json: Json = False,
) -> int:
    """Compare arms at equal budgets, with intervals and a verdict.

    Args:
        recipe: A built-in recipe's name (`terse recipes`) or a file.
        overrides: Settings as key=value, for example cycles=3.
        arms: Comma-separated: none, random, mined, cut_paste_learn, context, learned. All for detectors, all but
            the two that need photographs for classifiers; learned only where the recipe's own arm is learned.
            NAME:key=value is an arm of your own: the recipe with other settings, for example
            learned-no-d:synthesis.discriminator=false. table_2, table_3 and table_4 stand for the columns of the
            paper's tables.
        seeds: How often each arm runs. One gives no verdict, fewer than five no no-go.
        out: Folder for the proof; runs/NAME-proof by default.
        resume: Go on with the proof that the folder holds, also with more arms or seeds.
        treatment: The arm in question; learned where it is run, without --arms the recipe's own.
        reference: What it is compared with; none where it is run.
        worth: The smallest gain worth having.
        workers: Processes side by side; one a core by default. No number depends on it.
        audit: Detectors: let a probe look for pasted objects by their rims alone.
        kept: Folder of finished runs as small files to commit: what it holds is not run again.
        passes: Comma-separated bounds of judging passes for each wanted composite, for example 2,8: arms that judge run
            once more under each, for a table of equal budgets beside that of quality.
        device: cpu, cuda, cuda:1, mps.
        as_json: Print the result as one JSON object.
    """
    from terse.recipe import load_recipe

    settings = with_device(overrides, device)
    loaded = load_recipe(recipe, settings)
    folder = folder_of(out, f"{loaded.name}-proof", "proof", found_by="--resume" if resume else None)
    bounds = [_number(item) for item in passes.split(",")] if passes else []
    from terse.progress import Interrupted
    from terse.proof.arms import parse_arms
    from terse.proof.prove import arms_to_run
    from terse.proof.prove import prove as run
    from terse.tasks.task import task_of

    names = parse_arms(arms) if arms is not None else None
    choices: dict[str, Any] = {"treatment": treatment, "reference": reference, "worth": worth, "workers": workers}
    judge = task_of(loaded)
    opening = f"{loaded.name} -> {folder}"
    watcher = _ProofLines(seeds, len(arms_to_run(loaded, names, bounds)), loaded.cycles, judge.primary.name, opening)
    with stoppable(watcher):
        try:
            result = run(
                loaded,
                out=folder,
                arms=names,
                seeds=seeds,
                resume=resume,
                audit=audit,
                kept=kept,
                passes=bounds,
                observer=watcher,
                **choices,
            )
        except Interrupted:
            again = ["terse", "prove", recipe, *settings, "--out", str(folder), "--seeds", str(seeds), "--resume"]
            asked = {"arms": arms, **choices, "worth": worth or None, "kept": kept, "passes": passes}
            again += [word for name, value in asked.items() if value is not None for word in (f"--{name}", str(value))]
            watcher.say(
                f"stopped; go on with: {shlex.join([*again, *trust_given(), *([] if audit else ['--no-audit'])])}"
            )
            return watcher.exit_status
        from terse.report.proof_page import build_proof_page

        page = build_proof_page(folder)
    answer(result, _summary(result, page), as_json=as_json)
    return 0


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        from terse.errors import RecipeError

        raise RecipeError(f"passes: expected numbers above 0 with commas between, got {text!r}; for example 2,8")
    return found


def _summary(result: Mapping[str, Any], page: Path) -> str:
    words = {"go": "go", "no_go": "no-go", "undecided": "not enough evidence"}
    width = max(map(len, result["arms"]))
    table = [f"  {name:<{width}}  {one['mean']:>7.4f}  {_between(one)}" for name, one in result["arms"].items()]
    seeds = len(result["seeds"])
    head = f"{result['primary']}, " + ("one seed" if seeds == 1 else f"mean over {seeds} seeds and its 95% interval")
    verdict = f"verdict: {words[result['verdict']]}. {result['reason']}"
    return "\n".join([*(f"alarm: {alarm}" for alarm in result["alarms"]), head, *table, verdict, f"page: {page}"])


def _between(one: Mapping[str, Any]) -> str:
    return "" if one["low"] is None else f"{one['low']:.4f} to {one['high']:.4f}"


class _ProofLines(Lines):
    """Lines on stderr, with the time left."""

    def __init__(self, seeds: int, arms: int, cycles: int, primary: str, opening: str) -> None:
        super().__init__(opening=opening)
        self.primary = primary
        self.cycles = cycles
        self.count = seeds * (1 + arms * cycles)
        self.ended = 0
        self.skipped = 0  # cycles that an earlier proof in this folder has run
        self._began = time.monotonic()
        self._runs: dict[str, _RunLines] = {}

    def of(self, job: str) -> _RunLines:
        """The lines of one run."""
        if job not in self._runs:
            self._runs[job] = _RunLines(self, job)
        return self._runs[job]

    def left(self) -> str:
        """` (3 of 22, 1:40 left)`."""
        rest = round((time.monotonic() - self._began) * max(0, self.count - self.skipped - self.ended) / self.ended)
        return f" ({self.ended + self.skipped} of {self.count}, {rest // 60}:{rest % 60:02d} left)"


class _RunLines(Observer):
    """Lines of one run of a proof, known by its name."""

    def __init__(self, proof: _ProofLines, name: str) -> None:
        self._proof, self._name = proof, name
        self._ended = 0

    def phase(self, cycle: int, phase: str, steps: int, done: int) -> None:
        """A phase of the run begins."""
        self._proof.begin()

    def cycle(self, row: Mapping[str, Any]) -> None:
        """A cycle of the run ended."""
        proof = self._proof
        self._ended, proof.ended = self._ended + 1, proof.ended + 1
        value = row.get(proof.primary)
        figure = "" if value is None else f"{proof.primary} {value:.3f}"
        where = f" cycle {row['cycle']}" if row["cycle"] else ""
        proof.say(f"{self._name}:{where} {figure}{proof.left()}")

    def done(self) -> None:
        """What was done before this proof went on takes no time now."""
        self._proof.begin()
        self._proof.skipped += (1 if self._name.startswith("start,") else self._proof.cycles) - self._ended

    def say(self, message: str) -> None:
        """A message of the run."""
        self._proof.say(f"{self._name}: {message}")

    def stop(self) -> bool:
        """Whether the user asked the proof to stop."""
        return self._proof.stop()
