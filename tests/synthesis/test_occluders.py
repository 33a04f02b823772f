"""Occluders: in front of the backgrounds' own objects, whose boxes and masks are of what is left."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from terse.draws import seeds_of
from terse.evaluation.hardness import Probability
from terse.placements import Placements, Role
from terse.requests import Limits
from terse.synthesis.cut_paste_learn.config import CutPasteLearnConfig
from terse.synthesis.learned.config import LearnedConfig
from terse.synthesis.materials import Materials
from terse.synthesis.random import MinedConfig, RandomConfig
from terse.types import Backgrounds, Truth

LEARNED = {
    "network": "photographs", "backbone": "squeezenet1_1", "branch_channels": 4, "input_px": 128, "base": "random",
    "statistics_pairs": 8,
}  # fmt: skip
BOX = (24.0, 24.0, 72.0, 72.0)


class Annotated:
    """Backgrounds that hold one square of class 1, the even ones only."""

    def __init__(self, bank):
        self.bank, self.keys = bank, bank.keys

    def __len__(self):
        return len(self.bank)

    def fetch(self, indices):
        images = self.bank.fetch(indices).images
        held = torch.from_numpy(np.flatnonzero(np.asarray(indices) % 2 == 0))
        masks = torch.zeros(len(held), 96, 96, dtype=torch.bool)
        masks[:, 24:72, 24:72] = True
        no = torch.zeros(len(held), dtype=torch.bool)
        labels = torch.ones(len(held), dtype=torch.int64)
        truth = Truth(labels, torch.tensor([BOX]).expand(len(held), 4), held, no, no, len(indices), masks=masks)
        return Backgrounds(images, truth)


@pytest.fixture
def annotated(shapes: Callable[..., Materials]) -> Callable[..., Materials]:
    def build(**settings):
        materials = shapes(**settings)
        return replace(materials, backgrounds=Annotated(materials.backgrounds))

    return build


def drawn(arm, count=40):
    requests = arm.requests(seeds_of(5, count=count))
    return requests, arm.propose(requests)


@pytest.mark.parametrize("config", [RandomConfig, MinedConfig, CutPasteLearnConfig])
def test_they_stand_in_front_of_own_objects_alone(annotated, config):
    arm = config(occluders=(1, 2)).build(annotated(classes=("circle", "square")))
    _, placements = drawn(arm)
    occluders = placements.role == Role.OCCLUDER
    index = placements.image_index[occluders]
    assert set(index.tolist()) == set(np.flatnonzero(placements.background % 2 == 0).tolist())
    assert set(np.bincount(index)[np.unique(index)].tolist()) == {1, 2}
    assert set(arm.materials.foregrounds.labels[placements.foreground[occluders]].tolist()) == {
        2
    }  # no class of the task
    assert (placements.texture[occluders] == -1).all()
    boxes = arm.materials.framing.boxes_px(
        placements.foreground[occluders], placements.pose[occluders], placements.size_px[index]
    )
    meets = (boxes[:, :2] < 72).all(axis=1) & (boxes[:, 2:] > 24).all(axis=1)
    assert meets.mean() > 0.95
    last = placements.offsets[index + 1] - 1
    assert (placements.role[last] == Role.OCCLUDER).all()


def test_where_all_classes_are_the_tasks_they_have_the_pixels_of_another_background(annotated):
    materials = annotated()
    arm = RandomConfig(occluders=(1, 1)).build(materials)
    _, placements = drawn(arm)
    occluders = placements.role == Role.OCCLUDER
    texture, own = placements.texture[occluders], placements.background[placements.image_index[occluders]]
    assert ((texture >= 0) & (texture < len(materials.backgrounds)) & (texture != own)).all()
    plain = placements.keep(np.flatnonzero(~occluders))
    assert not torch.equal(materials.render(placements).images, materials.render(plain).images)


def test_boxes_and_masks_are_of_what_is_left_and_the_object_is_asked_about(annotated):
    materials = annotated(classes=("circle", "square"))
    pose = materials.poses.pose_of(1, {"scale": np.array([0.4]), "shift_x": np.array([-1.0])})
    extents = materials.framing.extents_px(np.array([0]), pose, np.array([[96, 96]]))
    pose = materials.poses.moved_to(pose, extents, np.array([[72.0, 48.0]]), np.array([[96, 96]]))
    one = Placements.single(np.array([0]), np.array([0]), pose)
    seen = {}
    for role in (Role.OCCLUDER, Role.DISTRACTOR):
        placements = replace(one, role=np.array([int(role)]))
        found = materials.render(placements, masks=True)
        assert found.truth.labels.tolist() == [1]
        hidden = found.amodal[0] & ~found.modal[0]
        assert 0.1 < hidden.sum() / 48**2 < 0.6
        ys, xs = torch.nonzero(found.modal[0]).T
        assert found.truth.boxes_px[0].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        seen[role] = found.truth.pasted.tolist()
    assert seen == {Role.OCCLUDER: [True], Role.DISTRACTOR: [False]}


def test_what_an_occluder_hides_is_judged_and_what_it_hides_wholly_is_not():
    class Sure:
        def confidence(self, images, truth):
            return truth.boxes_px[truth.pasted][:, 2] / 100

    truth = Truth(
        labels=torch.tensor([0, 1, 1]), boxes_px=torch.tensor([[0, 0, 90, 9], [0, 0, 20, 9], [0, 0, 0, 0.0]]),
        image_index=torch.tensor([0, 0, 1]), pasted=torch.tensor([True, True, True]),
        ignore=torch.tensor([False, False, True]), batch_size=2,
    )  # fmt: skip
    verdict = Probability(0.5).judge(Sure(), torch.zeros(2, 3, 9, 9), truth)
    assert verdict.hard.tolist() == [True, False]
    assert verdict.hardness.tolist() == pytest.approx([0.8, 0.0])


def test_the_learned_arm_begins_in_front_of_objects_and_moves_from_there(annotated):
    materials = annotated(classes=("circle", "square"))
    torch.manual_seed(0)
    learned = LearnedConfig(**LEARNED, occluders=(1, 1)).build(materials)
    blind = RandomConfig(occluders=(1, 1)).build(materials)
    _, ours = drawn(learned, 16)
    _, theirs = drawn(blind, 16)
    rows = ours.role == Role.OCCLUDER
    assert np.array_equal(rows, theirs.role == Role.OCCLUDER)
    ranges = np.array(materials.poses.ranges)
    apart = np.abs(ours.pose - theirs.pose)[rows] / (ranges[:, 1] - ranges[:, 0])
    assert 0 < apart.max() < 0.25
    torch.nn.init.zeros_(learned.module.regressor[-1].weight)
    torch.nn.init.zeros_(learned.module.regressor[-1].bias)
    _, same = drawn(learned, 16)
    assert same.pose[rows] == pytest.approx(theirs.pose[rows], abs=1e-2)


def test_limits_ask_for_them(annotated):
    arm = RandomConfig().build(annotated())
    assert arm.requests(seeds_of(1, count=8)).occluders == ()
    arm.limits = Limits(occluders=(0, 2))
    assert set(arm.requests(seeds_of(1, count=60)).occluders) == {0, 1, 2}
