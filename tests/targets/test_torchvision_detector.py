"""What is particular to torchvision's detectors: weights, labels, training batches."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import mobilenet_v2

from terse.targets.torchvision_detector import SSDLiteMobileNetV2

SIZE = 96


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.save(tensors, path)
    return path


def built(weights: Path | None = None, classes: tuple[str, ...] = ("person",), **settings: object) -> object:
    config = SSDLiteMobileNetV2.model_validate({"weights": weights, "image_size_px": SIZE, **settings})
    return config.build(classes=classes, canvas_px=SIZE)


@pytest.mark.parametrize("prefix", ["features.", ""])
def test_a_backbone_is_found_under_either_of_its_names(prefix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = mobilenet_v2(weights=None).eval()
    names = {prefix + name: tensor for name, tensor in network.features.state_dict().items()}
    target = built(saved(tmp_path / "backbone.pth", names))
    assert target.found == "backbone"
    images = torch.rand(1, 3, SIZE, SIZE)
    maps = target.module.eval().backbone(images)
    torch.testing.assert_close(list(maps.values())[1], network.features(images))
