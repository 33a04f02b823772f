"""Sets made on a Ray cluster: the same bytes as here, also where a node is killed; without Ray, what to install."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest

from at_urls import files_at, put_at, s3_server
from terse.errors import DataError, MissingExtra, RecipeError, RunError
from terse.generate import generate, of_run
from terse.generate.settings import GenerateSettings
from terse.progress import Observer
from terse.recipe import load_recipe
from terse.run import train
from terse.storage import local_copy
from terse.workers.ray import RayConfig, RayTasks, _packed, _Unpacker

SETTINGS = GenerateSettings(count=48, shard_images=4, objects=(1, 2))
FEW = GenerateSettings(count=6, shard_images=2)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def two_nodes(head, second):
    """A head with one CPU and a node with another, each with variables of its own; gives the cluster and its second node."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    each = {"num_cpus": 1, "object_store_memory": 100 << 20}
    made = Cluster(initialize_head=True, head_node_args={**each, "env_vars": head})
    try:
        yield made, made.add_node(**each, env_vars=second)
    finally:
        made.shutdown()


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    for name, value in (("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"), ("RAY_DEDUP_LOGS", "0")):
        monkeypatch.setenv(name, value)


class Kills(Observer):
    """Takes a node from the cluster, without a word to it, when eight images are made."""

    def __init__(self, cluster, node):
        self.cluster, self.node, self.killed = cluster, node, 0

    def advance(self, what, done, total):
        if what == "images" and done >= 8 and not self.killed:
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.killed = done


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_set_is_the_same_on_two_nodes_of_which_one_is_killed(plain, tmp_path):
    generate(plain, SETTINGS, tmp_path / "here", workers=0)
    with two_nodes({}, {}) as (made, second):
        observer = Kills(made, second)
        there = generate(
            plain, SETTINGS, tmp_path / "there", workers=2, executor="ray", address=made.address, observer=observer
        )
    assert 8 <= observer.killed < there["images"] == 48
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def files_in(folder):
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nodes_that_share_no_folder_make_a_set_at_a_url_from_urls(world, small, tmp_path, own_storage, trusts):
    """Three caches stand for three disks: of the process that plans, of the head and of the node that is killed."""
    caches = [tmp_path / name for name in ("cache", "head", "second")]
    with s3_server():
        put_at("s3://bucket/world", world)
        fore = ["foregrounds.coco=s3://bucket/world/fore/set.json", "foregrounds.images=s3://bucket/world/fore/images"]
        recipe = load_recipe("paste", [*fore, "backgrounds.images=s3://bucket/world/back/images"])
        run = tmp_path / "run"
        train(load_recipe("quickstart", [*small, "cycles=1"]), out=run)
        put_at("s3://bucket/run", run)
        shutil.rmtree(run)
        generate(recipe, SETTINGS, "s3://bucket/here", workers=0)
        generate(of_run("s3://bucket/run"), FEW, "s3://bucket/run-here", workers=0)
        head, second = ({"XDG_CACHE_HOME": str(cache)} for cache in caches[1:])
        with two_nodes(head, second) as (made, node):
            on_ray = {"workers": 2, "executor": "ray", "address": made.address}
            observer = Kills(made, node)
            there = generate(recipe, SETTINGS, "s3://bucket/there", **on_ray, observer=observer)
            generate(of_run("s3://bucket/run"), FEW, "s3://bucket/run-there", **on_ray)
        assert 8 <= observer.killed < there["images"] == 48
        assert files_at("s3://bucket/there") == files_at("s3://bucket/here")
        assert files_at("s3://bucket/run-there") == files_at("s3://bucket/run-here")
    planned, on_head, on_second = ({name for name in files_in(cache) if "/copies/" in name} for cache in caches)
    assert on_head == {name for name in planned if not name.endswith("/set.json")}  # workers need the index no more
    assert {name for name in on_head if "/images/" in name} <= on_second  # it worked until it was killed
    left = [name for cache in caches[:2] for name in files_in(cache / "terse") if not name.startswith("copies/")]
    assert left == []  # what uv keeps beside it is its own: below `uv run`, Ray's workers are started by uv


def test_work_finds_its_paths_in_the_copies_of_the_machine_that_it_is_sent_to(tmp_path, own_storage, monkeypatch):
    ray = pytest.importorskip("ray")
    fsspec.filesystem("memory").pipe_file("/bucket/rooms/a/1.jpg", b"one")
    mine = local_copy("memory://bucket/rooms")
    packed = _packed(ray, {"paths": [mine / "a", mine], "url": Path("memory://bucket/rooms"), "other": tmp_path})
    assert str(mine).encode() not in packed
    theirs = tmp_path / "theirs"
    monkeypatch.setenv("XDG_CACHE_HOME", str(theirs))
    found = _Unpacker(packed).load()
    inner, root = found["paths"]
    assert root.is_relative_to(theirs)
    assert inner == root / "a"
    assert (inner / "1.jpg").read_bytes() == b"one"
    assert (found["url"], found["other"]) == (Path("memory://bucket/rooms"), tmp_path)
    fsspec.filesystem("memory").pipe_file("/bucket/rooms/a/1.jpg", b"two")
    with pytest.raises(
        DataError,
        match=r"^memory://bucket/rooms: expected the files that the work was planned with \(SHA-256 \w{12}\.\.\.\), got "
        r"others \(\w{12}\.\.\.\); leave them as they are until the work ends, then `resume`$",
    ):
        _Unpacker(packed).load()


def test_where_there_is_no_cluster_the_address_is_named():
    pytest.importorskip("ray")
    with pytest.raises(
        RunError,
        match=r"^address: expected a Ray cluster at 127.0.0.1:1, got none \(.*\); start one with `ray start --head`$",
    ):
        list(RayTasks("127.0.0.1:1", 1).map(lambda observer: str, [1]))


@pytest.mark.parametrize("where", ["folder", "URL"])
def test_where_there_is_no_cluster_the_place_stays_empty(plain, tmp_path, where):
    pytest.importorskip("ray")
    out = tmp_path / "set" if where == "folder" else "memory://bucket/unreached"
    with pytest.raises(RunError, match=r"^address: expected a Ray cluster at 127.0.0.1:1, got none"):
        generate(plain, SETTINGS, out, executor="ray", address="127.0.0.1:1")
    if where == "folder":
        assert not (tmp_path / "set").exists()
    assert generate(plain, SETTINGS, out, workers=0)["images"]


def test_without_ray_the_install_line_is_told(monkeypatch):
    monkeypatch.setattr("terse.workers.ray.find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        RayConfig().build(2)
    assert str(caught.value) == (
        "executor: ray: expected the extra 'ray' to be installed, got no such package; "
        'run: pip install "terse-synth[ray]"'
    )


def test_an_address_is_refused_where_workers_are_here(plain, tmp_path):
    with pytest.raises(RecipeError) as caught:
        generate(plain, SETTINGS, tmp_path / "set", address="auto")
    assert str(caught.value) == "address: expected it beside the executor ray, got it beside local"
