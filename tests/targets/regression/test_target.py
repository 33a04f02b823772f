"""What a regressor says of pasted objects, by networks whose points are written down."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from terse import registry
from terse.errors import DataError, ShapeError
from terse.targets.regression.networks import PointNetwork
from terse.targets.regression.quantities import distances, errors, true_points
from terse.targets.regression.target import RegressionTarget
from terse.types import Truth

IMAGE = torch.zeros(1, 3, 100, 200)  # twice as wide as high


class Says(nn.Module):
    def __init__(self, *points: tuple[float, float]) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.tensor([points]))

    def forward(self, images: Tensor) -> Tensor:
        return self.points.expand(len(images), -1, -1)


def truth(**more: object) -> Truth:
    """One pasted object whose centre is (0.5, 0.25) and whose keypoints point to the right."""
    one = replace(Truth.of_images(torch.tensor([0]), torch.tensor([[80.0, 10, 120, 40]])), pasted=torch.tensor([True]))
    points = torch.tensor([[[80.0, 25, 2], [120.0, 25, 2], [0.0, 0, 0]]])
    return replace(one, **{"keypoints": points, **more})  # type: ignore[arg-type]


def test_the_quantities_by_hand() -> None:
    centre, known = true_points("centre", truth(), (100, 200))
    assert (centre.tolist(), known.tolist()) == ([[[0.5, 0.25]]], [[True]])
    points, known = true_points("keypoints", truth(), (100, 200))
    assert torch.allclose(points[0, :2], torch.tensor([[0.4, 0.25], [0.6, 0.25]]))
    assert known.tolist() == [[True, True, False]]
    arrow, known = true_points("angle", truth(), (100, 200))
    assert (arrow.tolist(), known.tolist()) == ([[[1.0, 0.0]]], [[True]])
    same = torch.tensor([[[80.0, 25, 2], [80.4, 25, 2]]])
    assert true_points("angle", truth(keypoints=same), (100, 200))[1].tolist() == [[False]]  # no direction
    turned = torch.tensor([[[math.cos(0.3), math.sin(0.3)]]])
    assert errors("angle", turned, arrow).item() == pytest.approx(math.degrees(0.3), rel=1e-4)
    assert errors("angle", -arrow, arrow).item() == pytest.approx(180)
    assert distances("angle", turned, arrow, math.degrees(0.3)).item() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(("apart", "p"), [(0.0, 1.0), (0.1, 0.5), (0.3, 0.1)])
def test_p_is_one_half_where_the_error_is_the_tolerance(apart: float, p: float) -> None:
    target = RegressionTarget(Says((0.5 + apart, 0.25)), tolerance=0.1)
    assert target.confidence(IMAGE, truth()).tolist() == pytest.approx([p], abs=1e-5)
    evidence = target.evidence(IMAGE, truth())
    assert evidence.log_p.exp().tolist() == pytest.approx([p], abs=1e-5)
    assert (evidence.log_p.exp() + evidence.log_wrong.exp()).tolist() == pytest.approx([1.0])


def test_points_that_are_not_annotated_ask_nothing() -> None:
    target = RegressionTarget(Says((0.4, 0.25), (0.6, 0.25), (0.9, 0.9)), "keypoints")
    assert target.evidence(IMAGE, truth()).object_index.tolist() == [0, 0]
    assert target.train_loss(IMAGE, truth()).item() == pytest.approx(0, abs=1e-6)
    unseen = truth(keypoints=torch.zeros(1, 3, 3))
    assert target.confidence(IMAGE, unseen).tolist() == [1.0]
    assert target.train_loss(IMAGE, unseen) == 0
    hidden = truth(ignore=torch.tensor([True]))
    assert not len(target.evidence(IMAGE, hidden).log_p)


def test_heat_maps_say_where_and_a_direction_has_length_one() -> None:
    network = PointNetwork("mobilenet_v3_small", 2, direction=False).eval()
    with torch.no_grad():
        points = network(torch.rand(3, 3, 64, 96))
        arrow = PointNetwork("resnet18", 1, direction=True).eval()(torch.rand(3, 3, 64, 64))
    assert points.shape == (3, 2, 2)
    assert ((points > 0) & (points < 1)).all()
    assert torch.allclose(arrow.norm(dim=2), torch.ones(3, 1))


def test_bad_input_is_answered_in_one_sentence() -> None:
    target = RegressionTarget(Says((0.5, 0.5)), "angle")
    with pytest.raises(DataError) as caught:
        target.train_loss(IMAGE, truth().with_only())
    assert str(caught.value) == (
        "truth.keypoints: expected keypoints for a target that regresses angle, got none; give the images' annotations "
        "and the foregrounds keypoints, or set target.quantity: centre"
    )
    two = Truth.join([truth(), replace(truth(), batch_size=2)])
    with pytest.raises(DataError) as caught:
        RegressionTarget(Says((0.5, 0.5))).train_loss(IMAGE.expand(3, -1, -1, -1), two)
    assert str(caught.value) == (
        "truth: expected one object an image for a target of regression, got 2 in 3 images; give it images of single "
        "objects, or crop them"
    )
    with pytest.raises(ShapeError) as shape:
        RegressionTarget(Says((0.5, 0.5)), "keypoints").train_loss(IMAGE, truth())
    assert str(shape.value) == (
        "target.keypoints: expected as many points as the data's objects have, got 1 from the network and 3 in the data"
    )
    with pytest.raises(ShapeError) as shape:
        RegressionTarget(nn.Flatten()).predict(IMAGE)
    assert str(shape.value) == "target: expected points of the shape (1, points, 2), got (1, 60000)"


def test_a_file_holds_a_whole_regressor_or_its_backbone(tmp_path) -> None:
    config = registry.lookup("target", "regressor")
    whole = config(backbone="mobilenet_v3_small").build(classes=("a",), canvas_px=64).module.state_dict()
    torch.save(whole, tmp_path / "whole.pth")
    found = config(backbone="mobilenet_v3_small", weights=tmp_path / "whole.pth").build(classes=("a",), canvas_px=64)
    assert found.found == "regressor"
    assert all(torch.equal(whole[name], tensor) for name, tensor in found.module.state_dict().items())
    body = {f"features.{k.removeprefix('body.')}": v for k, v in whole.items() if k.startswith("body.")}
    torch.save(body, tmp_path / "body.pth")
    begun = config(backbone="mobilenet_v3_small", weights=tmp_path / "body.pth").build(classes=("a",), canvas_px=64)
    assert begun.found == "backbone"
    assert torch.equal(begun.module.state_dict()["body.0.0.weight"], whole["body.0.0.weight"])
