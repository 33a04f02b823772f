"""What holds of every arm's proposer: an image's placement is a function of its request alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from terse.draws import seeds_of
from terse.errors import RecipeError
from terse.placements import Role
from terse.requests import Limits
from terse.synthesis.context.config import ContextConfig
from terse.synthesis.cut_paste_learn.config import CutPasteLearnConfig
from terse.synthesis.learned.config import LearnedConfig
from terse.synthesis.materials import Materials
from terse.synthesis.proposer import propose
from terse.synthesis.random import MinedConfig, RandomConfig

FAST = {"crops": 300, "epochs": 1, "crop_px": 24, "candidates": 40}
LEARNED = {
    "network": "photographs", "backbone": "squeezenet1_1", "branch_channels": 4, "input_px": 128, "base": "random",
    "harvest": "after",
}  # fmt: skip
CONFIGS: dict[str, Any] = {
    "random": RandomConfig(),
    "mined": MinedConfig(),
    "cut_paste_learn": CutPasteLearnConfig(),
    "context": ContextConfig.model_validate(FAST),
    "learned": LearnedConfig.model_validate(LEARNED),
}
SEEDS = seeds_of(0, "test", count=12)


@pytest.fixture(scope="module", params=CONFIGS)
def proposer(request: pytest.FixtureRequest, shapes: Callable[..., Materials]) -> Any:
    classes = None if request.param == "context" else ("circle", "square")  # it learns all classes of its images
    return CONFIGS[request.param].build(shapes(classes=classes))


def test_a_placement_does_not_depend_on_the_batch(proposer: Any) -> None:
    requests = proposer.requests(SEEDS)
    whole = proposer.propose(requests)
    assert len(whole) == len(SEEDS)
    rows = np.array([7, 0, 11])
    few, expected = proposer.propose(requests.take(rows)), whole.take(rows)
    for name in ("background", "image_index", "foreground", "role", "blend", "seed", "size_px"):
        assert np.array_equal(getattr(few, name), getattr(expected, name)), name
    # A network rounds otherwise in batches of another size; all else is exact.
    assert few.pose == pytest.approx(expected.pose, abs=1e-3 if proposer.module is not None else 0)


def test_other_seeds_are_other_placements(proposer: Any) -> None:
    first, second = (propose(proposer, 10, seed, 1, "harvest", 0) for seed in (0, 1))
    assert np.isin(first.pose[:, 1], second.pose[:, 1]).mean() < 0.3  # `context` chooses among the same places
    assert len(np.unique(first.pose[first.image_index % 5 == 0], axis=0)) >= 2


def test_classes_and_canvases_are_those_that_are_asked_for(proposer: Any) -> None:
    size_px = np.tile([[200, 96]], (len(SEEDS), 1))
    labels = tuple((k % 2, 1) for k in range(len(SEEDS)))
    requests = replace(proposer.requests(SEEDS), size_px=size_px, labels=labels, distractors=((2,),) * len(SEEDS))
    placements = proposer.propose(requests)
    assert np.array_equal(placements.background, requests.background)
    assert np.array_equal(placements.size_px, size_px)
    of_bank = proposer.materials.foregrounds.labels[placements.foreground]
    objects = placements.role == Role.OBJECT
    for image, wanted in enumerate(labels):
        found = of_bank[objects & (placements.image_index == image)].tolist()
        assert len(found) >= 1
        assert all(label in wanted for label in found)
    assert set(of_bank[~objects].tolist()) <= {2}
    ranges = np.array(proposer.materials.poses.ranges)
    assert ((placements.pose >= ranges[:, 0] - 1e-5) & (placements.pose <= ranges[:, 1] + 1e-5)).all()


def test_limits_say_how_training_asks(shapes: Callable[..., Materials]) -> None:
    arm = RandomConfig().build(shapes(classes=("circle", "square")))
    assert arm.limits == Limits()
    arm.limits = Limits(objects=(1, 3), distractors=(0, 2), distractor_classes=("triangle",), blends=("alpha", "box"))
    requests = arm.requests(seeds_of(3, count=600))
    assert {len(labels) for labels in requests.labels} == {1, 2, 3}
    assert {len(labels) for labels in requests.distractors} == {0, 1, 2}
    counts = np.bincount([label for labels in requests.labels for label in labels])
    assert counts == pytest.approx([600, 600], abs=80)
    placements = arm.propose(requests)
    assert {*placements.blend} == {"alpha", "box"}
    on_top = [
        placements.role[placements.image_index == image][-1] for image in range(600) if requests.distractors[image]
    ]
    assert {*on_top} == {Role.OBJECT, Role.DISTRACTOR}  # distractors lie anywhere between the objects


def test_features_that_are_kept_change_no_pose(shapes: Callable[..., Materials]) -> None:
    learned = CONFIGS["learned"].build(shapes())
    requests = learned.requests(SEEDS)
    expected = learned.propose(requests).pose
    learned.keep_features()
    assert learned.propose(requests).pose == pytest.approx(expected, abs=1e-2)
    assert np.array_equal(learned.propose(requests).pose, learned.propose(requests).pose)


def test_foregrounds_of_no_class_of_the_task(shapes: Callable[..., Materials]) -> None:
    arm = RandomConfig().build(shapes(classes=("dog",)))
    with pytest.raises(
        RecipeError, match=r"foregrounds: expected some of the classes dog, got circle, square, triangle"
    ):
        arm.requests(SEEDS)
