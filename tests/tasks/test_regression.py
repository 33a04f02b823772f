"""What regression measures and shows, of models whose every point is written down."""

from dataclasses import replace

import pytest
import torch

from scripted_models import Images, Says
from terse.errors import ShapeError
from terse.tasks.task import known_metrics, task
from terse.types import Truth

REGRESSION = task("regression")


def at(x: float, y: float) -> Truth:
    """One object of 4 x 4 pixels about a point of 16 x 16."""
    box = torch.tensor([[16 * x - 2, 16 * y - 2, 16 * x + 2, 16 * y + 2]])
    return replace(Truth.of_images(torch.tensor([0])), boxes_px=box)


def test_the_mean_error_and_the_share_within_the_tolerance() -> None:
    images = Images([at(0.5, 0.5), at(0.25, 0.5)])
    model = Says([torch.tensor([[0.5, 0.55]]), torch.tensor([[0.5, 0.5]])])
    found = REGRESSION.measure(model, images, "cpu")
    assert found["mean_error"] == pytest.approx((0.05 + 0.25) / 2)
    assert (found["within"], found["images"]) == (0.5, 2)
    assert REGRESSION.units(model, images, "cpu") == pytest.approx([0.05, 0.25])
    by_share = task("regression")
    by_share.primary = known_metrics()["within"]
    assert by_share.units(model, images, "cpu") == pytest.approx([1.0, 0.0])
    assert REGRESSION.primary.gain(0.2, 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize("metric", ["mean_error", "within"])
def test_the_mean_of_the_units_is_the_metric_where_images_have_other_numbers_of_points(metric: str) -> None:
    known = torch.tensor([[[8.0, 8.0, 2.0], [0.0, 0.0, 0.0]], [[12.0, 8.0, 2.0], [8.0, 16.0, 2.0]]])
    truths = [replace(at(0.5, 0.5), keypoints=points[None]) for points in known]
    model = Says([torch.full((2, 2), 0.5)] * 2)
    model.quantity = "keypoints"
    of_metric = task("regression")
    of_metric.primary = known_metrics()[metric]
    units = of_metric.units(model, Images(truths), "cpu")
    assert sum(units) / len(units) == pytest.approx(of_metric.measure(model, Images(truths), "cpu")[metric])
    assert len(units) == 2


def test_the_answers_show_both_points_and_the_largest_change_first() -> None:
    images = Images([at(0.5, 0.5), at(0.25, 0.5)])
    before = Says([torch.tensor([[0.5, 0.7]]), torch.tensor([[0.9, 0.5]])])
    after = Says([torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.5]])])
    answers = REGRESSION.answers(before, after, images, ("cup",))
    assert [change.row for change in answers.changes] == [1, 0]
    first = answers.changes[0]
    assert [box.state for box in first.before.boxes] == ["truth", "false"]
    assert [box.state for box in first.after.boxes] == ["truth", "correct"]
    assert first.before.caption == "error 0.650"
    assert first.after.boxes[0].outline == first.after.boxes[1].outline
    assert answers.note.startswith("Of 2 images, the error fell in 2 and rose in 0.")


def test_another_answer_is_refused_in_a_sentence() -> None:
    with pytest.raises(ShapeError) as caught:
        REGRESSION.measure(Says([torch.zeros(2)]), Images([at(0.5, 0.5)]), "cpu")
    assert str(caught.value) == "target: expected points of the shape (1, 1, 2) from predict, got (1, 2)"
