"""Mask AP of models whose every mask is written down."""

from dataclasses import replace

import pytest
import torch

from scripted_models import Images, Says, truth
from terse.errors import DataError, RecipeError
from terse.evaluation.matching import mask_overlaps
from terse.recipe_parts import GroupsConfig
from terse.tasks.task import known_metrics, task
from terse.types import Truth

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


class Filmed(Images):
    """Four images of two videos in two kinds of weather."""

    def field(self, name: str) -> tuple[str | None, ...]:
        fields: dict[str, tuple[str | None, ...]] = {
            "weather": ("dry", "wet", "dry", None),
            "video": ("a", "b", "a", "b"),
        }
        return fields.get(name, (None,) * 4)


def test_groups_and_clusters_are_counted_by_masks() -> None:
    """The boxes are all right; the masks of the first video are not."""
    model = Says([says((4, 4, 6, 12)), says((4, 4, 12, 12))] * 2)
    model.classes = ("cup",)
    images = Filmed(scenes(4).truths)
    found = INSTANCES.details(model, images, "cpu", GroupsConfig(by=("weather",), clusters="video"))
    assert found.groups["weather"] == {
        "dry": {"mask_ap50": 0.0, "ap50": pytest.approx(1), "objects": 2},
        "wet": {"mask_ap50": pytest.approx(1), "ap50": pytest.approx(1), "objects": 1},
    }
    assert found.groups["border"]["whole"]["mask_ap50"] == INSTANCES.measure(model, images, "cpu")["mask_ap50"]
    assert {round(value, 6) for value in found.halves} == {0.0, 1.0}  # either video stands for both
    assert len(found.halves) == 128
    assert found.units == INSTANCES.units(model, images, "cpu")
    by_boxes = task("instances")
    by_boxes.primary = known_metrics()["ap50"]
    of_boxes = by_boxes.details(model, images, "cpu", GroupsConfig(clusters="video"))
    assert {round(value, 6) for value in of_boxes.halves} == {1.0}


def test_a_field_that_no_test_image_has_is_refused() -> None:
    model = Says([says((4, 4, 12, 12))] * 4)
    for groups in (GroupsConfig(by=("nope",)), GroupsConfig(by=("weather",), clusters="nope")):
        with pytest.raises(RecipeError) as caught:
            INSTANCES.details(model, Filmed(scenes(4).truths), "cpu", groups)
        assert (
            str(caught.value) == "test_groups: expected a field of the test images, got 'nope', which none of them has"
        )


def test_classes_without_names_are_numbered_as_detections_are() -> None:
    second = {**says((4, 4, 12, 12)), "labels": torch.tensor([2])}
    assert list(INSTANCES.measure(Says([second]), scenes(1), "cpu")["by_class"]) == ["0", "1", "2"]
    empty = Images([Truth.empty(1), Truth.empty(1)])
    seen = INSTANCES.measure(Says([second, second]), empty, "cpu")
    assert (list(seen["by_class"]), seen["mask_ap50"], seen["ap50"]) == (["0", "1", "2"], None, None)
    nothing = {name: part[:0] for name, part in second.items()}
    seen = INSTANCES.measure(Says([nothing, nothing]), empty, "cpu")
    assert (seen["by_class"], seen["mask_ap50"], seen["objects"]) == ({}, None, 0)


def test_objects_without_masks_are_named() -> None:
    with pytest.raises(DataError) as caught:
        INSTANCES.measure(Says([says((4, 4, 12, 12))]), Images([truth(0, [4, 4, 12, 12])]), "cpu")
    assert str(caught.value) == (
        "images: expected a mask of each object to measure instances, got boxes alone; give the annotations masks (`terse "
        "masks` makes them of boxes)"
    )
