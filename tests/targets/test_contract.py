"""What every registered target must keep; a new one is covered without an edit here.

Random weights and small images: what is tested holds for any weights. BatchNorm sees one batch first, because with
its initial statistics an untrained MobileNet answers the same to every image.
"""

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad
from torchvision.ops import box_iou

from eq1 import attack_loss
from terse import registry
from terse.compositing import compose
from terse.errors import ShapeError
from terse.objectives import fooling_loss
from terse.protocols import Attackable, Judges, Target, Trainable
from terse.recipe import ObjectiveConfig
from terse.targets.detector.target import DetectorTarget
from terse.types import Truth

pytestmark = pytest.mark.usefixtures("trusts")

KINDS = list(registry.kinds("target"))
DETECTORS = [kind for kind in KINDS if getattr(registry.lookup("target", kind), "task", "") == "detection"]
CLASSES = ("square", "ring")
FORMS: tuple[Any, ...] = ("cross_entropy", "hinge", "log_one_minus")
# Channels and side of the smallest images that a target may take, tried in turn.
DETECTED, CLASSIFIED = ((3, 64), (3, 272)), ((1, 40), (3, 64), (3, 224))
HEAVY = ("ssd300_vgg16",)  # takes no image below 272 px; seconds for each gradient


def heavy_is_slow(kinds: list[str]) -> pytest.MarkDecorator:
    """Each kind, the heavy ones in the slow tests only."""
    marks = {True: [pytest.mark.slow], False: []}
    return pytest.mark.parametrize("kind", [pytest.param(kind, marks=marks[kind in HEAVY]) for kind in kinds])


every_target = pytest.mark.parametrize("kind", KINDS)
every_detector = pytest.mark.parametrize("kind", DETECTORS)
every_target_heavy_slow, every_detector_heavy_slow = heavy_is_slow(KINDS), heavy_is_slow(DETECTORS)


def own_classifier() -> nn.Module:
    """What a user's factory may return."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(4 * 36**2, 2)
    )


def build(kind: str, channels: int, size_px: int) -> Any:
    """The target of one kind, seen to take such images; None where it does not."""
    config: Any = registry.lookup("target", kind)
    settings: dict[str, Any] = {"image_size_px": size_px} if kind in DETECTORS else {}
    if "factory" in config.model_fields:
        settings["factory"] = f"{__name__}:own_classifier"
    try:
        target = config(**settings).build(classes=CLASSES, canvas_px=size_px)
        target.predict(torch.full((1, channels, size_px, size_px), 0.5))
    except (ValidationError, ShapeError, RuntimeError):
        return None
    return target


@cache
def prepared(kind: str) -> tuple[Any, int]:
    """A target with random weights, and the side of the images it takes: the smallest it accepts."""
    for channels, size_px in DETECTED if kind in DETECTORS else CLASSIFIED:
        torch.manual_seed(0)
        target = build(kind, channels, size_px)
        if target is None:
            continue
        norms = [part for part in target.module.modules() if isinstance(part, nn.BatchNorm2d)]
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        if norms:
            truth = Truth.empty(6) if kind in DETECTORS else Truth.of_images(torch.zeros(6, dtype=torch.int64))
            with torch.no_grad():
                target.train_loss(torch.rand(6, channels, size_px, size_px), truth)
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
        target.channels = channels
        return target, size_px
    raise AssertionError(kind)


def scene(size_px: int) -> tuple[Tensor, Truth]:
    """Two images: an own and a pasted object, two pasted ones."""
    images = torch.rand(2, 3, size_px, size_px, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[2.0, 2, 20, 30], [5, 6, 40, 50], [10, 10, 30, 35], [20, 5, 60, 60]]) * size_px / 64
    labels = torch.tensor([1, 0, 1, 0])
    pasted = torch.tensor([False, True, True, True])
    return images, Truth(labels, boxes, torch.tensor([0, 0, 1, 1]), pasted, torch.zeros(4, dtype=torch.bool), 2)


def seen_by(kind: str) -> tuple[Any, Tensor, Truth]:
    """A target, images that it takes, and what is pasted in them: as many objects as its task allows."""
    target, size_px = prepared(kind)
    images, truth = scene(size_px)
    if kind in DETECTORS:
        return target, images, truth
    fields = ("labels", "boxes_px", "image_index", "pasted", "ignore")
    one_each = replace(truth, **{name: getattr(truth, name)[[1, 2]] for name in fields})
    return target, images[:, : target.channels], one_each


@every_target
def test_it_judges_can_be_attacked_and_trained(kind: str) -> None:
    target, _, _ = seen_by(kind)
    assert isinstance(target, Judges)
    assert isinstance(target, Attackable)
    assert isinstance(target, Trainable)
    assert isinstance(target, Target)


@every_target
def test_evidence_is_of_pasted_objects_and_every_form_of_it_reaches_the_pixels(kind: str) -> None:
    target, images, truth = seen_by(kind)
    images = images.clone().requires_grad_()
    evidence = target.evidence(images, truth)
    assert evidence.batch_size == 2
    assert set(evidence.object_index.tolist()) == set(truth.pasted.nonzero().flatten().tolist())
    assert torch.equal(evidence.image_index, truth.image_index[evidence.object_index])
    p, wrong = evidence.log_p.exp(), evidence.log_wrong.exp()
    torch.testing.assert_close(p + wrong, torch.ones_like(p))
    assert (evidence.margin[p > 0.5] < 0).all()
    assert (evidence.margin[wrong > 0.99] > 0).all()
    assert (evidence.box_error >= 0).all()
    assert bool(evidence.box_error.any()) == (kind in DETECTORS)
    for form in FORMS:
        loss = fooling_loss(evidence, ObjectiveConfig(form=form, hinge_margin=100))
        (gradient,) = torch.autograd.grad(loss.sum(), images, retain_graph=True)
        assert loss.shape == (2,)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()
        assert gradient.flatten(1).any(1).all()


@every_target
def test_confidence_is_a_probability_of_each_pasted_object(kind: str) -> None:
    target, images, truth = seen_by(kind)
    p = target.confidence(images, truth)
    assert p.shape == (int(truth.pasted.sum()),)
    assert ((p >= 0) & (p <= 1)).all()
    assert not p.requires_grad
    if kind not in DETECTORS:
        assert torch.equal(p, target.predict(images).gather(1, truth.labels[:, None])[:, 0])
        torch.testing.assert_close(p, target.evidence(images, truth).log_p.exp().detach())
        assert not target.predict(images).requires_grad


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in DETECTORS])
def test_the_training_loss_is_a_scalar_that_reaches_the_weights(kind: str) -> None:
    target, images, truth = seen_by(kind)
    mine = copy.deepcopy(target)
    loss = mine.train_loss(images, truth)
    loss.backward()
    assert loss.shape == ()
    assert loss.isfinite()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in mine.module.parameters())


@every_target_heavy_slow
def test_a_step_along_the_pixels_gradient_raises_the_attack_loss(kind: str) -> None:
    target, images, truth = seen_by(kind)
    images = images.clone().requires_grad_()
    loss = attack_loss(target, images, truth)
    (gradient,) = torch.autograd.grad(loss.sum(), images)
    assert loss.shape == (2,)
    assert gradient.flatten(1).any(1).all()
    with torch.no_grad():
        after = attack_loss(target, images + 0.01 * gradient / gradient.square().sum(), truth)
    assert after.sum() > loss.sum()


@every_detector_heavy_slow
def test_a_step_along_the_synthesizers_gradient_raises_the_attack_loss(kind: str) -> None:
    # In float64, because networks with random weights are rough: the first order holds for tiny steps alone. The
    # proposals stay those of the first look, as the gradient holds them. No sample falls on a pixel's centre, where
    # bilinear interpolation has a kink.
    target, size_px = prepared(kind)
    module: Any = copy.deepcopy(target.module).double()
    mine = DetectorTarget(module, CLASSES, target.columns, 1.0)
    draw = torch.Generator().manual_seed(2)
    background = torch.rand(1, 3, size_px, size_px, generator=draw).double()
    foreground = torch.rand(1, 3, 24, 24, generator=draw).double()
    alpha = pad(torch.ones(1, 1, 18, 18), (3, 3, 3, 3)).double()
    matrix = torch.tensor(
        [[[0.6131, 0.1073, 0.0937], [-0.1119, 0.5273, -0.0491]]], dtype=torch.float64, requires_grad=True
    )
    box = torch.tensor([[0.25, 0.22, 0.85, 0.72]]).double() * size_px
    one = torch.ones(1, dtype=torch.bool)
    truth = Truth(torch.tensor([0]), box, torch.tensor([0]), one, ~one, 1)
    if hasattr(module, "rpn"):
        propose, seen = module.rpn.forward, []
        module.rpn.forward = lambda *of: seen[0] if seen else seen.append(propose(*of)) or seen[0]

    def loss_of(pose: Tensor) -> Tensor:
        drawn = compose(background, foreground, alpha, pose, binarise=False, blur_sigma_px=0.0)
        return attack_loss(mine, drawn.images, truth).sum()

    loss = loss_of(matrix)
    (gradient,) = torch.autograd.grad(loss, matrix)
    with torch.no_grad():
        gain = loss_of(matrix + 1e-7 * gradient / gradient.norm()) - loss
    assert gain.item() == pytest.approx(1e-7 * gradient.norm().item(), rel=0.01)


@every_target_heavy_slow
def test_looking_leaves_weights_buffers_gradients_and_modes_alone(kind: str) -> None:
    target, images, truth = seen_by(kind)
    module = target.module
    module.train()
    frozen_by_its_owner = next(part for part in module.modules() if not list(part.children()))
    frozen_by_its_owner.eval()
    modes = [part.training for part in module.modules()]
    learned = [parameter.requires_grad for parameter in module.parameters()]
    before = copy.deepcopy(module.state_dict())
    pixels = images.clone().requires_grad_()
    attack_loss(target, pixels, truth).sum().backward()  # type: ignore[no-untyped-call]
    target.confidence(images[:1], truth.take([0]))
    target.predict(images[:1])
    assert pixels.grad is not None
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert [part.training for part in module.modules()] == modes
    assert [parameter.requires_grad for parameter in module.parameters()] == learned
    assert not any(part._forward_hooks for part in module.modules())


@every_target
def test_the_attack_loss_of_an_image_does_not_depend_on_the_batch(kind: str) -> None:
    target, images, truth = seen_by(kind)
    with torch.no_grad():
        together = attack_loss(target, images, truth)
        alone = attack_loss(target, images[1:], truth.take([1]))
        again = attack_loss(target, images[1:], truth.take([1]))
    assert torch.equal(alone, again)
    torch.testing.assert_close(alone, together[1:], rtol=1e-4, atol=1e-5)


@every_detector_heavy_slow
def test_only_visible_pasted_objects_count(kind: str) -> None:
    target, size_px = prepared(kind)
    images, truth = scene(size_px)
    thin = truth.boxes_px.clone()
    thin[3, 2] = thin[3, 0] + 0.5
    own = Truth(truth.labels, truth.boxes_px, truth.image_index, torch.zeros_like(truth.pasted), truth.ignore, 2)
    with torch.no_grad():
        whole = attack_loss(target, images, truth)
        without = attack_loss(target, images, replace(truth, ignore=torch.tensor([False, False, False, True])))
        hidden = attack_loss(target, images, replace(truth, boxes_px=thin))
    assert without[0] == pytest.approx(whole[0].item(), rel=1e-4)
    assert without[1] != pytest.approx(whole[1].item(), rel=1e-4)
    torch.testing.assert_close(hidden, without, rtol=1e-4, atol=1e-5)
    assert attack_loss(target, images, own).tolist() == [0, 0]


@every_detector_heavy_slow
def test_the_training_loss_is_one_number_over_all_objects(kind: str) -> None:
    target, size_px = prepared(kind)
    module = copy.deepcopy(target.module)
    mine = DetectorTarget(module, CLASSES, target.columns, 1.0)
    images, truth = scene(size_px)
    module.eval()
    # All objects in the first image, none in the second.
    truth = replace(truth, image_index=torch.zeros_like(truth.image_index))
    flat = truth.boxes_px.clone()
    flat[1, 3] = flat[1, 1]  # torchvision stops at a box without height
    left = replace(truth, boxes_px=flat, ignore=torch.tensor([False, False, False, True]))
    torch.manual_seed(0)  # R-CNN's samples
    loss = mine.train_loss(images, left)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.shape == ()
    assert loss.isfinite()
    assert not module.training
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())
    no = torch.zeros(2, dtype=torch.bool)
    kept = Truth(*(part[[0, 2]] for part in (truth.labels, truth.boxes_px, truth.image_index, truth.pasted)), no, 3)
    torch.manual_seed(0)
    with torch.no_grad():
        torch.testing.assert_close(mine.train_loss(images, kept), loss.detach())
        assert mine.train_loss(images, Truth.empty(2)).isfinite()


@every_detector
def test_confidence_is_the_best_score_of_what_suppression_is_given(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.ops.boxes.batched_nms", lambda boxes, scores, *_: scores.argsort(descending=True))
    target, size_px = prepared(kind)
    images, truth = scene(size_px)
    images, truth = images[1:], truth.take([1])
    heads: Any = getattr(target.module, "roi_heads", target.module)
    for name, value in (("score_thresh", -1.0), ("detections_per_img", 10**6), ("topk_candidates", 10**6)):
        monkeypatch.setattr(heads, name, value, raising=False)
    (one,) = target.predict(images)
    boxes, expected = truth.boxes_px.clone(), []
    for row in range(2):
        wide = ((one["boxes"][:, 2:] - one["boxes"][:, :2]) > 2).all(1)
        boxes[row] = one["boxes"][wide][row]  # an object where something is predicted, whatever the weights
        near = box_iou(boxes[row, None], one["boxes"])[0] >= 0.5
        expected.append(one["scores"][near & (one["labels"] == truth.labels[row])].max().item())
    assert target.confidence(images, replace(truth, boxes_px=boxes)).tolist() == pytest.approx(expected, abs=1e-5)
    outside = replace(truth, boxes_px=boxes + 4 * size_px)
    assert target.confidence(images, outside).tolist() == [0, 0]


@every_detector
def test_boxes_are_in_pixels_of_the_images_given(kind: str) -> None:
    # Every pixel doubled is resized back to the same image.
    target, size_px = prepared(kind)
    images, truth = scene(size_px)
    images, truth = images[1:], truth.take([1])
    large, wide = (interpolate(images, scale_factor=2.0), replace(truth, boxes_px=2 * truth.boxes_px))
    with torch.no_grad():
        expected, found = (attack_loss(target, images, truth), attack_loss(target, large, wide))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    small = target.confidence(images, truth)
    torch.testing.assert_close(target.confidence(large, wide), small, rtol=1e-3, atol=1e-3)


@every_detector
def test_predictions_are_in_the_image_and_in_the_tasks_classes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, size_px = prepared(kind)
    bigger = interpolate(scene(size_px)[0][:1], scale_factor=2.0)
    heads: Any = getattr(target.module, "roi_heads", target.module)
    monkeypatch.setattr(heads, "score_thresh", 0.001)  # untrained scores are below torchvision's threshold
    (one,) = target.predict(bigger)
    assert len(one["boxes"]) > 0
    assert set(one["labels"].tolist()) <= {0, 1}
    assert ((one["boxes"] >= 0) & (one["boxes"] <= 2 * size_px)).all()
    assert one["boxes"].max() > size_px  # pixels of the given image, not of what the network sees
    assert torch.equal(one["scores"], one["scores"].sort(descending=True).values)
