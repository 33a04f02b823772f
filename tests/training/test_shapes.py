"""The whole path of photographs on drawn scenes: detector, discriminator, patches, soft edges, AP."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch

from killing import Killed, KillIn, assert_channels_last, lasting
from terse.compositing.render import Renderer
from terse.progress import Observer
from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.synthesis.proposer import propose
from terse.targets.detector.networks import _ssdlite_mobilenet_v2
from terse.training.checkpoint import read_checkpoint
from terse.training.harvest import harvest_phase
from terse.training.phases import target_phase
from terse.training.realism import discriminator_step, warm_up_phase

FEW = ("data.train=16", "data.val=4", "data.test=8", "data.backgrounds=12", "pool.per_cycle=4", "pretrain.epochs=1")
FEW += ("pool.candidates=24", "synthesis.statistics_pairs=8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("shapes") / "run"
    return out, train(load_recipe("shapes", FEW), out=out)


def test_a_run_leaves_a_model_its_labels_a_pool_and_its_figures(run):
    out, result = run
    assert result["primary"] == "ap50"
    assert {"ap50", "ap60", "ap70", "ap80", "ap"} <= set(result["metrics"]["end"])
    (row,) = result["cycles"]
    assert row["samples"] == 4
    assert row["target_backwards"] > 0
    assert all(0 <= row[name] <= 1 for name in ("ap50", "hard_rate", "pose_entropy"))
    assert json.loads((out / "result.json").read_text())["cycles"] == json.loads(json.dumps(result["cycles"]))
    assert json.loads((out / "labels.json").read_text())
    assert "warm_up" in row["phase_seconds"]


def test_the_model_loads_into_the_users_own_module(run):
    out, _ = run
    state = torch.load(out / "target.pth", weights_only=True)
    own = _ssdlite_mobilenet_v2(4, 96, {})
    own.load_state_dict(state)
    assert all(torch.isfinite(value).all() for value in own.state_dict().values())


def test_the_start_says_what_its_weights_were(run):
    class Hears(Observer):
        def __init__(self):
            self.said = []

        def say(self, message):
            self.said.append(message)

    out, _ = run
    hears = Hears()
    open_session(load_recipe("shapes", [*FEW, f"target.weights={out}/target.pth"]), None, observer=hears)
    assert f"target.weights: {out}/target.pth holds a whole detector" in hears.said


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    [
        pytest.param((0, "pretrain", 1), marks=pytest.mark.slow),
        pytest.param((1, "warm_up", 2), marks=pytest.mark.slow),
        pytest.param((1, "synthesizer", 2), marks=pytest.mark.slow),
        (1, "target", 1),
    ],
)
def test_a_killed_run_goes_on_to_the_same_figures_and_weights(run, tmp_path, where):
    unbroken, whole = run
    out = tmp_path / "run"
    recipe = load_recipe("shapes", [*FEW, "checkpoint.every_steps=1"])
    with pytest.raises(Killed):
        train(recipe, out=out, observer=KillIn(*where))
    assert_channels_last(open_session(recipe, out, resume=True).players)
    again = train(recipe, out=out, resume=True)
    assert str(lasting(again)) == str(lasting(whole))
    (mine, _), (theirs, _) = (read_checkpoint(folder / "state") for folder in (out, unbroken))
    for player in ("target", "synthesizer", "discriminator"):
        assert all(torch.equal(mine[player][name], value) for name, value in theirs[player].items()), player


def players_state(players):
    modules = (players.target.module, players.proposer.module, players.discriminator)
    return [copy.deepcopy(module.state_dict()) for module in modules]


def test_warming_up_trains_the_discriminator_alone():
    session = open_session(load_recipe("shapes", FEW), None)
    players = session.players
    before = players_state(players)
    warm_up_phase(session, 1)
    changed = [
        any(not torch.equal(state[name], value) for name, value in module.state_dict().items())
        for state, module in zip(
            before, (players.target.module, players.proposer.module, players.discriminator), strict=True
        )
    ]
    assert changed == [False, False, True]
    assert session.costs.target_forwards == 0
    assert session.costs.synthesizer_forwards == 8 + 2 * 16


def test_warming_up_shows_composites_as_they_are_drawn_later(monkeypatch):
    shown = []

    def seen(renderer, placements, draw=Renderer.__call__):
        shown.append(placements.pose)
        return draw(renderer, placements)

    monkeypatch.setattr(Renderer, "__call__", seen)
    session = open_session(load_recipe("shapes", [*FEW, "synthesis.statistics_pairs=32"]), None)
    warm_up_phase(session, 1)
    family = session.players.materials.poses
    assert np.asarray(family.to_unit(np.concatenate(shown))).std(axis=0).min() > 0.1  # not all in the middle


def test_warming_up_teaches_which_images_are_real(monkeypatch):
    def dark(renderer, placements, draw=Renderer.__call__):
        made = draw(renderer, placements)
        return dataclasses.replace(made, images=made.images * 0.3)

    monkeypatch.setattr(Renderer, "__call__", dark)
    settings = [*FEW, "synthesis.discriminator.warm_up_steps=12", "synthesis.discriminator.lr=1e-3"]
    session = open_session(load_recipe("shapes", [*settings, "artefacts.count=0"]), None)
    players = session.players
    warm_up_phase(session, 1)
    made = players.materials.render(propose(players.proposer, 8, 0, 1, "test")).images
    real, _ = players.train.fetch(np.arange(8))
    with torch.no_grad():
        assert players.discriminator(real).mean(1).min() > players.discriminator(made).mean(1).max()


def test_a_pool_without_composites_trains_no_discriminator():
    session = open_session(load_recipe("shapes", FEW), None)
    before = players_state(session.players)[2]
    discriminator_step(session, None, 1, 0)
    assert all(torch.equal(before[name], value) for name, value in session.players.discriminator.state_dict().items())


def test_the_discriminator_sees_whole_images_as_many_of_each():
    settings = [*FEW, "artefacts.count=0", "fine_tune.augment=true", "synthesis.discriminator.batch_size=3"]
    session = open_session(load_recipe("shapes", [*settings, "hardness.kind=probability", "hardness.below=1"]), None)
    players, seen = session.players, []
    harvest_phase(session, 1)
    known = torch.cat([players.train.fetch(np.arange(16))[0], players.materials.render(session.pool.placements).images])
    players.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    target_phase(session, 1, session.recipe.fine_tune)
    assert seen
    assert {len(images) for images in seen} == {6}
    numbers = torch.cdist(torch.cat(seen).flatten(1), known.flatten(1)).min(dim=1)
    assert numbers.values.max() < 1e-2  # none is cropped or mirrored
    assert ((numbers.indices.view(-1, 6) < 16) == (torch.arange(6) < 3)).all()


def test_a_warm_up_shows_no_composite_whose_object_is_gone(monkeypatch):
    def gone(renderer, placements, draw=Renderer.__call__):
        made = draw(renderer, placements)
        ignore = made.truth.ignore | (made.truth.pasted & (made.truth.image_index % 2 == 0))
        return dataclasses.replace(made, truth=dataclasses.replace(made.truth, ignore=ignore))

    monkeypatch.setattr(Renderer, "__call__", gone)
    session, seen = open_session(load_recipe("shapes", [*FEW, "artefacts.count=0"]), None), []
    session.players.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    warm_up_phase(session, 1)
    assert seen == [16 + 8] * 2


def test_patches_are_not_of_their_own_image():
    """Real images that the bank of backgrounds holds are known by their files."""
    session = open_session(load_recipe("shapes", FEW), None)
    materials = session.players.materials
    materials.real.files, materials.backgrounds.files = ("a", "b", "c"), ("c", "x", "a")
    assert materials.background_of_real.tolist() == [2, -1, 0]


def test_drawn_scenes_have_no_files():
    materials = open_session(load_recipe("shapes", FEW), None).players.materials
    assert materials.background_of_real.tolist() == [-1] * 16
