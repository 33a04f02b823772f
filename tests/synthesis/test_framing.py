"""Boxes from poses against what the renderer draws, and poses from boxes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from terse.placements import Placements
from terse.poses import AffinePoses
from terse.synthesis.framing import Framing
from terse.synthesis.materials import Materials

DIGITS = AffinePoses((-20.0, 20.0), (-1.0, 1.0), (-0.2, 0.2), (0.8, 1.2))


def squares(count: int) -> np.ndarray:
    return np.full((count, 2), 96)


def test_boxes_hold_what_is_drawn(shapes: Callable[..., Materials]) -> None:
    context = shapes()
    framing = Framing(context.foregrounds, context.poses)
    pose = context.poses.random(40, torch.Generator().manual_seed(0)).double().numpy()
    foreground = np.arange(40)
    drawn = context.render(Placements.single(np.zeros(40, dtype=np.int64), foreground, pose))
    expected = framing.boxes_px(foreground, np.round(pose, 5), squares(40))
    found = drawn.truth.boxes_px.numpy()
    whole = ((expected >= 0) & (expected <= 96)).all(axis=1)
    assert whole.sum() > 5
    # The hull reaches one patch pixel beyond the ink, and edges are binarised inwards: drawn boxes are smaller.
    margin = (found - expected)[whole] * [1, 1, -1, -1]
    assert margin.min() > -0.6
    assert margin.max() < 5.0  # at the apex of a triangle
    assert margin.mean() < 2.5


def test_moved_to_puts_the_centre_there(shapes: Callable[..., Materials]) -> None:
    context = shapes()
    framing = Framing(context.foregrounds, context.poses)
    generator = np.random.default_rng(0)
    foreground, centres = np.arange(20), generator.uniform(30, 66, (20, 2))
    pose = framing.pose(20, {"rotation_deg": generator.uniform(-90, 90, 20), "scale": generator.uniform(0.15, 0.4, 20)})
    extents = framing.extents_px(foreground, pose, squares(20))
    boxes = framing.boxes_px(foreground, context.poses.moved_to(pose, extents, centres, squares(20)), squares(20))
    assert (boxes[:, :2] + boxes[:, 2:]) / 2 == pytest.approx(centres, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.floats(-200, 300), st.floats(-200, 300))
def test_moved_to_stays_inside_the_family(x: float, y: float) -> None:
    family = AffinePoses((-90.0, 90.0), (-1.0, 1.0), (-0.2, 0.2), (0.15, 0.6), stretch=(0.8, 1.25), min_visible=0.3)
    framing = Framing(_Squares(), family)
    pose = framing.pose(1, {"scale": np.array([0.5])})
    extents = framing.extents_px(np.array([0]), pose, squares(1))
    box = framing.boxes_px(np.array([0]), family.moved_to(pose, extents, np.array([[x, y]]), squares(1)), squares(1))[0]
    inside = np.clip(box, 0, 96)
    share = np.prod((inside[2:] - inside[:2]) / (box[2:] - box[:2]))
    assert share >= 0.3 - 1e-6
    if 0 <= x <= 96 and 30 <= y <= 66:  # a place that the family allows is reached
        assert (box[:2] + box[2:]) / 2 == pytest.approx([x, y], abs=1e-3)


def test_neutral_values_and_limits() -> None:
    framing = Framing(_Squares(), DIGITS)
    assert framing.pose(1, {"scale": np.array([0.9])}).tolist() == [[0.0, 0.0, 0.0, 0.0, 0.9, 0.9]]
    assert framing.limits("scale", None) == (0.8, 1.2)
    assert framing.limits("rotation_deg", (-30.0, 10.0)) == (-20.0, 10.0)
    assert framing.limits("scale", (0.1, 0.3)) == (0.8, 0.8)
    high = AffinePoses((10.0, 90.0), (-1.0, 1.0), (0.0, 0.0), (1.5, 2.0))
    assert Framing(_Squares(), high).pose(1, {}).tolist() == [[10.0, 0.0, 0.0, 0.0, 1.5, 1.5]]


class _Squares:
    """One filled square patch."""

    keys = ("square",)
    labels = np.zeros(1, dtype=np.int64)
    classes = ("square",)

    def __len__(self) -> int:
        return 1

    def fetch(self, indices: np.ndarray) -> object:
        from terse.compositing import support_points
        from terse.types import Foregrounds

        alpha = torch.ones(len(indices), 1, 16, 16)
        return Foregrounds(alpha.expand(-1, 3, -1, -1), alpha, torch.zeros(len(indices)).long(), support_points(alpha))
