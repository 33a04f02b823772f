"""Executors: shards of work mapped to results, in this process, in worker processes, or by a package on many machines.

A shard is idempotent: made again, it leaves the same behind. That is what lets an executor replace a worker that died,
and what makes results independent of the number of workers. Another executor registers a config class in the family
`executor`, whose `build(workers)` gives an `Executor`; the entry-point group is `terse.executor`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Literal, Protocol, TypeVar

from terse.config import Config
from terse.errors import RunError, TerseError, of_the_machine
from terse.process import prepare_process
from terse.progress import Interrupted, Observer, heard_by
from terse.registry import register

__all__ = ["Executor", "InProcess", "LocalProcesses", "WorkersDied", "failed", "local_executor", "usable_cores"]

Shard = TypeVar("Shard")
Result = TypeVar("Result")
Start = Callable[[Observer], Callable[[Shard], Result]]
"""Called once in every worker, so it must be picklable; gives the function that maps a shard to its result.

Its observer passes `cycle`, `say`, `done` and `stop` of the work on to the one that the caller gave.
"""

_POLL_SECONDS = 0.2


class Executor(Protocol):
    """Maps idempotent shards to results.

    One whose workers may share no folder with the caller says so by an attribute `apart` that is true.
    """

    def map(
        self, start: Start[Shard, Result], shards: Iterable[Shard | None], observer: Observer | None = None
    ) -> Generator[tuple[Shard, Result], None, None]:
        """Each shard with its result, in the order in which they are done.

        Shards are asked for one by one, when a worker is free for the next; None says that there will be one when
        another result has been given out. Close the iterator to stop early.

        Raises:
            TerseError: what a shard raised, in its own words.
            Interrupted: a shard stopped because the observer asked to.
            WorkersDied: workers died again and again at the same shard.
        """
        ...


class WorkersDied(RunError):
    """Workers ended at one shard: killed from outside, as the system does where memory runs out, or before they began."""

    def __init__(self, shard: object, deaths: int, exitcode: int) -> None:
        if exitcode < 0:
            how = f"signal {signal.Signals(-exitcode).name}"
            why = "SIGKILL is the system's, when memory runs out: use fewer workers or smaller images, then `resume`"
        else:  # before their work began, whose errors are answers: each imports the script first
            how = f"exit status {exitcode}"
            why = (
                'what they printed says why; often a script lacks `if __name__ == "__main__":` before what begins them'
            )
        self.shard = shard
        super().__init__(f"workers: expected workers to live, got {deaths} that died of {how} at {shard}; {why}")


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_executor(workers: int) -> Executor:
    """Worker processes on this machine; this process alone where `workers` is 0."""
    return LocalProcesses(workers) if workers else InProcess()


@register("executor", "local")
class LocalConfig(Config):
    """Processes on this machine."""

    kind: Literal["local"] = "local"

    def build(self, workers: int) -> Executor:
        """So many worker processes; 0 works in this one."""
        return local_executor(workers)

    @staticmethod
    def default_workers() -> int:
        """As many as there are cores."""
        return usable_cores()


class InProcess:
    """Makes one shard after the other in this process."""

    def map(
        self, start: Start[Shard, Result], shards: Iterable[Shard | None], observer: Observer | None = None
    ) -> Generator[tuple[Shard, Result], None, None]:
        """Each shard with its result, in order."""
        watching = heard_by(observer)
        work: Callable[[Shard], Result] | None = None
        for shard in shards:
            assert shard is not None  # nothing else is under way that it could wait for
            if watching.stop():
                raise Interrupted
            work = work or start(watching)
            yield shard, work(shard)


@dataclass(frozen=True, slots=True)
class LocalProcesses:
    """Worker processes of one thread each on this machine; one that dies is replaced.

    They are forked from a server process that has imported the work and started no thread: quick, and safe beside
    torch. They end with the process that began them, also where that is killed.
    """

    workers: int
    deaths: int = 3
    """So many workers may die at one shard before the rest is given up."""
    grace_seconds: float = 0.0
    """When the map ends early, workers are asked to stop, and terminated after this time."""

    def map(
        self, start: Start[Shard, Result], shards: Iterable[Shard | None], observer: Observer | None = None
    ) -> Generator[tuple[Shard, Result], None, None]:
        """Each shard with its result, in the order in which they are done."""
        run = _Run(self, start, iter(shards), heard_by(observer))
        with closing(run.results()) as results:
            yield from results


@dataclass(slots=True)
class _Worker(Generic[Shard]):
    """A worker process, the pipe to it, and the shard that it is making."""

    process: BaseProcess
    pipe: Connection
    shard: Shard | None = None


class _Run(Generic[Shard, Result]):
    """One `map` over worker processes."""

    def __init__(
        self,
        settings: LocalProcesses,
        start: Start[Shard, Result],
        shards: Iterator[Shard | None],
        observer: Observer,
    ) -> None:
        self._settings, self._start, self._shards, self._observer = settings, start, shards, observer
        self._context = multiprocessing.get_context("forkserver")
        # Where the work needs torch, its pages are shared; a worker that does without starts in a fifth of the time.
        torch = ["torch"] if "torch" in sys.modules else []
        self._context.set_forkserver_preload([*torch, "cv2", "terse.workers", _module_of(start)])
        self._stopping = False
        self._workers: list[_Worker[Shard]] = []
        self._again: deque[Shard] = deque()
        self._deaths: Counter[str] = Counter()

    def results(self) -> Generator[tuple[Shard, Result], None, None]:
        """Send shards and receive results until there are none."""
        try:
            while True:
                self._send()
                busy = {worker.pipe: worker for worker in self._workers if worker.shard is not None}
                if not busy:
                    if self._stopping and self._next() is not None:
                        raise Interrupted
                    return
                for pipe in wait(list(busy), _POLL_SECONDS):
                    assert isinstance(pipe, Connection)
                    yield from self._receive(busy[pipe])
                if self._observer.stop():
                    self._ask_to_stop()
        finally:
            self._close()

    def _send(self) -> None:
        """Give every idle worker a shard; start workers only for shards that there are."""
        while not self._stopping:
            idle = next((worker for worker in self._workers if worker.shard is None), None)
            if idle is None and len(self._workers) >= self._settings.workers:
                return
            shard = self._next()
            if shard is None:
                return
            if idle is None:
                idle = self._started()
            idle.shard = shard
            try:
                idle.pipe.send(shard)
            except OSError:
                self._replace(idle)

    def _next(self) -> Shard | None:
        return self._again.popleft() if self._again else next(self._shards, None)

    def _receive(self, worker: _Worker[Shard]) -> Iterator[tuple[Shard, Result]]:
        """A result, or one of the messages before it."""
        shard = worker.shard
        assert shard is not None
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            self._replace(worker)
            return
        if kind == "event":
            path, name, arguments = value
            observer = self._observer
            for job in path:
                observer = observer.of(job)
            getattr(observer, name)(*arguments)
        elif kind == "error":
            worker.shard = None
            raise value
        elif kind == "bug":
            worker.shard = None
            raise RuntimeError(f"a worker failed at {shard}:\n{value}")
        else:
            worker.shard = None
            yield shard, value

    def _replace(self, worker: _Worker[Shard]) -> None:
        """A worker died: its shard is made again by another."""
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        shard = worker.shard
        assert shard is not None
        if self._observer.stop():  # a signal to the whole group is a wish to stop
            raise Interrupted
        self._deaths[str(shard)] += 1
        if self._deaths[str(shard)] >= self._settings.deaths:
            raise WorkersDied(shard, self._settings.deaths, worker.process.exitcode or 0)
        self._again.append(shard)

    def _ask_to_stop(self) -> None:
        """Give no more shards away, and tell those at work, which find it in their pipe when they look."""
        if not self._stopping:
            self._stopping = True
            for worker in self._workers:
                if worker.shard is not None:
                    with suppress(OSError):  # it died
                        worker.pipe.send(None)

    def _started(self) -> _Worker[Shard]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._start), daemon=True)
        try:
            process.start()
        except (OSError, EOFError) as error:  # no folder for its sockets, no process left, or the server was killed
            raise RunError(_unstarted(error)) from None
        theirs.close()
        worker: _Worker[Shard] = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _close(self) -> None:
        """End all workers: idle ones at once, those with a shard after the grace time at the latest."""
        self._ask_to_stop()
        deadline = time.monotonic() + self._settings.grace_seconds
        for worker in self._workers:
            while worker.shard is not None and (left := deadline - time.monotonic()) > 0:
                try:
                    if worker.pipe.poll(left) and worker.pipe.recv()[0] != "event":
                        break
                except (EOFError, OSError):
                    break
            else:
                if worker.shard is not None:
                    worker.process.terminate()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join()


def _unstarted(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return (
        f"workers: expected to begin a process, whose sockets lie in TMPDIR, got: {reason}; "
        "let it name a folder with a short path and room, or let this process work alone (`workers` 0)"
    )


def _module_of(start: Any) -> str:
    """The module that a worker needs, through `functools.partial`."""
    while isinstance(start, partial):
        start = start.func
    return str(getattr(start, "__module__", "terse.workers"))


def _serve(pipe: Connection, start: Start[Any, Any]) -> None:
    """A worker process: one thread of computing, so that results do not depend on the machine's cores."""
    import cv2

    prepare_process()
    for number in (signal.SIGINT, signal.SIGHUP):  # reach the whole group; the parent decides what they mean
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of a torch that the work has yet to import
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    work: Callable[[Any], Any] | None = None
    while True:
        try:
            shard = pipe.recv()
        except (EOFError, OSError):
            return
        if shard is None:
            return
        try:
            work = work or start(_Forwarding(pipe))
            answer: tuple[str, Any] = "done", work(shard)
        except (TerseError, Interrupted) as error:
            answer = "error", error
        except MemoryError:
            text = f"workers: expected memory for {shard}, got none left; use fewer workers, then `resume`"
            answer = "error", RunError(text)
        except Exception as error:
            answer = failed(error)
        try:
            pipe.send(answer)
        except OSError:
            return


def failed(error: Exception) -> tuple[str, Any]:
    """The answer of a worker that met what nobody expected: a sentence where the machine is in the way, else our bug."""
    sentence = of_the_machine(error)
    return ("bug", traceback.format_exc()) if sentence is None else ("error", RunError(sentence))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Forwarding(Observer):
    """The observer inside a worker: events and the wish to stop go through the pipe."""

    def __init__(self, pipe: Connection, path: tuple[str, ...] = ()) -> None:
        self._pipe, self._path = pipe, path

    def cycle(self, row: Mapping[str, Any]) -> None:
        """Sent to the parent."""
        self._send("cycle", dict(row))

    def say(self, message: str) -> None:
        """Sent to the parent."""
        self._send("say", message)

    def done(self) -> None:
        """Sent to the parent."""
        self._send("done")

    def stop(self) -> bool:
        """Whether the parent's observer asked to stop."""
        return self._pipe.poll()  # nothing else comes before this shard's result

    def of(self, job: str) -> Observer:
        """One whose events reach the parent's observer of this job."""
        return _Forwarding(self._pipe, (*self._path, job))

    def _send(self, name: str, *arguments: Any) -> None:
        self._pipe.send(("event", (self._path, name, arguments)))
