"""What holds a harvest wide: cells of class and pose, shares of base draws, and the farthest of what was found."""

import numpy as np
import pytest
import torch

from killing import Killed, KillIn, lasting
from terse.draws import seeds_of, uniform
from terse.errors import RecipeError
from terse.placements import Placements
from terse.pool import Quota
from terse.poses import AffinePoses
from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.training.harvest import harvest_phase
from terse.training.spread import (
    Mix,
    even_shares,
    farthest_points,
    pose_cells,
    projected,
    rows_to_compare,
)

POSES = AffinePoses((-20.0, 20.0), (-1.0, 1.0), (0.0, 0.0), (1.0, 1.0))
AFTER = ["synthesis.harvest=after", "synthesis.harvest_from=0", "pool.candidates=4000", "cycles=1"]


class Named:
    """Foregrounds of which the classes alone are known."""

    classes = ("nut", "hammer")

    def __init__(self, labels):
        self.labels = np.array(labels)
        self.keys = [str(number) for number in range(len(labels))]

    def __len__(self):
        return len(self.labels)

    def fetch(self, indices):
        raise AssertionError("asked for pixels")


def nearest(rows):
    apart = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return apart.min(axis=1)


def test_farthest_points_are_the_middle_the_ends_and_then_the_gaps():
    line = np.arange(9.0)[:, None]
    assert farthest_points(line, 3).tolist() == [0, 4, 8]
    assert farthest_points(line, 5).tolist() == [0, 2, 4, 6, 8]
    assert farthest_points(line, 20).tolist() == list(range(9))
    assert farthest_points(line, 0).tolist() == []
    assert farthest_points(np.zeros((4, 2)), 3).tolist() == [0, 1, 2]


def test_farthest_points_of_two_clusters_leave_neither_out_and_lie_apart():
    random = np.random.default_rng(0)
    rows = np.concatenate([random.normal(0, 0.01, (500, 3)), random.normal(1, 0.01, (5, 3))])
    chosen = farthest_points(rows, 20)
    assert (chosen >= 500).any()
    assert (chosen < 500).any()
    assert nearest(rows[chosen]).min() > 2 * np.median(nearest(rows[:20]))


def test_shares_are_even_as_far_as_there_are_enough():
    assert even_shares(np.array([9, 9, 9]), 9, np.array([9, 9, 9])).tolist() == [3, 3, 3]
    assert even_shares(np.array([1, 9, 9]), 9, np.array([9, 9, 9])).tolist() == [1, 4, 4]
    assert even_shares(np.array([9, 9]), 10, np.array([2, 4])).tolist() == [2, 4]
    assert even_shares(np.array([5, 5, 5]), 7, np.array([5, 5, 5])).sum() == 7


def test_a_cell_is_of_the_free_numbers_of_the_first_objects_pose():
    pose = np.zeros((4, 6))
    pose[:, 0] = [-20, -20, 20, 1]
    pose[:, 1] = [-1, 1, -1, 1]
    pose[:, 2] = [1, -1, -1, -1]
    cells = pose_cells(Placements.single(np.arange(4), np.arange(4), pose), POSES, 2, Named([0] * 4))
    assert cells.tolist() == [0 + 0 + 4, 0 + 2 + 0, 1 + 0 + 0, 1 + 2 + 0]


def test_each_class_fills_all_cells_of_its_own_range():
    own = {"nut": (0.1, 0.2), "hammer": (0.5, 0.9)}
    family = AffinePoses((0, 0), (0, 0), (0, 0), own, stretch=(1, 1))
    labels = np.arange(400) % 2
    unit = np.random.default_rng(0).random((400, 6))
    pose = family.of_classes(family.from_unit(unit), labels, tuple(own))
    cells = pose_cells(Placements.single(np.arange(400) % 7, np.arange(400), pose), family, 4, Named(labels))
    for label in (0, 1):
        assert set(cells[labels == label].tolist()) == {0, 1, 2, 3}


def test_a_full_cell_takes_no_more():
    quota = Quota(2, None, 8, uneven=1.0, cells=2)  # 4 a class, 2 a cell of it
    labels, cells = np.array([0, 0, 0, 1, 0, 1]), np.array([7, 7, 7, 7, 3, 7])
    assert quota.accept(labels, np.ones(6, dtype=bool), cells).tolist() == [0, 1, 3, 4, 5]
    assert quota.has_room(labels, cells).tolist() == [False, False, False, False, True, False]
    assert quota.accept(labels, np.ones(6, dtype=bool), cells).tolist() == [4]
    assert quota.has_room(labels, cells).tolist() == [False] * 6  # the first class is full
    assert quota.has_room(np.array([1]), np.array([3])).tolist() == [True]
    assert quota.missing == 2


def test_base_and_network_have_their_shares_of_candidates_and_of_room():
    mix, asked = Mix((0.25, 0.75), 40), []
    for _ in range(16):
        source = mix.next()
        asked.append(source)
        mix.asked(source, 64)
        mix.took(source, 1)
    assert asked.count(0) == 4
    mix.took(0, 6)
    assert mix.room.tolist() == [0, 18]
    assert {mix.next() for _ in range(3)} == {1}


def test_features_and_poses_count_alike():
    placements = Placements.single(
        np.arange(50), np.arange(50), POSES.from_unit(uniform(seeds_of(0, count=50), "p", 6))
    )
    features = projected(np.random.default_rng(0).normal(0, 100, (50, 300)).astype(np.float32))
    rows = rows_to_compare(placements, POSES, features, Named([0] * 50))
    assert rows.shape == (50, 6 + 64)
    assert (rows[:, :6] ** 2).sum(axis=1).mean() == pytest.approx(1)
    assert (rows[:, 6:] ** 2).sum(axis=1).mean() == pytest.approx(1)
    assert rows_to_compare(placements, POSES, None, Named([0] * 50)).shape == (50, 6)


def harvested(small, *overrides):
    session = open_session(load_recipe("quickstart", [*small, *AFTER, *overrides]), None)
    harvest_phase(session, 1)
    return session, session.pool.placements


def test_the_farthest_are_as_many_and_wider_apart(small):
    session, first = harvested(small)
    _, farthest = harvested(small, "pool.choose=farthest", "pool.spare=4")
    assert len(first) == len(farthest) == 40
    family = session.players.materials.poses
    apart = [nearest(np.asarray(family.to_unit(one.pose))).mean() for one in (first, farthest)]
    assert apart[1] > 1.05 * apart[0]
    counts = np.bincount(farthest.label, minlength=10)
    assert counts.max() - counts.min() <= 1


def test_cells_keep_a_class_from_one_corner_of_the_poses(small):
    session, placements = harvested(small, "pool.cells=2", "pool.per_cycle=300")
    materials = session.players.materials
    cells = pose_cells(placements, materials.poses, 2, materials.foregrounds)
    pairs, counts = np.unique(np.stack([placements.label, cells]), axis=1, return_counts=True)
    assert counts.max() == 1  # 30 a class over 64 cells
    assert len(pairs.T) == len(placements)


def test_its_share_of_the_harvest_is_of_the_base(small):
    """A network that has learned nothing gives the middle of the ranges, give or take a fifth."""
    centred = ["synthesis.base=centre", "synthesis.noise_size=2", "pool.mix=[0.25, 0.75]", "pool.uneven=4"]
    session, placements = harvested(small, *centred)
    unit = np.asarray(session.players.materials.poses.to_unit(placements.pose))
    assert len(placements) == 40
    assert (np.abs(unit - 0.5).max(axis=1) > 0.25).sum() == 10


def test_a_killed_harvest_goes_on_to_the_same_pool(small, tmp_path):
    wide = ["pool.mix=[0.4, 0.6]", "pool.cells=2", "pool.choose=farthest", "synthesis.batch_size=16"]
    recipe = load_recipe("quickstart", [*small, *AFTER, *wide, "checkpoint.every_steps=1", "fine_tune.epochs=1"])
    whole = train(recipe, out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(recipe, out=tmp_path / "killed", observer=KillIn(1, "harvest", 3))
    again = train(recipe, out=tmp_path / "killed", resume=True)
    assert str(lasting(again)) == str(lasting(whole))
    pools = [open_session(recipe, tmp_path / name, resume=True).pool.placements for name in ("whole", "killed")]
    assert np.array_equal(pools[0].pose, pools[1].pose)
    assert torch.equal(*(torch.from_numpy(pool.foreground) for pool in pools))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["pool.mix=[0.3, 0.3]", "synthesis.harvest=after"],
            "pool: mix: expected two shares that sum to 1, got [0.3, 0.3]; for example [0.3, 0.7]",
        ),
        (
            ["pool.mix=[0.3, 0.7]", "synthesis.harvest=during"],
            "recipe: pool.mix: expected synthesis.harvest: after, got during; the batches of training hold no base draws",
        ),
        (
            ["pool.passes_per_wanted=2", "synthesis.harvest=during"],
            "recipe: pool.passes_per_wanted: expected synthesis.harvest: after, got during, "
            "which judges all batches of training",
        ),
        (
            ["pool.passes_per_wanted=2", "synthesis={kind: mined}", "alternation=batch"],
            "recipe: alternation: expected phase where pool.passes_per_wanted is set, got batch, "
            "which judges in every step",
        ),
    ],
)
def test_shares_and_bounds_that_cannot_be_are_refused(overrides, message):
    with pytest.raises(RecipeError) as error:
        load_recipe("quickstart", overrides)
    assert str(error.value) == message
