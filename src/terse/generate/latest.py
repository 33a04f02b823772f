"""What was made last, kept in memory up to a limit."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

__all__ = ["Latest"]

_Key = TypeVar("_Key", bound=Hashable)
_Made = TypeVar("_Made")


class Latest(Generic[_Key, _Made]):
    """Keeps what was made for the latest keys; the least recently used go first, the last one made never.

    A copy in another process begins empty: what is kept can be made again.

    Args:
        size_bytes: what one thing weighs; a function of a module, so that it can be sent to another process.
        limit_bytes: what all of them may weigh.
    """

    def __init__(self, size_bytes: Callable[[_Made], int], limit_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[_Key, _Made] = OrderedDict()
        self.kept_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __reduce__(self) -> tuple[Any, ...]:
        return Latest, (self._size_bytes, self._limit_bytes)

    def get(self, key: _Key, make: Callable[[], _Made]) -> _Made:
        """What was made for the key, or is made now; a function of the key alone."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        made = self._kept[key] = make()
        self.kept_bytes += self._size_bytes(made)
        while self.kept_bytes > self._limit_bytes and len(self._kept) > 1:
            self.kept_bytes -= self._size_bytes(self._kept.popitem(last=False)[1])
        return made
