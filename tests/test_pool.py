import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terse.errors import DataError
from terse.placements import Placements, Role
from terse.pool import Measured, Pool, Quota, read_placements, write_placements


class Bank:
    """Names and nothing to fetch."""

    labels = np.zeros(0, dtype=np.int64)
    classes = ()

    def __init__(self, keys):
        self.keys = keys

    def __len__(self):
        return len(self.keys)

    def fetch(self, indices):
        raise AssertionError


FOREGROUNDS, BACKGROUNDS = Bank([f"fg:{i}" for i in range(5)]), Bank([f"bg:{i}" for i in range(3)])


def example():
    """Three images with two pastes, one paste with an artefact, and none."""
    placements = Placements(
        background=np.array([2, 0, 1]),
        image_index=np.array([0, 0, 1, 1]),
        foreground=np.array([4, 1, 0, 3]),
        pose=np.round(np.random.default_rng(0).normal(size=(4, 6)), 5),
        role=np.array([Role.OBJECT, Role.DISTRACTOR, Role.OBJECT, Role.ARTEFACT], dtype=np.int64),
        texture=np.array([-1, -1, -1, 2]),
        blend=("alpha", "alpha", "box"),
        seed=np.array([7, 8, 9]),
    )
    measured = Measured(
        np.array([1, 1, 1]), np.array([0, 3, 2]), np.array([0.5, 0.25, 1.0]), np.array([True, False, True])
    )
    return placements, measured


def equal(a, b):
    fields = ("background", "image_index", "foreground", "pose", "role", "texture", "seed")
    return a.blend == b.blend and all(np.array_equal(getattr(a, f), getattr(b, f)) for f in fields)


def test_what_is_written_is_read(tmp_path):
    placements, measured = example()
    write_placements(tmp_path / "p.parquet", placements, measured, FOREGROUNDS, BACKGROUNDS)
    read, known = read_placements(tmp_path / "p.parquet", FOREGROUNDS, BACKGROUNDS)
    assert equal(read, placements)
    assert [getattr(known, n).tolist() for n in Measured.__slots__] == [
        getattr(measured, n).tolist() for n in Measured.__slots__
    ]


def test_sources_are_found_by_name_wherever_they_stand(tmp_path):
    placements, measured = example()
    write_placements(tmp_path / "p.parquet", placements, measured, FOREGROUNDS, BACKGROUNDS)
    turned = Bank(FOREGROUNDS.keys[::-1])
    read, _ = read_placements(tmp_path / "p.parquet", turned, BACKGROUNDS)
    assert read.foreground.tolist() == [0, 3, 4, 1]


def test_a_source_that_is_gone_is_named(tmp_path):
    path = tmp_path / "p.parquet"
    write_placements(path, *example(), FOREGROUNDS, BACKGROUNDS)
    with pytest.raises(DataError) as caught:
        read_placements(path, Bank(["fg:0", "fg:1", "fg:3"]), BACKGROUNDS)
    assert str(caught.value) == (
        f"{path}: expected the source fg:4, got none of that name; it is gone since the placement"
    )


def test_a_torn_shard_is_named(tmp_path):
    path = tmp_path / "p.parquet"
    path.write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match=r"expected placements in Parquet, got a file that cannot be read so"):
        read_placements(path, FOREGROUNDS, BACKGROUNDS)


def test_shards_after_the_checkpoint_go(tmp_path):
    pool = Pool(tmp_path, FOREGROUNDS, BACKGROUNDS)
    for cycle in (1, 2, 3):
        pool.append(cycle, *example())
    again = Pool(tmp_path, FOREGROUNDS, BACKGROUNDS)
    again.load(2)
    assert len(again) == 6
    assert equal(again.placements, Placements.join([example()[0]] * 2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cycle-0001.parquet", "cycle-0002.parquet"]


@given(st.lists(st.integers(0, 2), max_size=6))
def test_taking_images_takes_their_pastes(chosen):
    placements, _ = example()
    taken = placements.take(np.array(chosen, dtype=np.int64))
    assert len(taken) == len(chosen)
    alone = [placements.take(np.array([i])) for i in chosen]
    if alone:
        assert equal(taken, Placements.join(alone))
        assert taken.foreground.tolist() == [f for a in alone for f in a.foreground.tolist()]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60),
    st.integers(1, 20),
)
def test_a_quota_takes_wanted_ones_in_order_until_a_class_is_full(found, total):
    quota = Quota(4, None, total)
    assert quota.total == total
    labels = np.array([label for label, _ in found], dtype=np.int64)
    wanted = np.array([hard for _, hard in found], dtype=bool)
    room = quota.room.copy()
    taken = quota.accept(labels, wanted)
    assert taken.tolist() == sorted(taken.tolist())
    for label in range(4):
        rows = np.flatnonzero(wanted & (labels == label))
        assert taken[labels[taken] == label].tolist() == rows[: room[label]].tolist()
    assert quota.missing == total - len(taken)


def test_an_uneven_quota_stops_at_its_total_and_at_twice_a_share():
    quota = Quota(2, None, 10, uneven=2)
    labels = np.array([0] * 8 + [1] * 8)
    assert quota.accept(labels, labels == 0).tolist() == list(range(8))
    assert (quota.missing, quota.room.tolist()) == (2, [2, 10])
    assert quota.accept(labels, np.ones(16, dtype=bool)).tolist() == [0, 1]
    assert quota.missing == 0
    assert quota.accept(labels, labels == 1).tolist() == []


def test_quotas_of_the_paper():
    assert Quota(10, 500, None).room.tolist() == [500] * 10
    assert Quota(10, None, 500).room.tolist() == [50] * 10
    assert Quota(3, None, 500).room.tolist() == [167, 167, 166]
