"""A critic learns from verdicts alone; however wrong it is, the harvest keeps mining's law."""

import io

import numpy as np
import pytest
import torch

from terse.errors import RecipeError
from terse.poses import AffinePoses
from terse.synthesis.learned.candidates import Choice
from terse.synthesis.learned.config import CriticConfig, LearnedConfig
from terse.synthesis.learned.critic import Critic
from terse.synthesis.learned.critic_proposer import CriticProposer
from terse.synthesis.learned.frozen import CutOutFeatures, FrozenFeatures, MapFeatures

CELLS = 8


def proposer(materials, **settings):
    """A critic with a quick network of the cut-outs."""
    critic = {"feature_steps": 5, "first_fit": 600, "batch_size": 200, **settings}
    return LearnedConfig(feedback="critic", critic=critic).build(materials)


def unit(materials, placements):
    return materials.poses.to_unit(torch.from_numpy(placements.pose)).numpy()


def toy(materials, placements):
    """A target that fails on a quarter of the poses: hard, and how hard."""
    hardness = unit(materials, placements)[:, 1]
    return hardness > 0.75, hardness


class Wrong(CriticProposer):
    """Scores that hold the hard ones in one corner of the poses for easy."""

    def scores(self, placements):
        return np.where(unit(self.materials, placements)[:, 0] < 0.5, 0.02, 0.5)


def wrong(materials, drift):
    made = Wrong(materials, CriticConfig(drift=drift, first_fit=10**9, batch_size=500), lambda: None)
    made._fitted.critic = Critic(1)
    reference = made.scores(made.propose(made.requests(np.arange(4000, dtype=np.uint64))))
    made._fitted.choice = Choice.of_scores(reference, made.settings)
    return made


def harvest(materials, made, blocks, told=toy):
    """The poses that enter the pool, the raw hard rate, and how many passes were spent."""
    poses, hard_ones, passes = [], 0, 0
    for block in range(blocks):
        candidates = made.choose(made.batch_size, 5, block)
        hard, hardness = told(materials, candidates.placements)
        enters = made.told(candidates, hard, hardness, cycle=1)
        assert not (enters & ~hard).any()
        poses.append(unit(materials, candidates.placements)[enters])
        hard_ones, passes = hard_ones + hard.sum(), passes + len(candidates)
    return np.concatenate(poses), hard_ones / passes, passes


def chi_square(poses):
    """Against mining's law on the toy target: the first number of the pose is uniform among the hard ones."""
    counts = np.bincount((poses[:, 0] * CELLS).astype(int).clip(0, CELLS - 1), minlength=CELLS)
    expected = len(poses) / CELLS
    return ((counts - expected) ** 2 / expected).sum()


def test_a_wrong_critic_at_drift_0_finds_minings_law(shapes):
    materials = shapes()
    poses, _, _ = harvest(materials, wrong(materials, 0.0), 30)
    assert len(poses) > 500
    assert chi_square(poses) < 18.5  # 99th percentile of 7 degrees of freedom
    assert wrong(materials, 0.0).tau == wrong(materials, 0.0)._choice.least


def test_without_the_correction_the_wrong_critic_would_show(shapes):
    materials = shapes()
    poses, _, _ = harvest(materials, wrong(materials, 1.0), 30)
    assert chi_square(poses) > 100


@pytest.mark.parametrize("drift", [0.05, 0.15])
def test_the_drift_stays_under_its_setting(shapes, drift):
    materials = shapes()
    made = wrong(materials, drift)
    poses, _, _ = harvest(materials, made, 30)
    shares = np.bincount((poses[:, 0] < 0.5).astype(int), minlength=2) / len(poses)
    assert abs(shares[0] - 0.5) < drift + 0.04  # the critic tells two halves apart: this is the whole distance
    assert made.figures(1)["drift"] == pytest.approx(drift, abs=0.03)


def test_a_critic_learns_which_poses_are_hard(shapes):
    materials = shapes()
    made = proposer(materials, drift=0.2)
    _, blind, _ = harvest(materials, made, 3)
    poses, raw, passes = harvest(materials, made, 12)
    assert blind == pytest.approx(0.25, abs=0.06)
    assert raw > 1.5 * blind
    assert len(poses) / passes > 1.3 * blind
    figures = made.figures(1)
    assert figures["rank_correlation"] > 0.7
    assert figures["drift"] < 0.25
    assert figures["base_hard_rate"] == pytest.approx(0.25, abs=0.05)


def test_where_nearly_all_are_hard_ranks_are_learnt(shapes):
    materials = shapes()
    made = proposer(materials)

    def all_hard(materials, placements):
        return np.ones(len(placements), dtype=bool), toy(materials, placements)[1]

    harvest(materials, made, 4, all_hard)
    placements = made.propose(made.requests(np.arange(300, dtype=np.uint64)))
    scores, hardness = made.scores(placements), toy(materials, placements)[1]
    assert np.corrcoef(scores, hardness)[0, 1] > 0.7
    assert 0.3 < scores.mean() < 0.7


def test_where_few_are_hard_it_learns_which_and_not_how_hard(shapes):
    materials = shapes()
    made = proposer(materials, drift=0.2, beta=1.0)

    def few(materials, placements):
        where = unit(materials, placements)
        return where[:, 1] > 0.985, where[:, 0]

    harvest(materials, made, 10, few)
    placements = made.propose(made.requests(np.arange(3000, dtype=np.uint64)))
    hard, scores = few(materials, placements)[0], made.scores(placements)
    assert scores[hard].mean() > 4 * scores[~hard].mean()


@pytest.mark.slow
def test_a_restored_critic_goes_on_alike(shapes):
    materials = shapes()
    made = proposer(materials)
    harvest(materials, made, 5)
    stream = io.BytesIO()
    torch.save(made.state(), stream)
    stream.seek(0)
    again = proposer(materials)
    again.restore(torch.load(stream, weights_only=True))
    for block in (50, 51, 52, 53):  # a fit falls among them
        first, second = made.choose(200, 9, block), again.choose(200, 9, block)
        assert first.placements.pose.tobytes() == second.placements.pose.tobytes()
        assert first.pi.tolist() == second.pi.tolist()
        assert first.tau.tolist() == second.tau.tolist()
        verdict = toy(materials, first.placements)
        assert made.told(first, *verdict, 2).tolist() == again.told(second, *verdict, 2).tolist()
    assert made._fitted.fits == again._fitted.fits > 1
    assert made.figures(2) == again.figures(2)


def test_a_candidate_is_chosen_alike_in_any_company(shapes):
    materials = shapes()
    made = proposer(materials)
    harvest(materials, made, 5)
    whole = made.propose(made.requests(np.arange(64, dtype=np.uint64)))
    rows = np.array([40, 3])
    assert np.allclose(made.scores(whole)[rows], made.scores(whole.take(rows)), atol=1e-6)


def test_features_do_not_depend_on_what_was_asked_for_before(shapes):
    materials = shapes()
    first, second = (FrozenFeatures(materials, lambda: CutOutFeatures(materials, 3)) for _ in range(2))
    placements = proposer(materials).propose(proposer(materials).requests(np.arange(40, dtype=np.uint64)))
    asked = placements.foreground, placements.background, placements.pose
    first(*(column[30:] for column in asked))
    assert torch.equal(first(*asked), second(*asked))


def test_a_background_is_sampled_under_the_pasted_region(shapes):
    materials = shapes(poses=AffinePoses((0, 0), (-1.0, 1.0), (0, 0), (0.2, 0.5), stretch=(1, 1), min_visible=1.0))
    frozen = FrozenFeatures(materials, lambda: MapFeatures(across, 1, seed=0))
    placements = proposer(materials).propose(proposer(materials).requests(np.arange(200, dtype=np.uint64)))
    rows = frozen(placements.foreground, placements.background, placements.pose)
    low_x, high_x, under = rows[:, 1], rows[:, 3], rows[:, 5:].unflatten(1, (3, 3))
    slope = under[:, :, 2] - under[:, :, 0]
    assert (slope.sign() == slope[0, 0].sign()).all()  # of the projection
    middle = (low_x + high_x) / 2
    inside = middle.abs() < 0.5
    assert abs(float(torch.corrcoef(torch.stack([middle[inside], under[inside, 1, 1]]))[0, 1])) > 0.999
    assert torch.allclose(under[:, 0], under[:, 2], atol=1e-5)
    assert frozen.seen[1] == len(materials.backgrounds)


def across(images):
    """A map that grows from left to right."""
    return torch.linspace(-1, 1, 16).expand(len(images), 1, 16, 16)


def test_a_backbone_describes_photographs(shapes):
    materials = shapes()
    settings = LearnedConfig(
        feedback="critic", backbone="squeezenet1_1", input_px=128, critic={"features": "backbone", "channels": 4}
    )
    made, again = settings.build(materials), settings.build(materials)
    placements = made.propose(made.requests(np.arange(6, dtype=np.uint64)))
    torch.manual_seed(5)
    first, _ = made._described(placements)
    second, _ = again._described(placements)
    assert torch.equal(first, second)
    assert first.shape == (6, 5 * materials.poses.size + 3 + 4 + 4 + 9 * 4)


def test_a_critic_beside_a_discriminator_is_refused(shapes):
    with pytest.raises(RecipeError) as refused:
        LearnedConfig(feedback="critic", discriminator=True).build(shapes())
    assert str(refused.value) == (
        "synthesis.discriminator: expected false beside synthesis.feedback: critic, got one; "
        "a critic moves no pose, so realism has nobody to teach"
    )
