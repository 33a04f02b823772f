"""Scenes as Cut, Paste and Learn makes them: objects and distractors thrown onto a background."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64

from terse.boxes import covered_share
from terse.draws import uniform
from terse.errors import RecipeError
from terse.placements import Placements
from terse.requests import Limits, Requests
from terse.synthesis.framing import Framing
from terse.synthesis.materials import Materials
from terse.synthesis.pastes import Pastes
from terse.synthesis.proposer import BaseProposer, pastes_of

if TYPE_CHECKING:
    from terse.synthesis.cut_paste_learn.config import CutPasteLearnConfig

__all__ = ["CutPasteProposer"]

_DISTRACTORS = (2, 4)


class CutPasteProposer(BaseProposer):
    """Random 2-D placement under limits of truncation and occlusion, each scene in all blends.

    Source: Dwibedi et al. 2017, section 4 (data augmentation, blending, distractors, occlusion, truncation) and
    its published generator. An object that finds no place is left out; the generator begins the scene again.
    """

    def __init__(self, materials: Materials, settings: CutPasteLearnConfig) -> None:
        bank = materials.foregrounds
        others = np.setdiff1d(materials.by_class.present, materials.of_task)
        if settings.distractors is not None and settings.distractors[1] and not len(others):
            raise RecipeError(
                "synthesis.distractors: expected foregrounds of classes that are not the task's, got none among "
                f"{', '.join(bank.classes)}; set it to null, or give `classes` fewer than the foregrounds have"
            )
        limits = Limits(
            objects=settings.objects,
            occluders=settings.occluders,
            distractors=settings.distractors or (_DISTRACTORS if len(others) else (0, 0)),
            distractor_classes=tuple(bank.classes[label] for label in others.tolist()),
            blends=settings.blends,
            all_blends=True,
            max_overlap=settings.max_overlap,
            max_truncation=settings.max_truncation,
        )
        super().__init__(materials, settings.batch_size, limits)
        self.settings = settings
        self.framing = Framing(bank, materials.poses)
        self._ranges = {name: self._range(name, getattr(settings, name)) for name in ("rotation_deg", "scale")}

    def propose(self, requests: Requests) -> Placements:
        """Objects first, distractors above them, as in the published generator; each where it finds a place."""
        pastes = pastes_of(self.materials, requests, distractors_on_top=True)
        pose, kept = self._poses(pastes, requests.size_px[pastes.image_index])
        return self.placed(requests, pastes.take(np.flatnonzero(kept)), pose[kept])

    def _range(self, name: str, wanted: tuple[float, float] | None) -> tuple[float, float]:
        """The wanted range inside the poses' own.

        Raises:
            RecipeError: they do not meet.
        """
        low, high = self.framing.limits(name, None)
        if wanted is not None and (wanted[1] < low or wanted[0] > high):
            raise RecipeError(
                f"synthesis.{name}: expected a range that meets the poses' own, {low:g} to {high:g}, got {list(wanted)}; "
                "change one of them"
            )
        return self.framing.limits(name, wanted)

    def _poses(
        self, pastes: Pastes, size_px: Int64[np.ndarray, "n 2"]
    ) -> tuple[Float64[np.ndarray, "n k"], Bool[np.ndarray, " n"]]:
        """Poses, and which pastes found a place."""
        settings, framing, count = self.settings, self.framing, len(pastes.seeds)
        values = {}
        for name, (low, high) in self._ranges.items():
            values[name] = low + (high - low) * uniform(pastes.seeds, name, 1)[:, 0]
        pose = framing.pose(count, values, pastes.seeds)
        if settings.scale is None:
            poses, classes = self.materials.poses, self.materials.foregrounds.classes
            pose = poses.of_classes(pose, pastes.label, classes)
        extents = framing.extents_px(pastes.foreground, pose, size_px)
        unit = 2 * uniform(pastes.seeds, "place", 2 * settings.attempts).reshape(count, settings.attempts, 2) - 1
        centres = np.zeros((count, 2))
        kept = np.zeros(count, dtype=bool)
        for rows in np.split(np.arange(count), np.flatnonzero(np.diff(pastes.image_index)) + 1):  # a scene's pastes
            placed: list[Float64[np.ndarray, " 4"]] = []
            for row in rows:
                tried = self._centres(extents[row], unit[row], size_px[row])
                boxes = np.concatenate([tried - extents[row] / 2, tried + extents[row] / 2], axis=1)
                free = np.flatnonzero(covered_share(boxes, np.array(placed).reshape(-1, 4)) <= self.limits.max_overlap)
                if len(free):
                    centres[row], kept[row] = tried[free[0]], True
                    placed.append(boxes[free[0]])
        return self.materials.poses.moved_to(pose, extents, centres, size_px), kept

    def _centres(
        self,
        extent_px: Float64[np.ndarray, " 2"],
        unit: Float64[np.ndarray, "tries 2"],
        size_px: Int64[np.ndarray, " 2"],
    ) -> Float64[np.ndarray, "tries 2"]:
        """Uniform over the places where no more than the limit, and the family's, lies outside."""
        half = size_px / 2
        # The family's share is of the area: its root on both axes keeps it.
        visible = max(1 - self.limits.max_truncation, math.sqrt(self.materials.poses.min_visible))
        play = half + extent_px * (0.5 - visible)
        centres: Float64[np.ndarray, "tries 2"] = half + unit * np.clip(play, 0, None)
        return centres
