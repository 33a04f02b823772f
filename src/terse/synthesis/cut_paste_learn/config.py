"""The recipe's `synthesis: {kind: cut_paste_learn}`: the baseline of Dwibedi et al. 2017."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from terse.config import Component, Count, Counts, CountsOrNone, Fraction, Span
from terse.recipe_parts import Blend
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
    objects: Counts = (1, 3)
    """Fewest and most labelled objects an image; the generator's 3 to 8 are for kitchen scenes."""
    distractors: CountsOrNone | None = None
    """Fewest and most objects of no class of the task. None takes the generator's 2 to 4 where the foregrounds
    hold such classes, else none: an unlabelled object of the task's own classes would teach the opposite."""
    rotation_deg: Span = (-30.0, 30.0)
    """Inside the recipe's own range."""
    scale: Span | None = None
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

    def build(self, materials: Materials) -> Proposer:
        """The arm."""
        from terse.synthesis.cut_paste_learn.proposer import CutPasteProposer

        return CutPasteProposer(materials, self)
