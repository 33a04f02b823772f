"""What a network of segmentation says of pasted objects, by networks whose logits are written down."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from terse import registry
from terse.errors import DataError, RecipeError, ShapeError
from terse.targets.segmentation.target import SegmentationTarget
from terse.types import Truth

CLASSES = ("cup", "plate")


class Says(nn.Module):
    """The same logits for every image."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), -1, -1, -1)


def sure_of(*boxes: tuple[int, int, int, int], label: int = 0, outputs: int = 3) -> Tensor:
    """Logits that are 20 for a class in boxes of 16 x 16 pixels and for the background elsewhere."""
    taken = torch.zeros(16, 16, dtype=torch.bool)
    for x0, y0, x1, y1 in boxes:
        taken[y0:y1, x0:x1] = True
    logits = torch.zeros(1, outputs, 16, 16)
    logits[0, label + 1] = torch.where(taken, 20.0, 0.0)
    logits[0, 0] = torch.where(taken, 0.0, 20.0)
    return logits


def truth(*boxes: tuple[int, int, int, int], labels: tuple[int, ...] = (0, 0), pasted: int = 1) -> Truth:
    """Objects that fill their boxes in one image; the first ones are pasted."""
    masks = torch.zeros(len(boxes), 16, 16, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    n = len(boxes)
    return Truth(
        torch.tensor(labels[:n]),
        torch.tensor(boxes, dtype=torch.float32),
        torch.zeros(n, dtype=torch.int64),
        torch.arange(n) < pasted,
        torch.zeros(n, dtype=torch.bool),
        1,
        masks=masks,
    )


IMAGE = torch.zeros(1, 3, 16, 16)


@pytest.mark.parametrize(
    ("seen", "iou"),
    [
        ([(4, 4, 12, 12)], 1.0),
        ([(4, 4, 8, 12)], 0.5),  # half of it
        ([(4, 4, 16, 12)], 64 / 96),  # and pixels beside it
        ([(4, 4, 12, 12), (0, 0, 2, 16)], 64 / (64 + 2 * 16)),  # nearby: half its side around it
        ([], 0.0),
    ],
)
def test_confidence_is_the_iou_of_what_is_taken_for_the_object(seen, iou) -> None:
    target = SegmentationTarget(Says(sure_of(*seen)), CLASSES)
    asked = truth((4, 4, 12, 12))
    assert target.confidence(IMAGE, asked).tolist() == pytest.approx([iou])
    assert target.evidence(IMAGE, asked).box_error.mean().item() == pytest.approx(1 - iou, abs=1e-5)


def test_pixels_of_the_classs_other_objects_do_not_count() -> None:
    target = SegmentationTarget(Says(sure_of((4, 4, 12, 12), (12, 4, 16, 12))), CLASSES)
    assert target.confidence(IMAGE, truth((4, 4, 12, 12), (12, 4, 16, 12))).tolist() == [1.0]
    other = truth((4, 4, 12, 12), (12, 4, 16, 12), labels=(0, 1))
    assert target.confidence(IMAGE, other).tolist() == pytest.approx([64 / 96])


def test_each_pixel_of_a_pasted_object_answers_for_it() -> None:
    target = SegmentationTarget(Says(sure_of((4, 4, 8, 12))), CLASSES)
    evidence = target.evidence(IMAGE, truth((4, 4, 12, 12), (0, 0, 2, 2)))
    assert evidence.object_index.tolist() == [0] * 64
    assert (evidence.log_p > -1e-3).sum() == 32
    assert (evidence.log_p < -19).sum() == 32
    assert not len(target.evidence(IMAGE, truth((4, 4, 12, 12), pasted=0)).log_p)


def test_probabilities_of_outputs_that_the_task_does_not_know_are_background() -> None:
    target = SegmentationTarget(Says(sure_of((4, 4, 12, 12), label=3, outputs=6)), CLASSES, (5, 2))
    assert torch.equal(target.predict(IMAGE).argmax(dim=1), torch.zeros(1, 16, 16, dtype=torch.int64))
    target = SegmentationTarget(Says(sure_of((4, 4, 12, 12), label=4, outputs=6)), CLASSES, (5, 2))
    assert target.predict(IMAGE).argmax(dim=1).sum() == 64
    assert torch.allclose(target.predict(IMAGE).sum(dim=1), torch.ones(1, 16, 16))


def test_a_pixel_is_taken_for_what_the_network_takes_it_for() -> None:
    """Outputs that the task does not know outvote a class together, and none of them alone."""
    logits = torch.tensor([-3.0, 0.5, 0.4, 0.4])[None, :, None, None].expand(1, 4, 16, 16)
    target = SegmentationTarget(Says(logits), CLASSES[:1], (1,))
    assert target.predict(IMAGE).argmax(dim=1).eq(1).all()
    assert target.confidence(IMAGE, truth((0, 0, 16, 16))).tolist() == [1.0]


def test_pixels_of_ignored_objects_teach_nothing() -> None:
    module = Says(torch.zeros(1, 3, 16, 16))
    target = SegmentationTarget(module, CLASSES)
    unsure = replace(truth((4, 4, 12, 12)), ignore=torch.tensor([True]))
    target.train_loss(IMAGE, unsure).backward()  # type: ignore[no-untyped-call]
    assert module.logits.grad is not None
    assert not module.logits.grad[:, :, 4:12, 4:12].any()
    assert module.logits.grad[:, :, :4].any()
    everything = replace(truth((0, 0, 16, 16)), ignore=torch.tensor([True]))
    assert target.train_loss(IMAGE, everything) == 0


def test_padding_to_whole_steps_is_cut_off_again() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, images: Tensor) -> Tensor:
            assert images.shape[-2:] == (32, 32)
            found: Tensor = self.layer(images)
            return found

    assert SegmentationTarget(Steps(), CLASSES, step_px=32).predict(torch.rand(2, 3, 20, 24)).shape == (2, 3, 20, 24)


def test_bad_input_is_answered_in_one_sentence() -> None:
    with pytest.raises(ShapeError) as caught:
        SegmentationTarget(Says(torch.zeros(1, 2, 16, 16)), CLASSES).predict(IMAGE)
    assert str(caught.value) == (
        "target: expected at least 3 outputs, the background's and one for each of cup, plate, got 2"
    )
    with pytest.raises(ShapeError) as caught:
        SegmentationTarget(Says(torch.zeros(1, 3, 8, 8)), CLASSES).predict(IMAGE)
    assert str(caught.value) == (
        "target: expected logits of the shape (1, outputs, 16, 16), got (1, 3, 8, 8); return one row of logits a pixel, "
        "at the image's size"
    )
    with pytest.raises(DataError) as without:
        SegmentationTarget(Says(torch.zeros(1, 3, 16, 16)), CLASSES).train_loss(IMAGE, truth((1, 1, 4, 4)).with_only())
    assert str(without.value) == (
        "truth.masks: expected a mask of each object for a target of segmentation, got none; give the images' "
        "annotations masks (`terse masks` makes them of boxes), or take a detector"
    )
    with pytest.raises(RecipeError) as unknown:
        registry.lookup("target", "smp")(architecture="Yolo").build(classes=CLASSES, canvas_px=64)
    assert str(unknown.value).startswith(
        "target: expected an architecture, an encoder and settings of segmentation-models-pytorch, got Yolo on resnet18"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"encoder": "tu-nothing"},
            "target: expected an architecture, an encoder and settings of segmentation-models-pytorch, got Unet on "
            "tu-nothing: Unknown model (nothing)",
        ),
        (
            {"architecture": "PAN"},
            "canvas_px: expected a side that PAN on resnet18 takes, got 64, at which it raised RuntimeError: Given input "
            "size: (1x1x1). Calculated output size: (1x0x0). Output size is too small; try 224, or target.settings",
        ),
    ],
)
def test_what_a_network_by_name_cannot_take_is_a_sentence(settings, message) -> None:
    with pytest.raises(RecipeError) as told:
        registry.lookup("target", "smp")(**settings).build(classes=CLASSES, canvas_px=64)
    assert str(told.value) == message


def test_a_lone_image_in_a_network_that_normalises_one_pixel_is_named() -> None:
    target = registry.lookup("target", "deeplabv3_mobilenet_v3_large")().build(classes=CLASSES, canvas_px=64)
    alone = replace(truth((1, 1, 9, 9)), masks=torch.zeros(1, 64, 64, dtype=torch.bool))
    with pytest.raises(DataError) as caught:
        target.train_loss(torch.rand(1, 3, 64, 64), alone)
    assert str(caught.value).startswith("images: expected at least 2 in a training batch, got 1; ")


def test_a_file_holds_a_whole_network_or_its_backbone(tmp_path) -> None:
    config = registry.lookup("target", "lraspp_mobilenet_v3_large")
    whole = config().build(classes=("a", "b", "c"), canvas_px=64).module.state_dict()
    torch.save(whole, tmp_path / "whole.pth")
    found = config(weights=tmp_path / "whole.pth", labels={"cup": 3, "plate": 1}).build(classes=CLASSES, canvas_px=64)
    assert (found.found, found.columns) == ("segmentation network", (3, 1))
    assert all(torch.equal(whole[name], tensor) for name, tensor in found.module.state_dict().items())
    body = {f"features.{k.removeprefix('backbone.')}": v for k, v in whole.items() if k.startswith("backbone.")}
    torch.save(body, tmp_path / "body.pth")
    begun = config(weights=tmp_path / "body.pth").build(classes=CLASSES, canvas_px=64)
    assert begun.found == "backbone"
    assert torch.equal(begun.module.state_dict()["backbone.0.0.weight"], whole["backbone.0.0.weight"])
    with pytest.raises(DataError) as caught:
        registry.lookup("target", "fcn_resnet50")(weights=tmp_path / "body.pth").build(classes=CLASSES, canvas_px=64)
    assert str(caught.value).startswith("target.weights: expected the whole segmentation network or its backbone, got ")
