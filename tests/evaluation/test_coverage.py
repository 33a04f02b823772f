"""Coverage of poses by cases worked out by hand; alarms at collapse and silence at random."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from terse.evaluation.coverage import collapse_alarms, coverage
from terse.placements import Placements, Role
from terse.poses import AffinePoses

DIGITS = AffinePoses((-20.0, 20.0), (-1.0, 1.0), (-0.2, 0.2), (0.8, 1.2))
PHOTOGRAPHS = AffinePoses((-90.0, 90.0), (-1.0, 1.0), (-0.2, 0.2), (0.1, 1.2), stretch=(0.8, 1.25), min_visible=0.3)


def placed(pose: np.ndarray, *, foregrounds: int = 1000) -> Placements:
    count = len(pose)
    rows = np.arange(count)
    return Placements.single(rows % 7, rows % foregrounds, pose.astype(np.float64))


def random_pose(count: int, family: AffinePoses = DIGITS, seed: int = 1) -> np.ndarray:
    return family.random(count, torch.Generator().manual_seed(seed)).double().numpy()


@pytest.mark.parametrize("family", [DIGITS, PHOTOGRAPHS])
def test_random_poses_cover_like_random_poses(family: AffinePoses) -> None:
    seen = coverage(placed(random_pose(2000, family)), family)
    assert (seen.images, seen.objects, seen.foregrounds, seen.backgrounds) == (2000, 2000, 1000, 7)
    assert seen.entropy == pytest.approx(1.0, abs=0.02)
    assert all(part.at_edge == pytest.approx(0.02, abs=0.02) for part in seen.poses.values())
    assert (seen.duplicates, seen.near_duplicates) == (0.0, 0.0)
    assert collapse_alarms(seen) == []


@pytest.mark.parametrize("std", [0.35, 0.1])
def test_normal_poses_cover_like_random_poses(std: float) -> None:
    family = AffinePoses((-20, 20), (-1, 1), (-0.2, 0.2), (0.8, 1.2), normal_std=std)
    seen = coverage(placed(random_pose(2000, family)), family)
    assert seen.entropy == pytest.approx(1.0, abs=0.03)
    assert collapse_alarms(seen) == []


def test_random_poses_are_those_of_each_objects_class() -> None:
    family = AffinePoses(
        (-20, 20), (-1, 1), (-0.2, 0.2), {"nut": (0.05, 0.1), "hammer": (0.8, 0.9)}, stretch=(0.9, 1.1)
    )
    labels = np.arange(2000) % 2
    pose = family.of_classes(random_pose(2000, family), labels, ("nut", "hammer"))
    seen = coverage(placed(pose), family, lambda number: ("nut", "hammer")[number % 2])
    assert seen.poses["scale"].entropy == pytest.approx(1.0, abs=0.02)
    assert seen.size is not None
    assert seen.size.entropy == pytest.approx(1.0, abs=0.02)
    assert collapse_alarms(seen) == []


def test_a_small_random_sample_is_not_taken_for_a_narrow_one() -> None:
    assert coverage(placed(random_pose(30)), DIGITS).entropy > 0.85


def test_histogram_by_hand() -> None:
    pose = np.zeros((4, 6))
    pose[:, 4:] = 1.0
    pose[:, 0] = [-20, -19.9, 0.1, 25]  # bins of 2 degrees; what lies outside is counted at the end
    part = coverage(placed(pose), DIGITS).poses["rotation_deg"]
    assert (part.low, part.high) == (-20.0, 20.0)
    assert part.counts == [2, *([0] * 8), 0, 1, *([0] * 8), 1]
    assert (part.mean, part.at_edge) == (pytest.approx(-3.7), 0.75)


def test_collapse_to_one_rotation_is_named() -> None:
    pose = random_pose(500)
    pose[:, 0] = 3.0
    seen = coverage(placed(pose), DIGITS)
    assert seen.poses["rotation_deg"].entropy == 0.0
    assert seen.entropy == 0.0
    assert collapse_alarms(seen) == [
        (
            "rotation_deg: the poses cover 0% of what random ones do (entropy); "
            "raise objective.diversity or set objective.coverage"
        )
    ]


def test_poses_pushed_to_the_ends_are_named() -> None:
    pose = random_pose(500)
    pose[:, 1] = np.where(pose[:, 1] < 0, -1.0, 1.0)
    assert collapse_alarms(coverage(placed(pose), DIGITS)) == [
        (
            "shift_x: 100% of the poses lie at an end of the range; "
            "widen the range or lower the synthesizer's learning rate"
        )
    ]


def test_the_ends_of_a_full_turn_are_one_pose() -> None:
    family = AffinePoses((-180.0, 180.0), (-1.0, 1.0), (-0.2, 0.2), (0.8, 1.2))
    pose = random_pose(400, family)
    pose[:, 0] = np.where(np.arange(400) % 2, 179.5, -179.5)
    part = coverage(placed(pose), family).poses["rotation_deg"]
    assert (part.at_edge, abs(part.mean)) == (0.0, pytest.approx(180))
    assert part.spread == pytest.approx(0.5)
    pose[:, 1:] = pose[0, 1:]
    pose[:, 0] = np.where(np.arange(400) % 2, 180.0, -180.0)
    assert coverage(placed(pose, foregrounds=1), family).near_duplicates == pytest.approx(399 / 400)


def test_duplicates() -> None:
    placements = placed(random_pose(100))
    twice = Placements.join([placements, placements])
    seen = coverage(twice, DIGITS)
    assert (seen.duplicates, seen.near_duplicates) == (0.5, 0.5)
    assert collapse_alarms(seen) == ["50% of the composites repeat an earlier one; add foregrounds or widen the poses"]
    elsewhere = replace(placements, background=placements.background + 1)
    moved = coverage(Placements.join([placements, elsewhere]), DIGITS)
    assert (moved.duplicates, moved.near_duplicates) == (0.0, 0.5)
    blended = replace(placements, blend=("box",) * 100)
    twofold = coverage(Placements.join([placements, blended]), DIGITS)
    assert (twofold.duplicates, twofold.near_duplicates) == (0.0, 0.0)


def test_only_labelled_objects_count() -> None:
    placements = placed(random_pose(50))
    role = np.where(np.arange(50) < 20, int(Role.OBJECT), int(Role.DISTRACTOR))
    seen = coverage(replace(placements, role=role), DIGITS)
    assert (seen.images, seen.objects) == (50, 20)
    assert sum(seen.poses["rotation_deg"].counts) == 20


def test_size_and_position() -> None:
    pose = np.zeros((2, 6))
    pose[:, 4:] = [[0.8, 0.8], [1.2, 1.2]]
    pose[:, 1:3] = [[-1.0, -1.0], [1.0, -1.0]]  # top left, top right
    seen = coverage(placed(pose), DIGITS)
    assert seen.size is not None
    assert (seen.size.low, seen.size.high) == (pytest.approx(0.8), pytest.approx(1.2))
    assert (seen.size.counts[0], seen.size.counts[-1]) == (1, 1)
    assert seen.position is not None
    assert (seen.position[0][0], seen.position[0][7], sum(map(sum, seen.position))) == (1, 1, 2)
    stretched = coverage(placed(random_pose(10, PHOTOGRAPHS)), PHOTOGRAPHS)
    assert stretched.size is not None
    assert (stretched.size.low, stretched.size.high) == (pytest.approx(0.1), pytest.approx(1.2))


def test_nothing_is_covered_by_nothing() -> None:
    seen = coverage(placed(np.zeros((0, 6))), DIGITS)
    assert (seen.images, seen.objects, seen.duplicates, seen.near_duplicates) == (0, 0, 0.0, 0.0)
    assert collapse_alarms(seen) == []


def test_json_is_plain() -> None:
    seen = coverage(placed(random_pose(40)), DIGITS).to_json()
    assert json.loads(json.dumps(seen)) == seen
    assert set(seen["poses"]) == {"rotation_deg", "shift_x", "shift_y", "shear", "scale_x", "scale_y"}
    assert sum(seen["poses"]["shear"]["counts"]) == 40


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_composites_changes_nothing(seed: int) -> None:
    placements = placed(random_pose(60, seed=seed), foregrounds=5)
    order = np.random.default_rng(seed).permutation(60)
    mixed, straight = coverage(placements.take(order), DIGITS), coverage(placements, DIGITS)
    assert mixed.position == straight.position
    assert mixed.near_duplicates == straight.near_duplicates
    assert mixed.poses.keys() == straight.poses.keys()
    assert [part.counts for part in mixed.poses.values()] == [part.counts for part in straight.poses.values()]
