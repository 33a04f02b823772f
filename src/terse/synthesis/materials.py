"""What every proposer is built from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int64, UInt64

from terse.compositing.render import Renderer
from terse.draws import integers
from terse.errors import RecipeError
from terse.poses import PoseFamily
from terse.protocols import BackgroundBank, ForegroundBank, RealImages

__all__ = ["ByClass", "Materials"]


class ByClass:
    """The numbers of a bank's foregrounds by class.

    Source: ours.
    """

    def __init__(self, labels: Int64[np.ndarray, " n"]) -> None:
        self._order = np.argsort(labels, kind="stable")
        self._counts = np.bincount(labels, minlength=1)
        self._starts = np.cumsum(self._counts) - self._counts
        self.present: Int64[np.ndarray, " classes"] = np.flatnonzero(self._counts)

    def pick(self, labels: Int64[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """A random foreground of each class, which must have some."""
        picked: Int64[np.ndarray, " n"] = self._order[
            self._starts[labels] + integers(seeds, "foreground", self._counts[labels])
        ]
        return picked


@dataclass(frozen=True)
class Materials:
    """Banks, poses, real images and the canvas: what a proposer is built from."""

    foregrounds: ForegroundBank
    backgrounds: BackgroundBank
    poses: PoseFamily
    render: Renderer
    real: RealImages | None  # None where nothing learns
    classes: tuple[str, ...]
    canvas_px: int
    seed: int
    device: torch.device | str = "cpu"

    @cached_property
    def by_class(self) -> ByClass:
        """The foregrounds' numbers by class."""
        return ByClass(self.foregrounds.labels)

    @cached_property
    def background_of_real(self) -> Int64[np.ndarray, " n"]:
        """The number in the bank of backgrounds of each real image's file; -1 where it is not in it."""
        if self.real is None:
            return np.zeros(0, dtype=np.int64)
        files = getattr(self.backgrounds, "files", ())
        place = {file: number for number, file in enumerate(files)}
        found = [place.get(file, -1) for file in getattr(self.real, "files", ())] if place else []
        return np.array(found or [-1] * len(self.real), dtype=np.int64)

    @cached_property
    def of_task(self) -> Int64[np.ndarray, " classes"]:
        """The foreground bank's classes that the task has and that have foregrounds.

        Raises:
            RecipeError: there is none.
        """
        bank = self.foregrounds
        found = [label for label in self.by_class.present.tolist() if bank.classes[label] in self.classes]
        if not found:
            raise RecipeError(
                f"foregrounds: expected some of the classes {', '.join(self.classes)}, "
                f"got {', '.join(bank.classes)}; set `classes`"
            )
        return np.array(found, dtype=np.int64)
