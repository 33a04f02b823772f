"""What a target phase mixes in: pools drawn afresh, blind composites before the first cycle, bounded judging."""

import numpy as np
import pytest
import torch

from killing import Killed, KillIn, lasting
from terse.evaluation.coverage import coverage
from terse.pool import Pool
from terse.recipe import load_recipe
from terse.recipe_parts import OptimizerConfig
from terse.run import open_session, train
from terse.tasks.classification import Classification
from terse.training.augment import relight
from terse.training.cycle import run_cycles, train_start
from terse.training.engine import Engine
from terse.training.optimizers import set_rate
from terse.training.phases import synthesizer_step, target_step
from terse.training.supply import Supply

FRESH = ("pool.refresh=1", "fine_tune.epochs=3", "cycles=1", "fine_tune.real_per_synthetic=1")


def of_arm(small, arm, *more):
    own = () if arm == "critic" else ("synthesis.s", "synthesis.h", "synthesis.m")
    shared = [o for o in small if not (own and o.startswith(own))]
    if arm == "critic":
        critic = "synthesis.critic={feature_steps: 3, first_fit: 24, batch_size: 16}"
        return load_recipe("quickstart", [*shared, "synthesis.feedback=critic", critic, *more])
    return load_recipe("quickstart", [*shared, f"synthesis.kind={arm}", *more])


@pytest.mark.parametrize("arm", ["random", "mined", "critic"])
def test_a_pool_drawn_afresh_is_another_one_of_the_same_size(small, arm):
    session = open_session(of_arm(small, arm, *FRESH), None)
    train_start(session)
    row = run_cycles(session).to_json()["cycles"][0]
    placements = session.pool.placements
    assert len(placements) == row["samples"] == 3 * 40
    assert row["redraws"] == 2
    assert len(row["hard_rates"]) == 3
    draws = np.split(placements.foreground, 3)
    assert not np.array_equal(draws[0], draws[1])
    assert np.array_equal(session.pool.newest.foreground, draws[2])
    if arm == "random":
        assert row["judging_passes"] == 0
        assert np.isnan(placements.hardness[40:]).all()
    else:
        assert placements.hard.all()
        assert row["judging_passes"] > 3 * 40  # the new draws are judged, and counted
        assert row["found_per_pass"] * row["judging_passes"] == pytest.approx(120 * (1 - row["duplicates"]))


def test_repeats_of_each_draw_count(small, monkeypatch):
    shares = iter((0.0, 0.5, 0.25))

    def repeating(*given):
        return coverage(*given).model_copy(update={"duplicates": next(shares), "near_duplicates": 0.0})

    monkeypatch.setattr("terse.training.harvest.coverage", repeating)
    row = train(of_arm(small, "mined", *FRESH))["cycles"][0]
    assert row["redraws"] == 2
    assert row["duplicates"] == pytest.approx(0.25)
    assert row["found_per_pass"] * row["judging_passes"] == pytest.approx(40 * (1 + 0.5 + 0.75))


def test_all_arms_train_on_as_many_composites_for_as_many_steps(small):
    rows = {arm: train(of_arm(small, arm, *FRESH))["cycles"][0] for arm in ("none", "random", "mined")}
    assert len({row["target_forwards"] - row["judging_passes"] for row in rows.values()}) == 1
    assert rows["random"]["samples"] == rows["mined"]["samples"]


@pytest.mark.slow
@pytest.mark.parametrize(("arm", "step"), [("mined", 3), ("mined", 6), ("critic", 4)])
def test_a_run_killed_between_two_draws_ends_as_an_unbroken_one(tmp_path, small, arm, step):
    recipe = of_arm(small, arm, *FRESH, "fine_tune.batch_size=32", "checkpoint.every_steps=2")
    whole = train(recipe, out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(recipe, out=tmp_path / "killed", observer=KillIn(1, "target", step))
    again = train(recipe, out=tmp_path / "killed", resume=True)
    assert lasting(again) == lasting(whole)
    kept = (torch.load(tmp_path / name / "target.pth", weights_only=True) for name in ("whole", "killed"))
    first, second = kept
    assert all(torch.equal(first[name], second[name]) for name in first)
    shards = [sorted(path.name for path in (tmp_path / name / "pool").iterdir()) for name in ("whole", "killed")]
    assert (
        shards[0] == shards[1] == ["cycle-0001-draw-0001.parquet", "cycle-0001-draw-0002.parquet", "cycle-0001.parquet"]
    )


def test_the_start_learns_blind_composites_beside_real_images(small):
    alone, mixed = (
        open_session(of_arm(small, "random", "cycles=0", *more), None) for more in ((), ("pretrain.composites=40",))
    )
    for session in (alone, mixed):
        train_start(session)
    assert len(mixed.pool) == 0
    first, second = (session.players.target.module.state_dict() for session in (alone, mixed))
    assert not all(torch.equal(first[name], second[name]) for name in first)
    supply = Supply(mixed, mixed.recipe.pretrain, 0, "pretrain")
    one, other = (supply.at(epoch).placements for epoch in (0, 1))
    assert len(one) == len(other) == supply.count == 40
    assert not np.array_equal(one.pose, other.pose)


def test_what_judging_is_too_dear_for_is_filled_up_unjudged(small):
    row = train(of_arm(small, "mined", "cycles=1", "pool.passes_per_wanted=1"))["cycles"][0]
    assert row["judging_passes"] == 40
    assert row["samples"] == 40
    assert 0 < row["topped_up"] < 40


def test_the_critic_keeps_to_its_passes_in_every_draw(small):
    row = train(of_arm(small, "critic", *FRESH, "pool.passes_per_wanted=1.5"))["cycles"][0]
    assert row["judging_passes"] <= 3 * 60
    assert row["samples"] == 3 * 40


def test_light_changes_images_alike_for_one_seed_and_stays_in_range():
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    one, same, other = (relight(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1
    assert (one - images).abs().mean((1, 2, 3)).min() > 0.01  # each image is changed
    assert relight(images[:, :1], torch.Generator().manual_seed(1)).shape == (8, 1, 16, 16)


def test_the_photometric_phase_trains_on_other_pixels(small):
    def weights(on):
        session = open_session(of_arm(small, "random", "cycles=0", f"pretrain.photometric={on}"), None)
        train_start(session)
        return session.players.target.module.state_dict()

    plain, relit = (weights(on) for on in ("false", "true"))
    assert not all(torch.equal(plain[name], relit[name]) for name in plain)


def test_one_schedule_may_span_all_cycles():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    settings = OptimizerConfig(lr=0.1, schedule="one_cycle", schedule_over="run")

    def rates(settings, cycle):
        for step in range(10):
            set_rate(optimizer, settings, step, 10, cycle, 3)
            yield optimizer.param_groups[0]["lr"]

    whole = [rate for cycle in (1, 2, 3) for rate in rates(settings, cycle)]
    alone = []
    for step in range(30):
        set_rate(optimizer, settings, step, 30, 0, 1)
        alone.append(optimizer.param_groups[0]["lr"])
    assert whole == alone


def test_the_last_target_is_kept_where_the_recipe_says_so(small, monkeypatch, tmp_path):
    falling = iter([0.9, 0.9, 0.5, 0.5, 0.4, 0.4])
    monkeypatch.setattr(Classification, "measure", lambda *_: {"accuracy": next(falling)})
    result = train(of_arm(small, "random", "keep=last"), out=tmp_path / "run")
    assert result["best_cycle"] == 2
    assert result["metrics"]["end"]["accuracy"] == 0.4


def test_shards_of_draws_after_the_checkpoint_go(tmp_path, small):
    recipe = of_arm(small, "random", *FRESH)
    train(recipe, out=tmp_path / "run")
    session = open_session(recipe, None)
    materials = session.players.materials
    pool = Pool(tmp_path / "run" / "pool", materials.foregrounds, materials.backgrounds, materials.poses)
    pool.load(1, 1)
    assert len(pool) == 80
    assert sorted(path.name for path in (tmp_path / "run" / "pool").iterdir()) == [
        "cycle-0001-draw-0001.parquet",
        "cycle-0001.parquet",
    ]


def test_the_synthesizers_schedule_spans_all_cycles_too(small, monkeypatch):
    rates = []

    def step(session, proposer, optimizer, *rest):
        rates.append(optimizer.param_groups[0]["lr"])
        return synthesizer_step(session, proposer, optimizer, *rest)

    monkeypatch.setattr("terse.training.phases.synthesizer_step", step)
    over_run = ("synthesis.optimizer.schedule=cosine", "synthesis.optimizer.schedule_over=run")
    recipe = load_recipe("quickstart", [*small, "cycles=2", "synthesis.harvest=after", *over_run])
    train(recipe)
    assert len(rates) == 2 * recipe.synthesis.steps
    assert rates == sorted(rates, reverse=True)
    assert min(rates) > 0


def test_what_nobody_judged_is_no_yield(small):
    never = "synthesis.critic={feature_steps: 3, first_fit: 100000, batch_size: 16}"
    for bound in (0.5, 0.75):
        row = train(of_arm(small, "critic", never, "cycles=1", f"pool.passes_per_wanted={bound}"))["cycles"][0]
        assert row["topped_up"] > 0
        found = (row["samples"] - row["topped_up"]) * (1 - row["duplicates"])
        assert row["found_per_pass"] == pytest.approx(found / row["judging_passes"])
        assert 0 < row["found_per_pass"] <= 1


HELPFUL = "hardness={kind: helpful, of: {kind: margin, above: 0}, probe: 16, guide: {images: 16}}"


@pytest.mark.parametrize("more", [(), (HELPFUL,)])
def test_a_redraw_leaves_the_threads_that_the_phase_learns_with(small, monkeypatch, more):
    monkeypatch.setattr(Engine, "use_threads", lambda engine, pixels: torch.set_num_threads(2))
    monkeypatch.setattr(  # a guide's batch is another one
        Engine, "use_threads_to_learn", lambda engine, images, side_px: torch.set_num_threads(1 if images == 24 else 2)
    )
    threads = []

    def step(*given):
        threads.append(torch.get_num_threads())
        return target_step(*given)

    monkeypatch.setattr("terse.training.phases.target_step", step)
    before = torch.get_num_threads()
    try:
        train(of_arm(small, "mined", *FRESH, "fine_tune.batch_size=24", "pretrain.batch_size=24", *more))
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {1}
