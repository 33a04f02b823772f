"""When a composite counts as hard (paper 4.2 and A.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from terse.config import Component, Count, Fraction
from terse.registry import register

if TYPE_CHECKING:
    from terse.evaluation.hardness_rules import HardnessRule

__all__ = ["MarginConfig", "ProbabilityConfig", "QuantileConfig"]


@register("hardness", "margin")
class MarginConfig(Component["HardnessRule"]):
    """Hard: the best wrong class leads the true one by more than `above` (classifiers)."""

    kind: Literal["margin"] = "margin"
    above: float = 0.05
    """p - p* of A.1; the paper has 0.05."""

    def build(self) -> HardnessRule:
        """The rule."""
        from terse.evaluation.hardness_rules import Margin

        return Margin(self.above)


@register("hardness", "probability")
class ProbabilityConfig(Component["HardnessRule"]):
    """Hard: the probability of the truth is below `below` (detectors with softmax scores)."""

    kind: Literal["probability"] = "probability"
    below: Fraction = 0.5
    """p of A.2; the paper has 0.5."""

    def build(self) -> HardnessRule:
        """The rule."""
        from terse.evaluation.hardness_rules import Probability

        return Probability(self.below)


@register("hardness", "quantile")
class QuantileConfig(Component["HardnessRule"]):
    """Hard: p is below a quantile of the start's own scores on real objects (scores that are no probabilities)."""

    kind: Literal["quantile"] = "quantile"
    quantile: Fraction = 0.5
    """Of the start's confidences on the objects of the validation images."""
    images: Count = 200
    """So many validation images are looked at."""

    def build(self) -> HardnessRule:
        """The rule, without a threshold until `calibrate` was called."""
        from terse.evaluation.hardness_rules import Quantile

        return Quantile(self.quantile, self.images)
