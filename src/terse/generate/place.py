"""Where a set is made: in its own folder, or at a URL, by way of a folder on this machine."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from terse.errors import RunError
from terse.folders import cache_folder, holds_nothing, require_free
from terse.generate.manifest import MANIFEST, REQUEST, claim_set
from terse.generate.plan import Shard
from terse.generate.sender import Sent, start_sender
from terse.generate.shard import PARTS, Job, made_folder, start_worker
from terse.progress import Observer
from terse.storage import Storage
from terse.urls import local_path, url_of

__all__ = ["AtURL", "Place", "place_of"]


class Place:
    """A set's own folder.

    Attributes:
        folder: on this machine: workers write in it, and its lock holds the set.
        name: what a user calls the place.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)
        self._begun = False

    def claim(self, about: Mapping[str, Any], *, resume: bool) -> dict[str, Any] | None:
        """Make it this set's, or see that it is already; the manifest where the set is whole.

        Raises:
            RunError: it cannot be written, or holds something else.
        """
        manifest, self._begun = claim_set(self.folder, about, resume=resume)
        return manifest

    def require_free(self) -> None:
        """See that a new set can begin here, without beginning it.

        Raises:
            RunError: a set is here, or other files.
        """
        held = self.has(MANIFEST) or self.has(REQUEST)
        empty = not self.folder.exists() or holds_nothing(self.folder)
        require_free(self.name, "set", held=held, empty=empty)

    def has(self, name: str) -> bool:
        """Whether a file of the set is there."""
        return (self.folder / name).is_file()

    def work(self, job: Job, *, apart: bool) -> Callable[[Observer], Callable[[Shard], Any]]:
        """What every worker calls once; `apart` says that workers may share no folder with this process."""
        return partial(start_worker, replace(job, out=job.out.absolute()) if apart else job)

    def take(self, number: int, made: Any) -> dict[str, Any]:
        """The tally of a shard from what its worker gave; its part is in the folder then."""
        return dict(made)

    def send(self, parts: Sequence[Path]) -> None:
        """Files of these whole shards are where they belong."""

    def discard(self, goes: Callable[[Path], bool]) -> None:
        """Remove the files of the set that `goes` says of."""
        for path in [path for path in self._files() if goes(path)]:
            path.unlink()

    def clear(self) -> None:
        """Remove all of a set that cannot be made; files that stood in the folder before are none of it."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)

    def take_back(self) -> None:
        """Nothing was made: leave a place where the set was begun only now as empty as it was."""
        if self._begun:
            shutil.rmtree(self.folder / PARTS, ignore_errors=True)

    def untouched(self) -> bool:
        """Whether no file of the set is there yet."""
        return not any(self._files())

    def finish(self) -> None:
        """The manifest is in the folder: the set is whole."""
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)

    def _files(self) -> Iterator[Path]:
        """The set's files, which shards' parts are none of."""
        for entry in self.folder.iterdir():
            if entry.name != PARTS:
                yield from (path for path in (entry, *entry.rglob("*")) if path.is_file())


class AtURL(Place):
    """A URL, by way of a folder of the cache here, where claim and lock, parts and files under way are.

    Workers that share this folder leave their files in it; others send them by themselves. Files go to the URL when their shard is whole, under names that never change their bytes; the manifest goes last. A set that was cut short has `.parts/request.json` at the URL. It goes on here from its parts, or on another machine from
    its beginning, with equal bytes.
    """

    def __init__(self, url: str) -> None:
        name = url.rstrip("/").rpartition("/")[2]
        super().__init__(cache_folder() / "sets" / hashlib.sha256(url.encode()).hexdigest()[:16] / name)
        self.name = url
        self._storage = Storage(url, RunError)
        self._there: set[str] = set()

    def claim(self, about: Mapping[str, Any], *, resume: bool) -> dict[str, Any] | None:
        """As the folder's; what is at the URL decides."""
        self._there = set(self._storage.listing())
        whole, begun = MANIFEST in self._there, REQUEST in self._there
        if self._there and not whole and not begun:
            raise RunError(f"{self.name}: expected a new or empty folder, got one with files in it; give `out` another")
        if not begun:
            self._empty()
        if not whole:
            (self.folder / MANIFEST).unlink(missing_ok=True)
        for name in {MANIFEST, REQUEST} & self._there:
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(self._storage.read(name))
        try:
            found = super().claim(about, resume=resume)
        except RunError as error:
            raise RunError(str(error).replace(str(self.folder), self.name)) from None
        if not whole and not begun:
            self._storage.write(REQUEST, (self.folder / REQUEST).read_bytes())
            self._there.add(REQUEST)
        return found

    def require_free(self) -> None:
        """As the folder's; what is at the URL decides."""
        there = set(self._storage.listing())
        require_free(self.name, "set", held=bool({MANIFEST, REQUEST} & there), empty=not there)

    def has(self, name: str) -> bool:
        """Whether a file of the set is there, or here and to be sent."""
        return name in self._there or super().has(name)

    def work(self, job: Job, *, apart: bool) -> Callable[[Observer], Callable[[Shard], Any]]:
        """Workers that are apart send their files by themselves."""
        return partial(start_sender, job, self.name) if apart else super().work(job, apart=apart)

    def take(self, number: int, made: Any) -> dict[str, Any]:
        """Write the part of a shard whose files were sent."""
        if not isinstance(made, Sent):
            return super().take(number, made)
        folder = made_folder(self.folder, number)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for name, data in made.part.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunError(f"{folder}: expected room to write shard {number}, got: {reason}; then `resume`") from None
        self._there.update(made.names)
        return made.tally

    def send(self, parts: Sequence[Path]) -> None:
        """Send the files of these whole shards, and remove them here."""
        stems = {part.name for part in parts}
        for part in parts:
            lines = (part / "SHA256SUMS").read_text("utf-8").splitlines()
            stems |= {Path(line.split("  ", 1)[1]).stem for line in lines}
        self._send([path for path in self._files() if path.stem in stems])

    def discard(self, goes: Callable[[Path], bool]) -> None:
        """Remove such files from the folder here and from the URL."""
        super().discard(goes)
        self._remove([name for name in self._there if goes(self.folder / name)])

    def clear(self) -> None:
        """Remove all of the set from the folder here and from the URL."""
        self._empty()
        self._remove(sorted(self._there))

    def take_back(self) -> None:
        """Nothing was made: where the set was begun only now, leave nothing of it here or at the URL."""
        if self._begun:
            self.clear()

    def untouched(self) -> bool:
        """Whether no file of the set is here or at the URL yet."""
        return self._there <= {REQUEST} and super().untouched()

    def finish(self) -> None:
        """Send what is left, the manifest last; then nothing stays here."""
        manifest = self.folder / MANIFEST
        self._send(sorted(path for path in self._files() if path != manifest))
        if MANIFEST not in self._there:
            self._send([manifest])
        self._remove([name for name in self._there if name == REQUEST])
        self._empty()

    def _send(self, paths: Sequence[Path]) -> None:
        files = {path.relative_to(self.folder).as_posix(): path for path in paths}
        if files:
            self._storage.send(files)
            self._there.update(files)
            for path in paths:
                path.unlink()

    def _remove(self, names: Sequence[str]) -> None:
        self._storage.remove(names)
        self._there.difference_update(names)

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def place_of(out: Path | str) -> Place:
    """The place that a user typed.

    Raises:
        TerseError: a URL that cannot be used; the sentence begins with it.
    """
    url = url_of(out)
    return Place(local_path(out)) if url is None else AtURL(url)
