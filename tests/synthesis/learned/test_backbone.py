"""The cut, its names and its weights; every case runs on tensors without storage or on small backbones."""

from pathlib import Path

import pytest
import torch
from torchvision import models

from terse.errors import DataError, RecipeError
from terse.synthesis.learned.backbone import build_backbone, load_backbone


def test_vgg_ends_with_its_fourth_pool_or_before_its_fifth() -> None:
    pool4, channels = build_backbone("vgg16_bn")
    conv5, deeper = build_backbone("vgg16_bn", "conv5")
    assert (len(pool4), channels, len(conv5), deeper) == (34, 512, 43, 512)
    assert isinstance(pool4[-1], torch.nn.MaxPool2d)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in pool4) == 10
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in conv5) == 13
    assert isinstance(conv5[-1], torch.nn.ReLU)


@pytest.mark.parametrize(
    ("name", "last", "channels"),
    [("mobilenet_v2", "13", 96), ("mobilenet_v3_small", "8", 48), ("resnet18", "layer3", 256)],
)
def test_other_backbones_end_with_their_last_layer_at_a_sixteenth(name: str, last: str, channels: int) -> None:
    backbone, found = build_backbone(name)
    assert [key for key, _ in backbone.named_children()][-1] == last
    assert found == channels
    assert backbone.eval()(torch.rand(1, 3, 128, 128)).shape == (1, channels, 8, 8)


def test_first_weights_are_drawn_and_finite() -> None:
    backbone, _ = build_backbone("mobilenet_v3_small")
    assert all(torch.isfinite(tensor).all() for tensor in backbone.state_dict().values())
    convolution = next(m for m in backbone.modules() if isinstance(m, torch.nn.Conv2d))
    assert 0.5 < convolution.weight.std() / (2 / (16 * 9)) ** 0.5 < 1.5


@pytest.mark.parametrize("prefix", ["", "features.", "backbone.features."])
def test_weights_are_read_under_any_prefix_and_float_type(prefix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = models.mobilenet_v3_small(weights=None)
    state = {prefix + key: tensor.half() for key, tensor in whole.features.state_dict().items()}
    torch.save({"state_dict": state | {"other.0.0.weight": torch.zeros(3)}}, tmp_path / "w.pth")
    backbone, _ = build_backbone("mobilenet_v3_small")
    load_backbone(backbone, "mobilenet_v3_small", tmp_path / "w.pth")
    images = torch.rand(1, 3, 64, 64)
    expected = whole.features[:9].half().float().eval()(images)
    assert torch.equal(backbone.eval()(images), expected)


@pytest.mark.parametrize(
    ("saved", "wanted", "got"),
    [
        (
            "vgg11",
            "vgg11_bn",
            "33 of 36 missing or of another shape, first 1.weight; the file has no BatchNorm: take backbone vgg11",
        ),
        (
            "mobilenet_v3_small",
            "resnet18",
            "75 of 75 missing or of another shape, first conv1.weight; name the backbone these weights were saved from",
        ),
    ],
)
def test_weights_of_another_backbone_are_refused(tmp_path: Path, saved: str, wanted: str, got: str) -> None:
    other, _ = build_backbone(saved)
    path = tmp_path / "other.pth"
    torch.save(other.state_dict(), path)
    backbone, _ = build_backbone(wanted)
    with pytest.raises(DataError) as caught:
        load_backbone(backbone, wanted, path)
    assert str(caught.value) == f"synthesis.backbone_weights: expected the tensors of {wanted} in {path}, got {got}"


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    backbone, _ = build_backbone("mobilenet_v3_small")
    path = tmp_path / "w.pth"
    with pytest.raises(DataError) as caught:
        load_backbone(backbone, "mobilenet_v3_small", path)
    assert str(caught.value) == f"{path}: expected a file of weights, got none"
    path.write_bytes(b"not tensors")
    with pytest.raises(DataError, match=r"w\.pth: expected weights as tensors only, got a file that cannot be read so"):
        load_backbone(backbone, "mobilenet_v3_small", path)


def test_a_backbone_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        build_backbone("vgg16bn")
    assert (
        str(caught.value)
        == "synthesis.backbone: expected a torchvision classifier, got 'vgg16bn'; did you mean 'vgg16_bn'?"
    )
    for name in ("regnet_y_400mf", "vit_b_16", "convnext_tiny", "mnasnet0_5"):
        with pytest.raises(RecipeError) as caught:
            build_backbone(name)
        assert str(caught.value) == (
            "synthesis.backbone: expected a chain of convolutions and BatchNorm down to a sixteenth of the image, "
            f"got {name}; vgg16_bn, mobilenet_v2, mobilenet_v3_small, resnet18 and efficientnet_b0 are"
        )
