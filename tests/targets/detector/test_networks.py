"""torchvision's detectors by name: their files of weights, and the task's classes in their outputs."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, mobilenet_v3_large, resnet50, vgg
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.ops.misc import FrozenBatchNorm2d

from terse import registry
from terse.errors import DataError, RecipeError
from terse.targets.detector.config import columns_of_classes
from terse.targets.detector.networks import NETWORKS
from terse.targets.detector.small import SmallFeatures
from terse.targets.detector.target import DetectorTarget
from terse.types import Truth

SIZE = 64
PLAIN = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": (partial(mobilenet_v3_large, weights=None), "features."),
    "fasterrcnn_resnet50_fpn": (partial(resnet50, weights=None), ""),
    "fcos_resnet50_fpn": (partial(resnet50, weights=None), ""),
    "maskrcnn_mobilenet_v3_large_fpn": (partial(mobilenet_v3_large, weights=None), "features."),
    "maskrcnn_resnet50_fpn": (partial(resnet50, weights=None), ""),
    "retinanet_resnet50_fpn": (partial(resnet50, weights=None), ""),
    "ssd300_vgg16": (lambda: nn.ModuleDict({"features": vgg.make_layers(vgg.cfgs["D"])}), "features."),
    "ssd_small": (SmallFeatures, ""),
    "ssdlite320_mobilenet_v3_large": (partial(mobilenet_v3_large, weights=None), "features."),
    "ssdlite_mobilenet_v2": (partial(mobilenet_v2, weights=None), "features."),
}


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.save(tensors, path)
    return path


def built(weights: Path | None, kind: str = "ssdlite_mobilenet_v2", **settings: Any) -> DetectorTarget:
    classes = settings.pop("classes", ("person",))
    config: Any = registry.lookup("target", kind)
    size_px = 272 if kind == "ssd300_vgg16" else SIZE
    target = config(weights=weights, image_size_px=size_px, **settings).build(classes=classes, canvas_px=size_px)
    assert isinstance(target, DetectorTarget)
    return target


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_plain_networks_weights_become_the_detectors_body(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, prefix = PLAIN[kind]
    plain = make().state_dict()
    target = built(saved(tmp_path / "backbone.pth", plain), kind)
    assert target.found == "backbone"
    own = target.module.state_dict()
    pairs = [(name, inner) for name in own if (inner := NETWORKS[kind].body(name)) is not None]
    assert all(torch.equal(own[name], plain[prefix + inner]) for name, inner in pairs)
    used = {prefix + inner for _, inner in pairs}
    left = {name for name in plain if name not in used and not name.startswith(("classifier.", "fc."))}
    assert all(name.endswith("num_batches_tracked") for name in left)  # frozen statistics count nothing


def test_the_body_computes_what_the_plain_network_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, SIZE, SIZE)
    for kind, plain in (("ssdlite_mobilenet_v2", mobilenet_v2()), ("ssdlite320_mobilenet_v3_large", None)):
        network = plain or mobilenet_v3_large(norm_layer=partial(nn.BatchNorm2d, eps=0.001, momentum=0.03))
        names = {name.removeprefix("features."): t for name, t in network.features.state_dict().items()}
        target = built(saved(tmp_path / kind, names), kind)
        maps = target.module.eval().backbone(images)
        torch.testing.assert_close(list(maps.values())[1], network.features.eval()(images))


def test_a_pretrained_pyramid_keeps_its_statistics(tmp_path: Path) -> None:
    bare, pretrained = (
        built(weights, "retinanet_resnet50_fpn").module
        for weights in (None, saved(tmp_path / "backbone.pth", resnet50(weights=None).state_dict()))
    )
    assert any(isinstance(part, nn.BatchNorm2d) for part in bare.modules())
    assert not any(isinstance(part, nn.BatchNorm2d) for part in pretrained.modules())
    assert any(isinstance(part, FrozenBatchNorm2d) for part in pretrained.modules())


def test_ssdlite_on_mobilenet_v3_is_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3).eval()
    ours = NETWORKS["ssdlite320_mobilenet_v3_large"].build(3, 320, {}).eval()
    ours.load_state_dict(theirs.state_dict())
    image = [torch.rand(3, 320, 320)]
    expected, found = theirs(image)[0], ours(image)[0]
    assert len(expected["boxes"]) > 0
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("kind", ["ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn"])
def test_what_started_from_a_backbone_is_found_again_as_a_whole(kind: str, tmp_path: Path) -> None:
    make, _ = PLAIN[kind]
    first = built(saved(tmp_path / "backbone.pth", make().state_dict()), kind)
    again = built(saved(tmp_path / "target.pth", first.module.state_dict()), kind)
    assert (first.found, again.found) == ("backbone", "detector")
    assert str(again.module) == str(first.module)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_whole_detector_is_found(suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    state = built(None).module.state_dict()
    file = tmp_path / f"mine{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save({"model": state}, file)
    with caplog.at_level(logging.INFO):
        target = built(file)
    assert target.found == "detector"
    assert caplog.messages == [f"target.weights: mine{suffix} holds a whole detector"]
    assert all(torch.equal(state[name], tensor) for name, tensor in target.module.state_dict().items())


def test_a_prefix_that_all_names_share_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    state, plain = built(None).module.state_dict(), mobilenet_v2(weights=None).state_dict()
    features = {name: tensor for name, tensor in plain.items() if name.startswith("features.")}
    for held, found in ((state, "detector"), (plain, "backbone"), (features, "backbone")):
        file = saved(tmp_path / "lightning.ckpt", {f"model.{name}": tensor for name, tensor in held.items()})
        with caplog.at_level(logging.INFO):
            target = built(file)
        assert target.found == found
        own = target.module.state_dict()
        first = "backbone.features.0.0.0.weight" if held is state else "features.0.0.weight"
        assert torch.equal(own["backbone.features.0.0.0.weight"], held[first])
    assert caplog.messages[0] == "lightning.ckpt: the names are read without 'model.', which all of them begin with"


def test_a_tensor_without_a_dimension_is_another_models(tmp_path: Path) -> None:
    name = "head.classification_head.module_list.0.1.weight"
    file = saved(tmp_path / "flat.pth", {**built(None).module.state_dict(), name: torch.tensor(1.0)})
    with pytest.raises(DataError) as told:
        built(file)
    assert "of shape" in str(told.value)
    assert str(told.value).startswith(f"target.weights: expected {name!r} of shape ")


def test_a_detector_of_other_classes_needs_labels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    five = built(None, classes=tuple("abcde"))
    file = saved(tmp_path / "five.pth", five.module.state_dict())
    labels = {"cat": 5, "dog": 2}
    target = built(file, classes=("cat", "dog"), labels=labels)
    assert target.columns == (5, 2)
    image = torch.rand(1, 3, SIZE, SIZE)
    (theirs,), (ours,) = five.predict(image), target.predict(image)
    for label, letter in ((0, 4), (1, 1)):  # five's labels count from 0 too
        assert torch.equal(ours["scores"][ours["labels"] == label], theirs["scores"][theirs["labels"] == letter])
    with pytest.raises(RecipeError) as told:
        built(file, classes=("cat", "dog"))
    assert str(told.value) == (
        "target.labels: expected a label for each class, because the detector has 6 outputs and the task 2 classes, "
        "got none; write labels: {cat: 1, ...}"
    )


@pytest.mark.parametrize(
    ("labels", "softmax", "message"),
    [
        ({"cat": 1}, True, "target.labels: expected a label for each of cat, dog, got none for dog; add it"),
        ({"cat": 0, "dog": 1}, True, "target.labels.cat: expected an integer from 1 to 3, got 0; 0 is the background"),
        ({"cat": 0, "dog": 4}, False, "target.labels.dog: expected an integer from 0 to 3, got 4"),
        (
            {"cat": 2, "dog": 2},
            True,
            "target.labels: expected a different label for each class, got {'cat': 2, 'dog': 2}",
        ),
    ],
)
def test_labels_that_do_not_fit(labels: dict[str, int], softmax: bool, message: str) -> None:
    with pytest.raises(RecipeError) as told:
        columns_of_classes(("cat", "dog"), 4, labels, softmax=softmax)
    assert str(told.value) == message


def test_labels_count_from_one_behind_a_background() -> None:
    assert columns_of_classes(("cat", "dog"), 3, None, softmax=True) == [1, 2]
    assert columns_of_classes(("cat", "dog"), 3, None, softmax=False) == [1, 2]
    assert columns_of_classes(("cat", "dog"), 2, None, softmax=False) == [0, 1]
    assert columns_of_classes(("cat", "dog"), 9, {"cat": 7, "dog": 3, "cow": 4}, softmax=True) == [7, 3]


def test_weights_of_something_else(tmp_path: Path) -> None:
    state = built(None).module.state_dict()
    last = "head.regression_head.module_list.5.1.bias"
    cut = saved(tmp_path / "cut.pth", {name: tensor for name, tensor in state.items() if name != last})
    more = saved(tmp_path / "more.pth", {**state, "head.more": torch.zeros(1)})
    wide = saved(tmp_path / "wide.pth", {**state, last: torch.zeros(7)})
    other = saved(tmp_path / "other.pth", {"layer.weight": torch.zeros(3)})
    fitting = "is target.kind the detector it was saved from?"
    messages = {
        cut: f"target.weights: expected every tensor of the detector, got {cut} without {last!r}",
        more: f"target.weights: expected the tensors of the detector alone, got {more} with 'head.more' as well; {fitting}",
        wide: f"target.weights: expected {last!r} of shape (24,), got (7,) in {wide}; {fitting}",
        other: f"target.weights: expected the whole detector or its backbone, got {other} without '0.0.weight'; "
        "its names begin with 'layer.weight'",
    }
    for file, message in messages.items():
        with pytest.raises(DataError) as told:
            built(file)
        assert str(told.value) == message


def test_ssd300_refuses_images_below_its_last_map() -> None:
    config: Any = registry.lookup("target", "ssd300_vgg16")
    with pytest.raises(ValueError, match="greater than or equal to 272"):
        config(image_size_px=271)
    assert config().image_size_px == 300


def test_without_a_size_the_canvas_is_what_the_detector_sees() -> None:
    config: Any = registry.lookup("target", "ssdlite_mobilenet_v2")
    target = config(image_size_px=None).build(classes=("person",), canvas_px=96)
    assert target.module.transform.fixed_size == (96, 96)
    assert config().build(classes=("person",), canvas_px=96).module.transform.fixed_size == (320, 320)


def test_a_faster_rcnn_trains_its_box_head_on_as_many_proposals_as_the_recipe_says() -> None:
    def sampled(**settings: Any) -> int:
        module = built(None, "fasterrcnn_mobilenet_v3_large_320_fpn", **settings).module
        count: int = module.roi_heads.fg_bg_sampler.batch_size_per_image
        return count

    assert (sampled(), sampled(proposals_per_image=64)) == (512, 64)


@torch.no_grad()
def test_images_in_which_nothing_is_proposed_hold_nothing() -> None:
    target = built(None, "fasterrcnn_mobilenet_v3_large_320_fpn", classes=("cat", "dog"))
    target.module.rpn.score_thresh = 1.1  # as a young network finds in some images
    images = torch.rand(2, 3, SIZE, SIZE)
    one = torch.zeros(1, dtype=torch.int64)
    box = torch.tensor([[4.0, 4, 40, 40]])
    truth = Truth(one, box, one, torch.ones(1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool), 2)
    assert target.confidence(images, truth).tolist() == [0.0]
    assert [len(found["boxes"]) for found in target.predict(images)] == [0, 0]
    assert len(target.evidence(images, truth).log_p) == 1  # the box itself is a proposal
