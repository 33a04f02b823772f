import math

import numpy as np
import pytest
import torch

from terse.pose_entropy import PoseEntropy, free_unit_poses, nearest_neighbour_entropy
from terse.poses import AffinePoses, build_poses
from terse.poses.affine import AffineConfig
from terse.poses.photometric import PhotometricConfig
from terse.recipe_parts import ObjectiveConfig
from terse.sources.digits.banks import AFFNIST_RANGES


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("width", [1.0, 0.5, 0.1])
def test_entropy_of_a_uniform_law_is_the_logarithm_of_its_width(width):
    poses = drawn(5_000, 1)
    assert float(nearest_neighbour_entropy(width * poses, floor=1e-9)) == pytest.approx(math.log(width), abs=0.06)


def test_neighbours_outside_the_batch_count():
    batch, others = drawn(4000, 2), drawn(10_000, 2, seed=1)
    assert float(nearest_neighbour_entropy(batch, others, floor=1e-6)) == pytest.approx(0, abs=0.06)
    near = batch + 1e-4
    assert float(nearest_neighbour_entropy(batch, near)) < -2


def test_the_ends_of_a_full_turn_are_neighbours():
    poses = torch.tensor([[0.001, 0.2], [0.999, 0.2], [0.3, 0.9], [0.3, 0.5]])
    moved = (poses + torch.tensor([0.5, 0.0])) % 1
    here, there = (float(nearest_neighbour_entropy(at, wraps=[0])) for at in (poses, moved))
    assert here == pytest.approx(there, abs=1e-4)
    assert float(nearest_neighbour_entropy(poses)) > here + 1


def test_a_chain_and_a_synthesizer_go_round_where_a_member_does():
    turned = AffinePoses((-180, 180), (-1, 1), (-0.2, 0.2), (0.8, 1.2))
    chain = build_poses([PhotometricConfig(), AffineConfig(rotation_deg=(-180, 180))])
    assert turned.wraps == (0,)
    assert [chain.names[place] for place in chain.wraps] == ["1.affine.rotation_deg"]
    held = entropy(turned)
    for step in range(4):
        poses = drawn(256, 6, seed=step)
        poses[:, 0] = (0.4 * poses[:, 0] - 0.2) % 1  # two fifths of the turn, about its ends
        held.loss(poses)
    assert held.coverage == pytest.approx(0.4 ** (1 / 6), rel=0.1)


def test_a_pose_that_repeats_is_a_floor_and_no_infinity():
    poses = torch.full((8, 3), 0.4, requires_grad=True)
    entropy = nearest_neighbour_entropy(poses)
    entropy.backward()
    assert torch.isfinite(entropy)
    assert torch.isfinite(poses.grad).all()


def test_gradients_in_float64():
    poses = drawn(12, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda at: nearest_neighbour_entropy(at, drawn(20, 3, seed=2).double()), poses)


def entropy(family=AFFNIST_RANGES, **settings):
    return PoseEntropy(ObjectiveConfig(coverage=0.5, **settings), family)


@pytest.mark.parametrize("width", [1.0, 0.7, 0.4])
def test_coverage_is_the_share_of_each_range_that_poses_fill(width):
    held = entropy()
    for step in range(10):
        held.loss(width * drawn(256, 6, seed=step))
    assert held.coverage == pytest.approx(width, rel=0.1)


def test_normal_poses_are_as_wide_as_random_ones():
    family = AffinePoses((-20, 20), (-1, 1), (-0.2, 0.2), (0.8, 1.2), normal_std=0.2)
    held = entropy(family)
    for step in range(10):
        held.loss(family.random_unit(drawn(256, 6, seed=step)))
    assert held.coverage == pytest.approx(1.0, rel=0.1)


def test_the_weight_grows_while_coverage_is_below_its_target_and_shrinks_above():
    narrow, wide = entropy(), entropy()
    first = narrow.weight
    for step in range(5):
        poses = drawn(64, 6, seed=step)
        narrow.loss(0.1 * poses)
        wide.loss(poses)
    assert wide.weight < first < narrow.weight


def test_the_loss_pushes_poses_apart():
    poses = (0.1 * drawn(64, 6)).requires_grad_()
    entropy().loss(poses).backward()
    moved = (poses - poses.grad).detach()
    assert nearest_neighbour_entropy(moved) > nearest_neighbour_entropy(poses.detach())


def test_a_number_without_a_range_cannot_spread():
    family = AffinePoses((-20.0, 20.0), (-1.0, 1.0), (0.1, 0.1), (0.8, 1.2))
    pose = family.from_unit(drawn(5, 6))
    nobody = np.zeros(5, dtype=np.int64)
    assert torch.allclose(free_unit_poses(family, pose, nobody, ("a",)), drawn(5, 6)[:, [0, 1, 2, 4, 5]], atol=1e-5)


def test_random_poses_are_wide_where_classes_have_ranges_of_their_own():
    family = AffinePoses(
        (-20, 20), (-1, 1), (-0.2, 0.2), {"nut": (0.05, 0.1), "hammer": (0.5, 0.9)}, stretch=(0.9, 1.1)
    )
    held, classes = entropy(), ("nut", "hammer")
    labels = np.arange(256) % 2
    for step in range(4):
        pose = family.of_classes(family.from_unit(drawn(256, 6, seed=step)), labels, classes)
        unit = free_unit_poses(family, pose, labels, classes)
        assert torch.allclose(unit, drawn(256, 6, seed=step), atol=1e-4)
        held.loss(unit)
    assert held.coverage == pytest.approx(1, rel=0.1)


def test_it_goes_on_where_it_was_kept():
    held = entropy(coverage_store=100)
    for step in range(3):
        held.loss(drawn(64, 6, seed=step))
    again = entropy(coverage_store=100)
    again.restore(held.state())
    after = drawn(64, 6, seed=9)
    assert torch.equal(held.loss(after), again.loss(after))
    assert (held.weight, held.coverage) == (again.weight, again.coverage)
