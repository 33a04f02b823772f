"""Alternation by batch: each step trains one player and leaves the others as they were; the harvest is spread."""

import copy

import numpy as np
import pytest
import torch

from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.training import alternate
from terse.training.alternate import RunningThreshold, alternating_phase
from terse.training.plan import TargetPlan

PHOTOGRAPHS = (
    "alternation=batch", "fine_tune.steps=3", "fine_tune.augment=ssd", "data.train=8", "data.val=3", "data.test=3", "data.backgrounds=4",
    "pool.per_cycle=6", "pool.candidates=24", "fine_tune.batch_size=4", "synthesis.batch_size=4",
    "synthesis.statistics_pairs=8", "hardness.below=1.0", "runtime.precision=float32",
)  # fmt: skip


def test_a_step_of_each_player_leaves_the_others_bit_identical(monkeypatch):
    session = open_session(load_recipe("shapes", PHOTOGRAPHS), None)
    players = session.players
    modules = {
        "synthesizer": players.proposer.module, "discriminator": players.discriminator, "target": players.target.module
    }  # fmt: skip
    moved = []

    def watched(name, step):
        def run(*args, **kwargs):
            before = {key: copy.deepcopy(module.state_dict()) for key, module in modules.items()}
            found = step(*args, **kwargs)
            changed = {
                key
                for key, module in modules.items()
                if not all(torch.equal(before[key][k], v) for k, v in module.state_dict().items())
            }
            assert changed <= {name}
            moved.append((name, bool(changed)))
            return found

        return run

    for name in modules:
        monkeypatch.setattr(alternate, f"{name}_step", watched(name, getattr(alternate, f"{name}_step")))
    alternating_phase(session, 1)
    turn = ["synthesizer", "discriminator", "target"]
    assert [name for name, _ in moved] == 3 * turn
    assert all(changed for _, changed in moved)  # hardness.below=1.0 keeps everything, so the pool is never empty
    assert 0 < len(session.pool) <= 6
    assert session.position.phase == "harvest"
    assert session.optimizers.state().keys() == {"synthesizer", "discriminator"}  # the next cycle has a new one


def test_the_pool_is_bit_for_bit_what_its_placements_render_to(monkeypatch):
    session = open_session(load_recipe("shapes", PHOTOGRAPHS), None)
    seen = []
    step = alternate.synthesizer_step
    monkeypatch.setattr(alternate, "synthesizer_step", lambda *args: seen.append(step(*args)) or seen[-1])
    alternating_phase(session, 1)
    drawn = session.players.materials.render(session.pool.placements).images
    trained_on = torch.cat([composites.images for _, composites, _ in seen])
    assert all(any(torch.equal(one, other) for other in trained_on) for one in drawn)


@pytest.mark.parametrize("kind", ["none", "random", "mined"])
def test_every_arm_has_as_many_steps_and_the_pool_it_wants(small, kind):
    own = ("synthesis.s", "synthesis.h", "synthesis.m", "synthesis.batch")
    settings = [*(o for o in small if not o.startswith(own)), "alternation=batch", "cycles=1", f"synthesis.kind={kind}"]
    recipe = load_recipe("quickstart", settings)
    result = train(recipe)
    (row,) = result["cycles"]
    session = open_session(recipe, None)
    steps = TargetPlan(session, recipe.fine_tune, 1, "target", 40, 40).steps
    assert row["target_forwards"] - row["judging_passes"] == steps * recipe.fine_tune.batch_size
    assert row["samples"] == (0 if kind == "none" else 40)


def test_the_hardest_share_of_recent_composites_is_wanted():
    threshold = RunningThreshold({}, 0.25)
    hardness = np.linspace(0, 1, 100)
    assert threshold.wanted(hardness > 0.5, hardness).sum() == 50  # nothing is remembered yet
    assert threshold.wanted(np.ones(100, dtype=bool), hardness).sum() == 25
    assert threshold.wanted(hardness > 0.9, hardness).sum() == 10  # what is not hard never enters
