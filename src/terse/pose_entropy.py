"""How widely poses spread, as an entropy that a synthesizer can be held to (ours; the paper names diversity in 5)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from terse.poses import PoseFamily
from terse.poses.space import laid_out
from terse.recipe_parts import ObjectiveConfig

__all__ = ["PoseEntropy", "free_unit_poses", "nearest_neighbour_entropy"]

_FLOOR = 1e-3  # of a range: nearer poses count as this far apart, so that a repeated pose is no infinite loss
_BASE_DRAWS = 8
_BASE_SEED = 0
_LOG_WEIGHT = (-7.0, 3.0)  # natural logarithms of the least and the largest weight


def nearest_neighbour_entropy(
    poses: Float[Tensor, "b k"],
    others: Float[Tensor, "m k"] | None = None,
    *,
    floor: float = _FLOOR,
    wraps: Sequence[int] = (),
) -> Float[Tensor, ""]:
    """The differential entropy of the law of `poses`, in nats, from each one's distance to its nearest neighbour.

    Args:
        poses: numbers in [0, 1]; the gradient pushes each away from its neighbour, and batch neighbours from it.
        others: further draws of the law that may be neighbours, without gradient.
        floor: distances are at least about this.
        wraps: the places of numbers that go round: 0 and 1 are one.

    Source: Kozachenko and Leonenko 1987; floor and further neighbours are ours.
    """
    count, size = poses.shape
    poses, others = laid_out(poses, wraps), None if others is None else laid_out(others, wraps)
    apart = torch.arange(count, device=poses.device)
    with torch.no_grad():  # which neighbour is nearest has no gradient; its distance has
        within = _distances(poses, poses)
        within[apart, apart] = torch.inf
        near, index = within.min(dim=1)
        if others is not None and len(others):
            far, other = _distances(poses, others).min(dim=1)
    neighbour = poses[index]
    if others is not None and len(others):
        neighbour = torch.where((far < near)[:, None], others[other], neighbour)
    distance = ((poses - neighbour).square().sum(dim=1) + floor**2).sqrt()
    points = count - 1 + (len(others) if others is not None else 0)
    ball = size / 2 * math.log(math.pi) - math.lgamma(size / 2 + 1)
    euler = -float(torch.digamma(torch.ones((), dtype=torch.float64)))
    return size * distance.log().mean() + ball + math.log(max(1, points)) + euler


def free_unit_poses(
    family: PoseFamily, pose: Float[Tensor, "b k"], labels: Int64[np.ndarray, " b"], classes: Sequence[str]
) -> Float[Tensor, "b free"]:
    """Each component's range, its class's own, scaled to [0, 1]; components without a range left out: they cannot spread.

    Source: ours.
    """
    return family.unit_of_classes(pose, labels, classes)[:, family.free]


def _distances(poses: Tensor, others: Tensor) -> Tensor:
    """Without a matrix product, which rounds small distances away."""
    return torch.cdist(poses, others, compute_mode="donot_use_mm_for_euclid_dist")


class PoseEntropy:
    """Holds the entropy of a synthesizer's unit poses at a share of random poses' by a weight that tunes itself.

    The weight of -H grows while the coverage is below its target, and shrinks while above.

    Attributes:
        coverage: c = exp((H - H_base) / k) of the latest step, H_base by the same estimator on as many random poses:
            1 is as wide as random, 0.5 is half of each range.

    Source: Haarnoja et al. 2018 (the temperature of soft actor-critic); its use on poses is ours.
    """

    coverage = 1.0

    def __init__(self, settings: ObjectiveConfig, family: PoseFamily) -> None:
        assert settings.coverage is not None
        self._settings = settings
        self._target = math.log(settings.coverage)
        self._log_weight = math.log(settings.coverage_weight)
        self._family = family
        self._wraps = [i for i, place in enumerate(family.free) if place in family.wraps]
        self._recent = torch.zeros(0, len(family.free))
        self._base: dict[tuple[int, int], float] = {}

    @property
    def weight(self) -> float:
        """Of -H in the loss, now."""
        return math.exp(self._log_weight)

    def loss(self, unit_poses: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
        """-weight H of a step's poses; the weight moves and the poses are kept for later steps."""
        poses = unit_poses.float()
        recent = self._recent.to(poses.device)
        entropy = nearest_neighbour_entropy(poses, recent, wraps=self._wraps)
        short = (float(entropy.detach()) - self._entropy_of_base(len(poses), len(recent))) / poses.shape[1]
        loss = -self.weight * entropy
        moved = self._log_weight - self._settings.coverage_rate * (short - self._target)
        self._log_weight = min(max(moved, _LOG_WEIGHT[0]), _LOG_WEIGHT[1])
        kept = torch.cat([recent, poses.detach()])[-self._settings.coverage_store :]
        self._recent = (kept if self._settings.coverage_store else kept[:0]).cpu()
        self.coverage = math.exp(short)
        return loss

    def state(self) -> dict[str, Any]:
        """The weight, the coverage and the recent poses."""
        figures = torch.tensor([self._log_weight, self.coverage], dtype=torch.float64)
        return {"figures": figures, "recent": self._recent}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with what `state` gave."""
        self._log_weight, self.coverage = state["figures"].tolist()
        self._recent = state["recent"]

    def _entropy_of_base(self, count: int, others: int) -> float:
        """Of as many random poses: a bounded cube biases the estimator, alike for both."""
        key = (count, others)
        if key not in self._base:
            generator = torch.Generator().manual_seed(_BASE_SEED)
            found = [
                float(
                    nearest_neighbour_entropy(
                        self._random(count, generator), self._random(others, generator), wraps=self._wraps
                    )
                )
                for _ in range(_BASE_DRAWS)
            ]
            self._base[key] = sum(found) / len(found)
        return self._base[key]

    def _random(self, count: int, generator: torch.Generator) -> Tensor:
        """Unit poses as the family draws them, the numbers that can differ."""
        unit = torch.full((count, self._family.size), 0.5)
        unit[:, self._family.free] = torch.rand(count, len(self._family.free), generator=generator)
        return self._family.random_unit(unit)[:, self._family.free]
