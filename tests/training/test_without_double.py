"""A device without double precision, as Apple's GPUs are: what leaves it is widened on the CPU, and its random numbers are seeded."""

import numpy as np
import pytest
import torch

from terse.discriminator import auc_of_scores
from terse.objectives import RealismWeight
from terse.recipe import load_recipe
from terse.run import open_session
from terse.synthesis.proposer import propose
from terse.training.judging import judge
from terse.training.seeding import reseed


class Narrow(torch.Tensor):
    """A tensor on such a device; `cpu` takes it away from there."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.double:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        found = super().__torch_function__(func, types, args, kwargs or {})
        return found.as_subclass(torch.Tensor) if func is torch.Tensor.cpu else found


def narrow(values):
    return values.as_subclass(Narrow)


@pytest.fixture
def session(small):
    return open_session(load_recipe("quickstart", small), None)


def test_the_stand_in_has_no_double():
    assert narrow(torch.ones(2)).cpu().double().dtype == torch.float64
    with pytest.raises(TypeError, match="float64"):
        (2 * narrow(torch.ones(2))).double()


def test_poses_are_rounded_as_elsewhere(session):
    proposer = session.players.proposer
    raw, labels = torch.randn(8, session.players.materials.poses.joint.size), np.arange(8)
    assert torch.equal(proposer.mapped(narrow(raw), labels).as_subclass(torch.Tensor), proposer.mapped(raw, labels))


def test_verdicts_are_those_of_elsewhere(session, monkeypatch):
    players = session.players
    placements = propose(players.proposer, 8, 0, 1, "narrow", 0)
    composites = players.materials.render(placements)
    wanted = judge(session, placements, composites)
    predict = players.target.predict
    monkeypatch.setattr(players.target, "predict", lambda images: narrow(predict(images)))
    found = judge(session, placements, composites)
    assert np.array_equal(found.hardness, wanted.hardness)
    assert np.array_equal(found.hard, wanted.hard)


def test_lengths_and_scores_are_those_of_elsewhere():
    first, second = torch.rand(6, 3), torch.rand(6, 3)
    assert RealismWeight(0.5).of(narrow(first), narrow(second)) == RealismWeight(0.5).of(first, second)
    assert auc_of_scores(narrow(first[0]), narrow(second[0])) == auc_of_scores(first[0], second[0])


def test_its_random_numbers_are_a_function_of_the_step_too(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "manual_seed", seeds.append)
    for step in (1, 2, 1):
        reseed(0, 1, "s", step)
    assert seeds[0] == seeds[2] != seeds[1]
