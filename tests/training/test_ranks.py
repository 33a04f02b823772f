"""Several processes of one run find what one finds; one that is lost ends the others with a sentence."""

import json
import signal
import time

import numpy as np
import of_several
import pytest
from of_several import all_found, start, trained

import terse.cli.main as command_line
from terse.process import Launched, launched
from terse.recipe import load_recipe
from terse.run import train
from terse.training.ranks import Ranks, Share

LOST = (
    "terse: processes: expected all processes of the run to live, got one that ended; its own message, if it could write "
    "one, says why; start them again with --resume, which goes on from the last checkpoint with any number of them\n"
)


def finished(processes, seconds=100):
    found = [process.communicate(timeout=seconds) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), found
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    finished(start(2, folder, all_found, folder))
    return [json.loads((folder / f"{rank}.json").read_text("utf-8")) for rank in (0, 1)]


def test_two_processes_train_what_one_does_where_networks_see_one_image_at_a_time(two):
    one = trained(Ranks(), None)
    for found in two:
        assert found["run"]["pool"] == one["pool"]
        for name, weights in one["weights"].items():
            np.testing.assert_allclose(found["run"]["weights"][name], weights, rtol=0, atol=2e-6, err_msg=name)
    assert two[0]["run"] == two[1]["run"]  # to the last bit


@pytest.mark.parametrize("family", ["ssd", "fcos"])
def test_a_loss_that_is_divided_by_matched_anchors_is_that_of_the_whole_batch(two, family):
    one = of_several.of_detector(Ranks(), family)
    for found in two:
        assert found[family]["loss"] == pytest.approx(one["loss"], rel=1e-5)
        largest = np.abs(one["gradient"]).max()
        np.testing.assert_allclose(found[family]["gradient"], one["gradient"], rtol=0, atol=1e-5 * largest)
    if family == "fcos":
        return  # whose focal loss is nearly the same a point, whatever it matched
    mean_of_means = (two[0][family]["own"] + two[1][family]["own"]) / 2
    assert (
        abs(mean_of_means - one["loss"]) > 1e-3 * one["loss"]
    )  # which is what a wrapper around the network would train on


def test_a_gradient_that_overflows_in_one_process_costs_all_of_them_the_step(two):
    one = of_several.of_scale(Ranks())
    assert two[0]["scale"] == two[1]["scale"]
    assert two[0]["scale"]["scale"] == one["scale"] == 2.0**15
    np.testing.assert_allclose(two[0]["scale"]["weights"], one["weights"], rtol=1e-6)


def test_a_guide_steers_all_processes_alike(two):
    one = of_several.of_guide(Ranks())
    assert two[0]["guide"] == two[1]["guide"]  # to the last bit
    assert two[0]["guide"]["passes"] == one["passes"] == 3 * 41 + 3 * 39
    largest = np.abs(one["gradient"]).max()
    np.testing.assert_allclose(two[0]["guide"]["gradient"], one["gradient"], rtol=0, atol=1e-5 * largest)
    assert two[0]["guide"]["cut"] == pytest.approx(one["cut"], rel=1e-2)


def test_a_lost_process_ends_the_others_with_a_sentence_and_one_goes_on_alone(small, tmp_path):
    folder = tmp_path / "run"
    settings = [*small, "cycles=1", "synthesis.steps=40", "synthesis.max_steps=40"]
    begun = ["train", "quickstart", *settings, "--out", str(folder)]
    processes = start(2, tmp_path, command_line.main, begun)
    wait_for(folder / "state" / "previous.pth", processes)
    processes[1].send_signal(signal.SIGKILL)
    out, err = processes[0].communicate(timeout=60)
    processes[1].communicate()
    assert (processes[0].returncode, out) == (2, "")
    assert err.endswith(LOST), err
    assert err.count("terse: ") == 1
    result = train(load_recipe("quickstart", settings), out=folder, resume=True)
    assert len(result["cycles"]) == 1
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert steps.count(40) == 1  # no step was lost, and none was made twice


@pytest.mark.slow
def test_two_processes_with_batchnorm_and_dropout_end_near_one(small, tmp_path):
    """BatchNorm sees half a batch in each: the figures are other ones, within a band of 0.06."""
    settings = [*small, "data.train=1500", "data.test=1000", "pretrain.epochs=4", "pool.per_cycle=400"]
    settings += ["pool.candidates=4000", "synthesis.batch_size=128", "fine_tune.epochs=8"]
    one = train(load_recipe("quickstart", [*settings, "runtime.threads=1"]), out=tmp_path / "one")
    begun = ["train", "quickstart", *settings, "--out", str(tmp_path / "two")]
    finished(start(2, tmp_path, command_line.main, begun))
    two = json.loads((tmp_path / "two" / "result.json").read_text("utf-8"))
    ends = [result["metrics"]["end"]["accuracy"] for result in (one, two)]
    assert min(ends) > one["metrics"]["start"]["accuracy"] + 0.15
    assert abs(ends[0] - ends[1]) < 0.06, ends


def wait_for(path, processes, seconds=60):
    until = time.monotonic() + seconds
    while not path.is_file():
        assert all(process.poll() is None for process in processes), [p.communicate() for p in processes]
        assert time.monotonic() < until
        time.sleep(0.05)


def test_shares_make_the_batch_and_each_has_two_images():
    for total in range(1, 20):
        shares = [Share(number, max(1, min(4, total // 2)), total) for number in range(4)]
        rows = [share.rows for share in shares if share.counts]
        assert sorted(np.concatenate(rows).tolist()) == list(range(total))
        assert all(len(own) >= min(2, total) for own in rows)
        whole = shares[0].whole_array([10 * share.rows for share in shares])
        assert whole.tolist() == [10 * k for k in range(total)]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Launched()),
        ({"RANK": "0", "WORLD_SIZE": "1"}, Launched()),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}, Launched(3, 4, 1, 2)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, Launched(1, 2, 1, 2)),
        ({"RANK": "x", "WORLD_SIZE": "2"}, Launched()),
    ],
)
def test_a_launcher_says_by_the_environment_who_is_who(monkeypatch, variables, expected):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == expected
