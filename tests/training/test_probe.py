"""What a user's target gives wrongly is named before anything is trained."""

import threading

import pytest
import torch
from torch import nn

from terse.errors import RecipeError
from terse.recipe import load_recipe
from terse.run import train
from terse.targets.classifier.target import ClassificationTarget
from terse.types import Evidence

TEN = tuple("0123456789")


class Mine:
    """A classifier of a user's, right but for what a test makes wrong."""

    def __init__(self):
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Flatten(), nn.Linear(1600, 10))
        self._inside = ClassificationTarget(self.module, TEN)

    def evidence(self, images, truth):
        return self._inside.evidence(images, truth)

    def confidence(self, images, truth):
        return self._inside.confidence(images, truth)

    def predict(self, images):
        return self._inside.predict(images)

    def train_loss(self, images, truth):
        return self._inside.train_loss(images, truth)


def refused(small, method, answer, *settings):
    target = Mine()
    setattr(target, method, answer)
    with pytest.raises(RecipeError) as told:
        train(load_recipe("quickstart", [*small, *settings]), target=target)
    return str(told.value)


def broken(*_):
    raise KeyError("logits")


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        (
            "predict",
            lambda images: torch.zeros(len(images), 3),
            f"target.predict: expected Mine to give probabilities of (2, 10), the classes being {', '.join(TEN)}, "
            "got a tensor of (2, 3)",
        ),
        (
            "predict",
            lambda images: torch.full((len(images), 10), torch.nan),
            "target.predict: expected Mine to give probabilities, got NaN or infinity; look at its weights and at how "
            "it normalises",
        ),
        (
            "predict",
            lambda images: torch.ones(len(images), 10),
            "target.predict: expected Mine to give probabilities that sum to 1, got rows that sum to [10.0, 10.0]; "
            "are they logits?",
        ),
        (
            "confidence",
            lambda images, truth: [0.5],
            "target.confidence: expected Mine to give a probability for each of 2 pasted objects, got list",
        ),
        (
            "confidence",
            lambda images, truth: torch.full((2,), torch.nan),
            "target.confidence: expected Mine to give probabilities, got [nan, nan]",
        ),
        ("confidence", broken, "target.confidence: expected an answer of Mine, got KeyError: 'logits'"),
        (
            "predict",
            lambda images: images.zero_().flatten(1)[:, :10] + 0.1,
            "target.predict: expected Mine to give an answer and leave the images as they are, got changed ones; work on a copy",
        ),
        (
            "confidence",
            lambda images, truth: images.zero_()[:, 0, 0, 0],
            "target.confidence: expected Mine to give an answer and leave the images as they are, got changed ones; work on a "
            "copy",
        ),
        (
            "train_loss",
            lambda images, truth: torch.zeros(2),
            "target.train_loss: expected Mine to give one number with a gradient, got a tensor of (2,)",
        ),
        (
            "train_loss",
            lambda images, truth: torch.tensor(0.5),
            "target.train_loss: expected Mine to give one number with a gradient, got one without; is it detached?",
        ),
    ],
)
def test_the_method_and_what_it_gave_are_named(small, method, answer, message):
    assert refused(small, method, answer) == message


def test_a_loss_that_is_no_number_is_named_with_the_way_out(small):
    target = Mine()
    target.evidence = lambda images, truth: target._inside.evidence(images * torch.nan, truth)
    with pytest.raises(RecipeError) as told:
        train(load_recipe("quickstart", small), target=target)
    assert str(told.value) == (
        "target.evidence: expected Mine to give finite numbers, got [nan, nan]; "
        "synthesis.kind=mined and synthesis.feedback=critic need no gradient"
    )


def test_a_gradient_to_the_weights_alone_is_named_with_the_way_out(small):
    target = Mine()
    target.evidence = lambda images, truth: Evidence.of_logits(
        target.module(images.detach()), truth.labels, truth, torch.arange(len(images))
    )
    with pytest.raises(RecipeError) as told:
        train(load_recipe("quickstart", small), target=target)
    assert str(told.value) == (
        "target.evidence: expected Mine to give numbers with a gradient to the pixels, got ones without; is one detached? "
        "synthesis.kind=mined and synthesis.feedback=critic need no gradient"
    )


def test_a_gradient_of_0_is_an_alarm_with_the_way_out(small):
    target = Mine()
    target.evidence = lambda images, truth: target._inside.evidence((255 * images).round() / 255, truth)
    result = train(load_recipe("quickstart", [*small, "cycles=1"]), target=target)
    assert result["alarms"][0] == (
        "the gradient of target.evidence is 0 in all pixels of two composites: is something rounded, or the network not "
        "trained yet? synthesis.kind=mined and synthesis.feedback=critic need no gradient"
    )


class Locked(Mine):
    """What cannot be copied, and weights that another part of it holds as well."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def test_a_target_that_cannot_be_copied_is_refused_where_pages_will_ask_copies_of_it(small, tmp_path):
    recipe = load_recipe("quickstart", [*small, "cycles=1"])
    with pytest.raises(RecipeError) as told:
        train(recipe, target=Locked(), out=tmp_path / "run")
    assert str(told.value) == (
        "target: expected Locked to be one that copy.deepcopy copies, as pages and references need, got TypeError: cannot "
        "pickle '_thread.lock' object; make that part when it is asked for, or define __deepcopy__"
    )
    assert train(recipe, target=Locked())["cycles"]


def test_answers_may_have_a_gradient(small):
    class Attached(Mine):
        def confidence(self, images, truth):
            return self.module(images).softmax(1)[truth.image_index, truth.labels]

        def predict(self, images):
            return self.module(images).softmax(1)

    mined = [*small, "cycles=1", "synthesis={kind: mined, batch_size: 4}"]
    assert train(load_recipe("quickstart", mined), target=Attached())["cycles"]


def test_a_target_that_never_fires_is_an_alarm(small):
    few = [one for one in small if not one.startswith(("synthesis.", "hardness."))]
    target = Mine()
    target.confidence = lambda images, truth: torch.full((int(truth.pasted.sum()),), 0.001)
    rule, arm = "hardness={kind: probability, below: 0.5}", "synthesis={kind: mined}"
    result = train(load_recipe("quickstart", [*few, rule, arm, "cycles=1"]), target=target)
    assert result["alarms"][0] == (
        "the target never fires: it gives none of 256 pasted objects a probability above 0.01; "
        "train it first (pretrain), or look at target.labels and at the images it takes"
    )


def test_looking_leaves_weights_and_statistics_as_they_were(small):
    target = Mine()
    target.module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1600), nn.Linear(1600, 10))
    target._inside = ClassificationTarget(target.module, TEN)
    before = {name: value.clone() for name, value in target.module.state_dict().items()}
    train(load_recipe("quickstart", [*small, "cycles=0", "pretrain=null"]), target=target)
    assert all(torch.equal(before[name], value) for name, value in target.module.state_dict().items())


def test_a_discriminator_that_cannot_see_the_images_is_refused_before_anything_is_trained(small):
    with pytest.raises(RecipeError) as told:
        train(load_recipe("quickstart", [*small, "synthesis.discriminator=true"]))
    assert str(told.value) == (
        "synthesis.discriminator: expected RGB of shape (batch, 3, height, width), at least 24 px a side, "
        "got (2, 1, 40, 40); synthesis.discriminator=false needs neither"
    )
