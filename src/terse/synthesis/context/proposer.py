"""Instances go where the context network says that their class fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import nn

from terse.errors import RecipeError
from terse.placements import Placements
from terse.synthesis.context.crops import BoxShapes, cut, draw_frames, overlap_of_objects, small, training_crops
from terse.synthesis.context.network import ContextNetwork, score_crops, train_context
from terse.synthesis.framing import Framing
from terse.synthesis.materials import Materials

if TYPE_CHECKING:
    from terse.synthesis.context.config import ContextConfig

__all__ = ["ContextProposer"]

_TRIED = 20  # backgrounds looked at before one without a fitting place is taken
_BEST = 5  # places kept of a background where none is above the threshold
_COMPARED = 16  # cut-outs of the class whose shape is compared with the box
_SHAPE = 1.3  # ratio of aspect ratios up to which a cut-out fits
_FREE = 0.3  # share of a background's own object, or of the first paste, that a box may cover


@dataclass(frozen=True, slots=True)
class _Places:
    """Boxes in fractions of a background, with the class that fits and how well."""

    boxes: Float64[np.ndarray, "n 4"]
    labels: Int64[np.ndarray, " n"]
    scores: Float64[np.ndarray, " n"]
    fitting: bool


class ContextProposer:
    """Boxes drawn in a background, scored, chosen in proportion; a cut-out of the class and shape goes in.

    The first object of an image is of every class equally often where it fits, so that quotas by class fill (ours).

    Source: Dvornik et al. 2018, 3.2 and 3.3.
    """

    keeps_hard = False
    module: nn.Module | None = None

    def __init__(self, materials: Materials, settings: ContextConfig) -> None:
        self.materials = materials
        self.settings = settings
        self.batch_size = settings.batch_size
        self.framing = Framing(materials.foregrounds, materials.poses, materials.canvas_px)
        bank = materials.foregrounds
        self._members = [
            np.flatnonzero(bank.labels == bank.classes.index(name)) if name in bank.classes else np.zeros(0, np.int64)
            for name in materials.classes
        ]
        self._present = [label for label, rows in enumerate(self._members) if len(rows)]
        if not self._present:
            raise RecipeError(
                f"foregrounds: expected some of the classes {', '.join(materials.classes)}, "
                f"got {', '.join(bank.classes)}; set `classes`"
            )
        self._learned: tuple[ContextNetwork, BoxShapes] | None = None
        self._places: dict[int, _Places] = {}

    def propose(self, count: int, generator: torch.Generator) -> Placements:
        """One background after the other, with one or more objects where they fit."""
        draw = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        settings = self.settings
        backgrounds, index, foregrounds, boxes = [], [], [], []
        for image in range(count):
            label = int(draw.choice(self._present))
            background, places = self._background(label, draw)
            backgrounds.append(background)
            wanted = int(draw.integers(settings.objects[0], settings.objects[1] + 1))
            for row in _choose(places, label, wanted, draw):
                index.append(image)
                foregrounds.append(self._fitting(int(places.labels[row]), places.boxes[row], draw))
                boxes.append(places.boxes[row])
        foreground = np.array(foregrounds, dtype=np.int64)
        blend = tuple(settings.blends[i] for i in draw.integers(0, len(settings.blends), count))
        return Placements(
            background=np.array(backgrounds, dtype=np.int64),
            image_index=np.array(index, dtype=np.int64),
            foreground=foreground,
            pose=self._into(foreground, np.array(boxes).reshape(-1, 4)),
            role=np.zeros(len(index), dtype=np.int64),
            texture=np.full(len(index), -1, dtype=np.int64),
            blend=blend,
            seed=draw.integers(0, 2**31, count),
        )

    def places(self, background: int) -> _Places:
        """Where something fits into a background; a function of the background and the seed alone."""
        if background not in self._places:
            self._places[background] = self._scored(background)
        return self._places[background]

    def _background(self, label: int, draw: np.random.Generator) -> tuple[int, _Places]:
        """One where the class fits, else one where another does, else any."""
        found: tuple[int, _Places] | None = None
        for _ in range(_TRIED):
            number = int(draw.integers(len(self.materials.backgrounds)))
            places = self.places(number)
            if places.fitting and label in places.labels:
                return number, places
            if found is None or (places.fitting and not found[1].fitting):
                found = number, places
        assert found is not None
        return found

    def _scored(self, background: int) -> _Places:
        settings, materials = self.settings, self.materials
        network, shapes = self._network()
        draw = np.random.default_rng([materials.seed, background])
        canvas = materials.backgrounds.fetch(np.array([background]))
        boxes = shapes.draw(settings.candidates, draw)
        own = canvas.truth.boxes_px.double().cpu().numpy() / materials.canvas_px
        boxes = boxes[overlap_of_objects(boxes, own) < _FREE] if len(own) else boxes
        if not len(boxes):
            return _Places(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), fitting=False)
        crops = cut(
            small(canvas.images), np.zeros(len(boxes), np.int64), boxes, draw_frames(boxes, draw), settings.crop_px
        )
        scores = score_crops(network, crops).double().numpy()[:, 1:]
        scores[:, [not len(rows) for rows in self._members]] = 0  # a class that nothing can be pasted of
        labels = scores.argmax(axis=1)
        best = scores.max(axis=1)
        kept = np.flatnonzero(best > settings.threshold)
        fitting = len(kept) > 0
        if not fitting:
            kept = np.argsort(-best, kind="stable")[:_BEST]
        return _Places(boxes[kept], labels[kept], best[kept], fitting)

    def _network(self) -> tuple[ContextNetwork, BoxShapes]:
        if self._learned is None:
            settings, materials = self.settings, self.materials
            surroundings, shapes = training_crops(
                materials.real,
                count=settings.crops,
                background_share=settings.background_share,
                side_px=settings.crop_px,
                draw=np.random.default_rng([materials.seed, 1]),
            )
            network = train_context(
                surroundings,
                len(materials.classes),
                epochs=settings.epochs,
                lr=settings.lr,
                seed=materials.seed,
                device=materials.device,
            )
            self._learned = network, shapes
        return self._learned

    def _fitting(self, label: int, box: Float64[np.ndarray, " 4"], draw: np.random.Generator) -> int:
        """A random cut-out of the class whose shape fits the box, or the nearest of some."""
        rows = draw.choice(self._members[label], _COMPARED)
        extents = self.framing.extents_px(rows, self.framing.pose(len(rows), {}))
        wanted = (box[2] - box[0]) / (box[3] - box[1])
        apart = np.abs(np.log(np.clip(extents[:, 0], 1e-6, None) / np.clip(extents[:, 1], 1e-6, None) / wanted))
        fits = np.flatnonzero(apart < np.log(_SHAPE))
        return int(rows[fits[0]] if len(fits) else rows[apart.argmin()])

    def _into(
        self, foreground: Int64[np.ndarray, " n"], boxes: Float64[np.ndarray, "n 4"]
    ) -> Float64[np.ndarray, "n k"]:
        """Upright poses that put each cut-out into its box."""
        framing, side = self.framing, self.materials.canvas_px
        whole = framing.pose(len(foreground), {})
        extents = framing.extents_px(foreground, whole)
        wanted = (boxes[:, 2:] - boxes[:, :2]) * side / np.clip(extents, 1e-6, None)
        low, high = framing.limits("scale", None)
        scale = np.clip(min(max(1.0, low), high) * wanted.min(axis=1), low, high)
        pose = framing.pose(len(foreground), {"scale": scale})
        moved = framing.moved_to(pose, framing.extents_px(foreground, pose), (boxes[:, :2] + boxes[:, 2:]) / 2 * side)
        return np.round(moved, 5)


def _choose(places: _Places, label: int, wanted: int, draw: np.random.Generator) -> list[int]:
    """Rows of places that leave each other free, by score; the first of the class if it fits anywhere."""
    chosen: list[int] = []
    free = np.ones(len(places.labels), dtype=bool)
    while free.any() and len(chosen) < wanted:
        rows = np.flatnonzero(free & (places.labels == label)) if not chosen else np.zeros(0, dtype=np.int64)
        rows = rows if len(rows) else np.flatnonzero(free)
        weights = np.clip(places.scores[rows], 1e-9, None)
        row = int(draw.choice(rows, p=weights / weights.sum()))
        chosen.append(row)
        free[row] = False
        free &= overlap_of_objects(places.boxes, places.boxes[[row]]) < _FREE
    return chosen
