import pytest
import torch

from terse.objectives import diversity_loss, synthesizer_loss
from terse.recipe import ObjectiveConfig


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


def test_diversity_is_0_for_uniform_and_1_for_collapsed_poses():
    uniform = torch.linspace(0, 1, 1001)[:, None]
    assert diversity_loss(uniform).item() == pytest.approx(0, abs=1e-3)
    assert diversity_loss(torch.full((8, 3), 0.4)).item() == pytest.approx(1, abs=1e-4)
    ends = torch.tensor([0.0, 1.0])[:, None]
    assert diversity_loss(ends).item() == 0  # wider than uniform is no fault


def test_gradients_in_float64():
    generator = torch.Generator().manual_seed(0)
    poses = torch.rand(5, 3, generator=generator, dtype=torch.float64).requires_grad_()
    attack = torch.rand(5, generator=generator, dtype=torch.float64).requires_grad_()
    settings = ObjectiveConfig(diversity=0.7)
    assert torch.autograd.gradcheck(lambda a, p: synthesizer_loss(a, None, p, settings).total, (attack, poses))
