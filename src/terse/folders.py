"""Folders that a command fills: whose they are, who writes in them now, and files that are whole or not there."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from terse.errors import RunError, TerseError
from terse.urls import url_of

__all__ = [
    "cache_folder",
    "check_digest",
    "claim",
    "holds_nothing",
    "inflated_limit",
    "locked",
    "replacing",
    "require_free",
    "require_local",
    "sha256_of",
    "sync_folder",
    "sync_written",
    "taken_back",
    "write_atomically",
    "write_json",
]

_TEMPORARY = ".tmp"
_OURS = ".terse.tmp"  # beside a file that the user named, where `.tmp` alone may be one of the user's
_BLOCK_BYTES = 1 << 20
_INFLATION, _FREE_BYTES, _MOST_BYTES = 20, 64 << 20, 2 << 30


@contextlib.contextmanager
def replacing(path: Path, *, keep: Path | None = None) -> Iterator[BinaryIO]:
    """A stream to a temporary file beside `path`, which takes its place when the block ends well.

    A reader sees the old file or the whole new one, after a power cut too. An exception leaves the old one. Another process
    that writes the same file waits. With `keep`, the old file is renamed to that; a kill between the two renames leaves it
    there.
    """
    temporary = path.with_name(path.name + _OURS)
    _make_lasting(path.parent)
    with _held(temporary) as stream:
        try:
            stream.truncate()  # what a killed process left
            written = _Written(stream)
            try:
                yield cast("BinaryIO", written)
            except RuntimeError as error:  # torch's, of a full disk: "unexpected pos 64"
                raise written.error or error from None
            stream.flush()
            os.fsync(stream.fileno())
            if keep is not None and path.exists():
                path.replace(keep)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def _held(path: Path) -> BinaryIO:
    """A file opened to be written, as it is, when no other process has it any more."""
    while True:
        stream = open(path, "wb", opener=lambda name, flags: os.open(name, flags & ~os.O_TRUNC, 0o666))  # noqa: SIM115
        try:
            _lock(stream.fileno(), waits=True)
            if _is_still(path, stream):
                return stream
        except BaseException:
            stream.close()
            raise
        stream.close()  # the other one gave it its name


def _is_still(path: Path, stream: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _lock(handle: int, *, waits: bool) -> None:
    """Hold what was opened until it is closed; nothing where the system or the file system knows no locks.

    Raises:
        BlockingIOError: another process holds it, and it is not waited for.
    """
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            pass


class _Written:
    """A stream that remembers why it could not be written: libraries do not always say."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def write_atomically(path: Path, data: bytes) -> None:
    """Write the whole file, or leave the old one.

    Raises:
        RunError: no room, or no permission.
    """
    try:
        with replacing(path) as stream:
            stream.write(data)
    except OSError as error:
        raise RunError(f"{path}: expected room to write it, got: {error.strerror or error}") from None


def write_json(path: Path, value: Any, *, indent: int | None = 1, sort_keys: bool = False) -> None:
    """Write a value as JSON with a last line break, whole or not at all.

    Raises:
        RunError: no room, or no permission.
    """
    write_atomically(
        path,
        (json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=False) + "\n").encode(
            "utf-8", "backslashreplace"
        ),
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def check_digest(path: Path, expected: str | None) -> None:
    """See that a file is the one that was written; None compares nothing.

    Raises:
        RunError: its bytes have changed.
    """
    if expected is not None and (found := sha256_of(path)) != expected:
        raise RunError(
            f"{path}: expected the file that was written (SHA-256 {expected[:12]}...), got other bytes ({found[:12]}...); "
            "the disk or a person changed it: restore it"
        )


def inflated_limit(size_bytes: int) -> int:
    """What a compressed file that the user did not name may unpack to: 20 times its size or 64 MB, never above 2 GB."""
    return min(_MOST_BYTES, max(_INFLATION * size_bytes, _FREE_BYTES))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut: new files, new folders, renames."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_written(folder: Path) -> None:
    """Make all that was written to the file system of a folder last through a power cut, in one call.

    A call for each of many small images takes twenty times as long (128 of 60 kB: 450 ms instead of 20 ms). Where the
    system knows no call for one file system, all of them are synced.

    Raises:
        OSError: the disk is full or broken, as the system says of late writes too.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        _sync_file_system(handle)
    finally:
        os.close(handle)


def _sync_file_system(handle: int) -> None:
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
    elif syncfs(handle):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def require_local(folder: Path) -> None:
    """Refuse a URL where states, locks or pages are written.

    Raises:
        RunError: it is one.
    """
    if (url := url_of(folder)) is not None:
        raise RunError(
            f"{url}: expected a folder on this machine, got a URL, which knows neither locks nor renames; give `out` a "
            "folder here and copy it when it is whole (of `terse generate` and `terse render` it may be a URL)"
        )


def _make_lasting(folder: Path) -> list[Path]:
    """Create a folder with those above it, so that they last through a power cut; those that are new, innermost first."""
    require_local(folder)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        sync_folder(path.parent)
    return new


def claim(
    folder: Path,
    kind: str,
    request: Mapping[str, Any],
    *,
    called: str = "recipe",
    resume: bool,
    written: Callable[[], Mapping[str, Any] | None],
    begin: Callable[[], None],
    ignored: Collection[str] = (),
    resume_begins: bool = False,
) -> bool:
    """Make the folder this request's, or see that it is already.

    Args:
        folder: created where it does not exist.
        kind: `run`, `proof` or `set`, for messages.
        request: what the folder is to hold, as plain data.
        called: what a user calls the request.
        resume: go on with what the folder holds.
        written: the request that the folder was begun with; None where it holds none.
        begin: writes the request into the empty folder.
        ignored: keys of the request that may differ.
        resume_begins: with `resume`, an empty folder is begun instead of refused.

    A folder that holds nothing but temporary files of a killed process, and folders for more of them, counts as empty, and
    may be begun with `resume`.

    Returns:
        Whether the folder held the request already.

    Raises:
        RunError: it cannot be written, holds something else, or something that nobody asked to go on with.
    """
    _make(folder)
    try:
        old = written()
        names = any(folder.iterdir())
        empty = holds_nothing(folder)
    except OSError as error:
        raise RunError(f"{folder}: expected a folder that can be written, got: {error.strerror or error}") from None
    if old is not None and resume:
        _same_request(folder, f"the {called} that the {kind} began with", old, request, ignored)
        return True
    if resume and not (empty and (resume_begins or names)):
        raise RunError(f"{folder}: expected a {kind} to go on with, got none; leave `resume` out to begin one")
    require_free(str(folder), kind, held=old is not None, empty=empty)
    begin()
    return False


def require_free(place: str, kind: str, *, held: bool, empty: bool) -> None:
    """See that something new may begin at a place: it holds none of the kind, and is empty.

    Raises:
        RunError: it is not.
    """
    if held:
        raise RunError(f"{place}: expected a new folder, got one that holds a {kind}; add `resume` to go on with it")
    if not empty:
        raise RunError(f"{place}: expected a new or empty folder, got one with files in it; give `out` another")


def holds_nothing(path: Path) -> bool:
    """Is this a temporary file of a killed process, or a folder with nothing but such files and folders for more of them?"""
    return all(one.name.endswith(_TEMPORARY) or one.is_dir() for one in (path, *path.rglob("*")))


def _make(folder: Path) -> list[Path]:
    try:
        str(folder).encode()  # as a result and its page say where they are
        return _make_lasting(folder)
    except UnicodeEncodeError:
        raise RunError(f"{folder}: expected a name in UTF-8, got other bytes; give `out` another") from None
    except OSError as error:
        raise RunError(f"{folder}: expected a folder that can be written, got: {error.strerror or error}") from None


def _same_request(
    folder: Path, expected: str, old: Mapping[str, Any], new: Mapping[str, Any], ignored: Collection[str] = ()
) -> None:
    """See that a folder goes on with what it was begun with; a key that differs is named, nested ones too."""
    for key in sorted({*old, *new}.difference(ignored)):
        if differing := _first_difference(key, old.get(key), new.get(key)):
            name, before, now = differing
            raise RunError(
                f"{folder}: expected {expected}, got another {name}: {json.dumps(now)} instead of {json.dumps(before)}"
            )


def _first_difference(name: str, before: Any, now: Any) -> tuple[str, Any, Any] | None:
    """The first key, nested ones as `a.b`, in which two requests differ; one that is missing counts as null."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        inner = (_first_difference(f"{name}.{key}", before.get(key), now.get(key)) for key in sorted({*before, *now}))
        return next((found for found in inner if found), None)
    return None if before == now else (name, before, now)


@contextlib.contextmanager
def taken_back(folder: Path | None, *, keep: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Remove a folder that was empty or missing before, where what is set up in it meets a mistake of the user's.

    The next try then finds no folder in its way. A folder that held something is left alone, and one of which `keep` says
    that it holds work by now.
    """
    empty = folder is not None and (not folder.exists() or not any(folder.iterdir()))
    try:
        yield
    except TerseError:
        if folder is not None and empty and not keep():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def cache_folder() -> Path:
    """Where terse keeps what it can make or fetch again: `terse` in `XDG_CACHE_HOME`, or in `~/.cache`.

    Raises:
        RunError: neither is known, as in a container whose user has no home.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "terse"
    except RuntimeError:
        raise RunError(
            "XDG_CACHE_HOME: expected a folder for the cache, got none, and no home folder; set it"
        ) from None


@contextlib.contextmanager
def locked(folder: Path | None, *, waits: bool = False) -> Iterator[None]:
    """Let no second process write in the folder; the lock ends with this process, however it ends.

    The folder is created where it does not exist; where a mistake of the user's ends the block and leaves it empty, it is
    removed again, with those above it that were made for it. Nothing happens where `folder` is None, and there is no lock
    where the system or the file system knows none. With `waits`, the other process is waited for.

    Raises:
        RunError: another process holds the folder, or it cannot be created.
    """
    if folder is None:
        yield
        return
    new = _make(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            _lock(handle, waits=waits)
        except BlockingIOError:
            raise RunError(
                f"{folder}: expected a folder that no other process writes in, got one in use; "
                "wait for the other, or give `out` another"
            ) from None
        yield
    except TerseError:
        for path in new:
            with contextlib.suppress(OSError):  # not empty, or gone
                path.rmdir()
        raise
    finally:
        os.close(handle)
