"""The recipe's `synthesis: {kind: cut_paste_learn}`: the baseline of Dwibedi et al. 2017."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from terse.config import Component, Count, Fraction, NonNegative
from terse.recipe import Blend
from terse.registry import register
from terse.synthesis.scene import SceneConfig

if TYPE_CHECKING:
    from terse.protocols import Proposer
    from terse.synthesis.materials import Materials

__all__ = ["CutPasteLearnConfig"]


@register("synthesis", "cut_paste_learn")
class CutPasteLearnConfig(SceneConfig, Component["Proposer"]):
    """Random scale, rotation and place, several objects and distractors, each scene in all blends.

    Source: Dwibedi, Misra and Hebert 2017, Cut, Paste and Learn; defaults of its published generator where
    nothing else is said.
    """

    kind: Literal["cut_paste_learn"] = "cut_paste_learn"
    objects: tuple[Count, Count] = (1, 3)
    """Fewest and most labelled objects an image; the generator's 3 to 8 are for kitchen scenes."""
    distractors: tuple[NonNegative, NonNegative] | None = None
    """Fewest and most objects of no class of the task. None takes the generator's 2 to 4 where the foregrounds
    hold such classes, else none: an unlabelled object of the task's own classes would teach the opposite."""
    rotation_deg: tuple[float, float] = (-30.0, 30.0)
    """Inside the recipe's own range."""
    scale: tuple[float, float] | None = None
    """None is the recipe's own range; the generator's 0.15 to 0.6 are of its camera's images."""
    max_truncation: Fraction = 0.25
    """Share of an object's width, and of its height, that may lie outside the canvas."""
    max_overlap: Fraction = 0.75
    """Share of an earlier object's box that a later one may cover."""
    attempts: Count = 20
    """Places tried for an object before it is left out."""
    blends: Annotated[tuple[Blend, ...], Field(min_length=1)] = ("gaussian", "poisson", "none", "box", "motion")
    """Every scene is drawn once in each, and counts as so many samples."""
    batch_size: Count = 250
    """Composites looked at together in the harvest."""

    @model_validator(mode="after")
    def _ordered(self) -> CutPasteLearnConfig:
        for name in ("distractors", "rotation_deg", "scale"):
            limits = getattr(self, name)
            if limits is not None and limits[0] > limits[1]:
                raise ValueError(f"{name}: expected the smaller number first, got {list(limits)}; swap them")
        return self

    def build(self, materials: Materials) -> Proposer:
        """The arm."""
        from terse.synthesis.cut_paste_learn.proposer import CutPasteProposer

        return CutPasteProposer(materials, self)
