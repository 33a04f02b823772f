"""What every registered target must keep; `target_subjects.SUBJECTS` has a line for each.

Random weights and small images: what is tested holds for any weights.
"""

import copy
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad
from torchvision.ops import box_iou

from eq1 import attack_loss
from target_subjects import (
    JUDGES_ONLY,
    SUBJECTS,
    Subject,
    as_task,
    doubled,
    in_float64,
    prepared,
    scene,
    seen_by,
    targets,
)
from terse import registry
from terse.compositing import compose
from terse.objectives import fooling_loss
from terse.protocols import Attackable, Judges, Target, Trainable
from terse.recipe_parts import ObjectiveConfig
from terse.types import Truth

pytestmark = pytest.mark.usefixtures("trusts")

FORMS: tuple[Any, ...] = ("cross_entropy", "hinge", "log_one_minus")
every_target = targets()
every_detector = targets("detection")
every_smooth_target = targets(smooth=True)
every_classifier = targets("classification")


def test_every_registered_target_is_tried() -> None:
    assert {subject.kind for subject in SUBJECTS} == set(registry.kinds("target")) - set(JUDGES_ONLY)


@every_target
def test_it_judges_can_be_attacked_and_trained(subject: Subject) -> None:
    target = prepared(subject)
    assert isinstance(target, Judges)
    assert isinstance(target, Attackable)
    assert isinstance(target, Trainable)
    assert isinstance(target, Target)


@every_target
def test_evidence_is_of_pasted_objects_and_every_form_of_it_reaches_the_pixels(subject: Subject) -> None:
    target, (images, truth) = prepared(subject), seen_by(subject)
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
    assert bool(evidence.box_error.any()) == (subject.task not in ("classification", "regression"))
    for form in FORMS:
        loss = fooling_loss(evidence, ObjectiveConfig(form=form, hinge_margin=100))
        (gradient,) = torch.autograd.grad(loss.sum(), images, retain_graph=True)
        assert loss.shape == (2,)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()
        assert gradient.flatten(1).any(1).all()


@every_target
def test_confidence_is_a_probability_of_each_pasted_object(subject: Subject) -> None:
    target, (images, truth) = prepared(subject), seen_by(subject)
    p = target.confidence(images, truth)
    assert p.shape == (int(truth.pasted.sum()),)
    assert ((p >= 0) & (p <= 1)).all()
    assert not p.requires_grad
    if subject.task == "classification":
        assert torch.equal(p, target.predict(images).gather(1, truth.labels[:, None])[:, 0])
        torch.testing.assert_close(p, target.evidence(images, truth).log_p.exp().detach())
        assert not target.predict(images).requires_grad


@every_classifier
def test_the_training_loss_is_a_scalar_that_reaches_the_weights(subject: Subject) -> None:
    target, (images, truth) = prepared(subject), seen_by(subject)
    mine = copy.deepcopy(target)
    loss = mine.train_loss(images, truth)
    loss.backward()
    assert loss.shape == ()
    assert loss.isfinite()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in mine.module.parameters())


@every_target
def test_a_step_along_the_pixels_gradient_raises_the_attack_loss(subject: Subject) -> None:
    target, (images, truth) = prepared(subject), seen_by(subject)
    images = images.clone().requires_grad_()
    loss = attack_loss(target, images, truth)
    (gradient,) = torch.autograd.grad(loss.sum(), images)
    assert loss.shape == (2,)
    assert gradient.flatten(1).any(1).all()
    with torch.no_grad():
        after = attack_loss(target, images + 0.01 * gradient / gradient.square().sum(), truth)
    assert after.sum() > loss.sum()


@every_smooth_target
def test_a_step_along_the_synthesizers_gradient_raises_the_attack_loss(subject: Subject) -> None:
    # In float64, because networks with random weights are rough: the first order holds for tiny steps alone. The
    # proposals stay those of the first look, as the gradient holds them. No sample falls on a pixel's centre, where
    # bilinear interpolation has a kink.
    target, size_px = doubled(subject), subject.size_px
    draw = torch.Generator().manual_seed(2)
    background = torch.rand(1, subject.channels, size_px, size_px, generator=draw).double()
    foreground = torch.rand(1, subject.channels, 24, 24, generator=draw).double()
    alpha = pad(torch.ones(1, 1, 18, 18), (3, 3, 3, 3)).double()
    matrix = torch.tensor(
        [[[0.6131, 0.1073, 0.0937], [-0.1119, 0.5273, -0.0491]]], dtype=torch.float64, requires_grad=True
    )
    box = torch.tensor([[0.25, 0.22, 0.85, 0.72]]).double() * size_px
    one = torch.ones(1, dtype=torch.bool)
    truth = as_task(subject, Truth(torch.tensor([0]), box, torch.tensor([0]), one, ~one, 1))
    if hasattr(target.module, "rpn"):
        propose, seen = target.module.rpn.forward, []
        target.module.rpn.forward = lambda *of: seen[0] if seen else seen.append(propose(*of)) or seen[0]

    def loss_of(pose: Tensor) -> Tensor:
        drawn = compose(background, foreground, alpha, pose, binarise=False, blur_sigma_px=0.0)
        with in_float64():
            return attack_loss(target, drawn.images, truth).sum()

    loss = loss_of(matrix)
    (gradient,) = torch.autograd.grad(loss, matrix)
    with torch.no_grad():
        gain = loss_of(matrix + 1e-8 * gradient / gradient.norm()) - loss
    assert gain.item() == pytest.approx(1e-8 * gradient.norm().item(), rel=0.01)


@targets(left_out=("fcn_resnet50",))  # its smaller twin stays
def test_the_training_losss_gradient_reaches_every_parameter_and_agrees_with_finite_differences(
    subject: Subject,
) -> None:
    target, (images, truth) = doubled(subject) if subject.smooth else copy.deepcopy(prepared(subject)), seen_by(subject)
    kind = next(target.module.parameters()).dtype
    named = dict(target.module.named_parameters())
    learned = {name: part for name, part in named.items() if part.requires_grad}

    def loss() -> Tensor:
        torch.manual_seed(0)  # dropout, and R-CNN's samples
        with in_float64() if subject.smooth else nullcontext():
            found: Tensor = target.train_loss(images.to(kind), truth)
        return found

    gradients = dict(zip(learned, torch.autograd.grad(loss(), list(learned.values()), allow_unused=True), strict=True))
    unreached = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    assert [name for name in unreached if not name.startswith(subject.silent)] == []
    if not subject.smooth:
        return
    # R-CNN detaches its proposals, whose places its first layers move: only what follows is smooth.
    first = "roi_heads" if hasattr(target.module, "rpn") else ""
    moved = {name: part for name, part in gradients.items() if part is not None and name.startswith(first)}
    length = torch.stack([gradient.norm() for gradient in moved.values()]).norm()
    after = []
    with torch.no_grad():
        for step in (1e-7, -2e-7):
            for name, gradient in moved.items():
                learned[name] += step * gradient / length
            after.append(loss())
    assert ((after[0] - after[1]) / 2e-7).item() == pytest.approx(length.item(), rel=0.02)


@every_target
def test_looking_leaves_weights_buffers_gradients_and_modes_alone(subject: Subject) -> None:
    target, (images, truth) = prepared(subject), seen_by(subject)
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
def test_the_attack_loss_of_an_image_does_not_depend_on_the_batch(subject: Subject) -> None:
    target, (images, truth) = prepared(subject), seen_by(subject)
    with torch.no_grad():
        together = attack_loss(target, images, truth)
        alone = attack_loss(target, images[1:], truth.take([1]))
        again = attack_loss(target, images[1:], truth.take([1]))
    assert torch.equal(alone, again)
    torch.testing.assert_close(alone, together[1:], rtol=1e-4, atol=1e-5)


@every_detector
def test_only_visible_pasted_objects_count(subject: Subject) -> None:
    target, size_px = prepared(subject), subject.size_px
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


@every_detector
def test_the_training_loss_is_one_number_over_all_objects(subject: Subject) -> None:
    target, size_px = prepared(subject), subject.size_px
    mine = copy.deepcopy(target)
    module = mine.module
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
def test_confidence_is_the_best_score_of_what_suppression_is_given(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.ops.boxes.batched_nms", lambda boxes, scores, *_: scores.argsort(descending=True))
    target, size_px = prepared(subject), subject.size_px
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
def test_boxes_are_in_pixels_of_the_images_given(subject: Subject) -> None:
    # Every pixel doubled is resized back to the same image.
    target, size_px = prepared(subject), subject.size_px
    images, truth = scene(size_px)
    images, truth = images[1:], truth.take([1])
    large, wide = (interpolate(images, scale_factor=2.0), replace(truth, boxes_px=2 * truth.boxes_px))
    with torch.no_grad():
        expected, found = (attack_loss(target, images, truth), attack_loss(target, large, wide))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    small = target.confidence(images, truth)
    torch.testing.assert_close(target.confidence(large, wide), small, rtol=1e-3, atol=1e-3)


@every_detector
def test_predictions_are_in_the_image_and_in_the_tasks_classes(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, size_px = prepared(subject), subject.size_px
    bigger = interpolate(scene(size_px)[0][:1], scale_factor=2.0)
    heads: Any = getattr(target.module, "roi_heads", target.module)
    monkeypatch.setattr(
        heads, "score_thresh", 0.001, raising=False
    )  # untrained scores are below torchvision's threshold
    (one,) = target.predict(bigger)
    assert len(one["boxes"]) > 0
    assert set(one["labels"].tolist()) <= {0, 1}
    assert ((one["boxes"] >= 0) & (one["boxes"] <= 2 * size_px)).all()
    assert one["boxes"].max() > size_px  # pixels of the given image, not of what the network sees
    assert torch.equal(one["scores"], one["scores"].sort(descending=True).values)
