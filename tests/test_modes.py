import pytest
import torch
from torch import nn

from terse.modes import eval_mode, frozen, in_mode


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))


def test_modes_are_put_back_part_by_part_also_after_an_error():
    module = network().train()
    module[1].eval()
    before = [part.training for part in module.modules()]
    with eval_mode(module):
        assert not any(part.training for part in module.modules())
    assert [part.training for part in module.modules()] == before
    with pytest.raises(RuntimeError), in_mode(module, training=True):
        module(torch.rand(4, 3, 8, 8))  # of three channels, where one is wanted
    assert [part.training for part in module.modules()] == before


def test_eval_mode_protects_the_statistics_of_batch_norm():
    module = network().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with eval_mode(module):
        module(torch.rand(4, 1, 8, 8))
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_what_was_frozen_before_stays_frozen():
    module = network()
    module[0].bias.requires_grad_(False)
    with frozen(module, None):
        assert not any(p.requires_grad for p in module.parameters())
    assert [p.requires_grad for p in module.parameters()] == [True, False, True, True]
