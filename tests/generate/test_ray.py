"""Sets made on a Ray cluster: the same bytes as here, also where a node is killed; without Ray, what to install."""

import pytest

from terse.errors import MissingExtra, RecipeError, RunError
from terse.generate import generate
from terse.generate.settings import GenerateSettings
from terse.progress import Observer
from terse.workers.ray import RayConfig, RayTasks

SETTINGS = GenerateSettings(count=48, shard_images=4, objects=(1, 2))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def cluster(monkeypatch):
    """A head with one CPU and a node with another; gives the cluster and its second node."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    for name, value in (("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"), ("RAY_DEDUP_LOGS", "0")):
        monkeypatch.setenv(name, value)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20})
    try:
        yield made, made.add_node(num_cpus=1, object_store_memory=100 << 20)
    finally:
        made.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_set_is_the_same_on_two_nodes_of_which_one_is_killed(cluster, plain, tmp_path):
    made, second = cluster

    class Kills(Observer):
        killed = 0

        def advance(self, what, done, total):
            if done >= 8 and not self.killed:
                made.remove_node(second, allow_graceful=False)
                self.killed = done

    observer = Kills()
    generate(plain, SETTINGS, tmp_path / "here", workers=0)
    there = generate(
        plain, SETTINGS, tmp_path / "there", workers=2, executor="ray", address=made.address, observer=observer
    )
    assert 8 <= observer.killed < there["images"] == 48
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_where_there_is_no_cluster_the_address_is_named():
    pytest.importorskip("ray")
    with pytest.raises(
        RunError,
        match=r"^--address: expected a Ray cluster at 127.0.0.1:1, got none \(.*\); start one with `ray start --head`$",
    ):
        list(RayTasks("127.0.0.1:1", 1).map(lambda observer: str, [1]))


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
