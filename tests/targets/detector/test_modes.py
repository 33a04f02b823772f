"""A folded network computes what the whole one does, and is whole again after."""

from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet18, resnet50
from torchvision.ops.misc import FrozenBatchNorm2d

from terse.targets.detector.modes import folded


def with_statistics(module: nn.Module) -> nn.Module:
    """Scales, shifts and statistics far from those of a new BatchNorm."""
    draw = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm2d, FrozenBatchNorm2d)):
            for tensor, low, high in (
                (part.weight, 0.5, 1.5),
                (part.bias, -0.3, 0.3),
                (part.running_mean, -0.2, 0.2),
                (part.running_var, 0.5, 2.0),
            ):
                if tensor is not None:
                    tensor.data.uniform_(low, high, generator=draw)
    return module.eval()


@pytest.mark.parametrize(
    "make",
    [
        mobilenet_v2,
        resnet18,
        lambda: resnet50(norm_layer=FrozenBatchNorm2d),
        lambda: nn.Sequential(nn.Conv2d(3, 5, 3, bias=True), nn.BatchNorm2d(5, eps=0.1)),
    ],
)
def test_a_folded_network_computes_the_same_and_is_whole_after(make: Any) -> None:
    torch.manual_seed(0)
    network = with_statistics(make()).double()
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    structure, state = (str(network), {name: t.clone() for name, t in network.state_dict().items()})
    expected = network(images)
    (gradient,) = torch.autograd.grad(expected.square().sum(), images)
    with folded(network):
        norms = [part for part in network.modules() if isinstance(part, (nn.BatchNorm2d, FrozenBatchNorm2d))]
        found = network(images)
        (quick,) = torch.autograd.grad(found.square().sum(), images)
    # ResNet's stem has its layers as attributes of no order that could be relied on.
    assert len(norms) == (1 if hasattr(network, "bn1") else 0)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(quick, gradient)
    assert str(network) == structure
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_an_error_inside_leaves_the_network_whole() -> None:
    network = with_statistics(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)))
    before = list(network)
    with pytest.raises(RuntimeError), folded(network):
        network(torch.rand(1, 4, 8, 8))
    assert list(network) == before


def test_what_could_compute_something_else_is_not_folded() -> None:
    class Scaled(nn.Conv2d):
        """Twice the convolution."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(images)

    seen = []
    watched = nn.Conv2d(4, 4, 3)
    watched.register_forward_hook(lambda _m, _i, output: seen.append(output))
    network = nn.Sequential(Scaled(3, 4, 3), nn.BatchNorm2d(4), watched, nn.BatchNorm2d(4))
    network.extend([nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)])
    before = list(with_statistics(network))
    with folded(network):
        assert list(network) == before
