"""Mask AP of models whose every mask is written down."""

from dataclasses import replace

import pytest
import torch

from scripted_models import Images, Says, truth
from terse.evaluation.matching import mask_overlaps
from terse.tasks.task import known_metrics, task

INSTANCES = task("instances")


def mask_of(x0: int, y0: int, x1: int, y1: int) -> torch.Tensor:
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[0, y0:y1, x0:x1] = True
    return mask


def says(box: tuple[int, int, int, int], score: float = 0.9) -> dict[str, torch.Tensor]:
    """One detection of class 0 whose box is the whole object's and whose mask fills this box."""
    return {
        "boxes": torch.tensor([[4.0, 4, 12, 12]]),
        "labels": torch.tensor([0]),
        "scores": torch.tensor([score]),
        "masks": mask_of(*box),
    }


def scenes(count: int) -> Images:
    return Images([replace(truth(0, [4, 4, 12, 12]), masks=mask_of(4, 4, 12, 12)) for _ in range(count)])


def test_a_right_box_with_a_wrong_mask_counts_for_boxes_alone() -> None:
    model = Says([says((4, 4, 12, 12)), says((4, 4, 6, 12), 0.8)])
    model.classes = ("cup",)
    found = INSTANCES.measure(model, scenes(2), "cpu")
    assert found["ap50"] == pytest.approx(1)
    assert found["mask_ap50"] == pytest.approx(0.5, abs=0.01)  # one of two, at full precision
    assert found["by_class"]["cup"]["mask_ap50"] == found["mask_ap50"]
    assert found["objects"] == 2


def test_mask_ap_falls_where_masks_fit_less_well() -> None:
    model = Says([says((4, 4, 12, 10))])  # IoU 0.75
    model.classes = ("cup",)
    found = INSTANCES.measure(model, scenes(1), "cpu")
    assert (found["mask_ap50"], found["ap"]) == (1, 1)
    assert found["mask_ap"] == pytest.approx(0.6)  # 0.5 to 0.75 of ten steps
    assert INSTANCES.units(model, scenes(1), "cpu") == [1.0]
    for name in ("mask_ap", "ap"):  # where a recipe says that another one is primary
        by_another = task("instances")
        by_another.primary = known_metrics()[name]
        assert by_another.units(model, scenes(1), "cpu") == pytest.approx([found[name]])


def test_overlaps_of_masks() -> None:
    one = replace(truth(0, [4, 4, 12, 12]), masks=mask_of(4, 4, 12, 12))
    assert mask_overlaps(mask_of(4, 4, 12, 8), one).tolist() == [[0.5]]
    crowd = replace(one, ignore=torch.tensor([True]))
    assert mask_overlaps(mask_of(4, 4, 12, 8), crowd).tolist() == [[1.0]]


def test_the_answers_outline_masks_and_match_by_them() -> None:
    answers = INSTANCES.answers(Says([says((4, 4, 6, 12))]), Says([says((4, 4, 12, 12))]), scenes(1), ("cup",))
    (change,) = answers.changes
    assert [box.state for box in change.before.boxes] == ["missed", "false"]  # the box is right, the mask is not
    (found,) = change.after.boxes
    assert found.state == "correct"
    assert found.outline is not None
    assert found.outline == change.before.boxes[0].outline


def test_a_model_that_never_fires_finds_nothing() -> None:
    nothing = {name: part[:0] for name, part in says((4, 4, 12, 12)).items()}
    model = Says([nothing])
    model.classes = ("cup",)
    found = INSTANCES.measure(model, scenes(1), "cpu")
    assert (found["mask_ap50"], found["ap50"]) == (0, 0)
    assert INSTANCES.units(model, scenes(1), "cpu") == [0.0]
