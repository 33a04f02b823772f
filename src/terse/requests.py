"""What a proposer is asked for, and the limits that it works under."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt64

__all__ = ["LEAST_VISIBLE", "Limits", "Requests"]

LEAST_VISIBLE = 0.1
"""An object of which less is seen is ignored: in sets, and in training where composites hold several."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Composites that are wanted. Every random number of image i is a function of `seeds[i]` alone."""

    background: Int64[np.ndarray, " b"]  # index in the background bank
    size_px: Int64[np.ndarray, "b 2"]  # width and height of each canvas
    labels: tuple[
        tuple[int, ...], ...
    ]  # of each image's objects, lowest first: indices of the foreground bank's classes
    seeds: UInt64[np.ndarray, " b"]
    distractors: tuple[tuple[int, ...], ...] = ()  # of the pastes without a label; empty asks for none
    occluders: tuple[int, ...] = ()  # how many stand in front of the background's own objects; empty asks for none

    def __len__(self) -> int:
        return len(self.background)

    def take(self, images: Int64[np.ndarray, " m"] | Sequence[int]) -> "Requests":
        """Some of them, in the order given."""
        rows = np.asarray(images, dtype=np.int64)
        labels, distractors = (
            tuple(of_images[i] for i in rows.tolist()) if of_images else ()
            for of_images in (self.labels, self.distractors)
        )
        occluders = tuple(self.occluders[i] for i in rows.tolist()) if self.occluders else ()
        return Requests(self.background[rows], self.size_px[rows], labels, self.seeds[rows], distractors, occluders)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an arm's composites hold: how requests are drawn in training, and the defaults of `terse generate`.

    Ranges of poses are the pose family's.
    """

    objects: tuple[int, int] = (1, 1)  # fewest and most labelled objects an image
    distractors: tuple[int, int] = (0, 0)  # fewest and most pastes without a label
    distractor_classes: tuple[str, ...] = ()
    occluders: tuple[int, int] = (0, 0)  # fewest and most in front of the background's own objects
    blends: tuple[str, ...] = ("alpha",)  # one is drawn for each image
    all_blends: bool = False  # every scene is drawn once in each blend
    max_overlap: float = 0.5  # of an object, hidden by other pastes
    max_truncation: float = 1.0  # of an object, beyond the border; the family's own limit holds besides

    @property
    def copies(self) -> int:
        """In how many blends each scene is drawn."""
        return len(self.blends) if self.all_blends else 1
