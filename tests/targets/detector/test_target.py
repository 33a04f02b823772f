"""Eq. 1 against loops over anchors, matching, training batches, autocast, and a user's own detector."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign, box_iou

from eq1 import attack_loss
from terse.errors import DataError, TerseError
from terse.evaluation.ap import detection_scores
from terse.protocols import Target
from terse.targets.detector.heads import _listed
from terse.targets.detector.networks import NETWORKS
from terse.targets.detector.target import DetectorTarget, wrap_detector
from terse.targets.user import UserConfig
from terse.types import Truth

SIZE = 64
CLASSES = ("square", "ring", "bar")


def pasted(boxes: list[list[float]], labels: list[int], images: list[int], batch_size: int) -> Truth:
    yes = torch.ones(len(boxes), dtype=torch.bool)
    return Truth(torch.tensor(labels), torch.tensor(boxes).reshape(-1, 4), torch.tensor(images), yes, ~yes, batch_size)


def target_of(kind: str, outputs: int = 4, size_px: int = SIZE, box_weight: float = 1.0) -> DetectorTarget:
    torch.manual_seed(0)
    module = NETWORKS[kind].build(outputs, size_px, {})
    return DetectorTarget(module, CLASSES[: outputs - 1], range(1, outputs), box_weight)


class Body(nn.Sequential):
    """A backbone as torchvision's guide for custom detectors has it."""

    out_channels = 16

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 16, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2, padding=1))


def small_faster_rcnn(outputs: int = 6, sizes: tuple[int, ...] = (8, 24), **settings: Any) -> FasterRCNN:
    """Custom anchors, one map, another class count: what a user brings."""
    torch.manual_seed(0)
    return FasterRCNN(
        Body(),
        outputs,
        min_size=SIZE,
        max_size=SIZE,
        rpn_anchor_generator=AnchorGenerator((sizes,), ((0.5, 1.0, 3.0),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2),
        **settings,
    )


def test_attack_loss_is_eq_1_over_the_anchors_of_each_pasted_object() -> None:
    target = target_of("ssdlite_mobilenet_v2", size_px=160, box_weight=0.5)
    images = torch.rand(2, 3, 160, 160)
    # The last is too small for any anchor: the best one answers.
    truth = pasted([[12.0, 12, 125, 120], [25, 75, 150, 160], [75, 75, 80, 80]], [0, 2, 1], [0, 1, 1], 2)
    module: Any = target.module.eval()
    with torch.no_grad():
        found = attack_loss(target, images, truth)
        listed, _ = module.transform(list(images))
        features = list(module.backbone(listed.tensors).values())
        outputs, anchors = (module.head(features), module.anchor_generator(listed, features)[0])
    sums, counts, alone = [0.0, 0.0], [0, 0], 0
    for box, label, image in zip(truth.boxes_px, truth.labels.tolist(), truth.image_index.tolist(), strict=True):
        overlap = box_iou(box[None], anchors)[0]
        rows = (overlap > 0.5).nonzero().flatten().tolist()
        alone += not rows
        for row in rows or [int(overlap.argmax())]:
            p = outputs["cls_logits"][image, row].softmax(0)[label + 1]
            wanted = module.box_coder.encode_single(box[None], anchors[row : row + 1])[0]
            off = (outputs["bbox_regression"][image, row] - wanted).abs()
            smooth = torch.where(off < 1, 0.5 * off**2, off - 0.5).sum()
            sums[image] += float(-p.log() + 0.5 * smooth)
            counts[image] += 1
    assert alone == 1
    assert counts[0] > 1
    assert found.tolist() == pytest.approx([sums[0] / counts[0], sums[1] / counts[1]], rel=1e-4)


def test_focal_scores_are_sigmoids_of_their_own() -> None:
    target = target_of("retinanet_resnet50_fpn", box_weight=0.0)
    assert not target.calibrated
    module: Any = target.module.eval()
    images = torch.rand(1, 3, SIZE, SIZE)
    truth = pasted([[5.0, 5, 50, 48]], [1], [0], 1)
    with torch.no_grad():
        found = attack_loss(target, images, truth)
        listed, _ = module.transform(list(images))
        features = list(module.backbone(listed.tensors).values())
        logits, anchors = (module.head(features)["cls_logits"], module.anchor_generator(listed, features)[0])
    rows = box_iou(truth.boxes_px, anchors)[0] > 0.5
    assert rows.sum() > 1
    assert found.item() == pytest.approx(-logits[0, rows, 2].sigmoid().log().mean().item(), rel=1e-5)


def test_proposals_are_matched_and_the_truth_is_one_of_them() -> None:
    target = wrap_detector(small_faster_rcnn(4, sizes=(24, 48)), CLASSES, SIZE)
    module: Any = target.module.eval()
    images = torch.rand(1, 3, SIZE, SIZE)
    truth = pasted([[5.0, 5, 50, 48]], [1], [0], 1)
    with torch.no_grad():
        found = attack_loss(target, images, truth)
        listed, _ = module.transform(list(images))
        features = {"0": module.backbone(listed.tensors)}
        candidates = torch.cat([module.rpn(listed, features)[0][0], truth.boxes_px])
        chosen = candidates[box_iou(truth.boxes_px, candidates)[0] > 0.5]
        heads = module.roi_heads
        logits, codes = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, [chosen], [(SIZE, SIZE)])))
        wanted = heads.box_coder.encode_single(truth.boxes_px.expand(len(chosen), 4), chosen)
        off = (codes.reshape(len(chosen), -1, 4)[:, 2] - wanted).abs()
    smooth = torch.where(off < 1, 0.5 * off**2, off - 0.5).sum(1)
    expected = (smooth - logits.log_softmax(1)[:, 2]).mean()
    assert len(chosen) > 1
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    "box", [[4.0, 6.0, 30.0, 40.0], [0.0, 0.0, 64.0, 64.0], [20.0, 20.0, 26.0, 25.0], [40.0, 2.0, 60.0, 62.0]]
)
def test_fcos_points_answer_as_torchvision_trains_them(box: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    target = target_of("fcos_resnet50_fpn")
    module: Any = target.module
    trained: list[Tensor] = []
    monkeypatch.setattr(
        module.head, "compute_loss", lambda targets, outputs, anchors, matched: trained.extend(matched) or {"loss": 0}
    )
    images = torch.rand(1, 3, SIZE, SIZE)
    module.train()
    with torch.no_grad():
        module(list(images), [{"boxes": torch.tensor([box]), "labels": torch.tensor([1])}])
        truth = pasted([box], [0], [0], 1)
        module.eval()
        matched = target._heads.match(images, truth.boxes_px, truth.image_index, torch.tensor([1]))
        logits = module.head(list(module.backbone(module.transform(list(images))[0].tensors).values()))["cls_logits"]
    answering = trained[0] >= 0
    if answering.any():
        assert torch.equal(matched.logits, logits[0, answering])
    else:
        assert len(matched.logits) == 1


def test_autocast_moves_no_anchor() -> None:
    # In bfloat16 a corner at 300 px is off by up to a pixel, and codes of small boxes by far more.
    target = target_of("ssdlite_mobilenet_v2", size_px=192)
    images = torch.rand(4, 3, 192, 192)
    truth = pasted([[101.0, 107.0, 131.0, 133.0]] * 4, [0] * 4, [0, 1, 2, 3], 4)
    seen: list[Tensor] = []
    target.module.anchor_generator.register_forward_hook(lambda _m, _i, boxes: seen.append(boxes[0]))
    exact = target.train_loss(images, truth)
    with torch.autocast("cpu", torch.bfloat16):
        quick = target.train_loss(images, truth)
        attacked = attack_loss(target, images, truth)
    assert len(seen) == 3
    assert all(torch.equal(anchors, seen[0]) for anchors in seen)
    assert quick.dtype == attacked.dtype == torch.float32
    assert quick.item() == pytest.approx(exact.item(), rel=0.02)


def test_an_attack_runs_without_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    target = target_of("ssdlite_mobilenet_v2")
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda *_: pytest.fail("a pass over memory too many"))
    attack_loss(target, torch.rand(1, 3, SIZE, SIZE), pasted([[5.0, 5.0, 50.0, 48.0]], [0], [0], 1))


def test_a_training_batch_of_one_is_refused_where_a_map_has_one_pixel() -> None:
    target = target_of("ssdlite_mobilenet_v2")
    with pytest.raises(DataError) as told:
        target.train_loss(torch.rand(1, 3, SIZE, SIZE), Truth.empty(1))
    assert str(told.value) == (
        "images: expected at least 2 in a training batch, got 1; "
        "the model's BatchNorm sees one pixel an image there: drop the last, smaller batch"
    )


def test_a_frozen_part_stays_frozen_in_training() -> None:
    target = target_of("ssdlite_mobilenet_v2")
    module: Any = target.module.train()
    body = module.backbone.features[0][1]
    body.eval()
    before = {name: tensor.clone() for name, tensor in body.state_dict().items()}
    target.train_loss(torch.rand(2, 3, SIZE, SIZE), Truth.empty(2))
    assert not body.training
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in body.state_dict().items())


def squares(count: int, seed: int) -> tuple[Tensor, Truth]:
    """Grey noise with one bright square an image."""
    draw = torch.Generator().manual_seed(seed)
    images = 0.3 * torch.rand(count, 3, SIZE, SIZE, generator=draw)
    corner = torch.randint(4, 24, (count, 2), generator=draw)
    side = torch.randint(22, 36, (count, 1), generator=draw)
    boxes = torch.cat([corner, corner + side], dim=1)
    for image, (left, top, right, bottom) in zip(images, boxes.tolist(), strict=True):
        image[:, top:bottom, left:right] = 0.9
    return images, pasted(boxes.float().tolist(), [0] * count, list(range(count)), count)


def test_a_detector_learns_and_its_measures_say_so() -> None:
    target = target_of("ssdlite_mobilenet_v2", outputs=2)
    for part in target.module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.5  # twenty steps are too few for the usual one
    images, truth = squares(8, seed=1)

    def measured() -> tuple[float, float, float]:
        ap = detection_scores(target.predict(images), truth, CLASSES[:1])["ap50"]
        with torch.no_grad():
            return (
                ap,
                target.confidence(images, truth).mean().item(),
                attack_loss(target, images, truth).mean().item(),
            )

    before = measured()
    optimizer = torch.optim.Adam(target.module.parameters(), lr=3e-3)
    for _ in range(20):
        optimizer.zero_grad()
        target.train_loss(images, truth).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    after = measured()
    assert before[0] < 0.3
    assert after[0] > 0.7
    assert after[1] > before[1] + 0.2
    assert after[2] < before[2]


def test_a_users_faster_rcnn_with_its_own_anchors_and_classes() -> None:
    labels = {"ring": 4, "square": 2}
    target = wrap_detector(small_faster_rcnn(), ("square", "ring"), SIZE, labels=labels)
    assert isinstance(target, Target)
    assert target.columns == (2, 4)
    assert target.calibrated
    images = torch.rand(2, 3, SIZE, SIZE, requires_grad=True)
    truth = pasted([[5.0, 5, 50, 48], [10, 30, 60, 64]], [0, 1], [0, 1], 2)
    loss = attack_loss(target, images, truth)
    (gradient,) = torch.autograd.grad(loss.sum(), images)
    with torch.no_grad():
        assert attack_loss(target, images + 1e-3 * gradient / gradient.norm(), truth).sum() > loss.sum()
    plain = images.detach()
    assert target.train_loss(plain, truth).isfinite()
    assert target.confidence(plain, truth).shape == (2,)
    assert {label for one in target.predict(plain) for label in one["labels"].tolist()} <= {0, 1}


def test_a_user_target_is_wrapped_by_its_interface(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("terse.targets.user.UserConfig._function", lambda self: small_faster_rcnn)
    config = UserConfig(factory="mine:build", settings={"outputs": 3}, labels={"ring": 1, "square": 2}, lambda_box=0.5)
    target = config.build(classes=("square", "ring"), canvas_px=SIZE)
    assert isinstance(target, DetectorTarget)
    assert (target.columns, target.box_weight) == ((2, 1), 0.5)


@pytest.mark.parametrize("kind", ["ssdlite_mobilenet_v2", "retinanet_resnet50_fpn"])
@pytest.mark.parametrize("sides", [(96, 96), (80, 96), (50, 50)])
def test_images_are_prepared_as_the_modules_own_transform_does(kind: str, sides: tuple[int, int]) -> None:
    module: Any = NETWORKS[kind].build(2, 96, {}).eval()
    images = torch.rand(2, 3, *sides)
    ours, (theirs, _) = _listed(module, images), module.transform(list(images))
    torch.testing.assert_close(ours.tensors, theirs.tensors)
    assert ours.image_sizes == theirs.image_sizes


def test_modules_that_are_no_detector_of_boxes() -> None:
    with pytest.raises(TerseError) as told:
        wrap_detector(nn.Linear(2, 2), ("a",), SIZE)
    assert str(told.value) == (
        "target: expected a torchvision GeneralizedRCNN, SSD, RetinaNet or FCOS, got Linear; "
        "return an object with module, train_loss, evidence, confidence and predict (terse.protocols.Target) "
        "for any other detector"
    )
    masks = MaskRCNN(Body(), 2, AnchorGenerator(((8,),), ((1.0,),)), box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2))
    with pytest.raises(TerseError) as told:
        wrap_detector(masks, ("a",), SIZE)
    assert str(told.value) == (
        "target: expected a detector of boxes alone, got MaskRCNN with a mask or keypoint head; "
        "set roi_heads.mask_roi_pool and roi_heads.keypoint_roi_pool to None"
    )
    broken = RetinaNet(Body(), 2, anchor_generator=AnchorGenerator(((8,), (16,)), ((1.0,),) * 2))
    with pytest.raises(TerseError) as told:
        wrap_detector(broken, ("a",), SIZE)
    assert str(told.value) == (
        "target: expected a detector that takes images of 64 x 64 px, got RetinaNet, which raised AssertionError: "
        "Anchors should be Tuple[Tuple[int]] because each feature map could potentially have different sizes and "
        "aspect ratios. There needs to be a match between the number of feature maps passed and the number of sizes "
        "/ aspect ratios specified.; try it on one image"
    )
