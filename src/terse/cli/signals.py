"""Signals that stop a command: Ctrl-C, SIGTERM, and the SIGHUP of a terminal or connection that closes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["answering", "end_at_once"]


@contextmanager
def answering(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Let the handler answer the signals that stop a command; under `nohup` a SIGHUP is none of them."""
    before = {number: signal.signal(number, handler) for number in _stopping()}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def end_at_once(status: int) -> None:
    """From now on a signal ends the process, with this status and without waiting for its threads.

    Python would give up waiting for them and take the interpreter apart below them: one in C++ (OpenCV) then aborts the
    process, with 134.
    """
    for number in _stopping():
        signal.signal(number, lambda *_: os._exit(status))


def _stopping() -> list[signal.Signals]:
    stopping = [signal.SIGINT, signal.SIGTERM]
    hang_up: signal.Signals | None = getattr(signal, "SIGHUP", None)  # not on Windows, where a command refuses
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
        stopping.append(hang_up)
    return stopping
