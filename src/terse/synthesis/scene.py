"""What all arms have in common: how many objects and occluders an image holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from terse.config import Config, Counts, CountsOrNone, Paper

if TYPE_CHECKING:
    from terse.requests import Limits

__all__ = ["SceneConfig"]


class SceneConfig(Config):
    """What one composite holds.

    Source: ours; the paper pastes one.
    """

    objects: Annotated[Counts, Paper([1, 1])] = (1, 1)
    """Fewest and most labelled objects an image, each number equally likely, classes mixed."""

    occluders: CountsOrNone = (0, 0)
    """Fewest and most things without a label in front of a background's own annotated objects, whose boxes and masks
    are then of what is left to see. Foregrounds of classes outside `classes`, or shapes of other backgrounds."""

    @property
    def several(self) -> bool:
        """Whether an image may hold more than one paste."""
        return self.objects[1] > 1 or self.occluders[1] > 0

    @property
    def scene_limits(self) -> Limits:
        """What the arm's requests hold."""
        from terse.requests import Limits

        return Limits(objects=self.objects, occluders=self.occluders)
