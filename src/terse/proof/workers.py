"""The runs of a proof on an executor: every start, and every arm as soon as its start is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from terse.errors import RunError
from terse.progress import Observer
from terse.proof.arms import NO_ARM, ArmMaterial, ProofJob, arm_recipe, run_arm, run_start
from terse.recipe import Recipe
from terse.sources.run_data import RunData
from terse.trust import trusted, trusting
from terse.urls import type_urls, typed_urls
from terse.validation import validate
from terse.workers import Executor, InProcess, LocalProcesses, WorkersDied

__all__ = ["run_jobs"]

_GRACE_SECONDS = 60.0  # when a proof is stopped, its runs write their state at the end of a step


def run_jobs(
    recipe: Recipe,
    starts: Sequence[ProofJob],
    arms: Sequence[ProofJob],
    observer: Observer,
    *,
    workers: int,
    data: RunData | None = None,
) -> None:
    """Run every start, and every arm once its start is whole.

    Args:
        recipe: what all of them share.
        starts: one a seed.
        arms: each names its start's folder.
        observer: watches; `observer.of(job.name)` is told of each run.
        workers: processes; up to 1 everything runs in this one. Results do not depend on it.
        data: material made by the caller; it stays in this process, so `workers` must be at most 1.

    Raises:
        Interrupted: the user asked to stop; every job's state is on disk.
        RunError: a process was killed from outside, as the system does where memory runs out.
    """
    local = LocalProcesses(workers, deaths=1, grace_seconds=_GRACE_SECONDS)
    executor: Executor = InProcess() if workers <= 1 else local
    ready, waiting = deque(starts), {arm.name for arm in arms}

    def jobs() -> Iterator[ProofJob | None]:
        while ready or waiting:
            yield ready.popleft() if ready else None

    start = partial(_start, recipe.model_dump(mode="json"), data, trusted(), typed_urls())
    try:
        for job, _ in executor.map(start, jobs(), observer):
            follow = [arm for arm in arms if arm.start == job.folder]
            ready.extend(follow)
            waiting.difference_update(arm.name for arm in follow)
    except WorkersDied as died:
        raise RunError(
            f"{died.shard}: expected its process to end by itself, got it killed, perhaps for memory; "
            "go on with `resume` and fewer `workers`"
        ) from None


def _start(
    settings: Mapping[str, Any], data: RunData | None, trust: bool, typed: frozenset[str], observer: Observer
) -> Callable[[ProofJob], None]:
    """Called once in each worker: material is read once for all of its jobs, once more for an arm with other sources."""
    recipe = validate(Recipe, dict(settings), None)
    type_urls(typed)
    with trusting(trust):
        material = ArmMaterial(recipe, data, observer)

    def work(job: ProofJob) -> None:
        own = observer.of(job.name)
        with trusting(trust):
            settings = arm_recipe(recipe, job.arm or NO_ARM, recipe.seed)
            (run_start if job.arm is None else run_arm)(recipe, job, data=material.of(settings, own), observer=own)
        own.done()

    return work
