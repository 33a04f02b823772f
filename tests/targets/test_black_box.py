"""A model that only judges: harvested against and measured, never trained."""

import pytest
import torch
from torch import nn

from terse.errors import RecipeError
from terse.protocols import Attackable, Judges, Trainable
from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.targets.classifier.target import ClassificationTarget
from terse.tasks.task import task
from terse.training.harvest import harvest_phase

TEN = tuple("0123456789")


class BlackBox:
    """Answers as a service would: no weights to see."""

    def __init__(self):
        torch.manual_seed(0)
        self._inside = ClassificationTarget(nn.Sequential(nn.Flatten(), nn.Linear(1600, 10)), TEN)

    def confidence(self, images, truth):
        return self._inside.confidence(images, truth)

    def predict(self, images):
        return self._inside.predict(images)


def recipe(small, kind):
    few = [o for o in small if not o.startswith(("synthesis.", "pretrain"))]
    return load_recipe("quickstart", [f"synthesis.kind={kind}", "pretrain=null", *few])


def test_a_black_box_judges_and_no_more():
    box = BlackBox()
    assert isinstance(box, Judges)
    assert not isinstance(box, Attackable | Trainable)


def test_mining_against_a_black_box_fills_the_pool(small):
    session = open_session(recipe(small, "mined"), None, target=BlackBox())
    harvest_phase(session, 1)
    assert len(session.pool) == 40
    accuracy = task("classification").measure(session.players.target, session.players.test, session.engine.device)[
        "accuracy"
    ]
    assert 0 <= accuracy < 0.5


@pytest.mark.parametrize("kind", ["mined", "learned"])
def test_a_black_box_is_not_trained(small, kind):
    with pytest.raises(RecipeError) as caught:
        train(recipe(small, kind), target=BlackBox())
    assert str(caught.value) == (
        "target: expected a model that can be trained, got BlackBox without module and train_loss "
        "(terse.protocols.Target); `terse generate` makes images for a model that only judges"
    )


class Unattackable(BlackBox):
    """Can be trained, shows no gradient."""

    def __init__(self):
        super().__init__()
        self.module = self._inside.module
        self.train_loss = self._inside.train_loss


def test_a_model_without_evidence_is_refused_where_a_synthesizer_learns_and_trained_where_none_does(small):
    with pytest.raises(RecipeError) as caught:
        train(recipe(small, "learned"), target=Unattackable())
    assert str(caught.value) == (
        "target: expected evidence or attack_loss for a synthesizer to learn against, got Unattackable without either "
        "(terse.protocols.Attackable); synthesis.kind=mined needs confidence and predict alone"
    )
    assert train(recipe(small, "mined"), target=Unattackable())["cycles"]
