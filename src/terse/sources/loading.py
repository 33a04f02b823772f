"""Items made when they are asked for, by threads, the latest kept in memory up to a limit."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["Loader"]

_Item = TypeVar("_Item")


class Loader(Generic[_Item]):
    """Loads items by number. Decoding leaves Python's lock, so threads are enough.

    An item that two callers ask for at once is loaded once. What is loaded does not depend on the number of
    workers or on what was kept.

    Args:
        load: makes one item; it must be a function of the number alone.
        size_bytes: what an item weighs.
        workers: threads; 0 loads in the caller's.
        keep_bytes: items kept in memory, the least recently used go first.
    """

    def __init__(
        self, load: Callable[[int], _Item], size_bytes: Callable[[_Item], int], workers: int, keep_bytes: int
    ) -> None:
        self._load = load
        self._size_bytes = size_bytes
        self._keep_bytes = keep_bytes
        self._kept: OrderedDict[int, _Item] = OrderedDict()
        self._kept_bytes = 0
        self._pending: dict[int, Future[_Item]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="terse-load") if workers else None

    @property
    def kept_bytes(self) -> int:
        """The weight of what is in memory now."""
        return self._kept_bytes

    def prefetch(self, indices: Sequence[int]) -> None:
        """Start loading, without waiting; does nothing without workers."""
        if self._pool is not None:
            for index in dict.fromkeys(indices):
                self._start(index)

    def fetch(self, indices: Sequence[int]) -> list[_Item]:
        """The items, in this order.

        Raises:
            DataError: as the load function.
        """
        started = {index: self._start(index) for index in dict.fromkeys(indices)}
        ready = {index: item.result() if isinstance(item, Future) else item for index, item in started.items()}
        return [ready[index] for index in indices]

    def _start(self, index: int) -> "Future[_Item] | _Item":
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
            if index in self._pending:
                return self._pending[index]
            future: Future[_Item] = Future()
            self._pending[index] = future
        if self._pool is None:
            self._run(index, future)
        else:
            self._pool.submit(self._run, index, future)
        return future

    def _run(self, index: int, future: "Future[_Item]") -> None:
        try:
            item = self._load(index)
        except BaseException as error:
            with self._lock:
                self._pending.pop(index, None)
            future.set_exception(error)
            return
        with self._lock:
            self._pending.pop(index, None)
            self._keep(index, item)
        future.set_result(item)

    def _keep(self, index: int, item: _Item) -> None:
        weight = self._size_bytes(item)
        if weight > self._keep_bytes:
            return
        self._kept[index] = item
        self._kept_bytes += weight
        while self._kept_bytes > self._keep_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= self._size_bytes(oldest)
