"""Jobs side by side: processes of one thread each, or one after the other in this process."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

from terse.errors import RunError, TerseError
from terse.proof.arms import Job, run_arm, run_start
from terse.recipe import Recipe
from terse.training.session import Interrupted

__all__ = ["Watcher", "run_jobs", "usable_cores"]


class Watcher(Protocol):
    """Who watches a proof; called in the process that began it."""

    def cycle(self, job: Job, row: Mapping[str, Any]) -> None:
        """A cycle of a job ended; cycle 0 is its start."""
        ...

    def done(self, job: Job) -> None:
        """A job ended."""
        ...

    def say(self, job: Job, message: str) -> None:
        """Something a user should know."""
        ...

    def stop(self) -> bool:
        """Does the user want to stop?"""
        ...


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    recipe: Recipe, starts: Sequence[Job], arms: Sequence[Job], watcher: Watcher, *, workers: int, data: Any = None
) -> None:
    """Every start, and every arm as soon as its start is there.

    Args:
        recipe: what all of them share.
        starts: one a seed.
        arms: each names its start's folder.
        watcher: who watches.
        workers: processes; 1 runs everything in this one. Results do not depend on it.
        data: material made by the caller; it stays in this process, so `workers` must be 1.

    Raises:
        Interrupted: the user asked to stop; every job's state is on disk.
        RunError: a process was killed from outside, as the system does where memory runs out.
    """
    if workers <= 1:
        _one_by_one(recipe, [*starts, *arms], watcher, data)
        return
    waiting = list(arms)
    with _pool(recipe, workers, watcher) as submit:
        running = {submit(job): job for job in starts}
        while running:
            finished, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in finished:
                job = running.pop(future)
                _result(future, job, watcher)
                watcher.done(job)
                if job.arm is None:
                    ready = [arm for arm in waiting if arm.start == job.folder]
                    waiting = [arm for arm in waiting if arm not in ready]
                    running |= {submit(arm): arm for arm in ready}


def _result(future: Future[None], job: Job, watcher: Watcher) -> None:
    try:
        future.result()
    except BrokenProcessPool:
        if watcher.stop():
            raise Interrupted from None
        raise RunError(
            f"{job.name}: expected its process to end by itself, got it killed, perhaps for memory; "
            "go on with --resume and fewer --workers"
        ) from None


def _one_by_one(recipe: Recipe, jobs: Sequence[Job], watcher: Watcher, data: Any) -> None:
    from terse.sources.run_data import run_data

    material = data if data is not None else run_data(recipe)
    for job in jobs:
        if watcher.stop():
            raise Interrupted
        _run(recipe, job, material, _Told(job, watcher))
        watcher.done(job)


def _run(recipe: Recipe, job: Job, material: Any, observer: Any) -> None:
    if job.arm is None:
        run_start(recipe, job, data=material, observer=observer)
    else:
        run_arm(recipe, job, data=material, observer=observer)


class _Told:
    """The observer of one job in this process."""

    def __init__(self, job: Job, watcher: Watcher) -> None:
        self.job = job
        self.watcher = watcher

    def phase(self, cycle: int, phase: str, steps: int, done: int) -> None:
        """Nothing."""

    def step(self, **numbers: float) -> None:
        """Nothing."""

    def cycle(self, row: Mapping[str, Any]) -> None:
        """Passed on."""
        self.watcher.cycle(self.job, row)

    def say(self, message: str) -> None:
        """Passed on."""
        self.watcher.say(self.job, message)

    def stop(self) -> bool:
        """Passed on."""
        return self.watcher.stop()


class _Sent:
    """The watcher inside a worker: messages go through a queue, the wish to stop comes as an event."""

    def __init__(self, messages: Any, stopping: Any) -> None:
        self._messages = messages
        self._stopping = stopping

    def cycle(self, job: Job, row: Mapping[str, Any]) -> None:
        """Sent."""
        self._messages.put(("cycle", job, dict(row)))

    def say(self, job: Job, message: str) -> None:
        """Sent."""
        self._messages.put(("say", job, message))

    def done(self, job: Job) -> None:
        """The other side sees it."""

    def stop(self) -> bool:
        """Did the other side ask to?"""
        return bool(self._stopping.is_set())


_worker: dict[str, Any] = {}  # what one worker process keeps between its jobs


def _prepare(settings: dict[str, Any], messages: Any, stopping: Any) -> None:
    """Begin a worker: Ctrl-C reaches the whole group, but the first process decides what it means."""
    import signal

    import cv2
    import torch

    from terse.config import validate
    from terse.sources.run_data import run_data

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    recipe = validate(Recipe, settings, None)
    try:
        _worker.update(recipe=recipe, material=run_data(recipe), watcher=_Sent(messages, stopping))
    except TerseError as error:  # raised here it would break the pool, as if the process had been killed
        _worker["mistake"] = error


def _work(job: Job) -> None:
    if "mistake" in _worker:
        raise _worker["mistake"]
    _run(_worker["recipe"], job, _worker["material"], _Told(job, _worker["watcher"]))


@contextmanager
def _pool(recipe: Recipe, workers: int, watcher: Watcher) -> Iterator[Any]:
    """Worker processes, and a thread that hands their messages to the watcher."""
    context = multiprocessing.get_context("spawn")
    messages, stopping = context.Queue(), context.Event()
    over = threading.Event()

    def listen() -> None:
        while not (over.is_set() and messages.empty()):
            if watcher.stop():
                stopping.set()
            try:
                kind, job, content = messages.get(timeout=0.1)
            except queue.Empty:
                continue
            (watcher.cycle if kind == "cycle" else watcher.say)(job, content)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    arguments = (recipe.model_dump(mode="json"), messages, stopping)
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare, initargs=arguments)

    def submit(job: Job) -> Future[None]:
        return executor.submit(_work, job)

    try:
        yield submit
    except BaseException:
        stopping.set()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        over.set()
        listener.join()
