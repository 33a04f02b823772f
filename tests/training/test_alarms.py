"""A run says so when its poses collapse or when nothing is hard any more."""

import torch

from terse.recipe import load_recipe
from terse.run import train


def test_collapsed_poses_raise_an_alarm(small):
    """A synthesizer pushed far too hard sends every digit to the ends of its ranges."""
    settings = [
        *small,
        "synthesis.optimizer.lr=1",
        "synthesis.dropout=0",
        "synthesis.steps=8",
        "synthesis.harvest_from=7",
    ]
    result = train(load_recipe("quickstart", [*settings, "cycles=1", "pretrain.epochs=2"]))
    assert any("lie at an end of the range" in alarm or "the poses cover" in alarm for alarm in result["alarms"])
    assert result["cycles"][0]["pose_entropy"] < 0.5


def test_healthy_poses_do_not(small):
    few = [o for o in small if not o.startswith(("synthesis.s", "synthesis.h", "synthesis.m"))]
    result = train(load_recipe("quickstart", ["synthesis.kind=random", *few, "cycles=1"]))
    assert not any("poses" in alarm for alarm in result["alarms"])
    assert result["cycles"][0]["pose_entropy"] > 0.8


def test_a_hard_rate_of_nothing_raises_an_alarm(small, monkeypatch):
    from terse.evaluation import hardness

    def nothing_is_hard(self, target, images, truth):
        none = torch.zeros(truth.batch_size)
        return hardness.Verdict(none.bool(), none)

    monkeypatch.setattr(hardness.Margin, "judge", nothing_is_hard)
    few = [o for o in small if not o.startswith(("synthesis.s", "synthesis.h", "synthesis.m"))]
    result = train(load_recipe("quickstart", ["synthesis.kind=mined", *few, "cycles=1"]))
    assert (
        "cycle 1: 0.0% of what was proposed is hard: the target has little left to learn from these poses, or is sure of nothing yet"
        in (result["alarms"])
    )
    assert result["cycles"][0]["samples"] == 0
