"""When a composite counts as hard (paper 4.2, A.1, A.2), and how hard a pool is for one frozen judge (Fig. 8).

A rule judges composites by one forward pass of the current target. Its threshold is a setting, or is calibrated once on
real images before the first cycle and kept with the run's state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from terse.config import Component, Count, Fraction
from terse.registry import register

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int64
    from torch import Tensor

    from terse.placements import Placements
    from terse.protocols import Judges, RealImages, Renders
    from terse.types import Composites, Costs, Truth

__all__ = [
    "HardnessRule",
    "Margin",
    "MarginConfig",
    "Passes",
    "Probability",
    "ProbabilityConfig",
    "ProbabilityWindow",
    "Quantile",
    "QuantileConfig",
    "Verdict",
    "WindowConfig",
    "baseline_hardness",
]

_BATCH = 32
_CALIBRATION_BATCH = 16


@dataclass(frozen=True, slots=True)
class Passes:
    """Images that went through a network for a verdict, beside the one pass of the target for each.

    Source: ours.
    """

    reference: int = 0
    target: int = 0
    target_backwards: int = 0

    def __add__(self, other: Passes) -> Passes:
        """The passes of two verdicts together."""
        return Passes(
            self.reference + other.reference,
            self.target + other.target,
            self.target_backwards + other.target_backwards,
        )

    @property
    def judging(self) -> int:
        """All of them; a backward pass counts as two."""
        return self.reference + self.target + 2 * self.target_backwards

    def charge(self, costs: Costs) -> None:
        """Add them to what a cycle has cost."""
        costs.judging_passes += self.judging
        costs.target_forwards += self.target
        costs.target_backwards += self.target_backwards


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row an image; of several pasted objects the hardest counts."""

    hard: Bool[Tensor, " b"]
    hardness: Float[Tensor, " b"]  # 1 - p
    further: Passes = Passes()
    objects: Bool[Tensor, " n"] | None = None  # which rows of the truth are hard; None: whole images are judged


class HardnessRule(ABC):
    """What the harvest asks. This one's threshold needs no calibration.

    Attributes:
        of_probabilities: whether its threshold is a fixed probability, which means little to scores that are none.

    Source: paper 4.2, A.1 and A.2; rules that are calibrated are ours.
    """

    of_probabilities: bool = False

    @property
    def most_passes(self) -> int:
        """Judging passes that a verdict on one composite takes at most."""
        return 1

    @property
    def passes_of_base(self) -> float:
        """Judging passes that a verdict on a base composite takes in the mean: what mining pays for a candidate."""
        return float(self.most_passes)

    @abstractmethod
    def judge(self, target: Judges, images: Float[Tensor, "b c h w"], truth: Truth) -> Verdict:
        """Which composites are hard for the target; one forward pass."""

    def judge_composites(self, target: Judges, composites: Composites, placements: Placements) -> Verdict:
        """Which composites are worth keeping; a rule may know more of them than their pixels say."""
        return self.judge(target, composites.images, composites.truth)

    def calibrate(  # noqa: B027 - most rules have nothing to calibrate
        self, target: Judges, real: RealImages, device: torch.device | str
    ) -> None:
        """Find the threshold from the start's scores on real images, before the first cycle."""

    def state(self) -> Any:
        """What calibration found, for a checkpoint."""
        return None

    def restore(self, state: Any) -> None:  # noqa: B027
        """Go on with what an earlier calibration found."""


class Margin(HardnessRule):
    """The best wrong probability exceeds the true one's by more than a margin.

    Source: paper A.1: p - p* > 0.05.
    """

    def __init__(self, above: float) -> None:
        self.above = above

    def judge(self, target: Judges, images: Float[Tensor, "b c h w"], truth: Truth) -> Verdict:
        """One forward pass of a classifier."""
        import torch

        from terse.targets.classifier.target import objects_of_images

        with torch.no_grad():
            probabilities: Tensor = target.predict(images)
        true = truth.labels[objects_of_images(truth)][:, None]
        p = probabilities.gather(1, true)[:, 0]
        rival = probabilities.scatter(1, true, -1.0).amax(dim=1)
        return Verdict(rival - p > self.above, 1 - p)


class Probability(HardnessRule):
    """The probability of the truth is below a threshold.

    Source: paper A.2: below 0.5.
    """

    of_probabilities = True

    def __init__(self, below: float) -> None:
        self.below = below

    def judge(self, target: Judges, images: Float[Tensor, "b c h w"], truth: Truth) -> Verdict:
        """One forward pass; an image without a labelled paste is not hard."""
        p, rows = _sureness(target, images, truth)
        lowest = _lowest(p, rows, truth)
        return Verdict(lowest < self.below, 1 - lowest, objects=_rows(p < self.below, rows, truth))


class ProbabilityWindow(HardnessRule):
    """The probability of the truth lies in a window: what the target neither knows nor holds for hopeless.

    Source: ours.
    """

    of_probabilities = True

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def judge(self, target: Judges, images: Float[Tensor, "b c h w"], truth: Truth) -> Verdict:
        """One forward pass; of several objects the one with the lowest probability counts."""
        p, rows = _sureness(target, images, truth)
        lowest = _lowest(p, rows, truth)
        some = lowest.new_zeros(truth.batch_size).index_fill(0, truth.image_index.to(p.device)[rows], 1) > 0
        inside = _rows((self.low <= p) & (p <= self.high), rows, truth)
        return Verdict(some & (self.low <= lowest) & (lowest <= self.high), 1 - lowest, objects=inside)


class Quantile(HardnessRule):
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
        """The quantile of the start's confidences on real objects; 0.5 where there are none.

        The images are spread evenly: they may stand in the order of their classes.
        """
        import torch

        from terse.evaluation.predictions import spread

        scores, rows = [], spread(len(real), self.images)
        for start in range(0, len(rows), _CALIBRATION_BATCH):
            batch, truth = real.fetch(rows[start : start + _CALIBRATION_BATCH])
            asked = replace(truth, pasted=~truth.ignore).to(device)
            with torch.no_grad():
                scores.append(target.confidence(batch.to(device), asked).float().cpu())
        found = torch.cat(scores) if scores else torch.zeros(0)
        self._below = float(torch.quantile(found, self.quantile)) if len(found) else 0.5

    def state(self) -> float | None:
        """The threshold."""
        return self._below

    def restore(self, state: float | None) -> None:
        """Go on with the threshold of a checkpoint."""
        self._below = state


@register("hardness", "margin")
class MarginConfig(Component["HardnessRule"]):
    """Hard: the best wrong class leads the true one by more than `above` (classifiers)."""

    task: ClassVar[str] = "classification"
    kind: Literal["margin"] = "margin"
    above: float = 0.05
    """p - p* of A.1; the paper has 0.05."""

    def build(self) -> HardnessRule:
        """The rule."""
        return Margin(self.above)


@register("hardness", "probability")
class ProbabilityConfig(Component["HardnessRule"]):
    """Hard: the probability of the truth is below `below` (detectors with softmax scores)."""

    kind: Literal["probability"] = "probability"
    below: Fraction = 0.5
    """p of A.2; the paper has 0.5."""

    def build(self) -> HardnessRule:
        """The rule."""
        return Probability(self.below)


@register("hardness", "quantile")
class QuantileConfig(Component["HardnessRule"]):
    """Hard: p is below a quantile of the start's own scores on real objects (scores that are no probabilities)."""

    kind: Literal["quantile"] = "quantile"
    quantile: Fraction = 0.5
    """Of the start's confidences on the objects of the validation images."""
    images: Count = 200
    """At most so many validation images are looked at, evenly spread."""

    def build(self) -> HardnessRule:
        """The rule, without a threshold until `calibrate` was called."""
        return Quantile(self.quantile, self.images)


@register("hardness", "window")
class WindowConfig(Component["HardnessRule"]):
    """Kept: the probability of the truth is at least `low` and at most `high`."""

    kind: Literal["window"] = "window"
    low: Fraction = 0.1
    """Below it a composite counts as hopeless."""
    high: Fraction = 0.6
    """Above it the target knows enough."""

    @model_validator(mode="after")
    def _ordered(self) -> WindowConfig:
        if self.low >= self.high:
            raise ValueError(f"low: expected a number below high, got {self.low:g} and {self.high:g}")
        return self

    def build(self) -> HardnessRule:
        """The rule."""
        return ProbabilityWindow(self.low, self.high)


def _sureness(
    target: Judges, images: Float[Tensor, "b c h w"], truth: Truth
) -> tuple[Float[Tensor, " k"], Int64[Tensor, " k"]]:
    """P of each pasted object, and its row in the truth. What others hide is hard for everybody, and is not asked of."""
    import torch

    truth = replace(truth, pasted=truth.pasted & ~truth.ignore)
    with torch.no_grad():
        p = target.confidence(images, truth).float()
    return p, truth.pasted.nonzero().flatten().to(p.device)


def _lowest(p: Float[Tensor, " k"], rows: Int64[Tensor, " k"], truth: Truth) -> Float[Tensor, " b"]:
    """P of each image's hardest pasted object; 1 where there is none."""
    return p.new_ones(truth.batch_size).scatter_reduce(0, truth.image_index.to(p.device)[rows], p, "amin")


def _rows(hard: Bool[Tensor, " k"], rows: Int64[Tensor, " k"], truth: Truth) -> Bool[Tensor, " n"]:
    """Which rows of the truth are hard, from these of them."""
    return hard.new_zeros(len(truth.labels)).index_put((rows,), hard)


def baseline_hardness(
    target: Judges,
    placements: Placements,
    render: Renders,
    image_confidence: Callable[[Any, Sequence[Int64[Tensor, " _"]]], list[float]],
    *,
    most: int = 256,
    device: torch.device | str = "cpu",
) -> list[float]:
    """1 - p for composites spread evenly over the placements.

    p is the image's: of what was pasted, the highest probability that the target gives it anywhere.

    Args:
        target: the judge; for comparing arms, the frozen start.
        placements: an arm's pool.
        render: draws them.
        image_confidence: the task's p, from the target's predictions and each image's pasted labels.
        most: at most so many composites.
        device: the target's.

    Source: paper 4.2.1 and Fig. 8.
    """
    import numpy as np
    import torch

    chosen = np.unique(np.linspace(0, len(placements) - 1, min(most, len(placements))).astype(np.int64))
    found: list[float] = []
    for rows in np.array_split(chosen, -(-len(chosen) // _BATCH)) if len(chosen) else []:
        with torch.no_grad():
            drawn = render(placements.take(rows))
            answers = target.predict(drawn.images.to(device))
        truth = drawn.truth.to("cpu")
        labels = [truth.labels[(truth.image_index == i) & truth.pasted] for i in range(len(rows))]
        found += [1 - p for p in image_confidence(answers, labels)]
    return found
