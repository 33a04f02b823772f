"""Worker processes on one machine: each makes shards until there are none; one that dies is replaced."""

import multiprocessing
import signal
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from terse.errors import RunError, TerseError
from terse.generate.shard import Job, Shard, Worker

__all__ = ["make_shards"]

_DEATHS = 3


@dataclass(slots=True)
class _Hand:
    """A worker process, its line, and what it is making."""

    process: BaseProcess
    line: Connection
    shard: Shard | None = None


def make_shards(job: Job, shards: Iterable[Shard], workers: int) -> Generator[tuple[Shard, dict[str, Any]], None, None]:
    """Each shard with what was made of it, in the order in which they are done.

    The set does not depend on `workers`; 0 makes everything in this process.

    Raises:
        TerseError: as the worker.
        RunError: workers died again and again on the same shard.
    """
    if workers == 0:
        worker = Worker(job)
        for shard in shards:
            yield shard, worker.make(shard)
        return
    yield from _Crew(job, workers).run(shards)


class _Crew:
    def __init__(self, job: Job, workers: int) -> None:
        # Forked from a server that has imported everything and started no thread: quick, and safe beside torch.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["terse.generate.shard", "terse.generate.processes"])
        self._job, self._workers = job, workers
        self._hands: list[_Hand] = []
        self._again: deque[Shard] = deque()
        self._deaths: Counter[int] = Counter()

    def run(self, shards: Iterable[Shard]) -> Iterator[tuple[Shard, dict[str, Any]]]:
        left = iter(shards)
        try:
            while True:
                self._hand_out(left)
                busy = {hand.line: hand for hand in self._hands if hand.shard is not None}
                if not busy:
                    return
                for line in wait(list(busy)):
                    assert isinstance(line, Connection)
                    yield from self._hear(busy[line])
        finally:
            self._dismiss()

    def _hand_out(self, left: Iterator[Shard]) -> None:
        """Give every idle worker a shard; start workers only for shards that there are."""
        while True:
            idle = next((hand for hand in self._hands if hand.shard is None), None)
            if idle is None and len(self._hands) >= self._workers:
                return
            shard = self._again.popleft() if self._again else next(left, None)
            if shard is None:
                return
            if idle is None:
                idle = self._start()
            idle.shard = shard
            try:
                idle.line.send(shard)
            except OSError:
                self._bury(idle)

    def _hear(self, hand: _Hand) -> Iterator[tuple[Shard, dict[str, Any]]]:
        shard = hand.shard
        assert shard is not None
        try:
            kind, value = hand.line.recv()
        except (EOFError, OSError):
            self._bury(hand)
            return
        if kind == "error":
            raise value
        if kind == "bug":
            raise RuntimeError(f"a worker failed at shard {shard.number}:\n{value}")
        hand.shard = None
        yield shard, value

    def _bury(self, hand: _Hand) -> None:
        """A worker died: its shard is made again by another."""
        hand.process.join()
        hand.line.close()
        self._hands.remove(hand)
        shard = hand.shard
        assert shard is not None
        self._deaths[shard.number] += 1
        if self._deaths[shard.number] >= _DEATHS:
            code = hand.process.exitcode or 0
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            raise RunError(
                f"--workers: expected workers to live, got {_DEATHS} that died of {how} at shard {shard.number}; "
                "SIGKILL is the system's, when memory runs out: use fewer workers or smaller images, then --resume"
            )
        self._again.append(shard)

    def _start(self) -> _Hand:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._job), daemon=True)
        process.start()
        theirs.close()
        hand = _Hand(process, ours)
        self._hands.append(hand)
        return hand

    def _dismiss(self) -> None:
        for hand in self._hands:
            if hand.shard is not None:
                hand.process.terminate()
            hand.line.close()
        for hand in self._hands:
            hand.process.join()


def _serve(line: Connection, job: Job) -> None:
    """A worker's life: one thread, so that computing does not depend on the machine's cores."""
    import cv2
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends us
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    answer = _answering(job)
    while True:
        try:
            shard = line.recv()
        except (EOFError, OSError):
            return
        try:
            line.send(answer(shard))
        except OSError:
            return


def _answering(job: Job) -> Callable[[Shard], tuple[str, Any]]:
    """A function that never raises: what went wrong goes to the parent."""
    worker: Worker | None = None

    def answer(shard: Shard) -> tuple[str, Any]:
        nonlocal worker
        try:
            if worker is None:
                worker = Worker(job)
            return "done", worker.make(shard)
        except TerseError as error:
            return "error", error
        except MemoryError:
            message = (
                f"--workers: expected memory for shard {shard.number}, got none left; use fewer workers, then --resume"
            )
            return "error", RunError(message)
        except Exception:
            return "bug", traceback.format_exc()

    return answer
