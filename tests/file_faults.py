"""Something happens at a chosen call of a piece of work that writes below a folder: a kill, a full disk, a read-only one."""

import builtins
import contextlib
import io
import os
import signal
import warnings
from pathlib import Path

CALLS = ("fsync", "replace", "rename", "mkdir")


class FileFaults:
    """Counts what is written below a folder, and calls `happens` at the call `at`; counts only where that is None.

    Counted are files opened to be written, by `open` and by `os.open`, each write to them, syncs, renames and new folders. What
    a library writes by itself is not seen.
    """

    def __init__(self, root, at=None, happens=None):
        self.root, self.at, self.happens = str(root), at, happens
        self.count, self.over = 0, False
        self._handles = set()  # of files opened by `os.open`

    @contextlib.contextmanager
    def watching(self):
        kept = {name: getattr(os, name) for name in (*CALLS, "open", "write", "close")}
        opened = io.open
        for name in CALLS:
            setattr(os, name, self._noted(kept[name]))
        os.open, os.write, os.close = (
            self._handing(kept["open"]),
            self._writing(kept["write"]),
            self._closing(kept["close"]),
        )
        builtins.open = io.open = self._opening(opened)
        try:
            yield self
        finally:
            for name, call in kept.items():
                setattr(os, name, call)
            builtins.open = io.open = opened

    def note(self, cut=None):
        self.count += 1
        if self.at is not None and not self.over and self.count >= self.at:
            self.over = self.happens is not None
            if cut is not None:
                cut()  # a write is cut where the disk ends
            self.happens()

    def _noted(self, call):
        def noted(path, *rest, **options):
            if isinstance(path, int) or str(path).startswith(self.root):
                self.note()
            return call(path, *rest, **options)

        return noted

    def _handing(self, call):
        def opened(path, flags, *rest, **options):
            is_written = flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(self.root)
            if is_written:
                self.note()
            handle = call(path, flags, *rest, **options)
            if is_written:
                self._handles.add(handle)
            return handle

        return opened

    def _writing(self, call):
        def write(handle, data):
            if handle in self._handles:
                self.note(lambda: call(handle, data[: len(data) // 2]))
            return call(handle, data)

        return write

    def _closing(self, call):
        def close(handle):
            self._handles.discard(handle)
            return call(handle)

        return close

    def _opening(self, call):
        def opened(file, mode="r", *rest, **options):
            if set(mode) & set("wax+") and isinstance(file, str | os.PathLike) and str(file).startswith(self.root):
                self.note()
                return _Written(call(file, mode, *rest, **options), self)
            return call(file, mode, *rest, **options)

        return opened


class _Written:
    """A file whose writes are counted."""

    def __init__(self, stream, faults):
        self._stream, self._faults = stream, faults

    def write(self, data):
        self._faults.note(lambda: self._cut(data))
        return self._stream.write(data)

    def _cut(self, data):
        self._stream.write(data[: len(data) // 2])
        self._stream.flush()

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def __enter__(self):
        self._stream.__enter__()
        return self

    def __exit__(self, *error):
        return self._stream.__exit__(*error)

    def __iter__(self):
        return iter(self._stream)

    def __getattr__(self, name):
        return getattr(self._stream, name)


def kill():
    """This process, as the system does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_fork(work):
    """Do the work in a copy of this process; how it ended: None where a signal killed it, else whether it succeeded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the copy has the one thread that it needs
        child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status) == 0


def copied(tree, to):
    """A folder's files by relative path written below another."""
    for path, data in tree.items():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        (to / path).write_bytes(data)
    return Path(to)
