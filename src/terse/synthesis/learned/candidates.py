"""Which base candidates are worth judging, and what that does to the law of the harvest.

Candidates stream from the base; each is judged with a probability pi that grows with its score. A kept one enters the
pool with probability min(1, tau / pi), so the harvest follows base x kept x min(pi, tau) whatever the score is worth:
at tau = min pi that is mining's law, and above it `drift` says how far it may be from it. Arrays only; the random
numbers are a function of each candidate's own seed.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, UInt64

from terse.draws import uniform

if TYPE_CHECKING:
    from terse.synthesis.learned.config import CriticConfig

__all__ = ["Choice", "drift_of", "entering", "rank_correlation", "ranks", "thinning_threshold"]

_BISECTIONS = 60


@dataclass(frozen=True)
class Choice:
    """The rule by which candidates are judged, fixed before a block: pi = clip(kappa g^beta, pi_min, 1).

    Source: ours.
    """

    kappa: float  # 0: nothing is known yet, and all candidates have the mean probability
    judged: float  # the mean of pi over base candidates
    explore: float  # pi_min over that mean
    beta: float

    @staticmethod
    def of_scores(scores: Float64[np.ndarray, " n"], settings: "CriticConfig") -> "Choice":
        """The rule under which pi averages `judged` over base candidates with these scores."""
        low, high = 1e-6, 1e6
        for _ in range(_BISECTIONS):
            middle = (low * high) ** 0.5
            rule = Choice(middle, settings.judged, settings.explore, settings.beta)
            low, high = (low, middle) if rule.probabilities(scores).mean() > settings.judged else (middle, high)
        return Choice((low * high) ** 0.5, settings.judged, settings.explore, settings.beta)

    @property
    def least(self) -> float:
        """The lowest probability that a candidate is judged with."""
        return float(self.probabilities(np.zeros(1))[0])

    def probabilities(self, scores: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Pi of each candidate; a function of its own score alone."""
        if not self.kappa:
            return np.full(len(scores), self.judged)
        wanted = self.kappa * scores**self.beta
        pi: Float64[np.ndarray, " n"] = np.clip(wanted, self.judged * self.explore, 1.0)
        return pi

    def draw(
        self, scores: Float64[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"]
    ) -> tuple[Bool[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """Which candidates are judged, and pi of all of them."""
        pi = self.probabilities(scores)
        return uniform(seeds, "judged", 1)[:, 0] < pi, pi


def entering(
    pi: Float64[np.ndarray, " n"], tau: Float64[np.ndarray, " n"] | float, seeds: UInt64[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Which kept candidates enter the pool: each with probability min(1, tau / pi).

    Source: ours.
    """
    inside: Bool[np.ndarray, " n"] = uniform(seeds, "enters", 1)[:, 0] < tau / pi
    return inside


def drift_of(pi: Float64[np.ndarray, " n"], tau: Float64[np.ndarray, " n"] | float) -> float:
    """Half the sum over kept candidates of |share in the harvest - share by 1 / pi|: 0 is mining's law.

    Source: ours; the total variation distance of the harvest from mining's law, by inverse probabilities.
    """
    if not len(pi):
        return 0.0
    harvest, mining = np.minimum(1.0, tau / pi), 1.0 / pi
    return float(0.5 * np.abs(harvest / harvest.sum() - mining / mining.sum()).sum())


def thinning_threshold(pi: Float64[np.ndarray, " n"], least: float, drift: float) -> float:
    """The largest tau at which the drift over these kept candidates stays under its setting; at 0 the least pi.

    Without any kept candidate nothing is known of the score, and the least pi is safe.

    Source: ours.
    """
    if drift <= 0 or not len(pi):
        return least
    low, high = least, max(least, float(pi.max()))
    if drift_of(pi, high) <= drift:
        return 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if drift_of(pi, middle) <= drift else (low, middle)
    return low


def ranks(values: Float64[np.ndarray, " n"], weights: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Where each value stands among all, in [0, 1], each counting by its weight; equal values share a rank.

    Source: ours.
    """
    _, inverse = np.unique(values, return_inverse=True)
    share = np.bincount(inverse, weights) / max(weights.sum(), 1e-300)
    found: Float64[np.ndarray, " n"] = (np.cumsum(share) - share / 2)[inverse]
    return found


def rank_correlation(
    scores: Float64[np.ndarray, " n"], values: Float64[np.ndarray, " n"], weights: Float64[np.ndarray, " n"]
) -> float:
    """Spearman's correlation where each candidate counts by its weight; 0 where one side is constant.

    Source: ours; weights of 1 / pi make it that of base candidates.
    """
    if len(scores) < 2:
        return 0.0
    x, y = ranks(scores, weights) - 0.5, ranks(values, weights) - 0.5  # a weighted mean of ranks is a half
    spread = (weights * x * x).sum() * (weights * y * y).sum()
    return float((weights * x * y).sum() / np.sqrt(spread)) if spread > 0 else 0.0
