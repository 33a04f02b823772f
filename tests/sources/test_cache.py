"""The cache: once, in order, within its limit, errors to whoever asked."""

import pickle
import threading

import pytest

from terse.sources.cache import Cache


@pytest.mark.parametrize("workers", [0, 3])
def test_items_come_in_the_order_asked_and_are_loaded_once(workers):
    calls = []
    cache = Cache(lambda i: calls.append(i) or i * 10, lambda item: 1, 100, workers)
    assert cache.fetch([3, 1, 3, 2]) == [30, 10, 30, 20]
    assert cache.fetch([2, 4]) == [20, 40]
    assert sorted(calls) == [1, 2, 3, 4]


def test_the_least_recently_used_go_first_and_the_limit_holds():
    calls = []
    cache = Cache(lambda i: calls.append(i) or i, lambda item: 10, 30)
    cache.fetch([1, 2, 3])
    cache.fetch([1])
    cache.fetch([4])  # 2 goes
    assert cache.kept_bytes == 30
    calls.clear()
    cache.fetch([1, 3, 4, 2])
    assert calls == [2]


def test_the_last_one_stays_however_large():
    cache = Cache(lambda word: word, len, 3)
    assert cache.fetch(["large", "large"]) == ["large", "large"]
    assert (len(cache), cache.kept_bytes) == (1, 5)
    assert cache.get("larger") == "larger"
    assert (len(cache), cache.kept_bytes) == (1, 6)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_reaches_whoever_asked_and_is_not_kept(workers):
    broken = [True]

    def load(i):
        if i == 2 and broken:
            raise ValueError(i)
        return i

    cache = Cache(load, lambda item: 1, 100, workers)
    with pytest.raises(ValueError, match="2"):
        cache.fetch([1, 2])
    broken.clear()
    assert cache.fetch([1, 2]) == [1, 2]


def test_two_callers_share_one_load_and_prefetching_does_not_wait():
    started, go = threading.Event(), threading.Event()
    calls, loaded = [], []

    def load(i):
        calls.append(i)
        started.set()
        go.wait(60)
        loaded.append(i)
        return i

    cache = Cache(load, lambda item: 1, 100, 2)
    cache.prefetch([7, 7])
    assert loaded == []
    assert started.wait(60)
    results = []
    callers = [threading.Thread(target=lambda: results.append(cache.fetch([7]))) for _ in range(3)]
    for caller in callers:
        caller.start()
    go.set()
    for caller in callers:
        caller.join()
    assert results == [[7]] * 3
    assert calls == [7]


def test_without_workers_prefetching_does_nothing():
    cache = Cache(lambda i: 1 / 0, lambda item: 1, 100)
    cache.prefetch([1])


def test_a_copy_elsewhere_begins_empty():
    cache = Cache(str, len, 10)
    cache.get(7)
    copy = pickle.loads(pickle.dumps(cache))
    assert (len(cache), len(copy)) == (1, 0)
    assert copy.get(7) == "7"


def test_what_cannot_be_made_is_not_kept():
    def broken(key):
        raise OSError(key)

    cache = Cache(broken, len, 10)
    with pytest.raises(OSError, match="gone"):
        cache.get("gone")
    assert (len(cache), cache.kept_bytes) == (0, 0)
