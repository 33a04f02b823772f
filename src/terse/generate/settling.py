"""When a shard's part counts as whole: after all that it wrote is on the disk."""

from __future__ import annotations

import shutil
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from terse.errors import RunError
from terse.folders import sync_folder, sync_written
from terse.generate.place import Place

__all__ = ["Settling"]

_AHEAD = 32  # parts that wait: a slow place slows the work


class Settling:
    """Syncs the parts of a set, gives them their names and sends their files, in a thread beside the work, many in one go.

    A power cut may cost the parts that have no name yet; they are made again.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._waiting: deque[tuple[Path, Path]] = deque()
        self._thread = ThreadPoolExecutor(1)
        self._calls: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown()
        while self._calls and error is None:
            self._ended()

    def add(self, made: Path, whole: Path) -> None:
        """A part is made: sync it and rename it to the name of a whole one.

        Raises:
            RunError: parts before it could not be synced or sent.
        """
        self._waiting.append((made, whole))
        self._calls.append(self._thread.submit(self._settle))
        while self._calls and (self._calls[0].done() or len(self._calls) > _AHEAD):
            self._ended()

    def _ended(self) -> None:
        try:
            self._calls.popleft().result()
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunError(
                f"{self._place.folder}: expected room to write the set, got: {reason}; then `resume`"
            ) from None

    def _settle(self) -> None:
        parts = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if parts:
            sync_written(self._place.folder)
            for made, whole in parts:
                shutil.rmtree(whole, ignore_errors=True)  # one that was found broken
                made.rename(whole)
            sync_folder(parts[0][1].parent)
            self._place.send([whole for _, whole in parts])
