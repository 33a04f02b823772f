"""`helpful`: the product of two gradients by two forward passes, weights that are as before, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

from terse.errors import RecipeError
from terse.evaluation.diversity import pooled_features
from terse.evaluation.guide import HelpfulConfig
from terse.evaluation.hardness import MarginConfig, ProbabilityConfig
from terse.evaluation.helpful import Helpful
from terse.evaluation.reference import LearnableConfig
from terse.modes import frozen, through_weights
from terse.objectives import target_loss_of
from terse.placements import Placements
from terse.recipe_parts import ObjectiveConfig
from terse.targets.classifier.target import ClassificationTarget
from terse.targets.detector.modes import folded
from terse.targets.detector.target import DetectorTarget
from terse.types import Composites, Truth

CLASSES = 3


def target_of(seed=0):
    """A small network with all that a judge must leave alone: BatchNorm's statistics, dropout, the mode."""
    torch.manual_seed(seed)
    convolution = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Dropout(0.5))
    module = nn.Sequential(convolution, nn.Flatten(), nn.Linear(4 * 16, CLASSES)).train()
    return ClassificationTarget(module, tuple("abc"))


def composites_of(count, seed=1, labels=None):
    torch.manual_seed(seed)
    labels = torch.randint(CLASSES, (count,)) if labels is None else torch.tensor(labels)
    truth = replace(Truth.of_images(labels), pasted=torch.ones(count, dtype=torch.bool))
    composites = Composites(torch.rand(count, 1, 6, 6), truth, torch.ones(count))
    return composites, replace(
        Placements.single(np.zeros(count, int), np.arange(count), np.zeros((count, 1))), seed=np.arange(count)
    )


def gradients_of(target, composites):
    """Autograd's own, of each composite: rows of all weights."""
    found = []
    for row in range(len(composites.images)):
        with through_weights(list(target.module.parameters())):
            loss = -target.evidence(composites.images[row : row + 1], composites.truth.take([row])).log_p.sum()
        found.append(
            torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(target.module.parameters()))])
        )
    return torch.stack(found).double()


def steered(target, composites, **settings):
    """A rule with the mean gradient of these as its guide's."""
    rule = HelpfulConfig(of=MarginConfig(above=0.0), **settings).build()
    mean = gradients_of(target, composites).mean(0)
    weights = list(target.module.parameters())
    parts = torch.split(mean.float(), [weight.numel() for weight in weights])
    rule.steer(weights, [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)])
    return rule, mean


@pytest.mark.parametrize("cosine", [False, True])
def test_what_is_measured_is_the_product_of_autograds_gradients(cosine):
    target = target_of()
    rule, guide = steered(target, composites_of(8, seed=2)[0], cosine=cosine)
    composites, _ = composites_of(16)
    own = gradients_of(target, composites)
    wanted = own @ guide / (own.norm(dim=1) * guide.norm() if cosine else 1)
    verdict, rows, found = rule.measure(target, composites)
    assert rows.tolist() == list(range(16))
    assert found == pytest.approx(wanted.numpy(), rel=1e-3, abs=2e-4 * float(wanted.abs().max()))
    assert verdict.further.judging == (48 if cosine else 32)  # a backward pass counts as two


@pytest.mark.parametrize("cosine", [False, True])
def test_weights_buffers_and_modes_are_as_before_to_the_bit(cosine):
    target = target_of()
    rule, _ = steered(target, composites_of(8, seed=2)[0], cosine=cosine, step=0.3)
    before = {name: value.clone() for name, value in target.module.state_dict().items()}
    with frozen(target.module):
        rule.judge_composites(target, *composites_of(16))
        assert not any(weight.requires_grad for weight in target.module.parameters())
    after = target.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(weight.requires_grad and weight.grad is None for weight in target.module.parameters())
    assert all(part.training for part in target.module.modules())


def test_a_detectors_folded_batchnorm_does_not_hide_its_weights():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, 8, 1), nn.BatchNorm2d(8), nn.Tanh())
    body.out_channels = [8]
    boxes = DefaultBoxGenerator([[2]], scales=[0.4, 0.8], steps=[8])
    target = DetectorTarget(SSD(body, boxes, (64, 64), 2, head=None), ["object"], [1], 1.0)
    truth = replace(
        Truth.of_images(
            torch.zeros(4, dtype=torch.int64),
            torch.tensor([[4.0, 4, 40, 40], [9, 9, 50, 50], [2, 20, 40, 60], [0, 0, 30, 30]]),
        ),
        pasted=torch.tensor([True, True, True, False]),
    )  # nothing is pasted in the last
    composites = Composites(torch.rand(4, 3, 64, 64), truth, torch.ones(4))
    weights = list(target.module.parameters())
    loss_of = target_loss_of(target, ObjectiveConfig())
    with through_weights(weights):
        losses = loss_of(composites.images, truth)
        own = [torch.autograd.grad(losses[row], weights, retain_graph=True) for row in range(4)]
    assert all(bool(one.any()) for one in own[0])  # convolution and BatchNorm alike
    for cosine in (False, True):
        rule = HelpfulConfig(of=ProbabilityConfig(), cosine=cosine).build()
        length = rule.steer(weights, own[0])
        dots = [sum(float((a * b).sum()) for a, b in zip(one, own[0], strict=True)) for one in own]
        sizes = [sum(float(a.square().sum()) for a in one) ** 0.5 * length if cosine else 1 for one in own]
        wanted = [dot / size if dot else 0.0 for dot, size in zip(dots, sizes, strict=True)]
        _, _, found = rule.measure(target, composites)
        assert found == pytest.approx(np.array(wanted), rel=2e-3, abs=2e-3 * max(wanted))
        assert found[3] == 0


def test_weights_are_put_back_where_a_pass_fails():
    target = target_of()
    rule, _ = steered(target, composites_of(8, seed=2)[0])
    before = [weight.detach().clone() for weight in target.module.parameters()]

    def out_of_memory(module, inputs, output):
        raise torch.OutOfMemoryError

    composites, _ = composites_of(2)
    hook = target.module.register_forward_hook(out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        rule._products(target, composites.images, composites.truth)
    hook.remove()
    assert all(torch.equal(*pair) for pair in zip(before, target.module.parameters(), strict=True))


def test_the_guides_own_images_help_and_mislabelled_ones_harm():
    target = target_of()
    guide, _ = composites_of(1, seed=3, labels=[0])
    rule, _ = steered(target, guide)
    blank = torch.zeros_like(guide.images)  # what it teaches is the bias alone
    images = torch.cat([guide.images, guide.images, blank])
    truth = replace(Truth.of_images(torch.tensor([0, 1, 0])), pasted=torch.ones(3, dtype=torch.bool))
    _, placements = composites_of(3)
    _, _, found = rule.measure(target, Composites(images, truth, torch.ones(3)))
    assert found[1] < 0 < found[2] < found[0]
    assert rule.judge_composites(target, Composites(images, truth, torch.ones(3)), placements).hard.tolist() == [
        True,
        False,
        True,
    ]


def test_above_the_quantile_of_base_composites_is_kept():
    target = target_of()
    rule, _ = steered(target, composites_of(8, seed=2)[0], quantile=0.75)
    composites, placements = composites_of(40)
    verdict, _, found = rule.measure(target, composites)
    rule.cut_at(found, (1, 0))
    judged = rule.judge_composites(target, composites, placements)
    assert int(judged.hard.sum()) == 10
    assert found[judged.hard.numpy()].min() > np.quantile(found, 0.75)
    assert torch.equal(judged.hardness, verdict.hardness)  # 1 - p, as any rule says it


def test_in_proportion_keeps_by_how_much_each_helps():
    rule = HelpfulConfig(of=MarginConfig(), keep="in_proportion").build()
    rule.cut = 4.0
    values, seeds = np.repeat([-1.0, 1.0, 2.0, 4.0, 9.0], 2000), np.arange(10_000).astype(np.uint64)
    shares = rule._kept(values, seeds).reshape(5, -1).mean(1)
    assert shares == pytest.approx([0, 0.25, 0.5, 1, 1], abs=0.04)
    rule.cut = -4.0
    assert rule._kept(values, seeds).reshape(5, -1).mean(1).tolist() == [0, 1, 1, 1, 1]


def test_among_the_hard_ones_no_other_is_asked():
    target = target_of()
    rule, _ = steered(target, composites_of(8, seed=2)[0], among="hard")
    composites, placements = composites_of(16)
    hard = rule.of.judge(target, composites.images, composites.truth).hard
    assert 0 < int(hard.sum()) < 16
    verdict = rule.judge_composites(target, composites, placements)
    assert verdict.further.judging == 2 * int(hard.sum())
    assert not (verdict.hard & ~hard).any()
    assert torch.equal(rule.judge(target, composites.images, composites.truth).hard, hard)  # of real images
    sure = Composites(composites.images[~hard], composites.truth.take(torch.nonzero(~hard).flatten()), torch.ones(16))
    assert not rule.judge_composites(target, sure, placements.take(np.flatnonzero(~hard.numpy()))).hard.any()


def test_without_a_gradient_the_rule_is_of_alone():
    target, (composites, placements) = target_of(), composites_of(16)
    rule = HelpfulConfig(of=MarginConfig(above=0.0)).build()
    alone = rule.of.judge(target, composites.images, composites.truth)
    for _ in range(2):
        verdict = rule.judge_composites(target, composites, placements)
        assert torch.equal(verdict.hard, alone.hard)
        assert verdict.further.judging == 0
        weights = list(target.module.parameters())
        assert rule.steer(weights, [torch.zeros_like(weight) for weight in weights]) == 0


def test_the_cut_goes_on_with_a_state():
    rule = HelpfulConfig(of=MarginConfig()).build()
    rule.cut_at(np.array([1.0, 2.0, 3.0]), (2, 1))
    again = HelpfulConfig(of=MarginConfig()).build()
    again.restore(rule.state())
    assert (again.cut, again.harvest) == (2.0, [2, 1])


def test_nothing_is_frozen_or_folded_where_weights_are_asked():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    weights = list(module.parameters())
    with frozen(module), through_weights(weights), frozen(module), folded(module):
        assert all(weight.requires_grad for weight in weights)
        module(torch.rand(1, 1, 5, 5)).sum().backward()
    assert all(weight.grad is not None for weight in weights)


def test_a_rule_over_a_rule_is_refused():
    inner = HelpfulConfig(of=MarginConfig())
    for outer in (HelpfulConfig(of=inner), LearnableConfig(of=inner)):
        with pytest.raises(RecipeError, match=r"^hardness\.of: expected margin, probability or quantile, got helpful$"):
            outer.build()
    assert isinstance(inner.build(), Helpful)


@pytest.mark.parametrize("settings", [{}, {"among": "hard"}, {"cosine": True}])
def test_the_targets_features_are_those_of_the_verdict_alone(settings):
    target, (composites, placements) = target_of(), composites_of(8)
    rule, _ = steered(target, composites, **settings)
    with pooled_features(target.module) as seen:
        rule.judge_composites(target, composites, placements)
    assert seen.of(8).shape == (8, 4)
