from types import SimpleNamespace

import pytest
import torch
from torch import nn

from terse.errors import RecipeError, TerseError
from terse.protocols import Judges, Trainable, is_attackable, is_judge, is_trainable
from terse.recipe import load_recipe
from terse.run import build_players, train
from terse.targets.copies import copy_of
from terse.targets.user import UserConfig

pytestmark = pytest.mark.usefixtures("trusts")
TEN = tuple("0123456789")

FACTORIES = """
import types

import torch
from torch import nn

def good(width=5):
    return nn.Sequential(nn.Flatten(), nn.Linear(1600, width), nn.ReLU(), nn.Linear(width, 10))

def none():
    return None

class BlackBox:
    def confidence(self, images, truth):
        return torch.full((int(truth.pasted.sum()),), 0.5)

    def predict(self, images):
        return torch.full((len(images), 10), 0.1)

class Counted(BlackBox):
    classes = 10

class Half:
    module = nn.Identity()

    def predict(self, images):
        return images

def broken():
    raise ValueError("no weights today")

def double():
    return good().double()

def three():
    return nn.Sequential(nn.Flatten(), nn.Linear(1600, 3))

class Named(nn.Module):  # answers as torchvision's Inception in train mode, and models of transformers
    def __init__(self):
        super().__init__()
        self.inner = good()

    def forward(self, images):
        return types.SimpleNamespace(logits=self.inner(images), aux_logits=None)

def exported():
    return torch.export.export(good().eval(), (torch.zeros(1, 1, 40, 40),)).module()

def scripted():
    return torch.jit.script(good())

def coloured():
    return nn.Sequential(nn.Conv2d(3, 10, 40), nn.Flatten())

class Boxes(nn.Module):  # called as torchvision's detectors are, and none of them
    def forward(self, images, targets=None):
        found = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
        return [found for _ in images]

class Stacked(Boxes):
    def forward(self, images, targets=None):
        return super().forward(torch.stack(images))

number = 3
"""


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("factories")
def test_a_classifier_of_the_users_own(small):
    config = UserConfig(factory="my_models:good", settings={"width": 8})
    assert config.build(classes=TEN, canvas_px=40).module[1].out_features == 8
    recipe = load_recipe("quickstart", [*small, "target={kind: user, factory: my_models:good}"])
    assert recipe.target.kind == "user"


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("my_models", "target.factory: expected module:function, got 'my_models'"),
        ("no_such_module:f", "target.factory: expected a module 'no_such_module' that imports, "
         "got ModuleNotFoundError: No module named 'no_such_module'"),
        ("my_models:f", "target.factory: expected my_models to have f, got no such name"),
        ("my_models:number", "target.factory: expected a function, got my_models:number = 3"),
        ("my_models:none", "target.factory: expected my_models:none to return a torch.nn.Module or a Target, "
         "got NoneType"),
        ("my_models:Half", "target.factory: expected my_models:Half to return a torch.nn.Module or a Target, "
         "got Half without confidence"),
        ("my_models:Counted", "target.factory: expected my_models:Counted to return a target whose classes are a list of "
         "names, or none, got 10; leave it out"),
        ("my_models:broken", "target.factory: expected my_models:broken to return a model, "
         "got ValueError: no weights today"),
    ],
)  # fmt: skip
def test_factories_that_do_not_work(factory, message):
    with pytest.raises(RecipeError) as caught:
        UserConfig(factory=factory).build(classes=TEN, canvas_px=40)
    assert str(caught.value) == message


@pytest.mark.usefixtures("factories")
def test_a_black_box_of_the_users_own(tmp_path):
    target = UserConfig(factory="my_models:BlackBox").build(classes=TEN, canvas_px=40)
    assert isinstance(target, Judges)
    assert not isinstance(target, Trainable)
    weights = tmp_path / "w.pth"
    with pytest.raises(RecipeError) as caught:
        UserConfig(factory="my_models:BlackBox", weights=weights).build(classes=TEN, canvas_px=40)
    assert str(caught.value) == (
        f"target.weights: expected null, because my_models:BlackBox returns a model without a module, got {weights}"
    )


class ModuleAroundModule(nn.Module):
    """A target that is itself a module: torch gives its `module` by `__getattr__`."""

    def __init__(self):
        super().__init__()
        self.module = nn.Linear(1, 1)

    def train_loss(self, images, truth): ...

    def confidence(self, images, truth): ...

    def predict(self, images): ...

    def evidence(self, images, truth): ...


class Delegates:
    """A wrapper around another's target."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.mark.parametrize("made", [ModuleAroundModule(), Delegates(ModuleAroundModule())], ids=["module", "wrapper"])
def test_what_getattr_gives_counts(made):
    """From Python 3.12 on `isinstance` with a protocol does not see it."""
    assert is_judge(made)
    assert is_trainable(made)
    assert is_attackable(made)
    assert not is_trainable(nn.Linear(1, 1))


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            "double",
            "target.factory: expected my_models:double to return a model that takes float32 images of 40 x 40 px, "
            "got Sequential, which raised RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Double; "
            "try it on one image",
        ),
        *(
            (
                name,
                f"target.factory: expected my_models:{name} to return a classifier, a detector of torchvision's own classes "
                f"or a Target, got {name}, which answers with boxes as those detectors do; wrap it in an object with "
                "confidence, predict, module and train_loss",
            )
            for name in ("Boxes", "Stacked")
        ),
        (
            "three",
            f"target: expected logits of the shape (1, 10), got (1, 3); the classes are {', '.join(TEN)}",
        ),
    ],
)
def test_a_classifier_that_cannot_answer_is_told_before_a_run(factory, message):
    with pytest.raises(TerseError) as caught:
        UserConfig(factory=f"my_models:{factory}").build(classes=TEN, canvas_px=40)
    assert str(caught.value) == message


@pytest.mark.usefixtures("factories")
def test_a_program_that_has_one_mode_is_told_how_it_is_asked():
    with pytest.raises(TerseError) as caught:
        UserConfig(factory="my_models:exported").build(classes=TEN, canvas_px=40)
    assert str(caught.value) == (
        "target.factory: expected my_models:exported to return a model that changes between train and eval mode, got "
        "GraphModule, which raised NotImplementedError: Calling train() is not supported yet.; one that only answers is asked "
        "by an object with confidence and predict"
    )


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.usefixtures("factories")
def test_copies_of_torchscript_learn():
    target = UserConfig(factory="my_models:scripted").build(classes=TEN, canvas_px=40)
    weights = list(copy_of(target).module.parameters())
    assert all(weight.is_leaf and weight.requires_grad for weight in weights)


@pytest.mark.usefixtures("factories")
def test_a_classifier_of_colour_images_is_taken():
    assert UserConfig(factory="my_models:coloured").build(classes=TEN, canvas_px=40).classes == TEN


@pytest.mark.usefixtures("factories")
def test_a_classifier_may_answer_with_an_object_that_has_logits():
    target = UserConfig(factory="my_models:Named").build(classes=TEN, canvas_px=40)
    assert target.predict(torch.zeros(2, 1, 40, 40)).shape == (2, 10)


def test_a_model_that_is_given_is_what_a_factory_returns(small):
    model = nn.Sequential(nn.Flatten(), nn.Linear(1600, 10))
    before = model[1].weight.clone()
    result = train(load_recipe("quickstart", [*small, "cycles=1"]), target=model)
    assert len(result["cycles"]) == 1
    assert not torch.equal(model[1].weight, before)


class TakesNothing(nn.Module):
    def forward(self, images):
        raise ValueError("no")


def test_a_detector_that_is_given_is_wrapped():
    few = "data={kind: shapes, train: 12, val: 6, test: 6, backgrounds: 6}"
    recipe = load_recipe("shapes", [few, "target.kind=ssd_small"])
    detector = recipe.target.build(classes=("a", "b", "c"), canvas_px=96).module
    assert is_attackable(build_players(recipe, target=detector).target)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (3, "target: expected a torch.nn.Module or a Target, got int"),
        (nn.Linear, "target: expected a torch.nn.Module or a Target, got type"),
        (
            TakesNothing(),
            "target: expected a model that takes float32 images of 40 x 40 px, got TakesNothing, which raised ValueError: "
            "no; try it on one image",
        ),
        (
            SimpleNamespace(predict=print, confidence=print, module=print),
            "target: expected a target whose module is a torch.nn.Module, got builtin_function_or_method; one that is only "
            "asked needs none: leave it out",
        ),
    ],
)
def test_what_is_given_and_no_target_is_named(model, message, small):
    with pytest.raises(RecipeError) as caught:
        train(load_recipe("quickstart", small), target=model)
    assert str(caught.value) == message
