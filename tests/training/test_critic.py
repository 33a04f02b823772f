"""The harvest of an arm with a critic: its figures, what it costs, and a target that only judges."""

import json

import pytest
import torch

from terse.errors import RecipeError
from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.training.harvest import harvest_phase

CRITIC = ("synthesis.feedback=critic", "synthesis.critic={feature_steps: 3, first_fit: 60, batch_size: 30}")


class BlackBox:
    """Answers "zero" to everything: no module, no loss, no gradient.."""

    def predict(self, images):
        probabilities = torch.full((len(images), 10), 0.05)
        probabilities[:, 0] = 0.55
        return probabilities

    def confidence(self, images, truth):
        return self.predict(images).gather(1, truth.labels[:, None])[:, 0][truth.pasted]


@pytest.fixture(scope="module")
def result(tmp_path_factory, small):
    folder = tmp_path_factory.mktemp("critic") / "run"
    train(load_recipe("quickstart", [*small, *CRITIC]), out=folder)
    return json.loads((folder / "result.json").read_text())


def test_a_cycle_tells_what_its_critic_saved(result):
    row = result["cycles"][-1]
    assert 0 < row["judging_passes"] <= row["candidates"]  # those of a full class are not judged
    assert 0 < row["base_hard_rate"] <= 1
    assert 0 <= row["drift"] < 0.5
    assert -1 <= row["rank_correlation"] <= 1
    assert row["yield_over_mining"] == pytest.approx(row["found_per_pass"] / row["base_hard_rate"])


def test_an_arm_that_keeps_everything_judges_for_free(small):
    settings = [o for o in small if not o.startswith("synthesis.")]
    rows = train(load_recipe("quickstart", [*settings, "cycles=1", "synthesis.kind=random"]))["cycles"]
    assert rows[0]["judging_passes"] == 0
    assert "yield_over_mining" not in rows[0]
    assert "found_per_pass" not in rows[0]


def test_a_gradient_counts_as_two_judging_passes(small):
    rows = train(load_recipe("quickstart", [*small, "cycles=1", "pool.uneven=10", "synthesis.harvest=after"]))["cycles"]
    assert rows[0]["judging_passes"] == 4 * 32 * 3 + rows[0]["candidates"]


def test_a_black_box_is_harvested_with_a_critic_and_is_not_trained(small):
    recipe = load_recipe("quickstart", [*small, *CRITIC])
    session = open_session(recipe, None, target=BlackBox())
    harvest_phase(session, 1)
    found = session.facts["harvest"]
    assert found["found"] == len(session.pool) == 40
    assert found["base_hard_rate"] == pytest.approx(0.9, abs=0.1)  # all but the zeros
    assert session.costs.target_backwards == 0
    with pytest.raises(RecipeError, match="expected null for a target that only judges, got settings for BlackBox"):
        train(recipe, target=BlackBox())
