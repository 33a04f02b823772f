"""A player's weights become NaN in the middle of a run: it is named, and the state before goes on."""

import pytest
import torch

from killing import lasting
from terse.errors import Diverged
from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.synthesis.learned import critic as critic_module
from terse.training.checkpoint import read_checkpoint
from terse.training.engine import Engine

pytestmark = pytest.mark.usefixtures("unchecked")  # the same runs as elsewhere, many times

MORE = {
    "target": (),
    "synthesizer": (),
    "critic": ("synthesis.feedback=critic", "synthesis.critic={feature_steps: 3, first_fit: 24, batch_size: 16}"),
}


def poisoned(monkeypatch, player, at):
    """After so many updates of a player a weight of it is NaN; a critic is fitted to NaN."""
    if player == "critic":
        fit = critic_module.fit
        monkeypatch.setattr(
            "terse.synthesis.learned.critic_proposer.fit",
            lambda rows, kept, hardness, weight: fit(rows, kept, hardness * float("nan"), weight),
        )
        return
    update, left = Engine.update, [at]

    def updated(self, whose, loss, module, *rest):
        update(self, whose, loss, module, *rest)
        if whose == player:
            left[0] -= 1
            if left[0] == 0:
                with torch.no_grad():
                    next(module.parameters()).view(-1)[0] = float("nan")

    monkeypatch.setattr(Engine, "update", updated)


@pytest.mark.parametrize("player", MORE)
def test_nan_in_a_player(small, tmp_path, monkeypatch, player):
    recipe = load_recipe("quickstart", [*small, *MORE[player]])
    with monkeypatch.context() as patch:
        poisoned(patch, player, {"target": 6}.get(player, 2))
        with pytest.raises(Diverged) as caught:
            train(recipe, out=tmp_path / "run")
    assert caught.value.player == player
    tensors, _ = read_checkpoint(tmp_path / "run" / "state")
    for name in ("target", "synthesizer", "discriminator"):
        assert all(value.isfinite().all() for value in tensors.get(name, {}).values())
    assert open_session(recipe, tmp_path / "run", resume=True)
    again = lasting(train(recipe, out=tmp_path / "run", resume=True))
    if player == "target":
        assert again == lasting(train(recipe, out=tmp_path / "whole"))


def test_nan_in_a_discriminator(small, tmp_path):
    session = open_session(load_recipe("quickstart", small), tmp_path / "run")
    session.save()
    session.players.discriminator = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(session.players.discriminator.weight, float("nan"))
    with pytest.raises(
        Diverged, match="discriminator: expected a finite loss at step 0, got weights that are no numbers"
    ):
        session.save()
    with pytest.raises(Diverged, match="discriminator: expected a finite loss at step 0, got nan"):
        session.check_finite("synthesizer", torch.tensor(float("nan")))
