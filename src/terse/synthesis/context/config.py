"""The recipe's `synthesis: {kind: context}`: the baseline of Dvornik et al. 2018."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from terse.config import Component, Count, Counts, Fraction, NonNegative, Positive
from terse.recipe_parts import Blend
from terse.registry import register
from terse.synthesis.scene import SceneConfig

if TYPE_CHECKING:
    from terse.protocols import Proposer
    from terse.synthesis.materials import Materials

__all__ = ["ContextConfig"]


@register("synthesis", "context")
class ContextConfig(SceneConfig, Component["Proposer"]):
    """A small network sees surroundings with the middle masked out and scores which class fits there.

    Source: Dvornik, Mairal and Schmid 2018, Modeling Visual Context is Key to Augmenting Object Detection
    Datasets, and its published code. Their network is a ResNet-50 on 300 px; ours is small, from scratch.
    """

    learns: ClassVar[bool] = True
    """It needs a run; `generate` of a recipe alone takes uniform poses."""
    kind: Literal["context"] = "context"
    objects: Counts = (1, 2)
    """Fewest and most objects an image."""
    candidates: Count = 200
    """Boxes scored in each background; the published code has 200."""
    threshold: Fraction = 0.7
    """Boxes with a class above it are used; of a background without one, nothing but its best is, and rarely."""
    background_share: Fraction = 0.75
    """Of the training boxes; the published code takes three of background for each object."""
    crops: Count = 6400
    """Surroundings cut from the real training images."""
    epochs: NonNegative = 3
    """Over these."""
    lr: Positive = 2e-3
    """Adam's."""
    crop_px: Annotated[int, Field(ge=16)] = 48
    """Side the surroundings are resized to."""
    blends: Annotated[tuple[Blend, ...], Field(min_length=1)] = ("gaussian", "box", "none")
    """One an image, drawn at random."""
    batch_size: Count = 250
    """Composites looked at together in the harvest."""

    def build(self, materials: Materials) -> Proposer:
        """The arm; its network is trained when it first proposes."""
        from terse.synthesis.context.proposer import ContextProposer

        return ContextProposer(materials, self)
