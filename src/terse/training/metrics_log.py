"""`metrics.jsonl`: a line for each step and each evaluation, kept in step with the checkpoints."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from terse.errors import RunError
from terse.folders import sync_folder

__all__ = ["FILE_NAME", "MetricsLog"]

FILE_NAME = "metrics.jsonl"


class MetricsLog:
    """Lines wait in memory until a checkpoint is written: a step costs no system call.

    The checkpoint holds the file's length, and is written after the lines are on the disk. Going on from it cuts what
    was written later, so that a killed run's file equals an unbroken one's, byte for byte.

    Source: ours.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE_NAME if folder is not None else None
        self._waiting: list[str] = []

    def add(self, cycle: int, phase: str, step: int, numbers: Mapping[str, float]) -> None:
        """One line; nothing without a folder."""
        if self._path is not None:
            finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
            self._waiting.append(json.dumps({"cycle": cycle, "phase": phase, "step": step, **finite}) + "\n")

    def state(self) -> int:
        """Append what waits; the file's length in bytes.

        Raises:
            RunError: no room, or no permission.
        """
        if self._path is None:
            return 0
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = not self._path.exists()
            with self._path.open("a", encoding="utf-8") as stream:
                stream.writelines(self._waiting)
                stream.flush()
                os.fsync(stream.fileno())
            if new:
                sync_folder(self._path.parent)
            self._waiting.clear()
            return self._path.stat().st_size
        except OSError as error:
            raise RunError(f"{self._path}: expected room to write it, got: {error.strerror or error}") from None

    def last_cycle(self) -> int:
        """The cycle of the file's last whole line; 0 where there is none."""
        lines = self._path.read_bytes().splitlines() if self._path is not None and self._path.is_file() else []
        for line in reversed(lines):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return int(json.loads(line)["cycle"])
        return 0

    def restore(self, state: int) -> None:
        """Forget what was written after a checkpoint that held this length."""
        self._waiting.clear()
        if self._path is not None and self._path.is_file() and self._path.stat().st_size > state:
            with self._path.open("r+b") as stream:
                stream.truncate(state)
