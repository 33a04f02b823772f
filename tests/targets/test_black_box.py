"""A model that only judges: harvested against and measured, never trained."""

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from terse.errors import RecipeError
from terse.protocols import Attackable, Judges, Trainable
from terse.recipe import load_recipe
from terse.recipe_parts import PhaseConfig
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


def test_a_run_against_a_black_box_measures_it_and_fills_the_pool(small, tmp_path):
    result = train(recipe(small, "mined"), target=BlackBox(), out=tmp_path / "run")
    assert result["trained_elsewhere"]
    assert result["cycles"] == []
    assert result["metrics"]["start"] == result["metrics"]["end"]
    assert [path.name for path in sorted((tmp_path / "run").iterdir())] == [
        "labels.json", "metrics.jsonl", "page", "pool", "recipe.yaml", "result.json", "state"
    ]  # fmt: skip
    assert pq.read_table(tmp_path / "run" / "pool" / "cycle-0001.parquet").num_rows == 40


def test_a_synthesizer_cannot_learn_against_a_black_box(small):
    with pytest.raises(RecipeError) as caught:
        train(recipe(small, "learned"), target=BlackBox())
    assert str(caught.value) == (
        "target: expected evidence or attack_loss for a synthesizer to learn against, got BlackBox without either "
        "(terse.protocols.Attackable); synthesis.kind=mined and synthesis.feedback=critic need confidence and predict "
        "alone"
    )


def test_a_black_box_is_not_pretrained(small):
    with pytest.raises(RecipeError) as caught:
        train(recipe(small, "mined").model_copy(update={"pretrain": PhaseConfig()}), target=BlackBox())
    assert str(caught.value) == (
        "pretrain: expected null for a target that only judges, got settings for BlackBox; train it before the run begins"
    )
