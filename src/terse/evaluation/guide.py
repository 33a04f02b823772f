"""The hardness rule with a guide, as a recipe says it: `helpful`."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from terse.config import Component, Config, Count, Family, Fraction, Positive
from terse.evaluation.reference import RuleOver
from terse.registry import register

if TYPE_CHECKING:  # what the components build; nothing here imports torch
    from terse.evaluation.hardness import HardnessRule
    from terse.sources.annotations import Annotations

__all__ = ["GuideConfig", "HelpfulConfig"]


class GuideConfig(Config):
    """The real images that steer; the target is trained on them whatever the arm, and none of val or test is among them.

    Source: ours.
    """

    source: Annotated[Component["Annotations"] | None, Family("source")] = None
    """A set of their own, which is added to `train`; null takes a part of `train`."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The part of `train`, drawn by the run's seed, where they have no set of their own."""
    images: Count = 500
    """At most so many of them are looked at before a harvest, drawn afresh for each."""


@register("hardness", "helpful")
class HelpfulConfig(RuleOver):
    """Kept: a step of training on the composite would lower the loss on the guide's real images."""

    kind: Literal["helpful"] = "helpful"
    guide: GuideConfig = GuideConfig()
    """The real images on which the loss is to fall."""
    among: Literal["all", "hard"] = "all"
    """Which composites may be kept, and are asked: all, or those that `of` calls hard."""
    keep: Literal["above", "in_proportion"] = "above"
    """What is more helpful than `quantile` of the base composites; or everything that helps, less of it the less it
    helps, so that the pool weighs by it: above the quantile all, at half of its value every second."""
    quantile: Fraction = 0.5
    """Of the base composites that are asked."""
    probe: Count = 200
    """So many base composites are judged before a harvest for the quantile."""
    cosine: bool = False
    """The cosine of the two gradients instead of their product: how steep a composite's loss is does not count. It takes
    a backward pass for each composite instead of two forward passes, one composite at a time."""
    step: Positive = 0.01
    """Length of the step along the guide's gradient, to either side, over which the loss's slope is taken."""

    def build(self) -> "HardnessRule":
        """The rule; a run gives it the guide."""
        from terse.evaluation.helpful import Helpful

        return Helpful(self._rules(1)[0], self)
