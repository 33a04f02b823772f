"""Hardness rules with a reference, as a recipe says them: `learnable` and `reducible`."""

from typing import TYPE_CHECKING, Annotated, Literal

from terse.config import Component, Config, Count, Family, Fraction
from terse.errors import RecipeError
from terse.recipe_parts import OptimizerConfig
from terse.registry import register

if TYPE_CHECKING:  # what the components build; nothing here imports torch
    from terse.evaluation.hardness import HardnessRule
    from terse.protocols import Judges

__all__ = ["LearnableConfig", "ReducibleConfig", "ReferenceConfig", "RuleOver"]


class ReferenceConfig(Config):
    """How the two references are trained, once before the first cycle; all arms of a proof share them.

    Source: ours.
    """

    target: Annotated[Component["Judges"] | None, Family("target")] = None
    """What they are; None takes the target itself with its initial weights. A target that only judges needs one."""
    steps: Count = 1000
    """Of each of the two."""
    batch_size: Count = 64
    """Half real images, half composites drawn afresh."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-2, schedule="one_cycle")
    """Of each of the two."""
    augment: bool = False
    """Flip and crop at random."""
    photometric: bool = False
    """Change light, colour, sharpness and noise at random."""
    probe: Count = 500
    """Base composites on which references and target are compared; where the target is better, the rule falls back."""


class RuleOver(Component["HardnessRule"]):
    """What a rule that knows more than hardness is built over.

    Source: ours.
    """

    of: Annotated[Component["HardnessRule"], Family("hardness")]
    """The rule that says what is hard: margin, probability or quantile."""

    def _refused(self) -> tuple[type, ...]:
        """Configs of rules that this one is not built over."""
        return (RuleOver,)

    def _rules(self, count: int) -> list["HardnessRule"]:
        """So many of `of`, each with a threshold of its own."""
        if isinstance(self.of, self._refused()):
            raise RecipeError(f"hardness.of: expected margin, probability or quantile, got {self.of.kind}")
        return [self.of.build() for _ in range(count)]


class _WithReference(RuleOver):
    reference: ReferenceConfig = ReferenceConfig()
    """How the references are trained."""

    def _refused(self) -> tuple[type, ...]:
        """A window too: what a reference knows nothing of lies outside of it, as what it gets right does."""
        from terse.evaluation.hardness import WindowConfig

        return (*super()._refused(), WindowConfig)


@register("hardness", "learnable")
class LearnableConfig(_WithReference):
    """Kept: hard by `of` for the target, and right for a reference that has seen composites of other cut-outs."""

    kind: Literal["learnable"] = "learnable"

    def build(self) -> "HardnessRule":
        """The rule; a run makes and trains its references."""
        from terse.evaluation.learnable import Learnable

        return Learnable(self._rules(3), self.reference)


@register("hardness", "reducible")
class ReducibleConfig(_WithReference):
    """Kept: the target's loss exceeds a reference's by more than in most base composites."""

    kind: Literal["reducible"] = "reducible"
    quantile: Fraction = 0.5
    """Of base composites, so many are not kept."""

    def build(self) -> "HardnessRule":
        """The rule; a run makes and trains its references."""
        from terse.evaluation.learnable import Reducible

        return Reducible(self._rules(3), self.reference, self.quantile)
