"""`terse prove`."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from terse.proof.arms import Job

__all__ = ["prove"]


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
    audit: bool = True,
    device: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Compare arms at equal budgets, with intervals and a verdict.

    Args:
        recipe: A built-in recipe's name (`terse recipes`) or a file.
        overrides: Settings as key=value, for example cycles=3.
        arms: Comma-separated: none, random, mined, cut_paste_learn, context, learned. All for detectors, all but
            the two that need photographs for classifiers.
        seeds: How often each arm runs. One gives no verdict, fewer than five no no-go.
        out: Folder for the proof; runs/NAME-proof by default.
        resume: Go on with the proof that the folder holds, also with more arms or seeds.
        treatment: The arm in question; learned where it is run.
        reference: What it is compared with; none where it is run.
        worth: The smallest gain worth having.
        workers: Processes side by side; one a core by default. No number depends on it.
        audit: Detectors: let a probe look for pasted objects by their rims alone.
        device: cpu, cuda, cuda:1, mps.
        as_json: Print the result as one JSON object.
    """
    from terse.cli.train import _new_folder
    from terse.errors import RunError
    from terse.recipe import load_recipe

    settings = [*overrides, *([f"runtime.device={device}"] if device else [])]
    loaded = load_recipe(recipe, settings)
    if resume and out is None:
        raise RunError("--resume: expected --out with the proof's folder, got none")
    folder = out if out is not None else _new_folder(f"{loaded.name}-proof")
    names = [name.strip() for name in arms.split(",") if name.strip()] if arms is not None else None
    from terse.proof.prove import prove as run
    from terse.tasks.task import task
    from terse.training.session import Interrupted

    judge = task(loaded.task)
    with _watching(seeds, len(names or judge.default_arms), loaded.cycles, judge.primary.name) as watcher:
        watcher.line(f"{loaded.name} -> {folder}")
        try:
            result = run(
                loaded,
                out=folder,
                arms=names,
                seeds=seeds,
                treatment=treatment,
                reference=reference,
                worth=worth,
                workers=workers,
                resume=resume,
                audit=audit,
                watcher=watcher,
            )
        except Interrupted:
            again = ["terse", "prove", recipe, *settings, "--out", str(folder), "--seeds", str(seeds), "--resume"]
            asked = {"arms": arms, "treatment": treatment, "reference": reference, "worth": worth, "workers": workers}
            again += [word for name, value in asked.items() if value for word in (f"--{name}", str(value))]
            watcher.line(f"stopped; go on with: {shlex.join([*again, *([] if audit else ['--no-audit'])])}")
            return 130
        from terse.report.proof_page import build_proof_page

        page = build_proof_page(folder)
    print(json.dumps(result) if as_json else _summary(result, page))
    return 0


def _summary(result: Mapping[str, Any], page: Path) -> str:
    words = {"go": "go", "no_go": "no-go", "undecided": "not enough evidence"}
    rows = [(name, *_figures(one)) for name, one in result["arms"].items()]
    width = max(len(row[0]) for row in rows)
    table = [f"  {name:<{width}}  {mean:>7}  {between}" for name, mean, between in rows]
    head = f"{result['primary']}, mean over {len(result['seeds'])} seeds and its 95% interval"
    verdict = f"verdict: {words[result['verdict']]}. {result['reason']}"
    return "\n".join([*(f"alarm: {alarm}" for alarm in result["alarms"]), head, *table, verdict, f"page: {page}"])


def _figures(one: Mapping[str, Any]) -> tuple[str, str]:
    between = "" if one["low"] is None else f"{one['low']:.4f} to {one['high']:.4f}"
    return f"{one['mean']:.4f}", between


class _Lines:
    """Lines on stderr, with the time left."""

    def __init__(self, seeds: int, arms: int, cycles: int, primary: str) -> None:
        self.primary = primary
        self.cycles = cycles
        self.count = seeds * (1 + arms * cycles)
        self.ended: dict[str, int] = {}
        self.over: set[str] = set()
        self.skipped = 0  # cycles that an earlier proof in this folder has run
        self.stopping = False
        self._began = time.monotonic()

    def cycle(self, job: Job, row: Mapping[str, Any]) -> None:
        """A cycle ended."""
        self.ended[job.name] = self.ended.get(job.name, 0) + 1
        self.skipped -= job.name in self.over  # told late: it came from another process, and was taken for skipped
        value = row.get(self.primary)
        figure = "" if value is None else f"{self.primary} {value:.3f}"
        where = f" cycle {row['cycle']}" if job.arm else ""
        self.line(f"{job.name}:{where} {figure}{self._left()}")

    def done(self, job: Job) -> None:
        """Told by its last cycle; what was done before this proof went on takes no time now."""
        self.over.add(job.name)
        self.skipped += (self.cycles if job.arm else 1) - self.ended.get(job.name, 0)

    def say(self, job: Job, message: str) -> None:
        """A message of a run."""
        self.line(f"{job.name}: {message}")

    def line(self, message: str) -> None:
        """One line."""
        print(message, file=sys.stderr, flush=True)

    def stop(self) -> bool:
        """Did the user ask to stop?"""
        return self.stopping

    def _left(self) -> str:
        done = sum(self.ended.values())
        rest = round((time.monotonic() - self._began) * max(0, self.count - self.skipped - done) / max(1, done))
        return f" ({done + self.skipped} of {self.count}, {rest // 60}:{rest % 60:02d} left)"


@contextmanager
def _watching(seeds: int, arms: int, cycles: int, primary: str) -> Iterator[_Lines]:
    """A watcher; Ctrl-C and SIGTERM ask it to stop at the next step, a second Ctrl-C at once."""
    watcher = _Lines(seeds, arms, cycles, primary)

    def ask(number: int, frame: object) -> None:
        if watcher.stopping:
            raise KeyboardInterrupt
        watcher.stopping = True
        watcher.line("stopping after this step; press Ctrl-C again to stop at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield watcher
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
