"""The recipe's `data: {kind: shapes}`: a detection task drawn at run time, for tests and first tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from terse.config import Component, Count, NonNegative
from terse.registry import register

if TYPE_CHECKING:
    from terse.sources.run_data import RunData

__all__ = ["ShapesConfig"]


@register("data", "shapes")
class ShapesConfig(Component["RunData"]):
    """Circles, squares and triangles on textured backgrounds.

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
    seed: NonNegative = 7
    """Of all drawing: fixed, so that every run is judged by the same scenes."""

    def build(self) -> RunData:
        """Banks and splits; a scene is drawn when it is first asked for."""
        from terse.sources.run_data import RunData
        from terse.sources.shapes.scenes import (
            CLASSES,
            EASY,
            HARD,
            SceneBackgrounds,
            SceneForegrounds,
            SceneImages,
            Scenes,
        )

        train = Scenes("train", self.train, self.canvas_px, EASY, self.seed)
        return RunData(
            foregrounds=SceneForegrounds(train),
            backgrounds=SceneBackgrounds(Scenes("backgrounds", self.backgrounds, self.canvas_px, None, self.seed)),
            train=SceneImages(train),
            val=SceneImages(Scenes("val", self.val, self.canvas_px, HARD, self.seed)),
            test=SceneImages(Scenes("test", self.test, self.canvas_px, HARD, self.seed)),
            classes=CLASSES,
        )
