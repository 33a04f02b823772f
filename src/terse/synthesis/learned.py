"""The recipe's `synthesis: {kind: learned}`: the paper's synthesizer and how it is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from terse.config import Component, Count, Fraction, NonNegative, Paper
from terse.recipe import OptimizerConfig
from terse.registry import register

__all__ = ["LearnedConfig"]


@register("synthesis", "learned")
class LearnedConfig(Component):
    """A network that learns where and how to paste so that the target fails (paper 3.1)."""

    family = "synthesis"
    kind: Literal["learned"] = "learned"
    network: Literal["digits"] = "digits"
    """digits is A.1's."""
    optimizer: OptimizerConfig = OptimizerConfig(name="adam", lr=1e-3)
    """Adam; the paper has 1e-3 on digits, 1e-4 on photographs, weight decay 5e-4."""
    batch_size: Annotated[Count, Paper(1024)] = 1024
    steps: Annotated[NonNegative, Paper(1000)] = 100
    """Steps of one synthesizer phase, before the harvest closes."""
    max_steps: Count = 1000
    """With the harvest during training: at most so many, should the quota not fill."""
    harvest: Literal["during", "after"] = "during"
    """Hard examples are taken from the training's own batches (A.1), or drawn afterwards (A.2)."""
    harvest_from: NonNegative = 0
    """With the harvest during training: the first step whose batch counts; 0 is the paper."""
    restart: bool = False
    """A new network every cycle; the paper goes on with the old one."""
    dropout: Fraction = 0.5
    """Of the synthesizer; 0.5 in A.1's dump."""
    noise_size: NonNegative = 0
    """Length of a noise vector beside the features; 0 is the paper, whose only noise is dropout."""
    base: Literal["centre", "random"] = "centre"
    """What the network's output is added to: the middle of the ranges (paper), or a uniformly random pose, which
    the head then sees as its noise: training starts from blind pasting, and moves away from it where that pays."""
    discriminator: bool = False
    """Pit the composites against a discriminator (paper 3.3)."""

    def build(self, context: Any) -> Any:
        """The proposer with a fresh network."""
        from terse.synthesis.network import DigitSynthesizer
        from terse.synthesis.proposers import LearnedProposer

        noise_size = context.poses.size if self.base == "random" else self.noise_size
        network = DigitSynthesizer(context.poses.size, noise_size, dropout=self.dropout)
        return LearnedProposer(context, network, self)
