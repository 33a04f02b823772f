"""What a target phase trains on: the epoch of the paper repeats the pool over all real images."""

from types import SimpleNamespace

import numpy as np
import pytest

from terse.recipe_parts import PhaseConfig
from terse.training.plan import TargetPlan


def plan(settings, pooled, real=100, proposer="an arm", planned=None):
    session = SimpleNamespace(
        recipe=SimpleNamespace(seed=0), players=SimpleNamespace(train=range(real), proposer=proposer)
    )
    build = getattr(TargetPlan.__init__, "__wrapped__", TargetPlan.__init__)
    made = TargetPlan.__new__(TargetPlan)
    build(made, session, settings, 1, "target", pooled, pooled if planned is None else planned)
    return made


def numbers(made, epoch=0):
    steps = range(epoch * made.steps_an_epoch, (epoch + 1) * made.steps_an_epoch)
    return np.concatenate([made.batch(step) for step in steps])


SETTINGS = PhaseConfig(epochs=3, batch_size=10, real_per_synthetic=1, epoch="real")


def test_the_epoch_of_the_paper_repeats_the_pool_over_all_real_images():
    made = plan(SETTINGS, pooled=30)
    assert (made.steps_an_epoch, made.steps) == (20, 60)
    seen = numbers(made)
    assert sorted(seen[seen < 100]) == list(range(100))
    counts = np.bincount(seen[seen >= 100] - 100, minlength=30)
    assert (counts.sum(), counts.min(), counts.max()) == (100, 3, 4)
    later = numbers(made, 1)
    assert sorted(later[later < 100]) == list(range(100))
    assert not np.array_equal(np.bincount(later[later >= 100] - 100, minlength=30), counts)  # others repeat once more


@pytest.mark.parametrize(("batch_size", "seen"), [(10, [100, 100]), (1, [100])])
def test_a_lone_composite_stands_twice_in_its_batch(batch_size, seen):
    settings = SETTINGS.model_copy(update={"batch_size": batch_size, "real_per_synthetic": 0})
    assert plan(settings, pooled=1).batch(0).tolist() == seen


def test_ours_goes_over_the_pool_once():
    made = plan(SETTINGS.model_copy(update={"epoch": "pool"}), pooled=30)
    assert made.steps_an_epoch == 6
    assert sorted(numbers(made)[numbers(made) >= 100]) == list(range(100, 130))


def test_all_arms_have_as_many_steps_and_none_sees_real_images_instead():
    none = plan(SETTINGS, pooled=0, proposer=None, planned=30)
    assert none.steps == plan(SETTINGS, pooled=30).steps == plan(SETTINGS, pooled=17, planned=30).steps
    assert np.bincount(numbers(none), minlength=100).tolist() == [2] * 100


@pytest.mark.parametrize("ratio", ["all", 0])
def test_without_a_ratio_there_is_one_epoch(ratio):
    by_real, by_pool = (
        plan(SETTINGS.model_copy(update={"epoch": epoch, "real_per_synthetic": ratio}), pooled=30)
        for epoch in ("real", "pool")
    )
    assert by_real.steps == by_pool.steps
    assert np.array_equal(numbers(by_real), numbers(by_pool))
