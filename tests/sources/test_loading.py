"""The loader: once, in order, within its limit, errors to whoever asked."""

import threading
import time

import pytest

from terse.sources.loading import Loader


@pytest.mark.parametrize("workers", [0, 3])
def test_items_come_in_the_order_asked_and_are_loaded_once(workers):
    calls = []
    loader = Loader(lambda i: calls.append(i) or i * 10, lambda item: 1, workers, 100)
    assert loader.fetch([3, 1, 3, 2]) == [30, 10, 30, 20]
    assert loader.fetch([2, 4]) == [20, 40]
    assert sorted(calls) == [1, 2, 3, 4]


def test_the_least_recently_used_go_first_and_the_limit_holds():
    calls = []
    loader = Loader(lambda i: calls.append(i) or i, lambda item: 10, 0, 30)
    loader.fetch([1, 2, 3])
    loader.fetch([1])
    loader.fetch([4])  # 2 goes
    assert loader.kept_bytes == 30
    calls.clear()
    loader.fetch([1, 3, 4, 2])
    assert calls == [2]


def test_an_item_over_the_limit_is_given_but_not_kept():
    loader = Loader(lambda i: i, lambda item: 10, 0, 9)
    assert loader.fetch([5, 5]) == [5, 5]
    assert loader.kept_bytes == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_reaches_whoever_asked_and_is_not_kept(workers):
    broken = [True]

    def load(i):
        if i == 2 and broken:
            raise ValueError(i)
        return i

    loader = Loader(load, lambda item: 1, workers, 100)
    with pytest.raises(ValueError, match="2"):
        loader.fetch([1, 2])
    broken.clear()
    assert loader.fetch([1, 2]) == [1, 2]


def test_two_callers_share_one_load_and_prefetching_does_not_wait():
    started, go = threading.Event(), threading.Event()
    calls = []

    def load(i):
        calls.append(i)
        started.set()
        go.wait(5)
        return i

    loader = Loader(load, lambda item: 1, 2, 100)
    begun = time.monotonic()
    loader.prefetch([7, 7])
    assert time.monotonic() - begun < 1
    assert started.wait(5)
    results = []
    callers = [threading.Thread(target=lambda: results.append(loader.fetch([7]))) for _ in range(3)]
    for caller in callers:
        caller.start()
    go.set()
    for caller in callers:
        caller.join()
    assert results == [[7]] * 3
    assert calls == [7]


def test_without_workers_prefetching_does_nothing():
    loader = Loader(lambda i: 1 / 0, lambda item: 1, 0, 100)
    loader.prefetch([1])
