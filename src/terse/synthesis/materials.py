"""What every proposer is built from. Nothing here imports torch before something is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from terse.draws import integers
from terse.errors import RecipeError
from terse.poses import PoseFamily, build_poses
from terse.protocols import BackgroundBank, ForegroundBank, KnowsBoxes, RealImages
from terse.recipe import Recipe
from terse.recipe_parts import EdgeConfig
from terse.requests import LEAST_VISIBLE
from terse.sources.run_data import PasteData
from terse.synthesis.framing import Framing

if TYPE_CHECKING:
    import torch

    from terse.compositing.render import Renderer

__all__ = ["ByClass", "Materials", "materials_of"]

_TINY = 0.02  # of the canvas


class ByClass:
    """The numbers of a bank's foregrounds, or of some of them, by class.

    Source: ours.
    """

    def __init__(self, labels: Int64[np.ndarray, " n"], among: Int64[np.ndarray, " k"] | None = None) -> None:
        rows = np.arange(len(labels)) if among is None else among
        self._order = rows[np.argsort(labels[rows], kind="stable")]
        self._counts = np.bincount(labels[rows], minlength=1)
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
    """Banks, poses, edges, real images and the canvas: what a proposer is built from."""

    foregrounds: ForegroundBank
    backgrounds: BackgroundBank
    poses: PoseFamily
    edges: EdgeConfig | None
    real: RealImages | None  # None where nothing learns
    classes: tuple[str, ...]
    canvas_px: int
    seed: int
    device: torch.device | str = "cpu"
    min_visible: float = 0.0  # objects of which less is seen are ignored
    fields: tuple[str, ...] = ()  # the optional fields of the truth that the task learns from

    @cached_property
    def render(self) -> Renderer:
        """Draws placements of these materials for the players."""
        from terse.compositing.render import Renderer

        return Renderer(
            self.foregrounds,
            self.backgrounds,
            self.poses,
            self.edges,
            min_visible=self.min_visible,
            fields=self.fields,
            device=self.device,
        )

    @cached_property
    def framing(self) -> Framing:
        """Where foregrounds come to lie."""
        return Framing(self.foregrounds, self.poses)

    def own_boxes(self, background: int) -> Float64[np.ndarray, "k 4"]:
        """The xyxy boxes of a background's own objects in fractions of it; ignored and tiny ones are left out."""
        if background not in self._own_boxes:
            bank = self.backgrounds
            if isinstance(bank, KnowsBoxes):
                boxes = bank.boxes(background)
            else:
                truth = bank.fetch(np.array([background])).truth
                boxes = truth.boxes_px[~truth.ignore].cpu().double().numpy() / self.canvas_px
            self._own_boxes[background] = boxes[((boxes[:, 2:] - boxes[:, :2]) >= _TINY).all(axis=1)]
        return self._own_boxes[background]

    @cached_property
    def textures(self) -> Int64[np.ndarray, " n"]:
        """Backgrounds whose pixels may be pasted without a label: those without objects, as far as they say; else all."""
        bank, every = self.backgrounds, np.arange(len(self.backgrounds))
        if not isinstance(bank, KnowsBoxes):
            return every
        empty = every[[not len(bank.boxes(number)) for number in every.tolist()]]
        return empty if len(empty) > 1 else every

    @cached_property
    def _own_boxes(self) -> dict[int, Float64[np.ndarray, "k 4"]]:
        return {}

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

    def class_of(self, foreground: int) -> str:
        """The class of a foreground by its number."""
        bank = self.foregrounds
        return bank.classes[int(bank.labels[foreground])]

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


def materials_of(
    recipe: Recipe, data: PasteData, real: RealImages | None, device: torch.device | str = "cpu"
) -> Materials:
    """What the recipe's arm is built from; `real` are images to learn from, where there are some.

    Raises:
        RecipeError: sizes for a class that the foregrounds do not have.

    Source: ours.
    """
    poses = build_poses(recipe.poses)
    unknown = [name for name in poses.named_classes if name not in data.foregrounds.classes]
    if unknown:
        known = ", ".join(data.foregrounds.classes)
        raise RecipeError(f"poses.scale: expected classes of the foregrounds, got {unknown[0]!r}; known are {known}")
    # One object is there to be found however it is cut; of several, one that others hide teaches nothing.
    several = bool(getattr(recipe.synthesis, "several", False))
    return Materials(
        data.foregrounds,
        data.backgrounds,
        poses,
        recipe.edges,
        real,
        tuple(data.classes),
        recipe.canvas_px,
        recipe.seed,
        device=device,
        min_visible=LEAST_VISIBLE if several else 0.0,
        fields=recipe.needs,
    )
