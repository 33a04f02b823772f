"""Several objects: each is posed with sight of those that stand already."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from terse.compositing.truth import Layer, visible_shares
from terse.draws import seeds_of
from terse.errors import RecipeError
from terse.objectives import clip_composites, crowding_loss
from terse.recipe import load_recipe
from terse.recipe_parts import ObjectiveConfig
from terse.run import build_players, open_session, train
from terse.synthesis.learned.config import LearnedConfig
from terse.synthesis.learned.in_turn import Occupancy, shapes_of
from terse.synthesis.proposer import pastes_of, propose
from terse.training.checkpoint import read_checkpoint
from terse.training.phases import synthesizer_step
from terse.training.seeding import reseed

SEVERAL = {
    "network": "photographs", "backbone": "squeezenet1_1", "branch_channels": 4, "input_px": 128, "base": "random",
    "objects": (2, 4), "batch_size": 8,
}  # fmt: skip
FEW = ["data.train=12", "data.val=4", "data.test=4", "data.backgrounds=6", "pool.per_cycle=4", "pretrain.epochs=1"]
FEW += [
    "synthesis.objects=[2, 4]",
    "synthesis.base=random",
    "hardness.below=1",
    "synthesis.statistics_pairs=8",
    "artefacts.count=0",
]


@pytest.fixture
def proposer(shapes):
    """With weights under which a covered cell matters."""
    torch.manual_seed(0)
    built = LearnedConfig(**SEVERAL).build(shapes())
    torch.nn.init.normal_(built.module.occupied.weight, std=2.0)
    torch.nn.init.normal_(built.module.regressor[-1].weight, std=2.0)
    return built


def test_the_map_is_what_the_pastes_cover_on_the_heads_grid(shapes):
    materials = shapes()
    cut = materials.foregrounds.fetch(np.array([0, 1, 2, 3]))
    pose = materials.poses.random(4, torch.Generator().manual_seed(0))
    canvas = np.full((2, 2), materials.canvas_px)
    occupancy = Occupancy(materials.poses, canvas, (6, 6), "cpu")
    first, second, mask = np.array([0, 2]), np.array([1, 3]), torch.zeros(2, 1, 96, 96)
    for rows in (first, second):
        occupancy.add(np.array([0, 1]), shapes_of(cut.take(rows)), pose[rows])
        _, layer = materials.render.paste(torch.zeros(2, 3, 96, 96), cut.take(rows), pose[rows])
        mask = torch.maximum(mask, layer.alpha)
    found, exact = occupancy.at(np.array([0, 1])), torch.nn.functional.avg_pool2d(mask, 16)
    assert exact.max() > 0.5
    assert (found - exact).abs().max() < 0.12
    assert (found - exact).abs().mean() < 0.02
    assert torch.equal(occupancy.at(np.array([1, 1]))[0], found[1])


def test_a_pose_depends_on_what_stands_below_it_and_not_on_what_comes_later(proposer):
    requests = replace(proposer.requests(seeds_of(0, count=6)), labels=((0, 1, 2),) * 6)
    pastes = pastes_of(proposer.materials, requests)
    proposer.module.eval()
    pose = proposer.poses_of(pastes, requests).view(6, 3, -1)
    others = pastes.foreground.reshape(6, 3).copy()
    others[:, 1] = np.roll(others[:, 1], 1)
    changed = proposer.poses_of(replace(pastes, foreground=others.ravel()), requests).view(6, 3, -1)
    assert torch.equal(pose[:, 0], changed[:, 0])
    assert ((pose[:, 2] - changed[:, 2]).abs() > 1e-3).any()
    torch.nn.init.zeros_(proposer.module.occupied.weight)
    blind, again = (
        proposer.poses_of(one, requests).view(6, 3, -1) for one in (pastes, replace(pastes, foreground=others.ravel()))
    )
    assert torch.equal(blind[:, 2], again[:, 2])


def test_each_image_passes_the_backbone_once(proposer):
    seen = []
    proposer.module.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    requests = proposer.requests(seeds_of(1, count=8))
    expected = proposer.propose(requests)
    assert sum(seen) == len(expected.foreground) + 8
    proposer.keep_features()
    seen.clear()
    kept = proposer.propose(requests)
    assert sum(seen) == len(np.unique(expected.foreground)) + len(np.unique(requests.background))
    assert kept.pose == pytest.approx(expected.pose, abs=1e-2)
    proposer.propose(requests)
    assert sum(seen) == len(np.unique(expected.foreground)) + len(np.unique(requests.background))


def test_soft_shares_are_those_of_the_masks_and_push_objects_apart():
    left, right = torch.zeros(2, 1, 4, 8), torch.zeros(1, 1, 4, 8)
    left[..., :4], right[..., 2:6] = 1, 1
    left.requires_grad_()
    label = torch.zeros(2, dtype=torch.int64)
    below = Layer(None, label, left, torch.tensor([16.0, 32.0]))
    above = Layer(torch.tensor([0]), label[:1], right, torch.tensor([16.0]), labelled=False)
    hidden, seen = visible_shares([below, above], 2)
    assert hidden.tolist() == [0.5, 0.0]
    assert seen.tolist() == [0.5, 0.5]
    settings = ObjectiveConfig(overlap=2.0, visibility=4.0, least_visible=0.75)
    loss = crowding_loss(hidden, seen, settings, max_overlap=0.3)
    assert loss.item() == pytest.approx(2 * 0.2 / 2 + 4 * 0.25)
    loss.backward()
    assert left.grad[0, 0, 0, 3] > left.grad[0, 0, 0, 0]  # what is hidden costs, what is seen pays


def test_a_step_draws_what_its_placements_render_to_and_gives_every_paste_a_gradient():
    session = open_session(load_recipe("shapes", FEW), None)
    proposer, context = session.players.proposer, session.players.materials
    optimizer = torch.optim.Adam(proposer.module.parameters(), lr=1e-3)
    before = [parameter.detach().clone() for parameter in proposer.module.parameters()]
    requests = proposer.requests(seeds_of(0, 1, "synthesizer", 0, count=8))
    placements, made, _ = synthesizer_step(session, proposer, optimizer, requests, reseed(0, 1, "synthesizer", 0))
    again = context.render(placements)
    assert torch.equal(made.images, again.images)
    assert torch.equal(made.truth.boxes_px, again.truth.boxes_px)
    assert {len(labels) for labels in requests.labels} == {2, 3, 4}
    learned = [not torch.equal(a, b) for a, b in zip(before, proposer.module.parameters(), strict=True)]
    assert all(learned)
    assert proposer.module.occupied.weight.grad.abs().max() > 0


@pytest.mark.parametrize("out_of_sight", [0, 6])
def test_a_step_clips_each_composite_over_all_that_it_pastes(monkeypatch, out_of_sight):
    """Of the mean over the composites that can be seen: the others have no part in the loss."""
    gradients = []
    monkeypatch.setattr("terse.training.phases.hidden", lambda seen: np.arange(8) < out_of_sight)

    def clipped(raw, *how):
        clip_composites(raw, *how)
        raw.register_hook(gradients.append)

    monkeypatch.setattr("terse.training.phases.clip_composites", clipped)
    session = open_session(load_recipe("shapes", [*FEW, "objective.max_pose_gradient=1e-4"]), None)
    proposer = session.players.proposer
    optimizer = torch.optim.Adam(proposer.module.parameters(), lr=1e-3)
    requests = proposer.requests(seeds_of(0, 1, "synthesizer", 0, count=8))
    synthesizer_step(session, proposer, optimizer, requests, reseed(0, 1, "synthesizer", 0))
    (gradient,) = gradients
    of_each = torch.stack([rows.norm() for rows in gradient.split([len(labels) for labels in requests.labels])])
    assert of_each.max().item() == pytest.approx(1e-4 / (8 - out_of_sight), rel=1e-3)


@pytest.mark.slow
def test_a_run_with_several_objects_fills_its_pool_and_goes_on_as_one(tmp_path):
    recipe = load_recipe("shapes", FEW)
    result = train(recipe, out=tmp_path / "run")
    assert result["cycles"][0]["samples"] == 4
    session = open_session(recipe, tmp_path / "run", resume=True)
    numbers = np.bincount(session.pool.placements.image_index)
    assert set(numbers.tolist()) <= {2, 3, 4}
    again = train(recipe)
    assert again["cycles"][0]["ap50"] == result["cycles"][0]["ap50"]
    state, _ = read_checkpoint(tmp_path / "run" / "state")
    assert any("occupied" in name for name in state["synthesizer"])


@pytest.mark.parametrize("arm", ["mined", "random", "critic"])
def test_arms_without_a_gradient_paste_as_many(arm):
    settings = [setting for setting in FEW if not setting.startswith("synthesis.")]
    critic = ["synthesis.feedback=critic", "synthesis.discriminator=false", "synthesis.critic.feature_steps=2"]
    settings += critic if arm == "critic" else [f"synthesis.kind={arm}"]
    players = build_players(load_recipe("shapes", [*settings, "synthesis.objects=[2, 4]"]))
    placements = propose(players.proposer, 64, 0, 1, "test")
    assert set(np.bincount(placements.image_index).tolist()) == {2, 3, 4}
    labels = players.materials.foregrounds.labels[placements.foreground]
    assert any(len(set(labels[placements.image_index == image].tolist())) > 1 for image in range(64))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["synthesis.objects=[3, 2]"],
            "synthesis.objects: expected the smaller number first, got [3, 2]; swap them",
        ),
        (
            ["synthesis.objects=[1, 2]", "synthesis.network=digits"],
            "synthesis: objects: expected [1, 1] and no occluders with network: digits, got [1, 2] and [0, 0]; "
            "network: photographs sees what stands already",
        ),
        (
            ["synthesis.objects=[1, 2]", "synthesis.dropout=0.5"],
            "synthesis: dropout: expected 0 with several pastes an image, got 0.5; "
            "base: random or a noise_size tells the composites apart",
        ),
    ],
)
def test_what_cannot_paste_several_says_so(overrides, message):
    with pytest.raises(RecipeError) as error:
        load_recipe("shapes", overrides)
    assert str(error.value) == message


def test_a_classifiers_image_holds_one_object():
    recipe = load_recipe("quickstart", ["synthesis.kind=random", "synthesis.objects=[1, 3]", "data.train=20"])
    with pytest.raises(RecipeError) as error:
        build_players(recipe)
    assert str(error.value) == (
        "synthesis.objects: expected [1, 1] with task: classification, whose images hold one object each, got [1, 3]"
    )
