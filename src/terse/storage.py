"""Files at URLs, by fsspec: what is sent there, and copies of what is read from there.

States, locks and work in progress are never at a URL: object stores know neither locks nor renames.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import os
import shutil
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from terse.errors import DataError, MissingExtra, RunError, TerseError, reason_of
from terse.folders import cache_folder, locked, sha256_of, write_atomically
from terse.progress import Observer, heard_by

__all__ = ["Copied", "Remote", "Storage", "copied_from", "copy_digest", "local_copy", "same_copy"]

_EXTRAS = {"s3": "s3", "s3a": "s3"}
_MODIFIED = ("LastModified", "last_modified", "mtime", "updated", "created")
_BATCH = 64
_LIMIT_GB = 100.0
_COPIES: dict[Path, str] = {}  # made by this process, with their URLs


@dataclass(frozen=True, slots=True)
class Remote:
    """What a listing says of a file."""

    size_bytes: int | None
    modified: float | None


class Storage:
    """A file, or the files below a folder, at a URL.

    Args:
        url: of any protocol that fsspec knows, as `s3://bucket/folder`.
        error: the class of the errors that its methods raise, and

    Raises:
        MissingExtra: the package for the protocol is not installed.
        TerseError: what stands in the way, in one sentence that begins with the URL.
    """

    def __init__(self, url: str, error: type[TerseError] = DataError) -> None:
        self.url = url
        self._error = error
        with self._told("open"):
            from fsspec.core import url_to_fs

            self._files, root = url_to_fs(url)
            self._root = str(root).rstrip("/")

    def listing(self) -> dict[str, Remote]:
        """The files by their names below the URL; the URL's own file is called ''. Empty where nothing is there."""
        with self._told("list"):
            self._files.invalidate_cache()
            if self.url.startswith("http"):  # one file: a listing would follow the links in it
                found = {self._root: self._files.info(self._root)}
            else:
                found = self._files.find(self._root, detail=True)
        files: dict[str, Remote] = {}
        for path, about in sorted(found.items()):
            name = str(path).strip("/").removeprefix(self._root.strip("/")).lstrip("/")
            if about.get("type", "file") == "file" and not str(path).endswith("/"):
                modified = next((about[key] for key in _MODIFIED if about.get(key) is not None), None)
                files[name] = Remote(about.get("size"), _seconds(modified))
        return files

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        with self._told("read"):
            return bytes(self._files.cat_file(self._at(name)))

    def write(self, name: str, data: bytes) -> None:
        """One file, whole or not at all."""
        with self._told("write"):
            self._files.pipe_file(self._at(name), data)

    def send(self, files: Mapping[str, Path]) -> None:
        """Local files to these names, side by side where the protocol can."""
        with self._told("write"):
            self._files.put([str(path) for path in files.values()], [self._at(name) for name in files])

    def send_once(self, name: str, path: Path) -> None:
        """A local file to a name that never changes its bytes.

        Raises:
            TerseError: the name has other bytes.
        """
        data = path.read_bytes()
        with self._told("write"):
            there = self._files.cat_file(self._at(name)) if self._files.exists(self._at(name)) else None
            if there is None:
                self._files.pipe_file(self._at(name), data)
        if there is not None and bytes(there) != data:
            raise self._error(
                f"{self.url}/{name}: expected no file, or the same, got another's bytes; give another URL"
            )

    def fetch(self, files: Mapping[str, Path]) -> None:
        """Files of these names to local paths, whose folders are there."""
        with self._told("read"):
            self._files.get([self._at(name) for name in files], [str(path) for path in files.values()])

    def remove(self, names: Sequence[str]) -> None:
        """Files of these names."""
        if names:
            with self._told("write"):
                self._files.rm([self._at(name) for name in names])

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except TerseError:
            raise
        except ImportError as error:
            scheme = self.url.partition("://")[0]
            if scheme in _EXTRAS:
                raise MissingExtra(self.url, _EXTRAS[scheme]) from None
            raise self._error(
                f"{self.url}: expected the package that reads {scheme}://, got none ({reason_of(error)})"
            ) from None
        except Exception as error:  # each protocol's package has its own
            raise self._error(f"{self.url}: {_reason(what, error)}") from None


def local_copy(url: str, observer: Observer | None = None) -> Path:
    """A copy on this machine of a file, or of the files below a folder, at a URL.

    It is kept in the cache's folder; a file whose size and time of change are as before is not fetched again, and one that is
    gone from the URL goes. `TERSE_CACHE_GB` is how large a copy may be, 100 by default.

    Raises:
        TerseError: nothing there, no access, or no room; the sentence begins with the URL.
    """
    storage = Storage(url)
    files = storage.listing()
    if not files:
        raise DataError(f"{url}: expected a file, or a folder with files, got none")
    name = PurePosixPath(urlsplit(url).path if url.startswith("http") else url.partition("://")[2]).name
    home = _home(url)
    with locked(home, waits=True):
        root = home / (name if name not in ("", "..") else "files")
        wanted = {one: root / one if one else root for one in files}
        if odd := next((one for one in files if ".." in PurePosixPath(one).parts or "\0" in one), None):
            raise DataError(f"{url}: expected names inside the folder, got {odd!r}")
        if both := next((str(up) for one in files for up in PurePosixPath(one).parents if str(up) in files), None):
            raise DataError(
                f"{url}: expected names that a disk can hold, got a file and a folder that are called {both!r}"
            )
        try:
            _remove_others(home, set(wanted.values()))
            missing = [one for one in wanted if not _same(wanted[one], files[one])]
            _require_room(url, files, missing, home)
            _fetch(
                storage, {one: wanted[one] for one in missing}, files, home.with_name(f"{home.name}.parts"), observer
            )
        except OSError as error:
            raise DataError(f"{url}: expected to keep a copy in {home}, got: {error.strerror or error}") from None
    _COPIES[root.resolve()] = url
    return root


@dataclass(frozen=True, slots=True)
class Copied:
    """A path in a copy that this process made: the URL, and the path's name below it."""

    url: str
    name: str


def copied_from(path: Path) -> Copied | None:
    """Where a path was copied from; None of one in no copy that this process made."""
    if not path.is_absolute():
        return None
    path = path.resolve()
    for root, url in _COPIES.items():
        if path.is_relative_to(root):
            return Copied(url, path.relative_to(root).as_posix())
    return None


def copy_digest(url: str) -> str:
    """The SHA-256 of the names and bytes of the files in this machine's copy of a URL.

    It is kept beside the copy until a name, a size or a time of change differs: many processes of a machine ask.

    Raises:
        DataError: there is no copy, or a file of it cannot be read.
    """
    home = _home(url)
    note = home.with_name(f"{home.name}.sha256")
    try:
        with locked(home, waits=True):
            files = {path.relative_to(home).as_posix(): path for path in sorted(home.rglob("*")) if path.is_file()}
            seen = [[name, (state := path.stat()).st_size, state.st_mtime_ns] for name, path in files.items()]
            stamp = hashlib.sha256(json.dumps(seen).encode()).hexdigest()
            kept = note.read_text("ascii").split() if note.is_file() else []
            if len(kept) == 2 and kept[0] == stamp:
                return kept[1]
            lines = "".join(f"{sha256_of(path)}  {name}\n" for name, path in files.items())
            digest = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
            write_atomically(note, f"{stamp} {digest}\n".encode())
    except OSError as error:
        raise DataError(f"{url}: expected to read its copy in {home}, got: {error.strerror or error}") from None
    return digest


def same_copy(url: str, digest: str) -> Path:
    """A copy on this machine that holds what another machine's does, by the other's `copy_digest`.

    Raises:
        DataError: the URL holds other files by now; or as `local_copy`.
    """
    root = local_copy(url)
    if (found := copy_digest(url)) != digest:
        raise DataError(
            f"{url}: expected the files that the work was planned with (SHA-256 {digest[:12]}...), got others "
            f"({found[:12]}...); leave them as they are until the work ends, then `resume`"
        )
    return root


def _home(url: str) -> Path:
    return cache_folder() / "copies" / hashlib.sha256(url.encode()).hexdigest()[:16]


def _remove_others(home: Path, kept: Container[Path]) -> None:
    """Remove the files that are not kept, and folders that hold nothing then: a new file may be called as one of them."""
    for path in sorted(home.rglob("*"), reverse=True):  # what a folder holds comes before it
        if not path.is_dir():
            if path not in kept:
                path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()


def _fetch(
    storage: Storage, wanted: Mapping[str, Path], files: Mapping[str, Remote], parts_in: Path, observer: Observer | None
) -> None:
    """Fetch files into a folder for parts, where no name is another file's, and from there to their places."""
    names = list(wanted)
    shutil.rmtree(parts_in, ignore_errors=True)  # of a copy that was cut short
    parts_in.mkdir()
    for first in range(0, len(names), _BATCH):
        batch = names[first : first + _BATCH]
        heard_by(observer).advance(f"files of {storage.url}", first, len(names))
        parts = {name: parts_in / str(number) for number, name in enumerate(batch)}
        storage.fetch(parts)
        for name, path in parts.items():
            if (modified := files[name].modified) is not None:
                os.utime(path, (modified, modified))
            wanted[name].parent.mkdir(parents=True, exist_ok=True)
            path.replace(wanted[name])
    parts_in.rmdir()
    if names:
        heard_by(observer).advance(f"files of {storage.url}", len(names), len(names))


def _same(path: Path, remote: Remote) -> bool:
    if remote.modified is None or not path.is_file():
        return False
    state = path.stat()
    return state.st_size == remote.size_bytes and abs(state.st_mtime - remote.modified) < 1e-3


def _require_room(url: str, files: Mapping[str, Remote], missing: Sequence[str], home: Path) -> None:
    typed = os.environ.get("TERSE_CACHE_GB", str(_LIMIT_GB))
    try:
        limit = float(typed) * 1e9
    except ValueError:
        limit = math.nan
    if not limit >= 0:
        raise RunError(f"TERSE_CACHE_GB: expected a number of gigabytes, got {typed!r}")
    total = sum(file.size_bytes or 0 for file in files.values())
    if total > limit:
        raise DataError(
            f"{url}: expected at most {limit / 1e9:g} GB to copy, got {total / 1e9:.3g}; name a smaller folder, or set "
            "TERSE_CACHE_GB"
        )
    needed, free = sum(files[name].size_bytes or 0 for name in missing), shutil.disk_usage(home).free
    if needed > free:
        raise DataError(
            f"{url}: expected room for {needed / 1e9:.3g} GB in {cache_folder()}, got {free / 1e9:.3g}; let XDG_CACHE_HOME "
            "name a folder with more"
        )


def _seconds(modified: Any) -> float | None:
    if isinstance(modified, str):
        try:
            modified = dt.datetime.fromisoformat(modified)
        except ValueError:
            return None
    if isinstance(modified, dt.datetime):
        return modified.timestamp()
    return float(modified) if isinstance(modified, int | float) else None


def _reason(what: str, error: Exception) -> str:
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"):
        return f"expected credentials, got none that are whole ({reason_of(error)}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if isinstance(error, PermissionError):
        return (
            f"expected to be let in, got: {reason_of(error)}; look at your credentials and at the rules of the bucket"
        )
    if isinstance(error, FileNotFoundError):
        return f"expected something there to {what}, got nothing ({reason_of(error)})"
    if isinstance(error, ValueError) and "Protocol not known" in str(error):
        return f"expected a protocol that fsspec knows, got another ({reason_of(error)})"
    return f"expected to {what} it, got: {reason_of(error)}"
