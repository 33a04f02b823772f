"""What segmentation measures and shows, of models whose every pixel is written down."""

import pytest
import torch
from torch.nn.functional import one_hot

from scripted_models import Images, Says
from terse.errors import DataError, ShapeError
from terse.tasks.task import known_metrics, task
from terse.types import Truth

CLASSES = ("cup", "plate")
SEGMENTATION = task("segmentation")


def square(label: int, *, ignore: bool = False) -> Truth:
    """One object in the middle of 16 x 16 pixels."""
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, 4:12, 4:12] = True
    no = torch.zeros(1, dtype=torch.bool)
    box = torch.tensor([[4.0, 4, 12, 12]])
    return Truth(torch.tensor([label]), box, torch.tensor([0]), no, torch.tensor([ignore]), 1, masks=mask)


def says(label: int | None, *, wide: bool = False) -> torch.Tensor:
    """Probabilities that are sure of one class in the middle, or twice as wide as it, or nowhere."""
    pixels = torch.zeros(16, 16, dtype=torch.int64)
    if label is not None:
        pixels[4:12, (0 if wide else 4) : (16 if wide else 12)] = label + 1
    return one_hot(pixels, 3).permute(2, 0, 1).float()


def test_what_is_right_wide_or_missed_counts_by_pixels() -> None:
    images = Images([square(0), square(0), square(1)])
    found = SEGMENTATION.measure(Says([says(0), says(0, wide=True), says(None)]), images, "cpu")
    assert found["by_class"]["0"]["miou"] == pytest.approx(128 / 192)
    assert found["by_class"]["1"]["miou"] == 0
    assert found["miou"] == pytest.approx(64 / 192)
    assert found["images"] == 3
    by_pixels = task("segmentation")
    by_pixels.primary = known_metrics()["pixel_accuracy"]
    model = Says([says(0), says(0, wide=True), says(None)])
    assert by_pixels.units(model, images, "cpu") == pytest.approx([1, 192 / 256, 192 / 256])
    unsure = Images([square(0, ignore=True)])
    assert SEGMENTATION.measure(Says([says(1)]), unsure, "cpu")["pixel_accuracy"] == 1
    assert SEGMENTATION.image_confidence(torch.stack([says(1), says(None)]), [torch.tensor([1])] * 2) == [1, 0]


def test_the_answers_outline_what_is_taken_for_a_class_and_what_is_missed() -> None:
    images = Images([square(0), square(1), square(1)])
    before = Says([says(None), says(0), says(1)])
    after = Says([says(0), says(1, wide=True), says(1)])
    answers = SEGMENTATION.answers(before, after, images, CLASSES)
    assert [change.row for change in answers.changes] == [0, 1]
    first, second = answers.changes
    assert [(box.label, box.state, box.score) for box in first.before.boxes] == [("cup", "missed", None)]
    assert [(box.label, box.state, box.score) for box in first.after.boxes] == [("cup", "correct", 1.0)]
    assert [(box.label, box.state) for box in second.before.boxes] == [("cup", "false"), ("plate", "missed")]
    assert [(box.label, box.state, box.score) for box in second.after.boxes] == [("plate", "correct", 0.5)]
    assert all(box.outline and box.outline.startswith("M") for box in first.after.boxes)
    assert first.after.boxes[0].xyxy_px == (4, 4, 12, 12)
    assert answers.note.startswith("Of 3 images, the mean IoU of the classes rose in 2 and fell in 0 by 0.02")


def test_another_answer_or_no_masks_is_refused_in_a_sentence() -> None:
    with pytest.raises(ShapeError) as caught:
        SEGMENTATION.measure(Says([torch.zeros(3)]), Images([square(0)]), "cpu")
    assert str(caught.value) == (
        "target: expected probabilities of the shape (1, 1 + classes, 16, 16) from predict, got (1, 3)"
    )
    with pytest.raises(DataError) as caught_data:
        SEGMENTATION.measure(Says([says(0)]), Images([square(0).with_only()]), "cpu")
    assert str(caught_data.value) == (
        "images: expected a mask of each object to measure segmentation, got boxes alone; give the annotations masks "
        "(`terse masks` makes them of boxes)"
    )
