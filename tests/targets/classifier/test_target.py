import pytest
import torch
from torch import nn
from torch.nn import functional

from eq1 import attack_loss
from terse.errors import ShapeError
from terse.targets.classifier.target import ClassificationTarget, MNISTClassifier, MNISTClassifierDeep
from terse.types import Truth

TEN = tuple("0123456789")


def count(module):
    return sum(p.numel() for p in module.parameters())


def shapes(module, *kinds):
    seen = []
    for part in module.modules():
        if isinstance(part, kinds):
            part.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:])))
    module.eval()(torch.rand(1, 1, 40, 40))
    return seen


def test_the_small_classifier_layer_by_layer():
    module = MNISTClassifier()
    assert count(module) == (25 * 10 + 10) + (250 * 20 + 20) + (980 * 50 + 50) + (50 * 10 + 10) == 54_840
    assert shapes(module, nn.Conv2d, nn.MaxPool2d, nn.Linear) == [
        (10, 36, 36), (10, 18, 18), (20, 14, 14), (20, 7, 7), (50,), (10,),
    ]  # fmt: skip


def test_the_deep_classifier_layer_by_layer():
    module = MNISTClassifierDeep()
    convolutions = (25 * 64 + 64) + 3 * (64 * 64 * 25 + 64)
    assert count(module) == convolutions + 4 * 128 + (576 * 50 + 50) + (50 * 10 + 10)
    assert shapes(module, nn.Conv2d, nn.Linear) == [
        (64, 20, 20), (64, 10, 10), (64, 5, 5), (64, 3, 3), (50,), (10,),
    ]  # fmt: skip


def batch(n=6):
    torch.manual_seed(0)
    images, labels = torch.rand(n, 1, 40, 40), torch.arange(n) % 10
    truth = Truth.of_images(labels)
    return images, Truth(labels, truth.boxes_px, truth.image_index, torch.ones(n, dtype=torch.bool), truth.ignore, n)


@pytest.mark.parametrize("make", [MNISTClassifier, MNISTClassifierDeep])
def test_the_contract_of_a_classifier(make):
    images, truth = batch()
    target = ClassificationTarget(make(), TEN)
    target.module.train()
    target.module.features[0].eval()
    modes = [m.training for m in target.module.modules()]
    before = {k: v.clone() for k, v in target.module.state_dict().items()}
    images.requires_grad_()
    loss = attack_loss(target, images, truth)
    p = target.confidence(images, truth)
    assert loss.shape == (6,)
    assert torch.allclose(loss.detach(), -p.log(), atol=1e-5)
    assert torch.allclose(target.predict(images).sum(1), torch.ones(6))
    alone = attack_loss(target, images[2:3], truth.take([2]))
    assert torch.allclose(alone, loss[2:3], atol=1e-5)
    (gradient,) = torch.autograd.grad(loss.sum(), images)
    stepped = attack_loss(target, images + 0.5 * gradient / gradient.abs().amax(), truth)
    assert (stepped > loss).all()
    assert [m.training for m in target.module.modules()] == modes
    assert all(torch.equal(before[k], v) for k, v in target.module.state_dict().items())
    target.train_loss(images, truth)
    assert all(m.training for m in target.module.modules())


def test_the_training_loss_is_cross_entropy():
    images, truth = batch()
    module = nn.Sequential(nn.Flatten(), nn.Linear(1600, 10))
    target = ClassificationTarget(module, TEN)
    expected = functional.cross_entropy(module(images), truth.labels)
    assert torch.allclose(target.train_loss(images, truth), expected)


def test_a_module_that_returns_something_else_is_named():
    target = ClassificationTarget(nn.Sequential(nn.Flatten(), nn.Linear(1600, 7)), TEN)
    with pytest.raises(ShapeError) as caught:
        target.predict(batch()[0])
    assert str(caught.value) == (
        "target: expected logits of the shape (6, 10), got (6, 7); the classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    )


def test_blocks_of_all_sizes_are_judged_in_pieces_of_few_sizes():
    sizes = []
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    module.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    target = ClassificationTarget(module, ("a", "b", "c"))
    images = torch.rand(150, 1, 4, 4)
    found = target.predict(images)
    assert sizes == [64, 64, 22]
    torch.testing.assert_close(found, module(images).softmax(dim=1))
    sizes.clear()
    truth = Truth.of_images(torch.zeros(150, dtype=torch.int64))
    target.train_loss(images, truth).backward()
    with torch.no_grad():
        target.train_loss(images, truth)  # batch statistics are of the whole batch
    assert sizes == [150, 150]
