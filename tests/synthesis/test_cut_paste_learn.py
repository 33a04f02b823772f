"""Cut, Paste and Learn: limits kept, every scene in all blends, distractors of other classes only."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from terse.errors import RecipeError
from terse.placements import Placements, Role
from terse.poses import AffinePoses
from terse.protocols import Proposer
from terse.synthesis.cut_paste_learn.config import CutPasteLearnConfig
from terse.synthesis.cut_paste_learn.proposer import CutPasteProposer
from terse.synthesis.framing import Framing
from terse.synthesis.materials import Materials
from terse.synthesis.proposer import propose


def drawn(context: Materials, count: int = 100, seed: int = 0, **settings: object) -> Placements:
    proposer: CutPasteProposer = CutPasteLearnConfig.model_validate(settings).build(context)
    return propose(proposer, count, seed)


def test_it_is_an_arm(shapes: Callable[..., Materials]) -> None:
    proposer = CutPasteLearnConfig().build(shapes())
    assert isinstance(proposer, Proposer)
    assert (proposer.keeps_hard, proposer.module) == (False, None)


@pytest.mark.parametrize(("name", "far"), [("rotation_deg", (120.0, 150.0)), ("scale", (7.0, 8.0))])
def test_a_range_that_the_poses_do_not_have_is_refused(
    shapes: Callable[..., Materials], name: str, far: tuple[float, float]
) -> None:
    context = shapes()
    low, high = Framing(context.foregrounds, context.poses).limits(name, None)
    with pytest.raises(RecipeError) as caught:
        drawn(context, **{name: far})
    assert str(caught.value) == (
        f"synthesis.{name}: expected a range that meets the poses' own, {low:g} to {high:g}, got {list(far)}; "
        "change one of them"
    )


@pytest.mark.parametrize("count", [0, 1, 5, 12, 100])
def test_so_many_composites_as_asked_for(shapes: Callable[..., Materials], count: int) -> None:
    placements = drawn(shapes(), count)
    assert (len(placements), len(placements.blend), len(placements.seed)) == (count, count, count)
    assert np.array_equal(np.unique(placements.image_index), np.arange(count))
    assert (np.diff(placements.image_index) >= 0).all()


def test_every_scene_is_drawn_in_all_five_blends(shapes: Callable[..., Materials]) -> None:
    placements = drawn(shapes(), 50)
    assert placements.blend == ("gaussian", "poisson", "none", "box", "motion") * 10
    first = placements.take(np.arange(0, 50, 5))
    for blend in range(1, 5):
        other = placements.take(np.arange(blend, 50, 5))
        assert np.array_equal(first.background, other.background)
        assert np.array_equal(first.foreground, other.foreground)
        assert np.array_equal(first.pose, other.pose)
        assert np.array_equal(first.seed, other.seed)
    assert len(np.unique(first.seed)) == 10


def test_limits_of_truncation_occlusion_rotation_and_number(shapes: Callable[..., Materials]) -> None:
    context = shapes()
    placements = drawn(context, 200, objects=(2, 4), blends=("alpha",), max_overlap=0.3)
    counts = np.bincount(placements.image_index)
    assert (counts.min(), counts.max()) >= (1, 3)
    assert counts.max() <= 4
    pose = placements.pose
    assert (np.abs(pose[:, 0]) <= 30).all()
    assert np.abs(pose[:, 0]).max() > 25
    assert (pose[:, context.poses.names.index("scale")] >= 0.15).all()
    assert np.array_equal(pose, np.round(pose, 5))
    boxes = Framing(context.foregrounds, context.poses).boxes_px(
        placements.foreground, pose, np.full((len(pose), 2), 96)
    )
    inside = np.clip(boxes, 0, 96)
    visible = (inside[:, 2:] - inside[:, :2]) / (boxes[:, 2:] - boxes[:, :2])
    assert visible.min() >= 0.75 - 1e-3
    assert visible.min() < 0.8  # truncated objects do occur
    for image in range(200):
        mine = boxes[placements.image_index == image]
        for later in range(1, len(mine)):
            for earlier in range(later):
                overlap = np.minimum(mine[later, 2:], mine[earlier, 2:]) - np.maximum(
                    mine[later, :2], mine[earlier, :2]
                )
                area = np.prod(mine[earlier, 2:] - mine[earlier, :2])
                assert np.prod(np.clip(overlap, 0, None)) / area <= 0.3 + 1e-3


def test_an_object_without_a_place_is_left_out(shapes: Callable[..., Materials]) -> None:
    large = AffinePoses((-10.0, 10.0), (-1.0, 1.0), (0.0, 0.0), (0.9, 1.0), stretch=(1.0, 1.0), min_visible=1.0)
    placements = drawn(shapes(poses=large), 20, objects=(3, 3), max_overlap=0.0, blends=("alpha",))
    assert np.bincount(placements.image_index).max() < 3
    assert np.bincount(placements.image_index).min() >= 1


def test_distractors_are_of_no_class_of_the_task(shapes: Callable[..., Materials]) -> None:
    context = shapes(classes=("circle", "square"))
    placements = drawn(context, 50, blends=("alpha",))
    labels = context.foregrounds.labels[placements.foreground]
    assert set(labels[placements.role == Role.DISTRACTOR].tolist()) == {2}
    assert set(labels[placements.role == Role.OBJECT].tolist()) == {0, 1}
    counts = np.bincount(placements.image_index[placements.role == Role.DISTRACTOR])
    assert counts.max() <= 4
    none = drawn(shapes(), 50)
    assert (none.role == Role.OBJECT).all()


def test_distractors_that_cannot_be_had(shapes: Callable[..., Materials]) -> None:
    with pytest.raises(RecipeError) as caught:
        drawn(shapes(), distractors=(1, 2))
    assert str(caught.value) == (
        "synthesis.distractors: expected foregrounds of classes that are not the task's, got none among "
        "circle, square, triangle; set it to null, or give `classes` fewer than the foregrounds have"
    )


def test_a_range_the_wrong_way_round() -> None:
    with pytest.raises(
        ValidationError, match=r"objects\n.* expected the smaller number first, got \[3, 1\]; swap them"
    ):
        CutPasteLearnConfig(objects=(3, 1))


def test_the_seed_alone_decides(shapes: Callable[..., Materials]) -> None:
    context = shapes()
    first, again, other = drawn(context, 30, seed=4), drawn(context, 30, seed=4), drawn(context, 30, seed=5)
    assert np.array_equal(first.pose, again.pose)
    assert np.array_equal(first.background, again.background)
    assert not np.array_equal(first.foreground[:10], other.foreground[:10])


def test_the_scenes_can_be_drawn_and_have_one_truth_in_all_blends(shapes: Callable[..., Materials]) -> None:
    context = shapes(classes=("circle", "square"))
    placements = drawn(context, 10)
    pictured = context.render(placements)
    assert pictured.images.shape == (10, 3, 96, 96)
    assert torch.isfinite(pictured.images).all()
    for scene in range(2):
        rows = [pictured.truth.boxes_px[pictured.truth.image_index == i] for i in range(5 * scene, 5 * scene + 5)]
        assert len(rows[0]) >= 1
        assert all(torch.equal(rows[0], other) for other in rows[1:])
        pictures = pictured.images[5 * scene : 5 * scene + 5]
        differences = (pictures[:1] - pictures[1:]).abs().amax(dim=(1, 2, 3))
        assert (differences > 0.02).all()  # and five different pictures
