"""Scenes as Cut, Paste and Learn makes them: objects and distractors thrown onto a background."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import nn

from terse.errors import RecipeError
from terse.placements import Placements, Role
from terse.synthesis.framing import Framing
from terse.synthesis.materials import Materials

if TYPE_CHECKING:
    from terse.synthesis.cut_paste_learn.config import CutPasteLearnConfig

__all__ = ["CutPasteProposer"]

_DISTRACTORS = (2, 4)


class CutPasteProposer:
    """Random 2-D placement under limits of truncation and occlusion, each scene in all blends.

    Source: Dwibedi et al. 2017, section 4 (data augmentation, blending, distractors, occlusion, truncation) and
    its published generator. An object that finds no place is left out; the generator begins the scene again.
    """

    keeps_hard = False
    module: nn.Module | None = None

    def __init__(self, materials: Materials, settings: CutPasteLearnConfig) -> None:
        self.materials = materials
        self.settings = settings
        self.batch_size = settings.batch_size
        self.framing = Framing(materials.foregrounds, materials.poses, materials.canvas_px)
        bank = materials.foregrounds
        of_task = np.isin(bank.labels, [i for i, name in enumerate(bank.classes) if name in materials.classes])
        self._objects = _by_class(bank.labels, np.flatnonzero(of_task))
        others = np.flatnonzero(~of_task)
        self._distractors = _by_class(bank.labels, others)
        if settings.distractors is not None and settings.distractors[1] and not len(others):
            raise RecipeError(
                "synthesis.distractors: expected foregrounds of classes that are not the task's, got none among "
                f"{', '.join(bank.classes)}; set it to null, or give `classes` fewer than the foregrounds have"
            )
        self._distractor_count = settings.distractors or (_DISTRACTORS if len(others) else (0, 0))

    def propose(self, count: int, generator: torch.Generator) -> Placements:
        """Scenes one after the other, each in all blends; the last may lack some."""
        settings = self.settings
        draw = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        scenes = math.ceil(count / len(settings.blends))
        counts = np.stack(
            [
                draw.integers(settings.objects[0], settings.objects[1] + 1, scenes),
                draw.integers(self._distractor_count[0], self._distractor_count[1] + 1, scenes),
            ],
            axis=1,
        )
        scene = np.repeat(np.arange(scenes), counts.sum(axis=1))
        # Objects first, distractors above them, as in the published generator.
        role = np.repeat(np.tile([int(Role.OBJECT), int(Role.DISTRACTOR)], scenes), counts.ravel())
        foreground = self._foregrounds(role, draw)
        pose, kept = self._poses(scene, foreground, draw)
        single = Placements(
            background=draw.integers(0, len(self.materials.backgrounds), scenes),
            image_index=scene[kept],
            foreground=foreground[kept],
            pose=np.round(pose[kept], 5),
            role=role[kept],
            texture=np.full(int(kept.sum()), -1, dtype=np.int64),
            blend=(settings.blends[0],) * scenes,
            seed=draw.integers(0, 2**31, scenes),
        )
        return _in_all_blends(single, settings.blends, count)

    def _foregrounds(self, role: Int64[np.ndarray, " n"], draw: np.random.Generator) -> Int64[np.ndarray, " n"]:
        """Every class equally often."""
        chosen = np.zeros(len(role), dtype=np.int64)
        for kind, classes in ((Role.OBJECT, self._objects), (Role.DISTRACTOR, self._distractors)):
            for row in np.flatnonzero(role == kind):
                members = classes[draw.integers(len(classes))]
                chosen[row] = members[draw.integers(len(members))]
        return chosen

    def _poses(
        self, scene: Int64[np.ndarray, " n"], foreground: Int64[np.ndarray, " n"], draw: np.random.Generator
    ) -> tuple[Float64[np.ndarray, "n k"], np.ndarray]:
        """Poses, and which pastes found a place."""
        settings, framing, count = self.settings, self.framing, len(scene)
        values = {
            "rotation_deg": draw.uniform(*framing.limits("rotation_deg", settings.rotation_deg), count),
            "scale": draw.uniform(*framing.limits("scale", settings.scale), count),
        }
        pose = framing.pose(count, values)
        extents = framing.extents_px(foreground, pose)
        centres = np.zeros((count, 2))
        kept = np.zeros(count, dtype=bool)
        unit = draw.uniform(-1, 1, (count, settings.attempts, 2))
        for rows in np.split(np.arange(count), np.flatnonzero(np.diff(scene)) + 1):  # a scene's pastes
            placed: list[Float64[np.ndarray, " 4"]] = []
            for row in rows:
                tried = self._centres(extents[row], unit[row])
                boxes = np.concatenate([tried - extents[row] / 2, tried + extents[row] / 2], axis=1)
                free = np.flatnonzero(_covered(placed, boxes) <= settings.max_overlap)
                if len(free):
                    centres[row], kept[row] = tried[free[0]], True
                    placed.append(boxes[free[0]])
        return framing.moved_to(pose, extents, centres), kept

    def _centres(
        self, extent_px: Float64[np.ndarray, " 2"], unit: Float64[np.ndarray, "tries 2"]
    ) -> Float64[np.ndarray, "tries 2"]:
        """Uniform over the places where no more than the limit, and the family's, lies outside."""
        half = self.materials.canvas_px / 2
        # The family's share is of the area: its root on both axes keeps it.
        visible = max(1 - self.settings.max_truncation, math.sqrt(self.materials.poses.min_visible))
        play = half + extent_px * (0.5 - visible)
        return half + unit * np.clip(play, 0, None)


def _covered(placed: list[Float64[np.ndarray, " 4"]], boxes: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, " n"]:
    """The largest share of a placed box that each box covers."""
    most = np.zeros(len(boxes))
    for earlier in placed:
        overlap = np.minimum(boxes[:, 2:], earlier[2:]) - np.maximum(boxes[:, :2], earlier[:2])
        area = np.prod(earlier[2:] - earlier[:2])
        most = np.maximum(most, np.prod(np.clip(overlap, 0, None), axis=1) / max(area, 1e-9))
    return most


def _in_all_blends(scenes: Placements, blends: tuple[str, ...], count: int) -> Placements:
    repeated = scenes.take(np.repeat(np.arange(len(scenes)), len(blends))[:count])
    return replace(repeated, blend=(blends * len(scenes))[:count])


def _by_class(labels: Int64[np.ndarray, " n"], rows: Int64[np.ndarray, " k"]) -> list[Int64[np.ndarray, " m"]]:
    return [rows[labels[rows] == label] for label in np.unique(labels[rows])]
