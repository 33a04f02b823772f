import pytest
import torch

from terse.errors import RecipeError
from terse.objectives import (
    RealismWeight,
    clip_composites,
    diversity_loss,
    fooling_loss,
    synthesizer_loss,
    target_loss_of,
)
from terse.recipe_parts import ObjectiveConfig
from terse.types import Evidence, Truth


def test_the_synthesizer_wants_the_target_to_fail_and_the_picture_to_be_real():
    attack, realism = torch.tensor([1.0, 3.0]), torch.tensor([0.5, 0.1])
    loss = synthesizer_loss(attack, realism, torch.rand(2, 6), ObjectiveConfig(fooling=2, realism=10))
    assert loss.total.item() == pytest.approx(10 * 0.3 - 2 * 2.0)
    assert (loss.fooling.item(), loss.realism.item()) == pytest.approx((2.0, 0.3))


def test_the_cap_bounds_what_one_composite_gives():
    attack = torch.tensor([1.0, 9.0], requires_grad=True)
    synthesizer_loss(attack, None, torch.rand(2, 6), ObjectiveConfig(cap=2)).total.backward()
    assert attack.grad.tolist() == [-0.5, 0.0]


def test_weights_leave_composites_out():
    attack = torch.tensor([1.0, 9.0])
    loss = synthesizer_loss(attack, None, torch.rand(2, 6), ObjectiveConfig(), torch.tensor([1.0, 0.0]))
    assert loss.total.item() == -1.0


def test_diversity_is_a_distance_of_quantiles_from_a_uniform_law():
    uniform = (torch.arange(1000)[torch.randperm(1000)][:, None] + 0.5) / 1000
    assert diversity_loss(uniform).item() == pytest.approx(0, abs=1e-6)
    assert diversity_loss(torch.full((1000, 3), 0.5)).item() == pytest.approx(1, abs=1e-4)
    assert diversity_loss(torch.zeros(1000, 3)).item() == pytest.approx(4, abs=1e-2)
    ends = torch.tensor([0.0, 1.0]).repeat(500)[:, None]
    assert diversity_loss(ends).item() == pytest.approx(1, abs=1e-2)  # two points, wider than uniform, are a collapse


def test_a_composites_gradient_is_clipped_at_its_raw_pose():
    raw = torch.zeros(2, 3, requires_grad=True)
    clip_composites(raw, 2.0, torch.arange(2), 2)
    (raw * torch.tensor([[3.0, 0.0, 4.0], [0.3, 0.0, 0.4]])).sum(1).mean().backward()
    expected = [[3 / 5 * 2 / 2, 0, 4 / 5 * 2 / 2], [0.15, 0, 0.2]]
    assert torch.allclose(raw.grad, torch.tensor(expected))


def test_what_a_composite_pastes_shares_its_length():
    raw = torch.zeros(3, 2, requires_grad=True)
    clip_composites(raw, 2.0, torch.tensor([0, 1, 0]), 2)
    (raw * torch.tensor([[3.0, 0.0], [0.5, 0.0], [0.0, 4.0]])).sum().div(2).backward()
    assert torch.allclose(raw.grad, torch.tensor([[3 / 5, 0], [0.25, 0], [0, 4 / 5]]))  # 2 of 5, over the mean of two


def test_realism_has_its_share_of_the_targets_gradient():
    """Whatever the two losses are, from medians over the composites that have a gradient."""
    weight = RealismWeight(0.5)
    fooling = torch.tensor([[4.0, 0.0], [0.0, 4.0], [0.0, 400.0], [0.0, 0.0]])
    realism = torch.tensor([[0.1, 0.0], [0.0, 0.1], [0.1, 0.0], [0.0, 0.0]])
    assert weight.of(fooling, realism) == pytest.approx(20)
    assert weight.of(torch.zeros(4, 2), realism) == pytest.approx(20)  # nothing to compare with
    again = RealismWeight(0.5)
    again.restore(weight.state())
    assert again.of(2 * fooling, realism) == weight.of(2 * fooling, realism) == pytest.approx(20 * 2**0.5)
    assert RealismWeight(1).of(fooling, realism * 1e-6) == 100


def test_the_realism_weight_gives_the_gradient_of_the_weighted_parts():
    raw = torch.rand(5, 3, requires_grad=True)
    settings = ObjectiveConfig(realism="auto", realism_share=0.1, fooling=3, diversity=0.2)
    loss = synthesizer_loss((2 * raw).sum(1), raw.square().sum(1), raw.sigmoid(), settings)
    weight = RealismWeight(0.1)
    (found,) = torch.autograd.grad(weight.scalar(loss, raw), raw, retain_graph=True)
    factor = RealismWeight(0.1).of(
        *(torch.autograd.grad(part, raw, retain_graph=True)[0] for part in (3 * loss.fooling, loss.realism))
    )
    (expected,) = torch.autograd.grad(factor * loss.realism - 3 * loss.fooling + loss.spread, raw)
    assert torch.allclose(found, expected)
    assert settings.effective_realism_form == "non_saturating"


def test_gradients_in_float64():
    generator = torch.Generator().manual_seed(0)
    poses = torch.rand(5, 3, generator=generator, dtype=torch.float64).requires_grad_()
    attack = torch.rand(5, generator=generator, dtype=torch.float64).requires_grad_()
    settings = ObjectiveConfig(diversity=0.7)
    assert torch.autograd.gradcheck(lambda a, p: synthesizer_loss(a, None, p, settings).total, (attack, poses))


def evidence_of(logits, labels, sigmoid=False, image_index=None, box_error=None, box_weight=1.0):
    """Evidence of one match for each row of logits; rows of one image stand together."""
    labels = torch.tensor(labels)
    index = torch.arange(len(labels)) if image_index is None else torch.tensor(image_index)
    truth = Truth(
        labels=labels,
        boxes_px=torch.zeros(len(labels), 4),
        image_index=index,
        pasted=torch.ones(len(labels), dtype=torch.bool),
        ignore=torch.zeros(len(labels), dtype=torch.bool),
        batch_size=int(index.max()) + 1,
    )
    error = None if box_error is None else torch.tensor(box_error)
    return Evidence.of_logits(
        torch.as_tensor(logits), labels, truth, torch.arange(len(labels)),
        sigmoid=sigmoid, box_error=error, box_weight=box_weight,
    )  # fmt: skip


LOGITS = [[2.0, 1.0, -1.0], [0.0, 3.0, 0.5]]


def test_cross_entropy_is_eq_1():
    p = torch.tensor(LOGITS).softmax(1)[:, 0]
    found = fooling_loss(evidence_of(LOGITS, [0, 0]), ObjectiveConfig())
    assert found.tolist() == pytest.approx((-p.log()).tolist())
    scores = torch.tensor(LOGITS).sigmoid()[:, 0]
    assert fooling_loss(evidence_of(LOGITS, [0, 0], sigmoid=True), ObjectiveConfig()).tolist() == pytest.approx(
        (-scores.log()).tolist()
    )


def test_the_hinge_is_the_lead_of_the_best_wrong_logit_up_to_its_margin():
    settings = ObjectiveConfig(form="hinge", hinge_margin=2.0)
    assert fooling_loss(evidence_of(LOGITS, [0, 0]), settings).tolist() == [-1.0, 2.0]
    assert fooling_loss(evidence_of(LOGITS, [0, 0], sigmoid=True), settings).tolist() == [-2.0, 0.0]


@pytest.mark.parametrize("sigmoid", [False, True])
def test_log_one_minus_pulls_where_the_target_is_sure(sigmoid):
    settings = ObjectiveConfig(form="log_one_minus")
    logits = torch.tensor([[30.0, 0.0], [1.0, 0.0], [-30.0, 0.0]], requires_grad=True)
    found = fooling_loss(evidence_of(logits, [0, 0, 0], sigmoid), settings)
    assert found.tolist() == pytest.approx([-30, -1.3132616, 0], abs=1e-5)  # float32 rounds the first p to 1
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert gradient[:, 0].tolist() == pytest.approx([-1, -0.7310586, 0], abs=1e-5)


def test_a_form_is_applied_to_each_match_before_the_mean_and_the_box_stands_apart():
    logits = [[5.0, 0.0], [0.0, 5.0], [0.0, 3.0]]
    settings = ObjectiveConfig(form="hinge", hinge_margin=1.0)
    evidence = evidence_of(logits, [0, 0, 0], image_index=[0, 0, 2], box_error=[2.0, 4.0, 6.0], box_weight=0.5)
    # Image 1 has no match.
    assert fooling_loss(evidence, settings).tolist() == [(-5 + 1) / 2 + 0.5 * 3, 0, 1 + 0.5 * 6]
    assert evidence.object_index.tolist() == [0, 1, 2]


@pytest.mark.parametrize("form", ["cross_entropy", "hinge", "log_one_minus"])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_gradients_of_every_form_in_float64(form, sigmoid):
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    settings = ObjectiveConfig(form=form, hinge_margin=1.7)  # no match stands on the hinge
    assert torch.autograd.gradcheck(lambda at: fooling_loss(evidence_of(at, [1, 2], sigmoid), settings), logits)


class OneValue:
    """A target as it was asked for before there was evidence."""

    def attack_loss(self, images, truth):
        return images.flatten(1).mean(1)


def test_a_target_with_attack_loss_alone_has_the_papers_form():
    images = torch.rand(2, 1, 4, 4)
    truth = Truth.of_images(torch.zeros(2, dtype=torch.int64))
    found = target_loss_of(OneValue(), ObjectiveConfig())(images, truth)
    assert torch.equal(found, images.flatten(1).mean(1))
    with pytest.raises(RecipeError) as caught:
        target_loss_of(OneValue(), ObjectiveConfig(form="hinge"))
    assert str(caught.value) == (
        "objective.form: expected cross_entropy for OneValue, whose attack_loss is one value an image, got 'hinge', "
        "which needs evidence (terse.protocols.Attackable)"
    )


def test_a_target_that_cannot_be_attacked_is_named():
    with pytest.raises(RecipeError) as caught:
        target_loss_of(object(), ObjectiveConfig())
    assert str(caught.value) == (
        "target: expected evidence or attack_loss for a synthesizer to learn against, got object without either "
        "(terse.protocols.Attackable); synthesis.kind=mined and synthesis.feedback=critic need confidence and predict alone"
    )
