import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from terse.errors import DataError, RunError
from terse.pool import Pool, Quota
from terse.pool_shards import shard_name, shards_in
from terse.poses import AffinePoses
from terse.storage import Storage
from test_placements import equal, example

POSES = AffinePoses((-20.0, 20.0), (-1.0, 1.0), (-0.2, 0.2), (0.8, 1.2))


class Bank:
    """Names and nothing to fetch."""

    labels = np.zeros(9, dtype=np.int64)
    classes = ("thing",)

    def __init__(self, keys):
        self.keys = keys

    def __len__(self):
        return len(self.keys)

    def fetch(self, indices):
        raise AssertionError


FOREGROUNDS, BACKGROUNDS = Bank([f"fg:{i}" for i in range(5)]), Bank([f"bg:{i}" for i in range(3)])


def test_files_of_other_names_are_no_shards(tmp_path):
    """They once ended every command that looked into a run."""
    for name in ("cycle-x.parquet", "cycle-1.parquet", "cycle-0001-draw-.parquet", "cycle-00012.parquet.tmp"):
        (tmp_path / name).touch()
    (tmp_path / "cycle-0007.parquet").mkdir()
    assert shards_in(tmp_path) == {}
    for cycle, draw in ((1, 0), (1, 2), (12345, 0)):
        (tmp_path / shard_name(cycle, draw)).touch()
    assert sorted(shards_in(tmp_path)) == [(1, 0), (1, 2), (12345, 0)]


def harvested(cycle=1):
    """As a harvest leaves them: the affine family alone, so there is no pose of the picture."""
    return replace(example(), image_pose=np.zeros((3, 0)), cycle=np.full(3, cycle))


def pool_of(folder, foregrounds=FOREGROUNDS):
    return Pool(folder, foregrounds, BACKGROUNDS, POSES, {"recipe": {}, "square": True})


def test_what_is_written_is_read(tmp_path):
    pool_of(tmp_path).append(1, harvested())
    again = pool_of(tmp_path)
    again.load(1)
    assert equal(again.placements, replace(harvested(), number=np.arange(3)))


def test_a_shard_is_a_placements_file(tmp_path):
    pool = pool_of(tmp_path)
    pool.append(1, harvested())
    pool.append(2, harvested(2))
    table = pq.read_table(tmp_path / "cycle-0002.parquet")
    assert json.loads(table.schema.metadata[b"terse"]) == {"format": 2, "recipe": {}, "square": True}
    assert table.column("image").to_pylist() == [3, 3, 4, 4, 5]
    assert table.column("role").to_pylist() == ["object", "distractor", "artefact", "object", None]
    assert table.column("texture").to_pylist() == [None, None, "bg:2", None, None]
    assert table.column("0.affine.rotation_deg").to_pylist()[:4] == harvested().pose[:, 0].tolist()
    assert table.column("cycle").to_pylist() == [2] * 5


def test_sources_are_found_by_name_wherever_they_stand(tmp_path):
    pool_of(tmp_path).append(1, harvested())
    turned = pool_of(tmp_path, Bank(FOREGROUNDS.keys[::-1]))
    turned.load(1)
    assert turned.placements.foreground.tolist() == [0, 3, 1, 4]


def test_a_source_that_is_gone_is_named(tmp_path):
    pool_of(tmp_path).append(1, harvested())
    with pytest.raises(DataError) as caught:
        pool_of(tmp_path, Bank(["fg:0", "fg:1", "fg:3"])).load(1)
    assert str(caught.value) == (
        f"{tmp_path / 'cycle-0001.parquet'}: expected the source fg:4, got none of that name; "
        "it is gone since the placement"
    )


def test_a_torn_shard_is_named(tmp_path):
    (tmp_path / "cycle-0001.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match=r"expected placements in Parquet, got a file that cannot be read so"):
        pool_of(tmp_path).load(1)


def test_a_shard_of_a_later_format_is_refused(tmp_path):
    path = tmp_path / "cycle-0001.parquet"
    pool_of(tmp_path).append(1, harvested())
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"terse": json.dumps({"format": 9})}), path)
    with pytest.raises(DataError) as caught:
        pool_of(tmp_path).load(1)
    assert str(caught.value) == (
        f"{path}: expected placements of format 1 or 2, got 9; read it with the version of terse that wrote it"
    )


def test_a_missing_shard_stops_the_run(tmp_path):
    with pytest.raises(RunError) as caught:
        pool_of(tmp_path).load(1)
    assert str(caught.value) == (
        f"{tmp_path / 'cycle-0001.parquet'}: expected the pool's shard of cycle 1, got none; the run cannot go on"
    )


def test_shards_after_the_checkpoint_go(tmp_path):
    pool = pool_of(tmp_path)
    for cycle in (1, 2, 3):
        pool.append(cycle, harvested(cycle))
    again = pool_of(tmp_path)
    again.load(2)
    assert len(again) == 6
    assert equal(again.placements, pool.placements.take(np.arange(6)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cycle-0001.parquet", "cycle-0002.parquet"]


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


def test_a_quota_is_divided_over_the_classes_that_are_pasted():
    assert Quota(20, None, 500, pasted=np.array([14])).room.tolist() == [*[0] * 14, 500, *[0] * 5]
    assert Quota(3, None, 7, pasted=np.array([0, 2])).room.tolist() == [4, 0, 3]
    quota = Quota(3, 5, None, pasted=np.array([0, 2]))
    assert (quota.room.tolist(), quota.total, quota.missing) == ([5, 0, 5], 10, 10)


def test_where_fewer_are_wanted_than_there_are_classes_each_has_its_turn():
    rooms = [Quota(4, None, 2, pasted=np.array([0, 2, 3]), harvest=k).room.tolist() for k in range(3)]
    assert rooms == [[1, 0, 1, 0], [1, 0, 0, 1], [0, 0, 1, 1]]
    assert Quota(3, None, 500, harvest=1).room.tolist() == [167, 167, 166]


def test_a_class_may_take_all_where_its_share_knows_no_bound():
    quota = Quota(2, None, 10, uneven=1e30)
    assert (quota.room.tolist(), quota.missing) == ([10, 10], 10)


def test_shards_are_published_when_they_are_on_the_disk_and_never_change(tmp_path):
    MemoryFileSystem.store.clear()
    there = Storage("memory://bucket/pool", RunError)

    def pool(folder):
        return Pool(folder, FOREGROUNDS, BACKGROUNDS, POSES, {"recipe": {}, "square": True}, published=there)

    pool_of(tmp_path / "run").append(1, harvested())  # before anything was published
    one = pool(tmp_path / "run")
    one.load(1)
    one.append(2, harvested(2))
    assert sorted(there.listing()) == ["cycle-0001.parquet", "cycle-0002.parquet"]
    assert there.read("cycle-0002.parquet") == (tmp_path / "run" / "cycle-0002.parquet").read_bytes()
    pool(tmp_path / "run").load(2)  # a run that goes on sends the same again
    with pytest.raises(RunError, match=r"^memory://bucket/pool/cycle-0001.parquet: expected no file, or the same"):
        pool(tmp_path / "another").append(1, harvested(3))
