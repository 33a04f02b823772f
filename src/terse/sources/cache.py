"""Items made when they are asked for, by threads where that is wanted, the latest kept in memory up to a limit."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

__all__ = ["Cache"]

_Key = TypeVar("_Key", bound=Hashable)
_Item = TypeVar("_Item")


class Cache(Generic[_Key, _Item]):
    """Makes items by key and keeps the latest; the least recently used go first, the last one made stays.

    An item that two callers ask for at once is made once. Items do not depend on the number of workers or on what
    was kept. Decoding leaves Python's lock, so threads are enough. A copy in another process begins empty.

    Args:
        make: makes one item; it must be a function of the key alone.
        size_bytes: the size of an item; a function of a module, where the cache is sent to another process.
        limit_bytes: how much all kept items may take, unless the last one alone takes more.
        workers: threads; 0 makes items in the caller's.
    """

    def __init__(
        self,
        make: Callable[[_Key], _Item],
        size_bytes: Callable[[_Item], int],
        limit_bytes: int,
        workers: int = 0,
    ) -> None:
        self._settings = make, size_bytes, limit_bytes, workers
        self._make, self._size_bytes, self._limit_bytes = make, size_bytes, limit_bytes
        self._kept: OrderedDict[_Key, _Item] = OrderedDict()
        self._kept_bytes = 0
        self._pending: dict[_Key, Future[_Item]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="terse-load") if workers else None

    def __len__(self) -> int:
        return len(self._kept)

    def __reduce__(self) -> tuple[Any, ...]:
        return Cache, self._settings

    @property
    def kept_bytes(self) -> int:
        """The size of what is in memory now."""
        return self._kept_bytes

    def prefetch(self, keys: Iterable[_Key]) -> None:
        """Start making these, without waiting; does nothing without workers."""
        if self._pool is not None:
            for key in dict.fromkeys(keys):
                self._start(key)

    def get(self, key: _Key) -> _Item:
        """One item.

        Raises:
            Exception: whatever `make` raises; nothing is kept then.
        """
        item = self._start(key)
        return item.result() if isinstance(item, Future) else item

    def fetch(self, keys: Sequence[_Key]) -> list[_Item]:
        """The items, in this order, made side by side where there are workers.

        Raises:
            Exception: whatever `make` raises; that item is not kept then.
        """
        started = {key: self._start(key) for key in dict.fromkeys(keys)}
        ready = {key: item.result() if isinstance(item, Future) else item for key, item in started.items()}
        return [ready[key] for key in keys]

    def _start(self, key: _Key) -> "Future[_Item] | _Item":
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            if key in self._pending:
                return self._pending[key]
            future: Future[_Item] = Future()
            self._pending[key] = future
        if self._pool is None:
            self._run(key, future)
        else:
            self._pool.submit(self._run, key, future)
        return future

    def _run(self, key: _Key, future: "Future[_Item]") -> None:
        try:
            item = self._make(key)
        except BaseException as error:
            with self._lock:
                self._pending.pop(key, None)
            future.set_exception(error)
            return
        with self._lock:
            self._pending.pop(key, None)
            self._kept[key] = item
            self._kept_bytes += self._size_bytes(item)
            while self._kept_bytes > self._limit_bytes and len(self._kept) > 1:
                self._kept_bytes -= self._size_bytes(self._kept.popitem(last=False)[1])
        future.set_result(item)
