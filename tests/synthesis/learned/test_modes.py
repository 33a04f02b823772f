"""A network draws as it was trained: the same dropout, and statistics of its own pairs."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from terse.draws import seeds_of
from terse.modes import frozen
from terse.recipe import load_recipe
from terse.run import open_session
from terse.synthesis.learned.config import LearnedConfig
from terse.synthesis.learned.modes import seeded_dropout, settle_statistics
from terse.synthesis.proposer import pastes_of
from terse.training.optimizers import optimizer_maker
from terse.training.phases import synthesizer_step
from terse.training.seeding import reseed


@pytest.fixture
def trained(small):
    """A session whose synthesizer learned a few fast steps: its moving averages are of older weights."""

    def make(*settings):
        session = open_session(load_recipe("quickstart", [*small, "synthesis.optimizer.lr=1e-2", *settings]), None)
        proposer = session.players.proposer
        optimizer = optimizer_maker(proposer.settings.optimizer)(proposer.module)
        with frozen(session.players.target.module):
            for step in range(8):
                requests = proposer.requests(seeds_of(0, 1, "synthesizer", step, count=64))
                synthesizer_step(session, proposer, optimizer, requests, reseed(0, 1, "synthesizer", step))
        return session

    return make


def in_training(proposer, requests):
    """Unit poses as a step sees them."""
    materials, pastes = proposer.materials, pastes_of(proposer.materials, requests)
    cut, below = materials.foregrounds.fetch(pastes.foreground), materials.backgrounds.fetch(requests.background)
    proposer.module.train()
    with torch.no_grad():
        return materials.poses.to_unit(
            proposer.mapped(proposer.raw_poses(cut, below, pastes, requests), pastes.label)
        ).double()


@pytest.mark.parametrize("settings", [(), ("synthesis.base=centre",), ("synthesis.base=centre", "synthesis.dropout=0")])
def test_poses_spread_when_drawn_as_they_do_in_training(trained, settings):
    session = trained(*settings)
    proposer, family = session.players.proposer, session.players.materials.poses
    settle_statistics(proposer, seeds_of(0, 1, "statistics", 0, count=500))
    requests = proposer.requests(seeds_of(0, 1, "test", count=1024))
    drawn = family.to_unit(torch.from_numpy(proposer.propose(requests).pose))
    training = torch.cat([in_training(proposer, requests.take(range(k, k + 64))) for k in range(0, 1024, 64)])
    assert drawn.std(0).numpy() == pytest.approx(training.std(0).numpy(), rel=0.1)


def test_statistics_are_those_of_the_weights_whatever_they_were_before(trained):
    proposer = trained().players.proposer
    seeds = seeds_of(0, 1, "statistics", 0, count=256)
    before = proposer.propose(proposer.requests(seeds)).pose
    difference = settle_statistics(proposer, seeds)
    settled, state = proposer.propose(proposer.requests(seeds)).pose, copy.deepcopy(proposer.module.state_dict())
    assert np.abs(settled - before).max() > 1e-3
    assert 0 < difference < 0.1
    assert settle_statistics(proposer, seeds) == difference
    assert all(torch.equal(value, proposer.module.state_dict()[name]) for name, value in state.items())
    assert {part.momentum for part in proposer.module.modules() if hasattr(part, "momentum")} == {0.1}


def test_dropout_of_a_pair_does_not_depend_on_its_batch():
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Dropout2d(0.5), nn.Flatten(), nn.Dropout(0.25)).eval()
    images, seeds = torch.rand(64, 1, 8, 8) + 1, seeds_of(0, count=64)
    with torch.no_grad():
        clean = network(images)
        with seeded_dropout(network, seeds):
            whole = network(images)
        with seeded_dropout(network, seeds[5:7]):
            few = network(images[5:7])
        assert torch.equal(network(images), clean)
    assert torch.allclose(few, whole[5:7], atol=1e-5)  # another batch rounds differently
    assert torch.equal(few == 0, whole[5:7] == 0)
    assert float((whole == 0).float().mean()) == pytest.approx(1 - 0.5 * 0.75, abs=0.03)
    kept = whole != 0
    assert torch.allclose(whole[kept], clean[kept] / (0.5 * 0.75), atol=1e-5)


def test_poses_under_dropout_are_functions_of_their_seeds(trained):
    proposer = trained("synthesis.base=centre").players.proposer
    requests = proposer.requests(seeds_of(0, 1, "test", count=64))
    whole = proposer.propose(requests).pose
    assert np.abs(proposer.propose(requests.take(range(20, 50))).pose - whole[20:50]).max() < 1e-3
    assert np.array_equal(proposer.propose(requests).pose, whole)
    assert whole.std(0).min() > 1e-3


@pytest.mark.parametrize(
    ("settings", "rate"),
    [({}, 0.5), ({"base": "random"}, 0), ({"noise_size": 4}, 0), ({"base": "random", "dropout": 0.3}, 0.3)],
)
def test_dropout_is_on_where_nothing_else_tells_composites_apart(settings, rate):
    assert LearnedConfig(**settings).dropout_rate == rate
