"""Shards of workers that share no folder with the process that plans: each sends its files to the set's URL by itself."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from terse.errors import RunError
from terse.folders import cache_folder, locked
from terse.generate.plan import Shard
from terse.generate.shard import PARTS, Job, Worker, made_folder
from terse.progress import Observer
from terse.storage import Storage

__all__ = ["Sender", "Sent", "start_sender"]


@dataclass(frozen=True, slots=True)
class Sent:
    """A shard whose files are at the URL.

    Attributes:
        tally: what `Worker.make` gives.
        part: the files of its part, by name: some hundred bytes an object, which the planning process joins.
        names: of the files that were sent.
    """

    tally: dict[str, Any]
    part: dict[str, bytes]
    names: tuple[str, ...]


def start_sender(job: Job, url: str, observer: Observer) -> Callable[[Shard], Sent]:
    """What every worker of an executor whose workers are apart calls once."""
    return Sender(job, url).make


class Sender:
    """Makes shards in a folder of this machine's cache, and sends their files."""

    def __init__(self, job: Job, url: str) -> None:
        self._held = ExitStack()  # until this process ends, or begins another job
        self._folder = _own_folder(self._held)
        self._worker = Worker(replace(job, out=self._folder))
        self._storage = Storage(url, RunError)

    def make(self, shard: Shard) -> Sent:
        """Make the shard and send its files; nothing of it stays here.

        Raises:
            RunError: no room here, or no way to the URL.
            DataError: a source cannot be read.
        """
        try:
            tally = self._worker.make(shard)
            made = made_folder(self._folder, shard.number)
            part = {name: path.read_bytes() for name, path in _files(made)}
            files = {name: path for name, path in _files(self._folder) if not name.startswith(f"{PARTS}/")}
            if files:
                self._storage.send(files)
            return Sent(tally, part, tuple(files))
        finally:
            for path in self._folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _own_folder(held: ExitStack) -> Path:
    """A new folder, locked for as long as it is `held`; those whose process was killed are removed."""
    home = cache_folder() / "shards"
    with locked(home, waits=True):
        for left in home.iterdir():
            try:
                with locked(left):
                    shutil.rmtree(left, ignore_errors=True)
            except RunError:  # another process's that lives
                continue
        own = Path(tempfile.mkdtemp(dir=home))
        held.enter_context(locked(own))
    return own


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path
