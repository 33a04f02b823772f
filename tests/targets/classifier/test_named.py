import sys

import pytest
import torch

from terse.errors import DataError, MissingExtra, RecipeError, ShapeError
from terse.targets.classifier.libraries import TimmConfig, TorchvisionClassifierConfig
from terse.targets.classifier.target import objects_of_images
from terse.targets.pixels import Pixels
from terse.types import Truth


def build(classes="abc", **settings):
    return TimmConfig(**{"model": "test_resnet", **settings}).build(classes=tuple(classes), canvas_px=64)


def refused(error, **settings):
    with pytest.raises(error) as told:
        build(**settings)
    return str(told.value)


@pytest.fixture
def five(tmp_path):
    """The weights of a network of five classes."""
    target = build("abcde")
    torch.save(target.module.state_dict(), tmp_path / "five.pth")
    return target, tmp_path / "five.pth"


def test_weights_of_the_same_classes_are_the_whole_model(five):
    before, file = five
    after = build("vwxyz", weights=file)
    images = torch.rand(2, 3, 64, 64)
    assert after.found == "model"
    assert torch.equal(before.predict(images), after.predict(images))


def test_a_prefix_that_all_names_share_is_left_out(five, tmp_path):
    before, file = five
    names = torch.load(file)
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in names.items()}}, tmp_path / "lightning.ckpt")
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(
        build(weights=tmp_path / "lightning.ckpt", classes="abcde").predict(images), before.predict(images)
    )
    assert build(weights=tmp_path / "lightning.ckpt").found == "backbone"


def test_a_last_layer_without_a_dimension_is_another_models(five, tmp_path):
    names = torch.load(five[1])
    torch.save({**names, "fc.bias": torch.tensor(1.0)}, tmp_path / "flat.pth")
    assert refused(DataError, weights=tmp_path / "flat.pth", labels={"a": 0, "b": 1, "c": 2}) == (
        f"{tmp_path}/flat.pth: expected a last layer of one size, got [1, 5]; is it another model's?"
    )


def test_weights_of_other_classes_leave_the_last_layer_new(five):
    before, file = five
    after = build("ab", weights=file)
    mine, theirs = after.module.state_dict(), before.module.state_dict()
    new = [name for name, tensor in mine.items() if not torch.equal(tensor, theirs[name])]
    assert after.found == "backbone"
    assert new == ["fc.weight", "fc.bias"]


def test_labels_take_a_network_that_knows_more_classes(five):
    before, file = five
    after = build("ab", weights=file, labels={"a": 4, "b": 1})
    images = torch.rand(2, 3, 64, 64)
    both = before.predict(images)[:, [4, 1]]
    torch.testing.assert_close(after.predict(images), both / both.sum(1, keepdim=True))


def test_what_a_library_does_not_have_is_named(five):
    assert refused(RecipeError, model="test_resnit") == (
        "target.model: expected a classifier of timm, got 'test_resnit'; did you mean 'test_resnet'?"
    )
    assert refused(RecipeError, settings={"width": 3}).startswith(
        "target.settings: expected settings of test_resnet, got TypeError: "
    )
    assert refused(RecipeError, model="vit_tiny_patch16_224").startswith(
        "target.image_size_px: expected a side that vit_tiny_patch16_224 takes, got 64, at which it raised AssertionError: "
    )
    assert refused(DataError, model="test_efficientnet", weights=five[1]).startswith(
        f"{five[1]}: expected the weights of EfficientNet, got another model's ("
    )


def test_torchvision_has_the_same_words():
    with pytest.raises(RecipeError) as told:
        TorchvisionClassifierConfig(model="resnet19").build(classes=("a", "b"), canvas_px=64)
    assert str(told.value) == (
        "target.model: expected a classifier of torchvision, got 'resnet19'; did you mean 'resnet18'?"
    )


def test_a_network_that_asks_how_its_first_weights_are_drawn_says_nothing(recwarn):
    target = TorchvisionClassifierConfig(model="googlenet", settings={"aux_logits": False}).build(
        classes=("a", "b"), canvas_px=64
    )
    assert target.predict(torch.rand(2, 3, 64, 64)).shape == (2, 2)
    assert not recwarn.list


def test_without_timm_the_line_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert refused(MissingExtra) == (
        "target.kind=timm: expected the extra 'timm' to be installed, got no such package; "
        'run: pip install "terse-synth[timm]"'
    )


def test_pixels_are_averaged_where_images_shrink_and_grey_ones_get_three_channels():
    images = torch.arange(16.0).reshape(1, 1, 4, 4)
    shown = Pixels((1.0, 1.0, 1.0), (2.0, 2.0, 2.0), 2)(images)
    assert shown.shape == (1, 3, 2, 2)
    assert shown[0, 2].tolist() == [[0.75, 1.75], [4.75, 5.75]]


def truth(index, pasted):
    n = len(index)
    no = torch.zeros(n, dtype=torch.bool)
    return Truth(torch.arange(n), torch.zeros(n, 4), torch.tensor(index), torch.tensor(pasted), no, 2)


def test_the_pasted_object_gives_an_image_its_class():
    assert objects_of_images(truth([0, 1], [False, False])).tolist() == [0, 1]
    assert objects_of_images(truth([0, 0, 1], [False, True, False])).tolist() == [1, 2]


def test_images_of_several_objects_are_no_classifiers():
    with pytest.raises(ShapeError) as told:
        objects_of_images(truth([0, 0], [True, True]))
    assert str(told.value) == (
        "truth: expected one object in each image of a classifier, got images with 0 to 2; "
        "paste one object an image, and take real images of one class each"
    )
