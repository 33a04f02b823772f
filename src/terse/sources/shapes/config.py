"""The recipe's `data: {kind: shapes}`: scenes drawn at run time with boxes, masks and keypoints, for first tries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from terse.config import Component, Count, Fraction, NonNegative
from terse.registry import register

if TYPE_CHECKING:
    from terse.sources.run_data import RunData

__all__ = ["ShapesConfig"]


@register("data", "shapes")
class ShapesConfig(Component["RunData"]):
    """Circles, squares and triangles on textured backgrounds, with boxes and masks; arrows, which have keypoints.

    Objects to train on are large, upright and whole; those that judge are smaller, turned and cut by the border, so that
    a detector gains by composites that show it the like.
    """

    kind: Literal["shapes"] = "shapes"
    canvas_px: Count = 96
    """Side of the scenes; the recipe's `canvas_px` has to be the same."""
    train: Count = 180
    """Scenes to train on; the first object of each is a foreground."""
    val: Count = 60
    """Scenes that choose the best cycle."""
    test: Count = 120
    """Scenes that judge."""
    backgrounds: Count = 90
    """Scenes without an object."""
    classes: Annotated[tuple[Literal["circle", "square", "triangle", "arrow"], ...], Field(min_length=1)] = (
        "circle",
        "square",
        "triangle",
    )
    """What there is to see. An arrow has two keypoints, its tip and its tail."""
    objects: Count | None = None
    """At most so many in a scene; null is 2 to train on and 3 to judge by. 1 makes them images for a classifier."""
    gap: Fraction = 1.0
    """How far the scenes that judge are from those to train on: at 0 they are of one kind."""
    seed: NonNegative = 7
    """Of all drawing: fixed, so that every run is judged by the same scenes."""

    def build(self) -> RunData:
        """Banks and splits; a scene is drawn when it is first asked for."""
        from terse.sources.run_data import RunData
        from terse.sources.shapes.scenes import (
            EASY,
            SceneBackgrounds,
            SceneForegrounds,
            SceneImages,
            Scenes,
            between,
        )

        easy, hard = (replace(style, count=self.objects or style.count) for style in (EASY, between(self.gap)))
        drawn: dict[str, Any] = {"canvas_px": self.canvas_px, "seed": self.seed, "classes": self.classes}
        train = Scenes("train", self.train, style=easy, **drawn)
        return RunData(
            foregrounds=SceneForegrounds(train),
            backgrounds=SceneBackgrounds(Scenes("backgrounds", self.backgrounds, style=None, **drawn)),
            train=SceneImages(train),
            val=SceneImages(Scenes("val", self.val, style=hard, **drawn)),
            test=SceneImages(Scenes("test", self.test, style=hard, **drawn)),
            classes=self.classes,
        )
