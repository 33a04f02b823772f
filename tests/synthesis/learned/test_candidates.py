import numpy as np
import pytest

from terse.draws import seeds_of
from terse.synthesis.learned.candidates import (
    Choice,
    drift_of,
    entering,
    rank_correlation,
    ranks,
    thinning_threshold,
)
from terse.synthesis.learned.config import CriticConfig


def test_pi_averages_what_is_to_be_judged_and_keeps_its_floor():
    settings = CriticConfig(judged=0.1, explore=0.5, beta=0.5)
    scores = np.random.default_rng(0).beta(0.3, 2, 20_000)
    choice = Choice.of_scores(scores, settings)
    pi = choice.probabilities(scores)
    assert pi.mean() == pytest.approx(0.1, rel=1e-6)
    assert pi.min() == pytest.approx(0.05)
    assert choice.least == pytest.approx(0.05)
    between = (pi > choice.least) & (pi < 1)
    assert np.allclose(pi[between], choice.kappa * np.sqrt(scores[between]))


def test_where_few_are_likely_to_be_wanted_the_others_have_the_least_probability():
    settings = CriticConfig()
    scores = np.full(10_000, 1e-4)
    scores[:1000] = 0.5
    pi = Choice.of_scores(scores, settings).probabilities(scores)
    assert pi.mean() == pytest.approx(settings.judged, rel=1e-6)
    assert pi.min() == pytest.approx(settings.judged * settings.explore)
    assert pi[:1000].min() > 0.4


def test_a_least_probability_of_0_is_refused():
    with pytest.raises(ValueError, match="explore"):
        CriticConfig(explore=0)
    with pytest.raises(ValueError, match="judged"):
        CriticConfig(judged=1e-4)  # a block of millions of candidates


def test_before_a_critic_all_candidates_have_the_mean_probability():
    choice = Choice(0.0, 0.05, 0.2, 0.5)
    assert choice.probabilities(np.array([0.0, 0.9])).tolist() == [0.05, 0.05]
    assert choice.least == 0.05


def test_the_draw_of_a_candidate_depends_on_its_own_seed_and_score():
    choice, seeds = Choice(1.0, 0.05, 0.2, 0.5), seeds_of(1, count=5000)
    scores = np.linspace(0, 0.5, 5000)
    judged, pi = choice.draw(scores, seeds)
    assert judged.mean() == pytest.approx(pi.mean(), abs=0.02)
    rows = np.array([4000, 7, 2500])
    again, same = choice.draw(scores[rows], seeds[rows])
    assert again.tolist() == judged[rows].tolist()
    assert same.tolist() == pi[rows].tolist()
    inside = entering(pi, 0.2, seeds)
    assert inside[pi <= 0.2].all()
    assert inside[pi > 0.6].mean() == pytest.approx((0.2 / pi[pi > 0.6]).mean(), abs=0.05)


def test_drift_by_hand():
    pi = np.array([0.1, 0.2])
    # By 1 / pi the shares are 2/3 and 1/3; with everything kept they are a half each.
    assert drift_of(pi, 1.0) == pytest.approx(1 / 6)
    assert drift_of(pi, 0.1) == pytest.approx(0)
    assert drift_of(np.zeros(0), 1.0) == 0


def test_tau_is_the_largest_under_the_drift():
    pi = np.random.default_rng(1).uniform(0.01, 0.3, 500)
    taus = [thinning_threshold(pi, 0.01, drift) for drift in (0.0, 0.05, 0.1, 0.2)]
    assert taus[0] == 0.01
    assert taus == sorted(taus)
    for tau, drift in zip(taus[1:], (0.05, 0.1, 0.2), strict=True):
        assert drift_of(pi, tau) == pytest.approx(drift, abs=1e-6)
    assert thinning_threshold(pi, 0.01, 1.0) == 1.0
    assert thinning_threshold(np.zeros(0), 0.01, 0.1) == 0.01


def test_ranks_count_by_weight_and_are_shared():
    assert ranks(np.array([3.0, 1.0, 3.0]), np.ones(3)).tolist() == pytest.approx([2 / 3, 1 / 6, 2 / 3])
    assert ranks(np.array([1.0, 2.0]), np.array([3.0, 1.0])).tolist() == pytest.approx([0.375, 0.875])


def test_rank_correlation_weighs_each_candidate():
    scores, values = np.array([0.1, 0.2, 0.3, 0.4]), np.array([1.0, 4.0, 9.0, 16.0])
    assert rank_correlation(scores, values, np.ones(4)) == pytest.approx(1)
    assert rank_correlation(scores, -values, np.ones(4)) == pytest.approx(-1)
    assert rank_correlation(scores, np.ones(4), np.ones(4)) == 0
    odd = np.array([1.0, 4.0, 9.0, 0.0])
    assert rank_correlation(scores, odd, np.array([1, 1, 1, 1e-9])) == pytest.approx(1, abs=1e-6)
