"""Finished runs as small files: read instead of run again, refused where they are of another run; two tables of budgets."""

import json
import shutil

import numpy as np
import pytest
import torch
from test_prove import TINY, lasting

from drawn_detections import CLASSES, drawn
from terse.cli.prove import _number
from terse.errors import RecipeError, RunError
from terse.evaluation.ap import ap_of, detection_scores
from terse.progress import Observer
from terse.proof.arms import Arm, arm_recipe
from terse.proof.intervals import cluster_interval
from terse.proof.kept import is_kept
from terse.proof.prove import prove
from terse.recipe import load_recipe
from terse.report.proof_page import proof_page
from terse.sources.run_data import run_data
from terse.tasks.groups import half_samples

pytestmark = pytest.mark.usefixtures("unchecked")  # the same runs as elsewhere, many times


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("quickstart", [*TINY, "cycles=1"])


@pytest.fixture(scope="module")
def data(recipe):
    return run_data(recipe)


@pytest.fixture(scope="module")
def kept(recipe, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    found = prove(recipe, out=folder / "proof", kept=folder / "runs", arms=["none", "random"], seeds=2, data=data)
    return folder / "runs", found


def test_a_proof_of_kept_runs_says_the_same_and_runs_nothing(recipe, data, kept, tmp_path, monkeypatch):
    runs, found = kept
    monkeypatch.setattr("terse.proof.workers.run_start", None)
    monkeypatch.setattr("terse.proof.workers.run_arm", None)
    again = prove(recipe, out=tmp_path / "proof", kept=runs, arms=["none", "random"], seeds=2, data=data)
    first, second = lasting(found), lasting(again)
    assert second["arms"]["random"]["per_seed"] == pytest.approx(first["arms"]["random"]["per_seed"], abs=1e-5)
    assert second["verdict"] == first["verdict"]
    assert second["gain"]["overall"]["low"] == pytest.approx(first["gain"]["overall"]["low"], abs=1e-4)


def test_only_what_is_missing_is_run(recipe, data, kept, tmp_path):
    runs, _ = kept
    prove(recipe, out=tmp_path / "proof", kept=runs, arms=["none", "random", "mined"], seeds=2, data=data)
    assert sorted(path.name for path in (tmp_path / "proof" / "arms").iterdir()) == ["mined", "none", "random"]
    assert not (tmp_path / "proof" / "arms" / "random" / "seed-0" / "pool").exists()
    assert (runs / "mined" / "seed-1.json").is_file()


def test_kept_runs_and_starts_that_nobody_needs_are_told_as_done(recipe, data, kept, tmp_path):
    done = []

    class Told(Observer):
        def of(self, job):
            told = Observer()
            told.done = lambda: done.append(job)
            return told

    arms = ["none", "random", "mined"]
    runs = tmp_path / "runs"
    shutil.copytree(kept[0], runs)
    prove(recipe, out=tmp_path / "one", kept=runs, arms=arms, seeds=1, data=data)
    prove(recipe, out=tmp_path / "two", kept=runs, arms=arms, seeds=2, data=data, observer=Told())
    assert sorted(done) == sorted(f"{name}, seed {seed}" for name in ("start", *arms) for seed in (0, 1))


def test_a_kept_run_names_no_folder_of_this_machine(kept):
    text = (kept[0] / "random" / "seed-0.json").read_text()
    assert json.loads(text)["result"]["out"] is None
    assert '"/' not in text
    assert json.loads(text)["result"]["primary"] == "accuracy"


def test_a_kept_run_of_other_settings_is_refused(data, kept, tmp_path):
    other = load_recipe("quickstart", [*TINY, "cycles=1", "fine_tune.epochs=5"])
    with pytest.raises(RunError) as caught:
        prove(other, out=tmp_path / "proof", kept=kept[0], arms=["none", "random"], seeds=1, data=data)
    said = str(caught.value)
    assert said.startswith(f"{kept[0] / 'none' / 'seed-0.json'}: expected a run with fine_tune.epochs 5, got 4; ")
    assert said.endswith("name another folder for kept runs, or delete the file to run it again")


def test_a_setting_that_is_younger_than_the_file_counts_where_it_is_used(recipe, kept, tmp_path):
    arm = arm_recipe(recipe, Arm("random"), 0)
    written = json.loads((kept[0] / "random" / "seed-0.json").read_text())
    del written["settings"]["fine_tune"]["photometric"]
    del written["settings"]["test_groups"]
    file = tmp_path / "seed-0.json"
    file.write_text(json.dumps(written))
    assert is_kept(file, arm)
    relit = arm.model_copy(update={"fine_tune": arm.fine_tune.model_copy(update={"photometric": True})})
    with pytest.raises(RunError, match=r"expected a run with fine_tune\.photometric true, got null"):
        is_kept(file, relit)
    assert not is_kept(tmp_path / "none.json", arm)


def test_half_samples_have_one_cluster_of_each_pair():
    found, truth = drawn(0)
    names = [f"{'ab'[i % 2]}" for i in range(truth.batch_size)]
    metric = ap_of(found, truth, [0.5], voc=False)
    values = half_samples(metric, truth, names, count=16)
    each = {
        round(float(detection_scores([found[i] for i in rows], truth.take(rows), CLASSES)["ap50"]), 6)
        for rows in ([i for i, own in enumerate(names) if own == name] for name in "ab")
    }
    most = {
        int(torch.bincount(truth.take([i for i, own in enumerate(names) if own == name]).labels).argmax())
        for name in "ab"
    }
    if len(most) == 1:  # both clusters are of one class: each stands for both in its turn
        assert {round(value, 6) for value in values} <= each
    assert values == half_samples(metric, truth, names, count=16)
    assert half_samples(metric, truth, [None] * truth.batch_size) == []


def test_the_spread_over_half_samples_is_the_standard_error_of_a_mean_of_pairs():
    rng = np.random.default_rng(5)
    pairs = rng.normal(size=(13, 2))
    halves = np.array([pairs[np.arange(13), rng.integers(2, size=13)].mean() for _ in range(400)])
    wanted = np.sqrt((np.diff(pairs, axis=1) ** 2).sum() / 4) / 13  # of two units a stratum
    assert halves.std() == pytest.approx(wanted, rel=0.15)
    found = cluster_interval(halves[None], 0.3)
    assert found.mean == 0.3
    assert found.high - found.low == pytest.approx(2 * 1.96 * wanted, rel=0.2)


def test_seeds_count_beside_clusters():
    same = np.zeros((5, 8))
    assert cluster_interval(same, 0.1).low is None
    apart = same + np.arange(5)[:, None]
    found = cluster_interval(apart, 2.0)
    assert 0 < found.low < 2 < found.high < 4


def test_bounds_of_judging_give_each_arm_that_judges_a_twin(data, tmp_path):
    recipe = load_recipe("quickstart", [*TINY, "cycles=1", "hardness.above=0"])
    found = prove(recipe, out=tmp_path / "proof", arms=["none", "random", "mined"], passes=[1], seeds=1, data=data)
    quality, budget = found["tables"]
    assert quality["arms"] == ["none", "random", "mined"]
    assert budget["passes_per_wanted"] == 1
    assert budget["arms"] == ["none", "random", "mined-1-passes"]
    assert set(budget["over_mined"]) == {"none", "random"}
    twin, free = found["costs"]["mined-1-passes"], found["costs"]["mined"]
    assert twin["judging_passes"] == 60 < free["judging_passes"]
    assert twin["samples"] == free["samples"] == 60
    assert twin["topped_up"] > 0 == free["topped_up"]
    titles = [table.heading for table in proof_page(tmp_path / "proof").tables]
    assert "Budget: 1 judging passes for a wanted composite" in titles


def test_a_bound_that_is_no_number_is_refused():
    with pytest.raises(RecipeError) as caught:
        _number("few")
    assert str(caught.value) == "passes: expected numbers above 0 with commas between, got 'few'; for example 2,8"
