"""The three streams of a command: all are there, stderr never ends a job, and stdout takes every letter."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

__all__ = ["close_stdout", "reader_left", "ready_streams"]


@contextmanager
def ready_streams() -> Iterator[None]:
    """Stdin, stdout and stderr as a command needs them, whoever began it; the caller's stderr is given back.

    A stream that was closed would give its number to the first file that is opened, and a library's warning would go there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdin = sys.stdin or open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    before: Any = sys.stderr
    if before is None or before is sys.__stderr__:
        sys.stderr = _lines_to_stderr()
    try:
        yield
    finally:
        sys.stderr = before or sys.stderr


def reader_left() -> bool:
    """Whether nobody reads stdout any more, as after `| head`: another broken pipe is no end of a command."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except OSError:  # no file, as where a caller keeps what is printed
        return False
    return bool(poll.poll(0))


def close_stdout() -> None:
    """What was not printed stays so: the process ends without another try."""
    handle = os.open(os.devnull, os.O_WRONLY)
    os.dup2(handle, sys.stdout.fileno())
    os.close(handle)


def _lines_to_stderr() -> TextIO:
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    raw: Any = _Stderr(2, "w", closefd=False)
    # Without a buffer, a signal's handler may say something in the middle of another line.
    return io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", write_through=True)


class _Stderr(io.FileIO):
    """Its reader may leave, its terminal close, its disk be full: what a job says is lost then, the job is not."""

    def write(self, data: Any) -> int:
        """Write what can be written."""
        rest = memoryview(data).cast("B")
        with suppress(OSError):
            while rest and (done := super().write(rest)):
                rest = rest[done:]
        return len(data)
