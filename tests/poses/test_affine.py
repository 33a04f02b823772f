"""Poses: ranges, directions, how much stays visible, and the matrix's gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, truncnorm

from drawn import PHOTO_POSES, ellipse, noise
from terse.compositing import compose, support_points, warp
from terse.draws import seeds_of, uniform
from terse.errors import RecipeError, ShapeError
from terse.poses import AffinePoses, Chain
from terse.poses.photometric import PhotometricConfig
from terse.recipe import load_recipe
from terse.synthesis.proposer import random_poses

_DIGITS = AffinePoses((-20.0, 20.0), (-1.0, 1.0), (-0.2, 0.2), (0.8, 1.2))


def _pose(**values: float) -> torch.Tensor:
    still = {"rotation_deg": 0.0, "shift_x": 0.0, "shift_y": 0.0, "shear": 0.0, "scale": 1.0, "stretch": 1.0}
    return torch.tensor([list({**still, **values}.values())])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_outputs_of_any_size_stay_in_the_ranges(seed: int) -> None:
    raw = (noise(seed, 7, 6) - 0.5) * 10 ** (seed % 6)
    low, high = torch.tensor(PHOTO_POSES.ranges).T
    pose = PHOTO_POSES.from_raw(raw)
    assert (pose >= low).all()
    assert (pose <= high).all()
    random = PHOTO_POSES.random(50, torch.Generator().manual_seed(seed))
    assert (random >= low).all()
    assert (random <= high).all()


def test_zero_is_the_middle_and_more_is_more() -> None:
    low, high = torch.tensor(PHOTO_POSES.ranges).T
    torch.testing.assert_close(PHOTO_POSES.from_raw(torch.zeros(1, 6))[0], (low + high) / 2)
    steps = PHOTO_POSES.from_raw(torch.linspace(-4, 4, 9)[:, None].expand(-1, 6))
    assert (steps.diff(dim=0) > 0).all()


def test_normal_poses_stand_about_the_middle_inside_the_ranges() -> None:
    ranges = {"rotation_deg": (-180.0, 180.0), "shift": (-1.0, 0.5), "shear": (-0.2, 0.2), "scale": (0.8, 1.2)}
    for std in (0.1, 0.35, 0.8):
        poses = AffinePoses(**ranges, normal_std=std)
        expected = truncnorm(-1 / std, 1 / std, 0, std)
        torch_poses = poses.random(20_000, torch.Generator().manual_seed(0))
        for found in (
            poses.to_unit(torch_poses).numpy(),
            poses.random_unit(uniform(seeds_of(0, count=20_000), "pose", 6)),
        ):
            half = found * 2 - 1
            assert np.abs(half).max() <= 1
            assert half.mean(axis=0) == pytest.approx(0, abs=0.02)
            assert half.std(axis=0) == pytest.approx(expected.std(), abs=0.02)
            assert kstest(half[:, 0], expected.cdf).pvalue > 0.001
    wide = AffinePoses(**ranges, normal_std=100.0)
    unit = np.linspace(0, 1, 12).reshape(2, 6)
    assert wide.random_unit(unit) == pytest.approx(unit, abs=1e-4)
    assert AffinePoses(**ranges).random_unit(unit) is unit


def test_every_arm_draws_from_the_normal_poses_of_the_recipe() -> None:
    poses = AffinePoses((-180.0, 180.0), (-1.0, 1.0), (-0.2, 0.2), {"a": (0.1, 0.2), "b": (0.4, 0.8)}, normal_std=0.2)
    labels = np.arange(2000) % 2
    chain = Chain([poses, PhotometricConfig().build()])
    for family in (poses, chain):
        pose = random_poses(family, seeds_of(0, count=2000), labels, ["a", "b"])
        scale = pose[:, family.names.index(next(name for name in family.names if name.endswith("scale_x")))]
        assert scale[labels == 0].mean() == pytest.approx(0.15, abs=0.003)
        assert scale[labels == 0].std() == pytest.approx(0.01, abs=0.002)
        assert scale[labels == 1].mean() == pytest.approx(0.6, abs=0.01)
        assert np.abs(pose[:, 1]).std() < 0.2


def test_names_tell_the_two_forms_apart() -> None:
    assert PHOTO_POSES.names == ("rotation_deg", "shift_x", "shift_y", "shear", "scale", "stretch")
    assert _DIGITS.names == ("rotation_deg", "shift_x", "shift_y", "shear", "scale_x", "scale_y")
    assert (PHOTO_POSES.size, _DIGITS.size) == (6, 6)


@settings(max_examples=25, deadline=None)
@given(st.integers(10, 60), st.integers(10, 60), st.integers(0, 99))
def test_the_identity_pose_changes_nothing(height: int, width: int, seed: int) -> None:
    side = min(height, width)
    hull = torch.zeros(1, 32, 2)
    matrix = PHOTO_POSES.matrix(_pose(), hull, (height, width))
    image = noise(seed, 1, 2, side, side)
    drawn = warp(image, matrix, (height, width))
    if (height - side) % 2 == 0 and (width - side) % 2 == 0:
        top, left = (height - side) // 2, (width - side) // 2
        torch.testing.assert_close(drawn[:, :, top : top + side, left : left + side], image, rtol=0, atol=1e-4)
    else:
        assert drawn.sum().item() == pytest.approx(image.sum().item(), rel=1e-3)


def test_a_quarter_turn_is_anticlockwise() -> None:
    image = noise(0, 1, 1, 16, 16)
    matrix = PHOTO_POSES.matrix(_pose(rotation_deg=90.0), torch.zeros(1, 32, 2), (16, 16))
    torch.testing.assert_close(warp(image, matrix, (16, 16)), image.rot90(1, dims=(2, 3)), rtol=0, atol=1e-5)


def test_shift_moves_right_and_down_and_scale_and_stretch_are_sides() -> None:
    mask = torch.ones(1, 1, 50, 50)
    hull = support_points(mask)
    for values, box in (
        ({"scale": 0.5}, (25, 25, 75, 75)),
        ({"scale": 0.5, "stretch": 4.0}, (0, 37, 100, 62)),
        ({"scale": 0.5, "shear": 0.2}, (20, 25, 80, 75)),
    ):
        drawn = warp(mask, PHOTO_POSES.matrix(_pose(**values), hull, (100, 100)), (100, 100))[0, 0] > 0.5
        rows, columns = drawn.any(dim=1).nonzero(), drawn.any(dim=0).nonzero()
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert [int(v) for v in found] == pytest.approx(box, abs=1)
    right = warp(mask, PHOTO_POSES.matrix(_pose(scale=0.5, shift_x=0.5), hull, (100, 100)), (100, 100))
    down = warp(mask, PHOTO_POSES.matrix(_pose(scale=0.5, shift_y=0.5), hull, (100, 100)), (100, 100))
    still = warp(mask, PHOTO_POSES.matrix(_pose(scale=0.5), hull, (100, 100)), (100, 100))
    across, along = torch.arange(100.0), torch.arange(100.0)[:, None]
    assert (right * across).sum() > (still * across).sum() + 1000
    assert (down * along).sum() > (still * along).sum() + 1000


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.6, 1.0]), st.sampled_from([(60, 60), (60, 90), (80, 50)]))
def test_as_much_as_asked_stays_visible(seed: int, share: float, size_px: tuple[int, int]) -> None:
    """Of the object's extent on the axis it leaves by; with 1, nothing is cut at all."""
    poses = AffinePoses((-90.0, 90.0), (-1.0, 1.0), (-0.2, 0.2), (0.2, 0.6), stretch=(0.8, 1.25), min_visible=share)
    mask = ellipse(40, 0.5, 0.8).repeat(4, 1, 1, 1)
    hull = support_points(mask)
    drawn_pose = poses.random(4, torch.Generator().manual_seed(seed))
    still = drawn_pose.clone()
    still[:, 1:3] = 0
    whole = warp(mask, poses.matrix(still, hull, size_px), size_px)[:, 0] > 0.5
    for shift in (1, 2):
        pose = still.clone()
        pose[:, shift] = drawn_pose[:, shift].sign()  # as far out as the range goes
        drawn = warp(mask, poses.matrix(pose, hull, size_px), size_px)[:, 0] > 0.5
        seen, extent = drawn.any(dim=shift).sum(dim=1), whole.any(dim=shift).sum(dim=1)
        assert (seen >= share * extent - 2).all()  # the hull reaches further than the mask, and pixels are whole


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.3, 0.6]), st.sampled_from([(90, 90), (90, 130), (120, 70)]))
def test_a_box_in_a_corner_keeps_that_share_of_its_area(seed: int, share: float, size_px: tuple[int, int]) -> None:
    poses = AffinePoses((0.0, 0.0), (-1.0, 1.0), (0.0, 0.0), (0.3, 0.8), stretch=(0.5, 2.0), min_visible=share)
    box = torch.ones(4, 1, 40, 40)
    hull = support_points(box)
    pose = poses.random(4, torch.Generator().manual_seed(seed))
    pose[:, 1:3] = torch.where(noise(seed, 4, 2) < 0.5, pose[:, 1:3].sign(), pose[:, 1:3])
    seen = warp(box, poses.matrix(pose, hull, size_px), size_px).sum(dim=(1, 2, 3))
    side = pose[:, 4] * min(size_px)
    # The hull reaches a pixel of the patch further than the box, a fortieth of its side.
    assert (seen >= share * side**2 - 4 * side * side / 40 - 4).all()


def test_an_object_placed_by_its_hull_touches_no_pixel_outside_it() -> None:
    mask = torch.zeros(6, 1, 30, 30)
    mask[:, :, 8:22, 8:22] = noise(5, 6, 1, 14, 14) > 0.9
    hull = support_points(mask)
    pose = _DIGITS.random(6, torch.Generator().manual_seed(0))
    pose[:, 1:3] = pose[:, 1:3].sign()  # as far out as the ranges go
    matrix = _DIGITS.matrix(pose, hull, (40, 40))
    ink = compose(torch.zeros(6, 1, 40, 40), torch.ones(6, 1, 1, 1), mask, matrix).alpha.sum(dim=(1, 2, 3))
    wide = matrix.clone()  # the same picture with 20 px around it: nothing was cut
    wide[:, :, :2] *= 2
    around = compose(torch.zeros(6, 1, 80, 80), torch.ones(6, 1, 1, 1), mask, wide).alpha.sum(dim=(1, 2, 3))
    torch.testing.assert_close(ink, around, rtol=1e-4, atol=1e-3)


def test_an_empty_mask_has_its_hull_in_the_middle() -> None:
    assert not support_points(torch.zeros(2, 1, 9, 9)).any()


def test_gradcheck_of_the_matrix() -> None:
    hull = support_points(ellipse(20).repeat(3, 1, 1, 1)).double()
    for poses, size_px in ((PHOTO_POSES, (60, 90)), (_DIGITS, (40, 40))):
        raw = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        assert torch.autograd.gradcheck(lambda r, p=poses, s=size_px: p.matrix(p.from_raw(r), hull, s), (raw,))


def test_misuse_is_told_in_one_sentence(unchecked: None) -> None:
    with pytest.raises(ShapeError) as caught:
        PHOTO_POSES.matrix(torch.zeros(2, 6), torch.zeros(3, 32, 2), (9, 9))
    assert str(caught.value) == "pose: expected the shape (3, 6), got (2, 6)"


def test_a_rotation_of_a_full_turn_wraps() -> None:
    """Past the end a synthesizer's output goes on from the other one, and the pictures there are the same."""
    wide = AffinePoses((-400.0, 400.0), (-1.0, 1.0), (-0.2, 0.2), (0.3, 0.6), stretch=(0.8, 1.25))
    arc = AffinePoses((-170.0, 170.0), (-1.0, 1.0), (-0.2, 0.2), (0.3, 0.6), stretch=(0.8, 1.25))
    assert (wide.ranges[0], wide.wraps, arc.wraps) == ((-180.0, 180.0), (0,), ())
    raw = torch.zeros(3, 6)
    raw[:, 0] = torch.tensor([1.999, 2.001, 6.001])
    pose = wide.from_raw(raw)
    assert pose[0, 0] > 179.5
    assert pose[1, 0] < -179.5
    assert pose[2, 0] == pytest.approx(pose[1, 0].item(), abs=0.01)
    hull = support_points(ellipse(20)).expand(2, -1, -1)
    first, second = wide.matrix(pose[:2], hull, (60, 90))
    torch.testing.assert_close(first, second, atol=0.02, rtol=0)
    turning = raw[:1].clone().requires_grad_()
    (slope,) = torch.autograd.grad(wide.from_raw(turning)[0, 0], turning)
    assert slope[0, 0] == pytest.approx(90.0)  # no end stops it
    unit = noise(1, 5, 6)
    torch.testing.assert_close(wide.from_raw(wide.to_raw(unit)), wide.from_unit(unit), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("setting", "field", "got"),
    [
        ("poses.rotation_deg=[20, -20]", "poses.rotation_deg", "[20.0, -20.0]"),
        ("poses.shear=[0.2, -0.2]", "poses.shear", "[0.2, -0.2]"),
        ("poses.scale=[1, 0.5]", "poses.scale", "[1.0, 0.5]"),
        ("poses.scale={circle: [1, 0.5]}", "poses.scale.circle", "[1.0, 0.5]"),
        ("poses.stretch=[2, 1]", "poses.stretch", "[2.0, 1.0]"),
    ],
)
def test_a_range_the_wrong_way_round_is_refused(setting: str, field: str, got: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("shapes", [setting])
    assert str(caught.value) == f"{field}: expected the smaller number first, got {got}; swap them"
