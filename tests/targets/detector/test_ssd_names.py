"""SSD-300 in the names of ssd.pytorch and Caffe: our network computes what theirs does."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from terse import registry
from terse.targets.detector.networks import NETWORKS, SSD300_OF_VOC, build_with_weights
from terse.targets.detector.ssd_names import _caffe

VGG = (64, 64, "M", 128, 128, "M", 256, 256, 256, "C", 512, 512, 512, "M", 512, 512, 512)
BOXES = (4, 6, 6, 6, 4, 4)
EXTRAS = (
    (1024, 256, 1),
    (256, 512, 3),
    (512, 128, 1),
    (128, 256, 3),
    (256, 128, 1),
    (128, 256, 0),
    (256, 128, 1),
    (128, 256, 0),
)


class Theirs(nn.Module):
    """The network as ssd.pytorch builds it (its layers and forward pass, from its description)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for item in VGG:
            if isinstance(item, int):
                layers += [nn.Conv2d(channels, item, 3, padding=1), nn.ReLU()]
                channels = item
            else:
                layers.append(nn.MaxPool2d(2, 2, ceil_mode=item == "C"))
        layers += [nn.MaxPool2d(3, 1, 1), nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.ReLU()]
        layers += [nn.Conv2d(1024, 1024, 1), nn.ReLU()]
        self.vgg = nn.ModuleList(layers)
        self.L2Norm = nn.Module()
        self.L2Norm.weight = nn.Parameter(torch.full((512,), 20.0) + torch.rand(512))
        self.extras = nn.ModuleList(
            nn.Conv2d(a, b, 1) if size == 1 else nn.Conv2d(a, b, 3, 2, 1) if size == 3 else nn.Conv2d(a, b, 3)
            for a, b, size in EXTRAS
        )
        maps = (512, 1024, 512, 256, 256, 256)
        self.loc = nn.ModuleList(nn.Conv2d(c, k * 4, 3, padding=1) for c, k in zip(maps, BOXES, strict=True))
        self.conf = nn.ModuleList(nn.Conv2d(c, k * classes, 3, padding=1) for c, k in zip(maps, BOXES, strict=True))
        self.classes = classes

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = []
        for i, layer in enumerate(self.vgg):
            x = layer(x)
            if i == 22:
                maps.append(functional.normalize(x) * self.L2Norm.weight[None, :, None, None])
        maps.append(x)
        for i, layer in enumerate(self.extras):
            x = functional.relu(layer(x))
            if i % 2:
                maps.append(x)
        flat = [
            [head(one).permute(0, 2, 3, 1).flatten(1) for head, one in zip(heads, maps, strict=True)]
            for heads in (self.loc, self.conf)
        ]
        loc, conf = (torch.cat(parts, dim=1) for parts in flat)
        return loc.view(len(loc), -1, 4), conf.view(len(conf), -1, self.classes)


def priors() -> Tensor:
    """The default boxes of SSD's VOC models as centre and size in [0, 1]: its published sizes and order."""
    found = []
    sizes, larger = (30, 60, 111, 162, 213, 264), (60, 111, 162, 213, 264, 315)
    for k, cells in enumerate((38, 19, 10, 5, 3, 1)):
        step = (8, 16, 32, 64, 100, 300)[k]
        for i, j in itertools.product(range(cells), repeat=2):
            cx, cy, small = (j + 0.5) * step / 300, (i + 0.5) * step / 300, sizes[k] / 300
            found += [[cx, cy, small, small], [cx, cy, *[math.sqrt(small * larger[k] / 300)] * 2]]
            for ratio in ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))[k]:
                root = math.sqrt(ratio)
                found += [[cx, cy, small * root, small / root], [cx, cy, small / root, small * root]]
    boxes = torch.tensor(found)
    # ssd.pytorch clips centres too, which moves the 60 that lie beyond the border by 4 px; Caffe and torchvision do not.
    return torch.cat([boxes[:, :2], boxes[:, 2:].clamp(0, 1)], dim=1)


def raw(module: nn.Module, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Box errors, logits and default boxes of a torchvision SSD."""
    listed, _ = module.transform([image], None)
    features = list(module.backbone(listed.tensors).values())
    outputs = module.head(features)
    return outputs["bbox_regression"], outputs["cls_logits"], module.anchor_generator(listed, features)[0]


@pytest.fixture(scope="module")
def theirs() -> Theirs:
    torch.manual_seed(0)
    return Theirs(21).eval()


@torch.no_grad()
def check(path: Path, theirs: Theirs) -> None:
    image = torch.rand(3, 300, 300, generator=torch.Generator().manual_seed(1))
    mean = torch.tensor([123.0, 117.0, 104.0])[:, None, None]  # RGB, as both feed their networks
    loc, conf = theirs((image * 255 - mean)[None])
    module, outputs, found = build_with_weights(SSD300_OF_VOC, path, 21, 300)
    codes, logits, boxes = raw(module.eval(), image)
    assert (outputs, found) == (21, "detector")
    torch.testing.assert_close(codes, loc, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(logits, conf, atol=1e-3, rtol=1e-3)
    centre, size = priors().split(2, dim=1)
    corners = torch.cat([centre - size / 2, centre + size / 2], dim=1) * 300
    torch.testing.assert_close(boxes, corners, atol=0.02, rtol=0)


def test_ssd_pytorchs_names(theirs: Theirs, tmp_path: Path) -> None:
    torch.save(theirs.state_dict(), tmp_path / "ssd.pth")
    check(tmp_path / "ssd.pth", theirs)


@pytest.mark.slow
def test_caffes_names_and_colours(theirs: Theirs, tmp_path: Path) -> None:
    own = build_names(theirs)
    own["conv1_1.weight"] = own["conv1_1.weight"].flip(1)  # Caffe sees BGR
    own["conv4_3_norm.weight"] = theirs.L2Norm.weight.detach()[None, :, None, None]
    torch.save(own, tmp_path / "caffe.pth")
    check(tmp_path / "caffe.pth", theirs)


def build_names(theirs: Theirs) -> dict[str, Tensor]:
    """Their tensors by Caffe's names, in the order in which both list the layers."""
    state = theirs.state_dict()
    layers = [name.removesuffix(".weight") for name in state if name.endswith(".weight") and "L2Norm" not in name]
    order = [name for name in layers if not name.startswith(("loc", "conf"))]
    order += [name for part in ("conf", "loc") for name in layers if name.startswith(part)]
    names = [name for name, _ in _caffe()]
    return {
        f"{new}.{part}": state[f"{old}.{part}"]
        for new, old in zip(names, order, strict=True)
        for part in ("weight", "bias")
    }


@pytest.mark.slow
def test_a_recipe_says_which_default_boxes_the_weights_were_trained_with() -> None:
    config = registry.lookup("target", "ssd300_vgg16")
    scales = [
        config(anchors=anchors)._network().build(2, 300, {}).anchor_generator.scales for anchors in ("coco", "voc")
    ]
    assert [scale[0] for scale in scales] == [0.07, 0.1]
    assert config()._network() is NETWORKS["ssd300_vgg16"]
