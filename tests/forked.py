"""The command line in a copy of this process: signals and ranks need a process, and a new interpreter imports torch for seconds."""

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import terse.cli.main as command_line


class Forked:
    """A piece of work in a process of its own, in the words of `subprocess.Popen`; what it prints goes into files."""

    def __init__(self, folder: Path, work: Callable[..., object], *arguments: object, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._printed = tuple(folder / name for name in ("stdout", "stderr"))
        given = (self._printed, environment, work, arguments)
        self._process = multiprocessing.get_context("fork").Process(target=_worked, args=given, daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the copy has the one thread that it needs
            self._process.start()
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing that a test began outlives it."""
        self._process.kill()
        self._process.join()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def communicate(self, timeout: float = 100) -> tuple[str, str]:
        """Stdout and stderr, once it has ended."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a copy of this process", timeout)
        out, err = (path.read_text("utf-8") for path in self._printed)
        return out, err


def command(folder: Path, *arguments: object, **environment: str) -> Forked:
    """`terse` with these arguments."""
    return Forked(folder, command_line.main, list(map(str, arguments)), **environment)


def _worked(
    printed: tuple[Path, ...], environment: dict[str, str], work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """As in a new interpreter: its own stdout and stderr, signals as they are at the start, and no test's warnings."""
    os.environ.update(environment)
    for handle, path in enumerate(printed, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), handle)
    sys.stdout, sys.stderr = (open(handle, "w", encoding="utf-8", closefd=False) for handle in (1, 2))  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    work(*arguments)
