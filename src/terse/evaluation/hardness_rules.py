"""The rules of hardness, each a verdict and 1 - p for a batch of composites."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from terse.protocols import Judges, RealImages
from terse.types import Truth

__all__ = ["HardnessRule", "Margin", "Probability", "Quantile", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row an image; of several pasted objects the hardest counts."""

    hard: Bool[Tensor, " b"]
    hardness: Float[Tensor, " b"]  # 1 - p


@runtime_checkable
class HardnessRule(Protocol):
    """What the harvest asks."""

    def judge(self, target: Judges, images: Float[Tensor, "b c h w"], truth: Truth) -> Verdict:
        """Which composites are hard for the target; one forward pass."""
        ...

    def calibrate(self, target: Judges, real: RealImages, device: torch.device | str) -> None:
        """See the start's scores on real images, before the first cycle."""
        ...

    def state(self) -> float | None:
        """What calibration found, for a checkpoint."""
        ...

    def restore(self, state: float | None) -> None:
        """Take it back."""
        ...


class _Fixed:
    """A rule whose threshold needs no calibration."""

    def calibrate(self, target: Judges, real: RealImages, device: torch.device | str) -> None:
        """Nothing to see."""

    def state(self) -> float | None:
        """Nothing to keep."""
        return None

    def restore(self, state: float | None) -> None:
        """Nothing to take back."""


class Margin(_Fixed):
    """The best wrong probability exceeds the true one's by more than a margin.

    Source: paper A.1: p - p* > 0.05.
    """

    def __init__(self, above: float) -> None:
        self.above = above

    def judge(self, target: Judges, images: Float[Tensor, "b c h w"], truth: Truth) -> Verdict:
        """One forward pass of a classifier."""
        probabilities: Tensor = target.predict(images)
        true = truth.labels[:, None]
        p = probabilities.gather(1, true)[:, 0]
        rival = probabilities.scatter(1, true, -1.0).amax(dim=1)
        return Verdict(rival - p > self.above, 1 - p)


class Probability(_Fixed):
    """The probability of the truth is below a threshold.

    Source: paper A.2: below 0.5.
    """

    def __init__(self, below: float) -> None:
        self.below = below

    def judge(self, target: Judges, images: Float[Tensor, "b c h w"], truth: Truth) -> Verdict:
        """One forward pass; an image without a labelled paste is not hard."""
        p = target.confidence(images, truth)
        rows = truth.image_index[truth.pasted]
        lowest = torch.ones(truth.batch_size, device=p.device).scatter_reduce(0, rows, p.float(), "amin")
        return Verdict(lowest < self.below, 1 - lowest)


class Quantile:
    """The probability of the truth is below a quantile of the start's scores on real objects.

    Focal and sigmoid scores are not calibrated: 0.5 means nothing to them.

    Source: ours.
    """

    def __init__(self, quantile: float, images: int) -> None:
        self.quantile = quantile
        self.images = images
        self._below: float | None = None

    def judge(self, target: Judges, images: Float[Tensor, "b c h w"], truth: Truth) -> Verdict:
        """One forward pass."""
        assert self._below is not None, "calibrate first"
        return Probability(self._below).judge(target, images, truth)

    def calibrate(self, target: Judges, real: RealImages, device: torch.device | str) -> None:
        """The start's confidences on real objects; the harvest's threshold is their quantile."""
        scores = []
        for start in range(0, min(self.images, len(real)), 16):
            batch, truth = real.fetch(np.arange(start, min(start + 16, self.images, len(real))))
            asked = replace(truth, pasted=~truth.ignore).to(device)
            scores.append(target.confidence(batch.to(device), asked).float().cpu())
        found = torch.cat(scores) if scores else torch.zeros(0)
        self._below = float(torch.quantile(found, self.quantile)) if len(found) else 0.5

    def state(self) -> float | None:
        """The threshold."""
        return self._below

    def restore(self, state: float | None) -> None:
        """Take the threshold of a checkpoint."""
        self._below = state
