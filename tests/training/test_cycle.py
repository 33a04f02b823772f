"""What an evaluation leaves behind: the start's weights, the discriminator's AUC, and a word where nothing can be chosen."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

import terse.training.cycle
from terse.discriminator import Discriminator
from terse.errors import RecipeError
from terse.evaluation.hardness import Verdict
from terse.evaluation.realism import background_auc
from terse.recipe import load_recipe
from terse.run import build_players, open_session, train
from terse.tasks.classification import Classification
from terse.tasks.task import task_of
from terse.training.cycle import run_cycles
from terse.training.session import Session


def weights(path):
    return torch.load(path, weights_only=True)


def test_the_start_is_kept_as_it_was_pretrained(tmp_path, small, monkeypatch):
    recipe, short = (load_recipe("quickstart", [*small, f"cycles={cycles}"]) for cycles in (1, 0))
    train(short, out=tmp_path / "alone")
    figures = itertools.count()
    monkeypatch.setattr(Classification, "measure", lambda *_: {"accuracy": next(figures) / 100})
    result = train(recipe, out=tmp_path / "run")
    assert result["best_cycle"] == 1
    start, kept, pretrained = (
        weights(tmp_path / path) for path in ("run/start.pth", "run/target.pth", "alone/target.pth")
    )
    assert all(torch.equal(start[name], pretrained[name]) for name in pretrained)
    assert not all(torch.equal(start[name], kept[name]) for name in kept)


@pytest.mark.parametrize(("figures", "best"), [([math.nan, 0.3, 0.2], 1), ([0.1, math.nan, 0.3], 2)])
def test_every_number_is_better_than_nan(tmp_path, small, monkeypatch, figures, best):
    measured = iter(np.repeat(figures, 2))  # on val and on test
    monkeypatch.setattr(Classification, "measure", lambda *_: {"accuracy": float(next(measured))})
    kept = []
    monkeypatch.setattr(Session, "keep_target", lambda session: kept.append(len(session.facts["rows"])))
    monkeypatch.setattr(terse.training.cycle, "_keep_start", lambda _: None)
    settings = [o for o in small if not o.startswith("synthesis.")]
    recipe = load_recipe("quickstart", [*settings, "cycles=2", "synthesis.kind=random"])
    assert run_cycles(open_session(recipe, None)).best_cycle == best
    assert kept[-1] == best


def test_without_pretraining_the_start_is_what_the_target_came_with(tmp_path, small):
    module = build_players(load_recipe("quickstart", [*small, "seed=9"])).target.module
    torch.save(module.state_dict(), tmp_path / "given.pth")
    settings = [o for o in small if not o.startswith("pretrain")]
    recipe = load_recipe("quickstart", [*settings, "cycles=1", "pretrain=null", f"target.weights={tmp_path}/given.pth"])
    train(recipe, out=tmp_path / "run")
    start = weights(tmp_path / "run" / "start.pth")
    assert all(torch.equal(start[name], value) for name, value in module.state_dict().items())


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A small run with a discriminator."""
    folder = tmp_path_factory.mktemp("runs") / "judged"
    recipe = load_recipe(_detector(folder.parent))
    train(recipe, out=folder, trust=True)
    return recipe, folder


def _detector(folder):
    path = folder / "small.yaml"
    path.write_text(
        """
base: detector
cycles: 2
canvas_px: 64
data: {kind: shapes, canvas_px: 64, train: 12, val: 4, test: 4, backgrounds: 6}
target: {kind: user, factory: "one_box:OneBox"}
artefacts: {count: 0}
synthesis:
  {kind: learned, backbone: squeezenet1_1, batch_size: 4, steps: 2, statistics_pairs: 16, input_px: 128, discriminator: {width: 4}}
pool: {per_cycle: 6, candidates: 16}
fine_tune: {epochs: 1, batch_size: 6, real_per_synthetic: 1}
hardness: {kind: probability, below: 1.0}
"""
    )
    return path


@pytest.mark.usefixtures("trusts")
def test_rows_of_a_run_with_a_discriminator_hold_its_auc(judged):
    recipe, folder = judged
    written = json.loads((folder / "result.json").read_text())
    areas = [row["discriminator_auc"] for row in written["cycles"]]
    session = open_session(recipe, folder, resume=True)
    players = session.players
    real, device = (players.train, players.materials.backgrounds), session.engine.device
    with session.engine.autocast():  # bfloat16 where the run used it: an AUC is a count, and scores may change places
        last = background_auc(players.discriminator, *real, device)
    assert areas[-1] == pytest.approx(last, abs=1e-6)
    assert all(0 <= area <= 1 for area in areas)
    torch.manual_seed(0)
    other = Discriminator(width=4, weight_sigma=0.5)
    assert background_auc(other, players.train, players.materials.backgrounds, session.engine.device) != areas[-1]


def test_rows_of_other_runs_do_not(small):
    result = train(load_recipe("quickstart", [*small, "cycles=1"]))
    assert all("discriminator_auc" not in row for row in result["cycles"])


@pytest.mark.parametrize(("part", "images"), [("val", "validation"), ("test", "test")])
def test_nothing_can_be_measured_without_objects_to_find(part, images, small, monkeypatch):
    session = open_session(load_recipe("quickstart", small), None)

    class Blind:
        progress = ()
        primary = task_of(session.recipe).primary

        def measure(self, target, real, device):
            return {"accuracy": None if real is getattr(session.players, part) else 0.5}

    monkeypatch.setattr(terse.training.cycle, "task_of", lambda recipe: Blind())
    with pytest.raises(RecipeError) as caught:
        terse.training.cycle._evaluate(session, 0)
    assert str(caught.value) == (
        f"{part}: expected images with objects to find, got none, so that accuracy has no value; "
        f"give the recipe other {images} images"
    )


@pytest.mark.parametrize(
    ("rule", "setting"),
    [
        ("{kind: probability, below: 0.5}", "hardness"),
        ("{kind: window, low: 0.1, high: 0.6}", "hardness"),
        ("{kind: helpful, of: {kind: probability}}", "hardness.of"),
        ("{kind: learnable, of: {kind: probability}}", "hardness.of"),
        ("{kind: helpful, of: {kind: quantile}}", None),
        ("{kind: margin}", None),
    ],
)
def test_a_threshold_of_scores_that_are_no_probabilities_brings_a_hint(rule, setting, small):
    settings = [item for item in small if not item.startswith("hardness")]
    session = open_session(load_recipe("quickstart", [*settings, f"hardness={rule}"]), None)
    session.players.target.calibrated = False
    session.players.rule.calibrate(session.players.target, session.players.val, session.engine.device)
    terse.training.cycle._judge_threshold(session)
    hint = (
        "the target's scores are sigmoids, to which a probability of 0.5 means little; "
        f"{setting}={{kind: quantile}} takes the threshold from its scores on real objects"
    )
    assert [alarm for alarm in session.facts["alarms"] if "sigmoids" in alarm] == ([hint] if setting else [])


def test_composites_of_which_nothing_is_seen_do_not_hide_that_the_target_never_fires(small, monkeypatch):
    """A rule that is asked nothing answers 0: an image without an object is not hard."""
    session = open_session(load_recipe("quickstart", small), None)
    out_of_sight = np.arange(32) < 8
    verdict = Verdict(torch.from_numpy(~out_of_sight), torch.where(torch.from_numpy(out_of_sight), 0.0, 1.0))
    monkeypatch.setattr(terse.training.cycle, "hidden", lambda composites: out_of_sight, raising=False)
    monkeypatch.setattr(session.players.rule, "judge", lambda *asked: verdict)
    terse.training.cycle._judge_threshold(session)
    assert session.facts["random_hard_rate"] == 1.0
    assert session.facts["alarms"][-1].startswith(
        "the target never fires: it gives none of 192 pasted objects a probability"
    )


@pytest.mark.parametrize(
    ("below", "alarm"),
    [
        (
            0.999,
            "100% of random composites are hard for the start: the threshold of `hardness` tells little; "
            "choose a stricter one, or train the start longer (pretrain)",
        ),
        (
            1e-9,
            "0% of random composites are hard for the start: the threshold of `hardness` tells little; "
            "choose a milder one, or widen poses",
        ),
    ],
)
def test_a_threshold_that_tells_little_says_what_to_change(below, alarm, small):
    settings = [item for item in small if not item.startswith("hardness")]
    session = open_session(
        load_recipe("quickstart", [*settings, f"hardness={{kind: probability, below: {below}}}"]), None
    )
    terse.training.cycle._judge_threshold(session)
    assert session.facts["alarms"] == [alarm]


def test_images_that_are_validation_and_test_at_once_are_measured_once(small, monkeypatch):
    session = open_session(load_recipe("quickstart", small), None)
    session.players.test = session.players.val
    asked = []
    monkeypatch.setattr(Classification, "measure", lambda *args: asked.append(args) or {"accuracy": 0.5})
    terse.training.cycle._evaluate(session, 0)
    assert len(asked) == 1
    assert session.facts["rows"][0]["metrics"] == {"accuracy": 0.5}
