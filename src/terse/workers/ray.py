"""Shards as tasks of a Ray cluster: those of a node that is lost are made again by another (extra `ray`)."""

from __future__ import annotations

import io
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Any, ClassVar, Literal

from terse.config import Config
from terse.errors import MissingExtra, RunError, TerseError, reason_of
from terse.process import prepare_process
from terse.progress import Interrupted, Observer, heard_by
from terse.registry import register
from terse.storage import copied_from, copy_digest, same_copy
from terse.workers.local import Executor, Result, Shard, Start, failed

__all__ = ["RayConfig", "RayTasks"]

_POLL_SECONDS = 0.2
_REACHED_SECONDS = 10.0
_TRIES = 3  # of a shard whose nodes or processes die
_STARTED: dict[str, Callable[[Any], Any]] = {}  # in a process of Ray's: what it made of the work it knows


@register("executor", "ray")
class RayConfig(Config):
    """Machines of a Ray cluster, each with terse installed; folders lie under the same paths on all of them, URLs anywhere."""

    kind: Literal["ray"] = "ray"
    address: str = "auto"
    """Of the cluster: HOST:PORT, auto for the one that this machine belongs to, local to start one here."""

    def build(self, workers: int) -> Executor:
        """At most so many shards at once; 0 is as many as the cluster has CPUs.

        Raises:
            MissingExtra: Ray is not installed.
        """
        if find_spec("ray") is None:
            raise MissingExtra("executor: ray", "ray")
        return RayTasks(self.address, workers)

    @staticmethod
    def default_workers() -> int:
        """All of the cluster."""
        return 0


@dataclass(frozen=True, slots=True)
class RayTasks:
    """A task with one CPU for each shard. Ray makes it again where its node or its process dies.

    The work may hold paths in this machine's copies of URLs: another machine finds them in copies of its own, made when it is
    given its first shard, and seen to hold the same bytes.
    """

    apart: ClassVar[bool] = True
    address: str
    workers: int

    def map(
        self, start: Start[Shard, Result], shards: Iterable[Shard | None], observer: Observer | None = None
    ) -> Generator[tuple[Shard, Result], None, None]:
        """Each shard with its result, in the order in which they are done.

        What the work tells its observer is passed on with the shard's result; a wish to stop is met between shards.

        Raises:
            RunError: no cluster at the address, or nodes died again and again at the same shard.
            TerseError: what a shard raised, in its own words.
            Interrupted: the observer asked to stop.
        """
        import ray

        begins = not ray.is_initialized()
        if begins:
            _connect(ray, self.address)
        try:
            yield from self._results(ray, start, iter(shards), heard_by(observer))
        finally:
            if begins:
                ray.shutdown()

    def _results(
        self, ray: Any, start: Start[Shard, Result], shards: Any, observer: Observer
    ) -> Generator[tuple[Shard, Result], None, None]:
        work = ray.put(_packed(ray, start))
        make = ray.remote(num_cpus=1, max_retries=_TRIES - 1, scheduling_strategy="SPREAD")(_make)
        under_way: dict[Any, Shard] = {}
        try:
            while True:
                most = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
                while len(under_way) < most and not observer.stop() and (shard := next(shards, None)) is not None:
                    under_way[make.remote(work, work.hex(), shard)] = shard
                if not under_way:
                    if observer.stop() and next(shards, None) is not None:
                        raise Interrupted
                    return
                for done in ray.wait(list(under_way), timeout=_POLL_SECONDS)[0]:
                    shard = under_way.pop(done)
                    yield shard, _answer(ray, done, shard, observer)
        finally:
            for task in under_way:
                ray.cancel(task, force=True)


def _connect(ray: Any, address: str) -> None:
    """Join the cluster; its processes see the modules that this one sees, where they lie under the same paths."""
    _reach(address)
    before = signal.getsignal(signal.SIGTERM)
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        ray.init(
            address=None if address == "local" else address,
            log_to_driver=False,
            logging_level="ERROR",
            include_dashboard=False if address == "local" else None,
            runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _unreached(address, error) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own ends the command without a word


def _reach(address: str) -> None:
    """See at once that something answers at HOST:PORT; Ray tries for a minute and ends the process."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "//" not in address:
        try:
            socket.create_connection((host, int(port)), timeout=_REACHED_SECONDS).close()
        except OSError as error:
            raise _unreached(address, error) from None


def _unreached(address: str, error: Exception) -> RunError:
    return RunError(
        f"address: expected a Ray cluster at {address}, got none ({reason_of(error)}); start one with `ray start --head`"
    )


def _answer(ray: Any, task: Any, shard: object, observer: Observer) -> Any:
    """The shard's result, after what its work said."""
    try:
        kind, value, events = ray.get(task)
    except ray.exceptions.RayError as error:
        raise RunError(
            f"workers: expected Ray's nodes to live, got {_TRIES} that died at {shard} ({type(error).__name__}); "
            "where memory ran out use fewer workers or smaller images, then `resume`"
        ) from None
    for path, name, arguments in events:
        told = observer
        for job in path:
            told = told.of(job)
        getattr(told, name)(*arguments)
    if kind == "error":
        raise value
    if kind == "bug":
        raise RuntimeError(f"a worker failed at {shard}:\n{value}")
    return value


def _packed(ray: Any, start: Start[Any, Any]) -> bytes:
    """The work as bytes, in which a path in a copy of a URL stands as the URL, the name below it and the copy's digest."""
    digests: dict[str, str] = {}

    class Packer(ray.cloudpickle.CloudPickler):  # type: ignore[misc]
        def persistent_id(self, item: Any) -> tuple[str, str, str] | None:
            found = copied_from(Path(item)) if isinstance(item, PurePath) else None
            if found is None:
                return None
            if found.url not in digests:
                digests[found.url] = copy_digest(found.url)
            return found.url, found.name, digests[found.url]

    stream = io.BytesIO()
    Packer(stream).dump(start)
    return stream.getvalue()


class _Unpacker(pickle.Unpickler):
    """The work with its paths in this machine's copies."""

    def __init__(self, packed: bytes) -> None:
        super().__init__(io.BytesIO(packed))
        self._copies: dict[str, Path] = {}

    def persistent_load(self, told: tuple[str, str, str]) -> Path:
        url, name, digest = told
        if url not in self._copies:
            self._copies[url] = same_copy(url, digest)
        return self._copies[url] / name


def _make(packed: bytes, key: str, shard: Any) -> tuple[str, Any, list[Any]]:
    """In a process of the cluster: make the shard; what was started once is kept for the next."""
    import cv2

    prepare_process()
    cv2.setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    events: list[Any] = []
    try:
        if key not in _STARTED:
            _STARTED.clear()  # of an earlier job
            _STARTED[key] = _Unpacker(packed).load()(_Noting(events))
        return "done", _STARTED[key](shard), events
    except (TerseError, Interrupted) as error:
        return "error", error, events
    except Exception as error:
        return *failed(error), events


class _Noting(Observer):
    """Keeps what the work says until its shard is done."""

    def __init__(self, events: list[Any], path: tuple[str, ...] = ()) -> None:
        self._events, self._path = events, path

    def cycle(self, row: Mapping[str, Any]) -> None:
        """Keep the call for the process that began the job."""
        self._events.append((self._path, "cycle", (dict(row),)))

    def say(self, message: str) -> None:
        """Keep the call for the process that began the job."""
        self._events.append((self._path, "say", (message,)))

    def done(self) -> None:
        """Keep the call for the process that began the job."""
        self._events.append((self._path, "done", ()))

    def of(self, job: str) -> Observer:
        """One whose events reach the caller's observer of this job."""
        return _Noting(self._events, (*self._path, job))
