"""Instances go where the context network says that their class fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt64

from terse.boxes import covered_share
from terse.draws import derive, integers, uniform
from terse.placements import Placements
from terse.requests import Requests
from terse.synthesis.context.crops import BoxShapes, cut, draw_frames, small, training_crops
from terse.synthesis.context.network import ContextNetwork, score_crops, train_context
from terse.synthesis.framing import Framing
from terse.synthesis.materials import Materials
from terse.synthesis.pastes import Pastes
from terse.synthesis.proposer import BaseProposer, pastes_of

if TYPE_CHECKING:
    from terse.synthesis.context.config import ContextConfig

__all__ = ["ContextProposer"]

_TRIED = 20  # backgrounds looked at before the class goes where it fits best of one
_BEST = 5  # places kept of a background where none is above the threshold, and of each class
_COMPARED = 16  # cut-outs of the class whose shape is compared with the box
_SHAPE = 1.3  # ratio of aspect ratios up to which a cut-out fits
_FREE = 0.3  # share of a background's own object, or of an earlier paste, that a box may cover


@dataclass(frozen=True, slots=True)
class _Places:
    """Boxes in fractions of a background. `rows` are those used, with the class that fits and how well."""

    boxes: Float64[np.ndarray, "n 4"]
    rows: Int64[np.ndarray, " k"]
    labels: Int64[np.ndarray, " k"]
    scores: Float64[np.ndarray, " k"]
    best: Int64[np.ndarray, "classes _"]  # the rows where each class fits best, best first
    fitting: bool


class ContextProposer(BaseProposer):
    """Boxes drawn in a background, scored, chosen in proportion; a cut-out of the class and shape goes in.

    In training the arm chooses backgrounds where the first object's class fits, if any does, and the other objects'
    classes by what fits there (ours: so quotas by class fill). Where a class fits nowhere it goes to one of the
    places where it fits best.

    Source: Dvornik et al. 2018, 3.2 and 3.3.
    """

    def __init__(self, materials: Materials, settings: ContextConfig) -> None:
        super().__init__(materials, settings.batch_size, replace(settings.scene_limits, blends=settings.blends))
        self.settings = settings
        self.framing = Framing(materials.foregrounds, materials.poses)
        # The network knows the task's classes, requests those of the foregrounds.
        self._task = {
            label: materials.classes.index(materials.foregrounds.classes[label]) for label in materials.of_task.tolist()
        }
        self._learned: tuple[ContextNetwork, BoxShapes] | None = None
        self._places: dict[int, _Places] = {}

    def requests(self, seeds: UInt64[np.ndarray, " b"]) -> Requests:
        """Backgrounds where the first object's class fits, if one of some does, and classes that fit there beside it."""
        asked = super().requests(seeds)
        bank = {task: label for label, task in self._task.items()}
        backgrounds, labels = [], []
        for of_image, seed in zip(asked.labels, seeds, strict=True):
            first = self._task[of_image[0]]
            background, places = self._background(first, np.full(_TRIED, seed))
            wanted = [first, *[-1] * (len(of_image) - 1)]
            rows = _choose(places, wanted, derive(np.full(len(wanted), seed), "classes"))
            backgrounds.append(background)
            others = [int(places.labels[places.rows == row][0]) for row in rows[1:] if row >= 0]
            labels.append(tuple(bank[label] for label in ([first] if rows[0] >= 0 else []) + others))
        return replace(asked, background=np.array(backgrounds, dtype=np.int64), labels=tuple(labels))

    def propose(self, requests: Requests) -> Placements:
        """Each object in a free place where its class fits, or where it fits best; without one it is left out."""
        pastes = pastes_of(self.materials, requests)
        boxes, kept = np.zeros((len(pastes.seeds), 4)), np.zeros(len(pastes.seeds), dtype=bool)
        for image in np.unique(pastes.image_index).tolist():
            own = np.flatnonzero(pastes.image_index == image)
            places = self.places(int(requests.background[image]))
            wanted = [self._task.get(label, -1) for label in pastes.label[own].tolist()]
            rows = np.array(_choose(places, wanted, pastes.seeds[own]), dtype=np.int64)
            kept[own] = rows >= 0
            boxes[own[rows >= 0]] = places.boxes[rows[rows >= 0]]
        pastes, boxes = pastes.take(np.flatnonzero(kept)), boxes[kept]
        size_px = requests.size_px[pastes.image_index]
        pastes = replace(pastes, foreground=self._fitting(pastes, boxes, size_px))
        return self.placed(requests, pastes, self._into(pastes, boxes, size_px))

    def places(self, background: int) -> _Places:
        """Where something fits into a background; a function of the background and the run's seed alone."""
        if background not in self._places:
            self._places[background] = self._scored(background)
        return self._places[background]

    def _background(self, label: int, seeds: UInt64[np.ndarray, " tried"]) -> tuple[int, _Places]:
        """One where the class fits; else the first with room: the best of all would be the same one for every composite."""
        tried = integers(derive(seeds, np.arange(len(seeds))), "background", len(self.materials.backgrounds)).tolist()
        for number in tried:
            places = self.places(number)
            if places.fitting and label in places.labels:
                return number, places
        number = next((number for number in tried if len(self.places(number).boxes)), tried[0])
        return number, self.places(number)

    def _scored(self, background: int) -> _Places:
        settings, materials = self.settings, self.materials
        network, shapes = self._network()
        draw = np.random.default_rng([materials.seed, background])
        canvas = materials.backgrounds.fetch(np.array([background]))
        boxes = shapes.draw(settings.candidates, draw)
        own = canvas.truth.boxes_px.cpu().double().numpy() / materials.canvas_px
        boxes = boxes[covered_share(boxes, own) < _FREE] if len(own) else boxes
        if not len(boxes):
            none = np.zeros(0, dtype=np.int64)
            return _Places(
                boxes, none, none, np.zeros(0), np.zeros((len(materials.classes), 0), np.int64), fitting=False
            )
        crops = cut(
            small(canvas.images), np.zeros(len(boxes), np.int64), boxes, draw_frames(boxes, draw), settings.crop_px
        )
        scores = score_crops(network, crops).double().numpy()[:, 1:]
        scores[:, np.setdiff1d(np.arange(len(materials.classes)), list(self._task.values()))] = 0  # nothing to paste
        labels, best = scores.argmax(axis=1), scores.max(axis=1)
        rows = np.flatnonzero(best > settings.threshold)
        fitting = len(rows) > 0
        if not fitting:
            rows = np.argsort(-best, kind="stable")[:_BEST]
        of_class = np.argsort(-scores, axis=0, kind="stable")[:_BEST].T
        return _Places(boxes, rows, labels[rows], best[rows], np.ascontiguousarray(of_class), fitting)

    def _network(self) -> tuple[ContextNetwork, BoxShapes]:
        if self._learned is None:
            settings, materials = self.settings, self.materials
            assert materials.real is not None, "a run's materials"
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

    def _fitting(
        self, pastes: Pastes, boxes: Float64[np.ndarray, "n 4"], size_px: Int64[np.ndarray, "n 2"]
    ) -> Int64[np.ndarray, " n"]:
        """For each a random cut-out of the class whose shape fits the box, or the nearest of some."""
        count = len(boxes)
        if not count:
            return np.zeros(0, dtype=np.int64)
        seeds = derive(np.repeat(pastes.seeds, _COMPARED), np.tile(np.arange(_COMPARED), count))
        tried = self.materials.by_class.pick(np.repeat(pastes.label, _COMPARED), seeds)
        extents = self.framing.extents_px(
            tried, self.framing.pose(len(tried), {}), np.repeat(size_px, _COMPARED, axis=0)
        )
        wanted = np.repeat((boxes[:, 2:] - boxes[:, :2]) * size_px, _COMPARED, axis=0)
        shapes = [
            np.log(np.clip(side[:, 0], 1e-6, None) / np.clip(side[:, 1], 1e-6, None)) for side in (extents, wanted)
        ]
        apart = np.abs(shapes[0] - shapes[1]).reshape(count, _COMPARED)
        fits = apart < np.log(_SHAPE)
        chosen = np.where(fits.any(axis=1), fits.argmax(axis=1), apart.argmin(axis=1))
        foreground: Int64[np.ndarray, " n"] = tried.reshape(count, _COMPARED)[np.arange(count), chosen]
        return foreground

    def _into(
        self, pastes: Pastes, boxes: Float64[np.ndarray, "n 4"], size_px: Int64[np.ndarray, "n 2"]
    ) -> Float64[np.ndarray, "n k"]:
        """Upright poses that put each cut-out into its box."""
        framing, (low, high) = self.framing, self.framing.limits("scale", None)
        foreground, seeds = pastes.foreground, pastes.seeds
        scale = np.full(len(foreground), min(max(1.0, low), high))
        extents = framing.extents_px(foreground, framing.pose(len(foreground), {"scale": scale}, seeds), size_px)
        wanted = (boxes[:, 2:] - boxes[:, :2]) * size_px / np.clip(extents, 1e-6, None)
        pose = framing.pose(len(foreground), {"scale": np.clip(scale * wanted.min(axis=1), low, high)}, seeds)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2 * size_px
        extents = framing.extents_px(foreground, pose, size_px)
        return self.materials.poses.moved_to(pose, extents, centres, size_px)


def _choose(places: _Places, wanted: list[int], seeds: UInt64[np.ndarray, " k"]) -> list[int]:
    """Rows of boxes that leave each other free, one for each class wanted; -1 where there is none left.

    A class of -1 is any that fits. A class that fits nowhere goes to one of its best places.
    """
    free: Bool[np.ndarray, " n"] = np.ones(len(places.boxes), dtype=bool)
    unit = uniform(seeds, "place", 1)[:, 0]
    chosen = []
    for label, number in zip(wanted, unit.tolist(), strict=True):
        usable = np.flatnonzero(free[places.rows])
        own = usable[places.labels[usable] == label]
        if len(own) or label < 0:
            pick = own if len(own) else usable
            weights = np.cumsum(np.clip(places.scores[pick], 1e-9, None))
            rows = (
                places.rows[pick[np.searchsorted(weights, number * weights[-1], side="right")]][None]
                if len(pick)
                else pick
            )
        else:
            rows = places.best[label][free[places.best[label]]]
            rows = rows[int(number * len(rows)) :][:1]
        row = int(rows[0]) if len(rows) else -1
        chosen.append(row)
        if row >= 0:
            free[row] = False
            free &= covered_share(places.boxes, places.boxes[[row]]) < _FREE
    return chosen
