"""Two cycles with every family: the whole loop, from the network's output to the pool that is drawn again."""

import numpy as np
import pytest
import torch

from conftest import SMALL
from terse.draws import seeds_of
from terse.pool import Pool
from terse.poses import build_poses
from terse.recipe import load_recipe
from terse.registry import kinds
from terse.run import open_session, train
from terse.training.optimizers import optimizer_maker
from terse.training.phases import synthesizer_step

TINY = (
    *("data.train=8", "data.val=2", "data.test=2", "data.backgrounds=8", "pool.per_cycle=3", "pool.candidates=16"),
    *("pretrain.epochs=1", "cycles=2", "synthesis.statistics_pairs=8", "synthesis.discriminator=false"),
    "target={kind: ssd_small, image_size_px: 96}",
)
SCENES = ("shapes", TINY, "{kind: affine, scale: [0.3, 0.8], stretch: [0.8, 1.25]}")
DIGITS = ("quickstart", SMALL, "{kind: affine}")
ALL = "{kind: photometric}, {kind: perspective}, {kind: thin_plate}, AFFINE, {kind: shadow}, {kind: photometric, on: image}"
OWN = [kind for kind, config in kinds("pose").items() if config.__module__.startswith("terse.") and kind != "affine"]


def recipe_of(where, families, *others):
    name, small, affine = where
    return load_recipe(name, [*small, f"poses=[{families.replace('AFFINE', affine)}]", *others])


@pytest.mark.parametrize("where", [SCENES, DIGITS], ids=["ssd_small", "mnist_classifier"])
def test_a_chain_of_all_families_runs_two_cycles_and_its_pool_replays(where, tmp_path):
    recipe = recipe_of(where, ALL)
    found = train(recipe, out=tmp_path / "run")
    assert len(found["cycles"]) == 2
    family = build_poses(recipe.poses)
    assert {column.split(".")[1] for column in family.joint.columns} >= {
        "photometric",
        "perspective",
        "thin_plate",
        "shadow",
    }
    session = open_session(recipe, None)
    context = session.players.materials
    pool = Pool(tmp_path / "run" / "pool", context.foregrounds, context.backgrounds, family)
    pool.load(2)
    placements = pool.placements
    assert len(placements)
    low, high = np.array(family.joint.ranges).T
    joint = np.concatenate([placements.pose, placements.image_pose[placements.image_index]], axis=1)
    assert ((joint >= low - 1e-5) & (joint <= high + 1e-5)).all()
    with torch.no_grad():
        together = context.render(placements).images
        for k in (0, len(placements) - 1):
            assert torch.equal(context.render(placements.take(np.array([k]))).images[0], together[k])


@pytest.mark.parametrize("where", [SCENES, DIGITS], ids=["ssd_small", "mnist_classifier"])
def test_a_step_of_the_synthesizer_draws_what_its_placements_render_to(where):
    session = open_session(recipe_of(where, ALL), None)
    proposer, render = session.players.proposer, session.players.materials.render
    optimizer = optimizer_maker(proposer.settings.optimizer)(proposer.module)
    requests = proposer.requests(seeds_of(1, 1, "synthesizer", 0, count=4))
    before = [weight.clone() for weight in proposer.module.parameters()]
    placements, composites, loss = synthesizer_step(
        session, proposer, optimizer, requests, torch.Generator().manual_seed(0)
    )
    assert np.isfinite(loss)
    assert placements.image_pose.any()
    with torch.no_grad():
        assert torch.equal(render(placements).images, composites.images)
    assert any(not torch.equal(a, b) for a, b in zip(before, proposer.module.parameters(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("where", [SCENES, DIGITS], ids=["ssd_small", "mnist_classifier"])
@pytest.mark.parametrize("arm", ["random", "mined", "learned", "critic", "cut_paste_learn", "context"])
@pytest.mark.parametrize("kind", OWN)
def test_every_family_runs_in_every_arm(kind, arm, where, tmp_path):
    name, small, affine = where
    if name == "quickstart" and arm in ("cut_paste_learn", "context"):
        pytest.skip("arms of photographs")
    own = tuple(setting for setting in small if not setting.startswith("synthesis."))
    arms = {
        "learned": small,
        "critic": (
            *small,
            "synthesis.feedback=critic",
            "synthesis.critic={feature_steps: 3, first_fit: 8, batch_size: 8}",
        ),
        "context": (*own, "synthesis={kind: context, crops: 32, epochs: 1}"),
    }
    settings = arms.get(arm, (*own, f"synthesis={{kind: {arm}}}"))
    found = train(load_recipe(name, [*settings, f"poses=[{{kind: {kind}}}, {affine}]"]), out=tmp_path / "run")
    assert len(found["cycles"]) == 2
