"""Signals that stop a command: Ctrl-C, SIGTERM, and the SIGHUP of a terminal or connection that closes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["answering"]


@contextmanager
def answering(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Let the handler answer the signals that stop a command; under `nohup` a SIGHUP is none of them."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
