"""Candidates are counted by class, and those of a full class are neither drawn nor judged."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from terse.pool import Quota
from terse.recipe import load_recipe
from terse.run import open_session
from terse.training.harvest import Harvest, harvest_phase
from terse.training.tally import Tally

AFTER = "pool={per_class: 4, per_cycle: null, candidates: 4000}"
LEARNED = "{kind: learned, batch_size: 32, steps: 0, harvest: after}"


def test_the_hard_rate_counts_what_was_passed_over_as_its_class_does():
    tally = Tally(2)
    labels = np.array([0, 0, 0, 0, 1, 1])
    tally.looked_at(labels, np.array([1, 1, 1, 0, 1, 1], dtype=bool), np.array([1, 1, 0, 0, 0, 1], dtype=bool))
    assert (tally.seen, tally.worth, tally.hard_rate) == (6, 5, pytest.approx(3 / 5))
    tally.passed_over(np.array([0] * 8))  # as if three times as many of the first class had been judged
    assert (tally.seen, tally.worth) == (14, 5)
    assert tally.hard_rate == pytest.approx((3 * 2 + 1) / (3 * 3 + 2))
    again = Tally(2)
    again.restore(tally.state())
    assert (again.seen, again.hard_rate) == (tally.seen, tally.hard_rate)


def test_before_any_candidate_nothing_is_hard():
    assert Tally(3).hard_rate == 0


def opened(small, synthesis):
    others = [one for one in small if not one.startswith(("pool", "synthesis"))]
    return open_session(load_recipe("quickstart", [*others, AFTER, f"synthesis={synthesis}"]), None)


def harvested(small, monkeypatch, synthesis):
    """The pool of one harvest under quotas by class, its figures, and how many candidates were judged."""
    session = opened(small, synthesis)
    judged, take = [], Harvest.take
    with monkeypatch.context() as patch:
        patch.setattr(
            Harvest, "take", lambda self, *given, **how: (judged.append(len(given[0])), take(self, *given, **how))
        )
        harvest_phase(session, 1)
    return session.pool.placements, session.facts["harvest"], sum(judged), session.costs.judging_passes


@pytest.mark.parametrize("arm", ["{kind: mined, batch_size: 32}", "{kind: random, batch_size: 32}", LEARNED])
def test_of_a_full_class_nothing_is_judged_and_the_pool_is_the_same(small, monkeypatch, arm):
    pool, figures, judged, passes = harvested(small, monkeypatch, arm)
    monkeypatch.setattr(Quota, "has_room", lambda self, labels, cells=None: np.ones(len(labels), dtype=bool))
    whole, of_all, all_judged, _ = harvested(small, monkeypatch, arm)
    assert judged < all_judged == of_all["candidates"] == figures["candidates"]
    assert passes == (0 if "random" in arm else judged)
    assert all(
        np.array_equal(getattr(pool, one.name), getattr(whole, one.name))
        for one in fields(pool)
        if one.name != "hardness"
    )
    assert np.allclose(pool.hardness, whole.hardness, atol=1e-3)
    assert figures["hard_rate"] == pytest.approx(of_all["hard_rate"], abs=0.1)


def test_a_harvest_of_an_older_checkpoint_goes_on(small):
    session = opened(small, "{kind: mined}")
    whole = Harvest(session, 1)
    older = {"room": torch.from_numpy(whole.quota.room), "counts": torch.tensor([64, 60, 30, 7])}
    session.carried["harvest"] = older | {"topped_up": torch.tensor([0, 0])}
    again = Harvest(session, 1)
    assert (again.tally.seen, again.tally.worth, again.tally.hard_rate, again.quota.taken) == (64, 60, 0.5, 7)
