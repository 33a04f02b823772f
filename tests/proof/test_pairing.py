"""Arms of a seed begin with the same weights and see the same real images in the same steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from terse.proof.arms import Arm, arm_recipe
from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.sources.run_data import run_data

pytestmark = pytest.mark.usefixtures("unchecked")  # the same runs as elsewhere, many times

SETTINGS = (
    "data.train=300", "data.val=40", "data.test=40", "cycles=2", "pretrain.epochs=1", "hardness.above=-2",
    "pool.per_cycle=60", "pool.candidates=400", "synthesis.batch_size=64", "synthesis.steps=2", "synthesis.statistics_pairs=64", "fine_tune.epochs=2",
    "fine_tune.batch_size=16",
)  # fmt: skip
ARMS = ("none", "random", "mined", "learned")


class Recorded:
    """Real images, and the numbers of those that were asked for."""

    def __init__(self, images):
        self.images = images
        self.asked = []

    def __len__(self):
        return len(self.images)

    def fetch(self, indices):
        self.asked.append(np.asarray(indices).tolist())
        return self.images.fetch(indices)


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("quickstart", SETTINGS)


@pytest.fixture(scope="module")
def data(recipe):
    return run_data(recipe)


@pytest.fixture(scope="module")
def asked(recipe, data):
    """The numbers of the real images of every step, by arm and seed."""

    def of(arm, seed):
        recorded = Recorded(data.train)
        train(arm_recipe(recipe, Arm(arm), seed), data=replace(data, train=recorded))
        return recorded.asked

    return {(arm, seed): of(arm, seed) for seed in (0, 1) for arm in ARMS if arm != "mined" or seed == 0}


def test_arms_that_paste_see_the_same_real_batches(asked):
    random = asked["random", 0]
    assert len(random) > 30
    assert asked["mined", 0] == random
    assert asked["learned", 0] == random
    assert asked["learned", 1] == asked["random", 1]
    assert asked["random", 1] != random


def test_the_arm_without_pastes_sees_them_too_and_others_where_the_pastes_would_be(asked):
    for seed in (0, 1):
        none, random = asked["none", seed], asked["random", seed]
        assert len(none) == len(random)
        assert all(set(theirs) <= set(mine) for mine, theirs in zip(none, random, strict=True))
        sizes = [len(batch) for batch in none[-4:]]
        assert max(sizes) == 16
        assert any(len(mine) > len(theirs) for mine, theirs in zip(none, random, strict=True))


def test_the_arm_without_pastes_sees_them_too_where_it_has_to_repeat_real_images(recipe):
    few = recipe.model_copy(update={"data": recipe.data.model_copy(update={"train": 100})})
    data, asked = run_data(few), {}
    for arm in ("none", "random"):
        recorded = Recorded(data.train)
        train(arm_recipe(few, Arm(arm), 0), data=replace(data, train=recorded))
        asked[arm] = recorded.asked
    assert all(set(theirs) <= set(mine) for mine, theirs in zip(asked["none"], asked["random"], strict=True))


def test_arms_begin_with_the_same_weights(recipe, data):
    def start(arm, seed):
        return open_session(arm_recipe(recipe, Arm(arm), seed), None, data=data).players.target.module.state_dict()

    first = start("none", 0)
    for arm in ARMS[1:]:
        other = start(arm, 0)
        assert all(torch.equal(first[name], other[name]) for name in first)
    assert not all(torch.equal(first[name], value) for name, value in start("none", 1).items())
