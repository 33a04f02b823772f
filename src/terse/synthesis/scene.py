"""What the arms that paste any number of objects have in common: how many an image holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import model_validator

from terse.config import Config, Count, Paper

if TYPE_CHECKING:
    from terse.requests import Limits

__all__ = ["SceneConfig"]


class SceneConfig(Config):
    """The objects of one composite.

    Source: ours; the paper pastes one.
    """

    objects: Annotated[tuple[Count, Count], Paper([1, 1])] = (1, 1)
    """Fewest and most labelled objects an image, each number equally likely, classes mixed."""

    @model_validator(mode="after")
    def _fewest_first(self) -> SceneConfig:
        if self.objects[0] > self.objects[1]:
            raise ValueError(f"objects: expected the smaller number first, got {list(self.objects)}; swap them")
        return self

    @property
    def scene_limits(self) -> Limits:
        """What the arm's requests hold."""
        from terse.requests import Limits

        return Limits(objects=self.objects)
