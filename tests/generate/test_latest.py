import pickle

import pytest

from terse.generate.latest import Latest


def weight(made: str) -> int:
    return len(made)


def test_the_least_recently_used_goes_first() -> None:
    made = []

    def make(name: str) -> str:
        made.append(name)
        return name * 4

    kept: Latest[str, str] = Latest(weight, 12)
    for name in "abcadb":
        assert kept.get(name, lambda name=name: make(name)) == name * 4
    assert made == ["a", "b", "c", "d", "b"]
    assert (len(kept), kept.kept_bytes) == (3, 12)


def test_the_last_one_stays_however_large() -> None:
    kept: Latest[str, str] = Latest(weight, 3)
    assert kept.get("a", lambda: "large") == "large"
    assert (len(kept), kept.kept_bytes) == (1, 5)
    assert kept.get("b", lambda: "larger") == "larger"
    assert (len(kept), kept.kept_bytes) == (1, 6)


def test_a_copy_elsewhere_begins_empty() -> None:
    kept: Latest[str, str] = Latest(weight, 10)
    kept.get("a", lambda: "x")
    copy = pickle.loads(pickle.dumps(kept))
    assert (len(kept), len(copy)) == (1, 0)
    assert copy.get("a", lambda: "y") == "y"


def test_what_cannot_be_made_is_not_kept() -> None:
    kept: Latest[str, str] = Latest(weight, 10)

    def broken() -> str:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        kept.get("a", broken)
    assert (len(kept), kept.kept_bytes) == (0, 0)
