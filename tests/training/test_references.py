"""Rules with a reference: halves, what is kept, what is counted, falling back, and going on after a kill."""

from pathlib import Path

import numpy as np
import pytest
import torch

from killing import Killed, KillIn, lasting
from terse.errors import RecipeError
from terse.evaluation.hardness import Margin, Probability, Verdict
from terse.evaluation.learnable import Learnable, Reducible, halves_of
from terse.evaluation.reference import ReferenceConfig
from terse.placements import Placements
from terse.proof.prove import prove
from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.sources.annotations import Annotations
from terse.training import references
from terse.training.checkpoint import read_checkpoint
from terse.training.cycle import run_cycles
from terse.training.references import _batch, compare_reference
from terse.types import Composites, Truth

SMALL_REFERENCE = "reference: {steps: 3, batch_size: 16, probe: 50}"
LEARNABLE = f"hardness={{kind: learnable, of: {{kind: margin, above: 0}}, {SMALL_REFERENCE}}}"
REDUCIBLE = f"hardness={{kind: reducible, of: {{kind: margin, above: 0}}, {SMALL_REFERENCE}}}"


def mined_settings(small):
    own = ("synthesis.s", "synthesis.h", "synthesis.m", "hardness")
    return [o for o in small if not o.startswith(own)]


def mined(small, *more):
    return load_recipe("quickstart", [*mined_settings(small), "synthesis.kind=mined", *more])


class Says:
    """A judge whose answer for each image is its first pixel: the probability of class 0, the truth."""

    def __init__(self, sure):
        self.sure = sure

    def predict(self, images):
        p = images[:, 0, 0, 0] if self.sure is None else torch.full((len(images),), self.sure)
        return torch.stack([p, 1 - p], dim=1)

    def confidence(self, images, truth):
        return self.predict(images)[:, 0]


def composites_of(p):
    images = torch.tensor(p)[:, None, None, None].expand(-1, 1, 2, 2)
    truth = Truth.of_images(torch.zeros(len(p), dtype=torch.int64))
    n = len(p)
    return Composites(images, truth, torch.ones(n)), Placements.single(np.zeros(n, int), np.arange(n), np.zeros((n, 1)))


def rule_of(kind, sure, halves, *more):
    rule = kind([Margin(0.05) for _ in range(3)], ReferenceConfig(), *more)
    rule.references, rule.halves = tuple(Says(one) for one in sure), np.array(halves)
    return rule


def test_learnable_keeps_what_is_hard_and_right_for_the_reference_that_has_not_seen_the_cut_out():
    composites, placements = composites_of([0.1, 0.2, 0.9, 0.3])  # hard, hard, easy, hard
    rule = rule_of(Learnable, (0.9, 0.2), [0, 1, 0, 0])  # the judge of half 0 is right, that of half 1 is wrong
    verdict = rule.judge_composites(Says(None), composites, placements)
    assert verdict.hard.tolist() == [True, False, False, True]
    assert verdict.hardness.tolist() == pytest.approx([0.9, 0.8, 0.1, 0.7])
    assert verdict.further.judging == 3  # only the hard ones go through a reference
    assert rule.asked == [3, 2]
    assert rule.judge(Says(None), composites.images, composites.truth).hard.tolist() == [True, True, False, True]


def test_of_several_cut_outs_each_half_is_asked():
    composites, placements = composites_of([0.1])
    both = Placements.join([placements])
    twice = both.under(both)  # one image with two pastes
    twice = Placements(**{**{n: getattr(twice, n) for n in twice.__slots__}, "foreground": np.array([0, 1])})
    assert not rule_of(Learnable, (0.9, 0.2), [0, 1]).judge_composites(Says(None), composites, twice).hard[0]
    rule = rule_of(Learnable, (0.9, 0.9), [0, 1])
    verdict = rule.judge_composites(Says(None), composites, twice)
    assert verdict.hard[0]
    assert verdict.further.judging == 2  # both references looked at the one image
    assert rule.compare(Says(None), [(composites, twice)]) == 3
    assert rule.most_passes == rule.passes_of_base == 3
    rule.restore(rule.state())
    assert rule.most_passes == 3


def test_a_window_tells_a_reference_that_knows_nothing_from_none():
    for kind in ("learnable", "reducible"):
        with pytest.raises(RecipeError) as error:
            load_recipe("quickstart", [f"hardness={{kind: {kind}, of: {{kind: window}}}}"]).hardness.build()
        assert str(error.value) == "hardness.of: expected margin, probability or quantile, got window"


class SaysEach:
    """A judge that gives each pasted object its own probability."""

    def __init__(self, p):
        self.p = torch.tensor(p)

    def confidence(self, images, truth):
        return self.p[truth.pasted]


def test_of_several_pastes_every_hard_one_is_right_and_the_others_do_not_count():
    def keeps(of_target, of_reference):
        nothing = torch.zeros(2, dtype=torch.bool)
        truth = Truth(torch.zeros(2, dtype=torch.int64), torch.zeros(2, 4), nothing.long(), ~nothing, nothing, 1)
        composites = Composites(torch.zeros(1, 1, 2, 2), truth, torch.ones(2))
        placements = Placements.single(np.zeros(1, int), np.zeros(1, int), np.zeros((1, 1)))
        rule = Learnable([Probability(0.5) for _ in range(3)], ReferenceConfig())
        rule.references, rule.halves = (SaysEach(of_reference), SaysEach(of_reference)), np.zeros(1, int)
        return rule.judge_composites(SaysEach(of_target), composites, placements).hard.tolist()

    assert keeps([0.2, 0.9], [0.8, 0.1]) == [True]  # what the target knows need not be right
    assert keeps([0.2, 0.9], [0.1, 0.8]) == [False]
    assert keeps([0.2, 0.3], [0.8, 0.1]) == [False]
    assert keeps([0.8, 0.9], [0.8, 0.8]) == [False]  # nothing is hard


def test_mining_pays_for_the_references_as_well():
    composites, placements = composites_of([0.9, 0.8, 0.1])
    rule = rule_of(Learnable, (0.9, 0.9), [0, 1, 0])
    rule.compare(Says(None), [(composites, placements)])
    assert rule.passes_of_base == pytest.approx(4 / 3)  # a third of base composites is hard
    assert rule.most_passes == 2
    rule.fallen_back = True
    assert rule.passes_of_base == rule.most_passes == 1
    assert rule_of(Reducible, (0.9, 0.9), [0, 1], 0.5).passes_of_base == 2


def test_where_the_target_is_better_the_rule_falls_back():
    composites, placements = composites_of([0.9, 0.8, 0.1])
    rule = rule_of(Learnable, (0.9, 0.9), [0, 1, 0])
    assert rule.compare(Says(None), [(composites, placements)]) == 6
    assert rule.accuracy == (1.0, pytest.approx(2 / 3))
    assert not rule.fallen_back
    other = rule_of(Learnable, (0.2, 0.2), [0, 1, 0])
    other.compare(Says(None), [(composites, placements)])
    assert other.fallen_back
    assert other.judge_composites(Says(None), composites, placements).hard.tolist() == [False, False, True]
    again = rule_of(Learnable, (0.9, 0.9), [0, 1, 0])
    again.restore(other.state())
    assert again.fallen_back


def test_reducible_keeps_what_the_reference_knows_much_better():
    composites, placements = composites_of([0.9, 0.5, 0.1, 0.01])
    rule = rule_of(Reducible, (0.9, 0.9), [0, 1, 0, 1], 0.5)
    assert rule.compare(Says(None), [(composites, placements)]) == 16
    verdict = rule.judge_composites(Says(None), composites, placements)
    assert isinstance(verdict, Verdict)
    assert verdict.hard.tolist() == [False, False, True, True]
    assert verdict.further.judging == 4


def test_halves_hold_whole_photographs_and_every_class():
    keys = ["a:1.jpg:0", "a:1.jpg:1", "a:2.jpg:0", "a:3.jpg:0", "a:4.jpg:0"]
    labels = np.array([0, 1, 0, 1, 0])
    halves = halves_of(keys, labels, ("cup", "jug"), [0, 1])
    assert halves[0] == halves[1]
    for label in (0, 1):
        assert set(halves[labels == label].tolist()) == {0, 1}
    digits = halves_of([f"mnist:{i}" for i in range(100)], np.arange(100) % 10, tuple("0123456789"), range(10))
    assert digits.sum() == 50


def test_a_class_of_one_photograph_is_refused_by_name():
    with pytest.raises(RecipeError) as caught:
        halves_of(["a:1.jpg:0", "a:1.jpg:1", "a:2.jpg:0", "a:3.jpg:0"], np.array([0, 0, 1, 1]), ("cup", "jug"), [0, 1])
    assert str(caught.value) == (
        "hardness.reference: expected cut-outs of at least two photographs of each class, so that one half can judge the "
        "other, got one of cup; leave the class out or take another hardness.kind"
    )


def photographs_of(*held):
    """Keys and labels of cut-outs, from the labels in each photograph."""
    pairs = [(f"a:{number}.jpg:{row}", label) for number, own in enumerate(held) for row, label in enumerate(own)]
    keys, labels = zip(*pairs, strict=True)
    return list(keys), np.array(labels)


@pytest.mark.parametrize("seed", range(4))
def test_a_rare_class_beside_common_ones_stands_in_both_halves(seed):
    random = np.random.default_rng(seed)
    held = [[0] * int(random.integers(1, 6)) for _ in range(60)]
    for label in range(1, 6):
        for photograph in random.choice(60, 2 + label % 3, replace=False):
            held[photograph].append(label)
    keys, labels = photographs_of(*held)
    halves = halves_of(keys, labels, tuple("abcdef"), range(6))
    assert all(set(halves[labels == label].tolist()) == {0, 1} for label in range(6))
    assert 0.4 < halves.mean() < 0.6
    of_photograph = {(key.rsplit(":", 1)[0], int(half)) for key, half in zip(keys, halves, strict=True)}
    assert len(of_photograph) == 60


def test_photographs_that_cannot_be_halved_are_refused_by_the_class_that_lacks():
    keys, labels = photographs_of([0, 1], [0, 2], [1, 2])  # two of three pairs are apart, never all
    with pytest.raises(RecipeError) as caught:
        halves_of(keys, labels, ("cup", "jug", "pot"), [0, 1, 2])
    assert str(caught.value) == (
        "hardness.reference: expected photographs that can be halved with each class in both halves, so that one half can "
        "judge the other, got none for pot; leave the class out or take another hardness.kind"
    )


def test_arms_share_the_weights_that_named_references_begin_with(small):
    named = LEARNABLE.replace("reference: {", "reference: {target: {kind: mnist_classifier}, ")
    of_arms = [
        open_session(mined(small, f"synthesis.kind={arm}", named), None).players.rule.references
        for arm in ("mined", "learned")
    ]
    for mine, learned in zip(*of_arms, strict=True):
        theirs = learned.module.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in mine.module.state_dict().items())


def test_a_black_box_needs_a_reference_of_its_own(small):
    class Judge:
        def predict(self, images):
            return torch.full((len(images), 10), 0.1)

        def confidence(self, images, truth):
            return torch.full((len(truth.labels),), 0.1)

    with pytest.raises(RecipeError) as caught:
        open_session(mined(small, LEARNABLE), None, target=Judge())
    assert str(caught.value).startswith(
        "hardness.reference.target: expected a model that can be trained, since the target only judges, got none"
    )
    named = LEARNABLE.replace("reference: {", "reference: {target: {kind: mnist_classifier}, ")
    assert open_session(mined(small, named), None, target=Judge()).players.rule.references is not None


@pytest.mark.parametrize("rule", [LEARNABLE, REDUCIBLE])
def test_a_run_trains_the_references_once_and_counts_their_passes(small, rule):
    session = open_session(mined(small, "cycles=1", rule), None)
    fresh = [{n: v.clone() for n, v in one.module.state_dict().items()} for one in session.players.rule.references]
    row = run_cycles(session).to_json()["cycles"][0]
    assert row["reference_steps"] == 3
    assert row["reference_composites"] == 24
    assert 0 <= row["reference_accuracy"] <= 1
    assert row["judging_passes"] > row["candidates"]
    for before, reference in zip(fresh, session.players.rule.references, strict=True):
        after = reference.module.state_dict()
        assert not all(torch.equal(before[name], after[name]) for name in before)


def test_references_learn_and_are_compared_on_scenes_like_the_arms(monkeypatch):
    of = f"hardness={{kind: learnable, of: {{kind: probability}}, {SMALL_REFERENCE}}}"
    scenes = ["synthesis={kind: mined, objects: [2, 2]}", "data={kind: shapes, train: 20, val: 6, test: 6}"]
    session = open_session(load_recipe("shapes", [*scenes, of, "artefacts.count=0"]), None)
    rule, compared = session.players.rule, []
    monkeypatch.setattr(rule, "compare", lambda target, parts: compared.extend(parts) or 0)
    rule.accuracy = (1.0, 0.0)
    compare_reference(session, 0)
    assert sum(len(placements) for _, placements in compared) == 50
    assert all((np.diff(placements.offsets) == 2).all() for _, placements in compared)
    (images, truth, _), _ = _batch(session, rule, 0, 0)  # real scenes have masks, which a detector does not learn from
    assert len(images) == rule.settings.batch_size
    assert int(truth.pasted.sum()) == 2 * rule.settings.batch_size // 2


def trusted(session):
    """The rule asks its references, whatever they are worth, and comparing costs nothing."""

    def compare(target, parts):
        session.players.rule.accuracy, session.players.rule.above = (1.0, 0.25), 0.0
        return 0

    session.players.rule.compare = compare
    return session


def test_an_arm_that_judges_nothing_pays_for_no_comparison(small):
    recipe = load_recipe("quickstart", [*mined_settings(small), "synthesis.kind=random", "pool.refresh=1", LEARNABLE])
    row = run_cycles(open_session(recipe, None)).to_json()["cycles"][0]
    assert row["redraws"] == 1
    assert row["judging_passes"] == 0
    assert 0 <= row["reference_accuracy"] <= 1


@pytest.mark.parametrize(("arm", "alarms"), [("mined", 2), ("random", 0)])
@pytest.mark.parametrize("falls_back", [True, False])
def test_references_alarm_an_arm_that_asks_them_alone(small, monkeypatch, arm, alarms, falls_back):
    monkeypatch.setattr(references, "classes_of_one_cluster", lambda *_: ["cup"])
    monkeypatch.setattr("terse.training.harvest._FEW", 1)
    monkeypatch.setattr("terse.training.harvest._TELLS_LITTLE", 0.6)  # no share tells enough
    session = trusted(open_session(mined(small, f"synthesis.kind={arm}", "cycles=1", LEARNABLE), None))
    rule = session.players.rule
    trusting = rule.compare

    def compare(target, parts):
        passes = trusting(target, parts)
        rule.fallen_back = falls_back
        return passes

    rule.compare = compare
    run_cycles(session)
    told = [alarm for alarm in session.facts.get("alarms", []) if "reference" in alarm]
    assert len(told) == alarms, told


@pytest.mark.parametrize("rule", [LEARNABLE, REDUCIBLE])
def test_passes_of_the_references_count_against_the_bound(small, rule):
    session = open_session(mined(small, "cycles=1", rule, "pool.passes_per_wanted=1"), None)
    row = run_cycles(trusted(session)).to_json()["cycles"][0]
    assert 35 < row["judging_passes"] <= 40
    assert row["samples"] == 40


def test_the_yield_is_over_minings_with_the_same_rule(small):
    critic = ("synthesis.feedback=critic", "synthesis.critic={feature_steps: 3, first_fit: 60, batch_size: 30}")
    settings = [o for o in small if not o.startswith("hardness")]
    session = open_session(load_recipe("quickstart", [*settings, *critic, "cycles=1", REDUCIBLE]), None)
    row = run_cycles(trusted(session)).to_json()["cycles"][0]
    assert row["yield_over_mining"] == pytest.approx(row["found_per_pass"] / (row["base_hard_rate"] / 2))


def test_classes_whose_objects_are_all_in_one_video_are_found():
    videos = ({"video": "1"}, {"video": "1"}, {"video": "2"}, {})
    image, labels = np.array([0, 1, 1, 2, 3]), np.array([0, 0, 1, 1, 2])
    no = np.zeros(5, bool)
    annotations = Annotations(
        *("coco", Path(), ("a", "b", "c", "d"), np.full((4, 2), 8), ("",) * 4, ("cup", "jug", "pen", "nut")),
        *(image, labels, np.ones((5, 4)), no, no, (None,) * 5, ("0",) * 5),
        image_fields=videos,
    )
    assert references.classes_of_one_cluster(annotations, "video") == ["cup"]
    assert references.classes_of_one_cluster(annotations, "condition") == []
    assert references.classes_of_one_cluster(annotations, None) == []
    assert references.classes_of_one_cluster(None, "video") == []


@pytest.mark.slow
def test_a_run_killed_while_its_references_learn_ends_as_an_unbroken_one(tmp_path, small):
    recipe = mined(small, "cycles=1", LEARNABLE, "checkpoint.every_steps=2")
    whole = train(recipe, out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(recipe, out=tmp_path / "killed", observer=KillIn(0, "warm_up", 4))
    assert lasting(train(recipe, out=tmp_path / "killed", resume=True)) == lasting(whole)
    with pytest.raises(Killed):
        train(recipe, out=tmp_path / "later", observer=KillIn(1, "target", 2))
    assert lasting(train(recipe, out=tmp_path / "later", resume=True)) == lasting(whole)


@pytest.mark.slow
def test_arms_of_a_proof_share_the_references(tmp_path, small):
    recipe = mined(small, "cycles=1", LEARNABLE)
    prove(recipe, out=tmp_path / "proof", arms=["mined", "random"], seeds=1)
    states = [
        read_checkpoint(tmp_path / "proof" / path / "seed-0" / "state")[0]
        for path in ("start", "arms/mined", "arms/random")
    ]
    for number in (0, 1):
        first, *others = (state[f"reference {number}"] for state in states)
        assert all(torch.equal(first[name], other[name]) for other in others for name in first)
