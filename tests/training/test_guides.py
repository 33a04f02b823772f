"""`helpful` in a run: its guide, what is counted, the same rule for each arm, going on after a kill, refusals."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from drawn_photographs import Drawn
from killing import Killed, KillIn, lasting
from terse.errors import DataError, RecipeError
from terse.evaluation.hardness import Passes
from terse.modes import eval_mode
from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.sources.run_data import run_data
from terse.training.cycle import run_cycles, train_start
from terse.training.guides import look_at_guide
from terse.training.harvest import Harvest
from terse.types import Evidence

OPEN = "pool.uneven=10"  # no class is full before the pool is: every candidate is judged
HELPFUL = "hardness={kind: helpful, of: {kind: margin, above: 0}, guide: {images: 20}, probe: 40}"


def of_arm(arm, small, *more):
    """The small run of an arm: the learned one as it is, another one without the learned one's settings."""
    if arm == "learned":
        return load_recipe("quickstart", [*(o for o in small if not o.startswith("hardness")), *more])
    own = ("synthesis", "hardness")
    return load_recipe("quickstart", [*(o for o in small if not o.startswith(own)), f"synthesis.kind={arm}", *more])


@pytest.mark.parametrize(("arm", "steps"), [("mined", 0), ("learned", 5)])
def test_arms_share_the_rule_and_pay_for_every_pass(small, arm, steps):
    session = open_session(of_arm(arm, small, "cycles=1", OPEN, HELPFUL), None)
    row = run_cycles(session).to_json()["cycles"][0]
    # A candidate's verdict and its two losses; forward and backward of the guide's images; the probe; learning by gradient.
    assert row["judging_passes"] == 3 * row["candidates"] + 3 * 20 + 3 * 40 + 3 * 32 * steps
    assert row["samples"] > 0
    assert 0 < row["hard_rate"] < 1
    assert session.players.rule.harvest == [1, 0]


def test_a_blind_arm_is_measured_and_pays_nothing(small):
    row = run_cycles(open_session(of_arm("random", small, "cycles=1", HELPFUL), None)).to_json()["cycles"][0]
    assert row["judging_passes"] == 0
    assert 0 < row["hard_rate"] < 1


def test_the_guide_is_a_part_of_train_drawn_by_the_seed(small):
    guides = [open_session(of_arm("mined", small, HELPFUL, f"seed={seed}"), None).players for seed in (0, 0, 1)]
    rows = [players.rule.guide[1] for players in guides]
    assert guides[0].rule.guide[0] is guides[0].train
    assert len(rows[0]) == 30
    assert rows[0].tolist() == rows[1].tolist() != rows[2].tolist()


def test_looking_at_the_guide_changes_no_weight_and_gives_the_gradient_of_the_mean(small):
    session = open_session(of_arm("mined", small, HELPFUL.replace("images: 20", "images: 300, fraction: 0.3")), None)
    train_start(session)
    players, module = session.players, session.players.target.module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    grads = [weight.grad for weight in module.parameters()]
    look_at_guide(session, 1, 0)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(kept is weight.grad for kept, weight in zip(grads, module.parameters(), strict=True))
    images, truth = players.train.fetch(players.rule.guide[1])
    assert len(images) == 90  # several batches
    with eval_mode(module):
        loss = nn.functional.cross_entropy(module(images), truth.labels)
    wanted = torch.autograd.grad(loss, list(module.parameters()))
    for own, found in zip(wanted, players.rule._gradient, strict=True):
        assert torch.allclose(own, found, rtol=1e-3, atol=1e-5 * float(own.abs().max()))


def test_a_redraw_looks_at_the_target_again(small):
    recipe = of_arm("mined", small, "cycles=1", OPEN, HELPFUL, "pool.refresh=1")
    session = open_session(recipe, None)
    row = run_cycles(session).to_json()["cycles"][0]
    assert session.players.rule.harvest == [1, row["redraws"]] == [1, 1]
    assert row["judging_passes"] == 3 * row["candidates"] + 2 * 3 * (20 + 40)


def test_memory_that_runs_out_over_the_guide_is_answered_by_pieces(small, monkeypatch):
    whole, pieces = (open_session(of_arm("mined", small, HELPFUL), None) for _ in range(2))
    evidence = type(pieces.players.target).evidence

    def small_memory(images, truth):
        if len(images) > 8:
            raise torch.OutOfMemoryError("no room")
        return evidence(pieces.players.target, images, truth)

    look_at_guide(whole, 1, 0)
    monkeypatch.setattr(pieces.players.target, "evidence", small_memory)
    monkeypatch.setattr("terse.training.guides._cut", lambda *_: Passes())
    look_at_guide(pieces, 1, 0)
    assert pieces.memory.state() == {"guide": 5}
    for one, other in zip(whole.players.rule._gradient, pieces.players.rule._gradient, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-6)


def test_a_run_killed_in_its_harvest_ends_as_an_unbroken_one(tmp_path, small):
    recipe = of_arm("mined", small, "cycles=1", HELPFUL, "synthesis.batch_size=16", "checkpoint.every_steps=2")
    whole = train(recipe, out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(recipe, out=tmp_path / "killed", observer=KillIn(1, "harvest", 3))
    assert lasting(train(recipe, out=tmp_path / "killed", resume=True)) == lasting(whole)
    pools = [sorted((tmp_path / name / "pool").iterdir()) for name in ("whole", "killed")]
    assert [path.read_bytes() for path in pools[0]] == [path.read_bytes() for path in pools[1]]


def test_a_harvest_taken_up_again_pays_once(small):
    session = open_session(of_arm("mined", small, HELPFUL), None)
    train_start(session)
    Harvest(session, 1)
    spent, cut = session.costs.judging_passes, session.players.rule.cut
    Harvest(session, 1)
    assert (session.costs.judging_passes, session.players.rule.cut) == (spent, cut)
    Harvest(session, 2)
    assert session.costs.judging_passes == 2 * spent


class Judge:
    def predict(self, images):
        return torch.full((len(images), 10), 0.1)

    def confidence(self, images, truth):
        return torch.full((len(truth.labels),), 0.1)


def test_a_target_that_only_judges_is_refused(small):
    with pytest.raises(RecipeError) as caught:
        open_session(of_arm("mined", small, HELPFUL), None, target=Judge())
    assert str(caught.value) == (
        "hardness.kind: expected a target with weights to differentiate in for helpful, got Judge without module and "
        "train_loss and evidence or attack_loss (terse.protocols); margin, probability and quantile need confidence and predict alone"
    )


class Detached(Judge):
    """Its evidence says nothing of its weights."""

    def __init__(self):
        self.module = nn.Linear(1, 10)

    def train_loss(self, images, truth):
        return self.module.weight.sum()

    def evidence(self, images, truth):
        logits = self.module(images.mean((1, 2, 3))[:, None]).detach()
        return Evidence.of_logits(logits, truth.labels, truth, torch.arange(len(images)))


def test_a_target_whose_weights_its_evidence_hides_is_refused(small):
    session = open_session(of_arm("mined", small, HELPFUL), None, target=Detached())
    with pytest.raises(RecipeError) as caught:
        Harvest(session, 1)
    assert str(caught.value) == (
        "target: expected evidence that differentiates in the weights for hardness.kind: helpful, got no gradient from "
        "Detached; freeze them by terse.modes.frozen alone, or take another hardness.kind"
    )


def test_a_target_that_changes_in_every_step_is_refused(small):
    with pytest.raises(RecipeError) as caught:
        open_session(of_arm("mined", small, HELPFUL, "alternation=batch"), None)
    assert str(caught.value) == (
        "alternation: expected phase with hardness.kind: helpful, whose gradient is found before a harvest, got batch, "
        "which changes the target in every step of it"
    )


def guided(folder, guide, *more):
    """Photographs with a guide of their own."""
    drawn = Drawn(folder)
    source = f"{{coco: {drawn.coco(count=10)}, images: {folder / 'train-images'}}}"
    hardness = f"hardness={{kind: helpful, of: {{kind: probability}}, guide: {{source: {guide}}}}}"
    parts = (f"{name}={source}" for name in ("foregrounds", "backgrounds", "train"))
    return load_recipe("detector", [*parts, "val=0.2", "test=0.2", "canvas_px=96", "cleanup=false", hardness, *more])


def test_a_guide_of_its_own_is_trained_on_too(tmp_path):
    file = Drawn(tmp_path).coco("guide", count=3, seed=40)
    data = run_data(guided(tmp_path, f"{{coco: {file}, images: {tmp_path / 'guide-images'}}}"))
    assert (len(data.train), len(data.guide)) == (9, 3)
    assert data.train.keys[6:] == tuple(data.guide.keys)
    numbers = np.array([8, 0, 7, 1])
    images, truth = data.train.fetch(numbers)
    assert truth.image_index.tolist() == [0, 1, 2, 3]
    of_guide, truth_of_guide = data.guide.fetch(np.array([2, 1]))
    assert torch.equal(images[[0, 2]], of_guide)
    assert torch.equal(truth.boxes_px[[0, 2]], truth_of_guide.boxes_px)
    data.train.prefetch(numbers)
    assert data.train.fetch(np.zeros(0, dtype=np.int64))[1].batch_size == 0


def test_a_guide_that_holds_images_of_val_or_test_is_refused(tmp_path):
    same = f"{{coco: {tmp_path / 'train.json'}, images: {tmp_path / 'train-images'}}}"
    with pytest.raises(DataError) as caught:
        run_data(guided(tmp_path, same))
    assert str(caught.value) == (
        "hardness.guide.source: expected real images that val and test do not hold, got 4 of theirs; nothing that judges may "
        "steer: leave them out, or take hardness.guide.fraction of train"
    )


def test_images_of_train_are_not_trained_on_twice(tmp_path):
    recipe = guided(tmp_path, "{coco: x, images: y}")
    kept = run_data(recipe.model_copy(update={"hardness": load_recipe("detector").hardness})).train.files
    data = json.loads((tmp_path / "train.json").read_text())
    names = [file.rsplit("/", 1)[1] for file in kept[:2]]
    data["images"] = [one for one in data["images"] if one["file_name"] in names]
    ids = [one["id"] for one in data["images"]]
    data["annotations"] = [one for one in data["annotations"] if one["image_id"] in ids]
    (tmp_path / "some.json").write_text(json.dumps(data))
    found = run_data(guided(tmp_path, f"{{coco: {tmp_path / 'some.json'}, images: {tmp_path / 'train-images'}}}"))
    assert (len(found.guide), found.train.files) == (2, kept)


def test_a_guide_beside_data_of_one_piece_is_refused(small):
    own = HELPFUL.replace("guide: {", "guide: {source: {coco: x.json, images: x}, ")
    with pytest.raises(RecipeError) as caught:
        open_session(of_arm("mined", small, own), None)
    assert str(caught.value) == (
        "hardness.guide.source: expected null beside data: digits, got coco; hardness.guide.fraction takes a part of its real images"
    )
