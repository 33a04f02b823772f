import pytest
import torch
from torch import nn

from terse.errors import RecipeError
from terse.recipe import load_recipe
from terse.run import open_session
from terse.synthesis.learned.config import LearnedConfig
from terse.synthesis.learned.digits import DigitSynthesizer


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters_layer_by_layer():
    """The dump of A.1, with the one branch that both inputs share."""
    network = DigitSynthesizer()
    convolution = lambda i, o, k: i * o * k * k + o  # noqa: E731
    norm = lambda c: 2 * c  # noqa: E731
    assert count(network.backbone) == convolution(1, 10, 5) + norm(10)
    assert count(network.branch) == convolution(10, 20, 3) + norm(20) + convolution(20, 20, 3) + norm(20)
    head = convolution(40, 20, 3) + norm(20) + convolution(20, 20, 3) + norm(20)
    assert count(network.join) + count(network.features) == head
    dense = 1620 * 50 + 50 + norm(50) + 50 * 20 + 20 + norm(20) + 20 * 6 + 6
    assert count(network.regressor) == dense
    assert count(network) == 99_056


def test_shapes_layer_by_layer():
    network = DigitSynthesizer().eval()
    shapes = []
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.MaxPool2d | nn.Linear):
            part.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
    network(torch.rand(2, 1, 40, 40), torch.zeros(2, 1, 40, 40))
    one_input = [(10, 36, 36), (10, 17, 17), (20, 15, 15), (20, 13, 13)]
    assert shapes == [*one_input, *one_input, (20, 9, 9), (50,), (20,), (6,)]


def test_the_split_convolution_is_the_dumps_layer_over_both_inputs():
    torch.manual_seed(0)
    network = DigitSynthesizer().eval()
    fore, back = torch.rand(3, 1, 40, 40), torch.rand(3, 1, 40, 40)
    seen = [network.branch(network.backbone(x)) for x in (fore, back)]
    whole = network.regressor(network.features(network.join(torch.cat(seen, dim=1))).flatten(1))
    assert torch.allclose(network(fore, back), whole, atol=1e-5)


def test_a_constant_background_costs_one_image_and_leaves_its_statistics_out():
    torch.manual_seed(0)
    network = DigitSynthesizer(dropout=0.0)
    fore, black = torch.rand(8, 1, 40, 40), torch.zeros(1, 1, 40, 40)
    network.eval()
    assert torch.allclose(network(fore, black), network(fore, black.expand(8, -1, -1, -1).clone()), atol=1e-5)
    network.train()
    mean = network.backbone[2].running_mean.clone()
    pooled = network.backbone[1](network.backbone[0](fore))
    expected = 0.9 * mean + 0.1 * pooled.mean((0, 2, 3))
    network(fore, black)
    assert torch.allclose(network.backbone[2].running_mean, expected, atol=1e-5)
    assert all(m.training for m in network.modules())


def test_weights_are_xavier_with_gain_0_4():
    torch.manual_seed(0)
    layer = DigitSynthesizer().regressor[0]
    bound = 0.4 * (6 / (1620 + 50)) ** 0.5
    assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert layer.bias.abs().max() == 0


def test_noise_joins_in_front_of_the_regressor():
    network = DigitSynthesizer(noise_size=4).eval()
    assert network.regressor[0].in_features == 1624
    fore, back = torch.rand(1, 1, 40, 40), torch.zeros(1, 1, 40, 40)
    first, second = (network(fore, back, noise) for noise in torch.randn(2, 1, 4))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("canvas_px", [40, 64])
def test_it_is_refused_for_photographs(canvas_px):
    recipe = load_recipe(
        "shapes",
        [f"canvas_px={canvas_px}", f"data.canvas_px={canvas_px}", "data.train=2", "data.val=2", "data.test=2"],
    )
    recipe = recipe.model_copy(update={"synthesis": LearnedConfig(discriminator=False)})
    with pytest.raises(RecipeError) as told:
        open_session(recipe, None)
    assert str(told.value) == (
        f"synthesis.network: expected photographs for images of 3 x {canvas_px} x {canvas_px}, got digits, which takes "
        "1 x 40 x 40 (channels, height, width)"
    )
