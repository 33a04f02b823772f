"""Are a run's players invariant to pasting? Test images with an artefact patch each, and without (paper 3.1, Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from terse.boxes import iou
from terse.compositing.artefacts import draw_patches, paste_patches
from terse.discriminator import Discriminator, auc_of_scores
from terse.evaluation.ap import ap_pseudo_values, detection_scores
from terse.evaluation.matching import MATCH_IOU, false_alarms
from terse.evaluation.predictions import spread
from terse.evaluation.realism import even_scores
from terse.page_figures import Patched
from terse.pictures.kept_players import kept_discriminator, target_with
from terse.placements import Placements
from terse.protocols import RealImages
from terse.recipe import Recipe
from terse.recipe_parts import ArtefactConfig
from terse.synthesis.materials import Materials
from terse.tasks.detection import predict_all
from terse.tasks.task import task_of
from terse.training.seeding import reseed
from terse.training.session import Players
from terse.types import Truth

__all__ = ["PatchedImages", "patched"]

_MOST = 96
_BATCH = 16
_ONE = ArtefactConfig(count=1, probability=1.0)


@dataclass(frozen=True)
class PatchedImages:
    """Real images with one artefact patch each where there is room for it; images without room are left out.

    Source: paper 3.1: the same shapes, poses, edges and blend as of pasted objects.
    """

    images: RealImages
    rows: Int64[np.ndarray, " n"]
    patches: Placements
    materials: Materials

    @classmethod
    def of(cls, images: RealImages, recipe: Recipe, materials: Materials) -> PatchedImages:
        """So many images, evenly spread."""
        banks = (materials.foregrounds, materials.backgrounds, materials.poses)
        generator = reseed(recipe.seed, 0, "page: patches", 0)
        chosen, rows, parts = spread(len(images), _MOST), [], []
        for first in range(0, len(chosen), _BATCH):
            some = chosen[first : first + _BATCH]
            found, truth = images.fetch(some)
            size_px = (found.shape[-2], found.shape[-1])
            drawn = draw_patches(truth.to("cpu"), size_px, *banks, _ONE, generator, edges=materials.edges)
            fits = np.unique(drawn.image_index)
            rows.append(some[fits])
            parts.append(drawn.take(fits))
        return cls(images, np.concatenate(rows), Placements.join(parts), materials)

    def __len__(self) -> int:
        return len(self.rows)

    def plain(self) -> _Some:
        """The same images without their patches."""
        return _Some(self.images, self.rows)

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> tuple[Float[Tensor, "b c h w"], Truth]:
        """Images with their patches, and what is true of them."""
        images, truth = self.images.fetch(self.rows[indices])
        render = self.materials.render
        with torch.no_grad():
            drawn = paste_patches(images.to(self.materials.device), self.patches.take(indices), render)
        return drawn.cpu(), truth.to("cpu")

    def places(self, size_px: tuple[int, int]) -> Float[Tensor, "n 4"]:
        """The box of each image's patch, where the canvas ends at the latest."""
        hulls = self.materials.foregrounds.fetch(self.patches.foreground).hull
        boxes = self.materials.poses.extent(torch.from_numpy(self.patches.pose).float(), hulls, size_px).float()
        return boxes.clamp(min=0).minimum(torch.tensor([size_px[1], size_px[0]] * 2).float())


@dataclass(frozen=True)
class _Some:
    """Some of the real images."""

    images: RealImages
    rows: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rows)

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> tuple[Float[Tensor, "b c h w"], Truth]:
        """Images and truth of these numbers, on the CPU."""
        images, truth = self.images.fetch(self.rows[indices])
        return images.cpu(), truth.to("cpu")


def patched(recipe: Recipe, players: Players, folder: Path) -> Patched | None:
    """AP, false alarms and the discriminator's score with patches and without; None for tasks without boxes.

    Measured whether the run trained with patches or not, so that a run with `artefacts.count=0` stands beside one with
    them.
    """
    if not task_of(recipe).predicts_boxes or not (folder / "target.pth").is_file() or not len(players.test):
        return None
    with_patch = PatchedImages.of(players.test, recipe, players.materials)
    if not len(with_patch):
        return None
    target = target_with(players.target, folder / "target.pth")
    sets: dict[str, RealImages] = {"plain": with_patch.plain(), "patched": with_patch}
    found = {name: predict_all(target, images, "cpu") for name, images in sets.items()}
    size_px = tuple(with_patch.fetch(np.zeros(1, dtype=np.int64))[0].shape[-2:])
    places = with_patch.places((int(size_px[0]), int(size_px[1])))
    classes = players.materials.classes
    figures = {name: _figures(*of, classes, places) for name, of in found.items()}
    told: dict[str, Any] = {}
    truth = found["plain"][1]
    if bool((~truth.ignore).any()):
        before, after = (np.array(ap_pseudo_values(*found[name])) for name in sets)
        told["ap50_change"] = _interval(after - before)
    discriminator = kept_discriminator(players.discriminator, folder)
    if discriminator is not None:
        scores = {name: _realism_of(discriminator, images) for name, images in sets.items()}
        for name, values in scores.items():
            figures[name]["discriminator"] = float(values.mean())
        told["auc"] = auc_of_scores(scores["plain"], scores["patched"])
    return Patched(images=len(with_patch), plain=figures["plain"], patched=figures["patched"], **told)


def _figures(
    found: Sequence[dict[str, Tensor]], truth: Truth, classes: Sequence[str], places: Float[Tensor, "n 4"]
) -> dict[str, float | None]:
    """AP, false alarms an image, and how many of the places a false alarm covers."""
    scores = detection_scores(found, truth, classes)
    alarms = [false_alarms(one, truth.take([number])) for number, one in enumerate(found)]
    covered = [
        bool(len(boxes) and iou(boxes.double().numpy(), place[None].double().numpy()).max() >= MATCH_IOU)
        for boxes, place in zip(alarms, places, strict=True)
    ]
    return {
        "ap50": scores["ap50"],
        "ap": scores["ap"],
        "false_alarms": sum(map(len, alarms)) / len(found),
        "taken": sum(covered) / len(found),
    }


def _realism_of(discriminator: Discriminator, images: RealImages) -> Float[Tensor, " n"]:
    return even_scores(discriminator, len(images), lambda rows: images.fetch(rows)[0], _MOST)


def _interval(differences: Float[np.ndarray, " n"]) -> tuple[float, float] | None:
    """Student's 95 % of the mean; None of one value."""
    from scipy.stats import t

    mean, count = float(differences.mean()), len(differences)
    if count < 2:
        return None
    half = float(t.ppf(0.975, count - 1) * differences.std(ddof=1) / np.sqrt(count))
    return mean - half, mean + half
