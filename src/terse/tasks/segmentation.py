"""The class of each pixel: mean intersection over union."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from terse.errors import DataError
from terse.registry import register
from terse.tasks.answers import Answer, Answers, Box, Change, box_of_mask
from terse.tasks.groups import Figures, by_value, fields_of, half_samples
from terse.tasks.task import Details, Metric, Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from jaxtyping import Int64
    from torch import Tensor

    from terse.protocols import Judges, RealImages
    from terse.recipe_parts import GroupsConfig
    from terse.types import Truth

__all__ = ["Segmentation", "without_masks"]

_MIOU = Metric("miou", "Mean IoU of the classes", "mean IoU")
_BATCH = 16
_MOST_LOOKED_AT, _MOST_SHOWN = 32, 8
_RIGHT = 0.5  # IoU from which on a class counts as found in an image
_LEAST_CHANGE = 0.02


@register("task", "segmentation")
class Segmentation(Task):
    """Images whose pixels have classes; `predict` gives probabilities `(b, 1 + classes, h, w)`, the background first.

    Source: ours; the paper names other tasks as future work (5).
    """

    metrics = (
        _MIOU,
        Metric("miou_background", "Mean IoU with the background", "mean IoU with background"),
        Metric("pixel_accuracy", "Pixel accuracy", "pixel accuracy"),
    )
    primary = _MIOU
    progress = ("miou", "pixel_accuracy")
    needs = ("masks",)
    counts_groups = True

    def measure(self, target: Judges, images: RealImages, device: torch.device | str) -> dict[str, Any]:
        """The scores that `miou_scores` names; a target without `classes` has them numbered."""
        from terse.evaluation.miou import miou_scores

        counts, _ = _count(target, images, device)
        classes = getattr(target, "classes", None) or [str(label) for label in range(counts.shape[1] - 1)]
        return miou_scores(counts, classes)

    def units(self, target: Judges, images: RealImages, device: torch.device | str) -> list[float]:
        """Pseudo-values of the primary metric, each from leaving a block of images out."""
        from terse.evaluation.miou import miou_pseudo_values

        return miou_pseudo_values(_count(target, images, device)[0], self.primary.name)

    def details(self, target: Judges, images: RealImages, device: torch.device | str, groups: GroupsConfig) -> Details:
        """Pseudo-values and half-samples of the primary metric, and the metrics by the images' fields.

        Raises:
            RecipeError: no image has a field of that name.
        """
        from terse.evaluation.miou import miou_pseudo_values, miou_scores

        fields, primary = fields_of(images, groups), self.primary.name
        if not fields:
            return Details(self.units(target, images, device))
        counts, truth = _count(target, images, device)

        def figures(rows: np.ndarray) -> Figures:
            found = miou_scores(counts[rows], ())
            return {name: found[name] for name in dict.fromkeys((primary, *self.progress, "images"))}

        def metric(rows: np.ndarray) -> float:
            found = figures(rows)[primary]
            return float("nan") if found is None else found

        halves = half_samples(metric, truth, fields[groups.clusters]) if groups.clusters else []
        by_field = {name: by_value(fields[name], figures) for name in groups.by}
        return Details(miou_pseudo_values(counts, primary), halves, by_field)

    def image_confidence(self, predicted: Any, labels: Sequence[Int64[Tensor, " _"]]) -> list[float]:
        """The highest probability, at any pixel of the image, of a class that was pasted; 0 if none."""
        best = predicted[:, 1:].amax(dim=(2, 3)).cpu()
        return [float(row[of].max()) if len(of) else 0.0 for row, of in zip(best, labels, strict=True)]

    def answers(self, before: Judges, after: Judges, images: RealImages, classes: tuple[str, ...]) -> Answers:
        """The images on which the IoU of the classes changed most, for better or worse.

        Source: paper, Fig. 9.
        """
        import numpy as np
        import torch

        from terse.compositing.truth import class_maps
        from terse.evaluation.miou import confusions, miou_scores
        from terse.evaluation.predictions import spread

        rows = spread(len(images), _MOST_LOOKED_AT)
        ranked: list[tuple[float, Change]] = []
        for row in rows.tolist():
            image, truth = images.fetch(np.array([row]))
            known = class_maps(truth, (image.shape[-2], image.shape[-1]))
            scores, made = [], []
            for target in (before, after):
                with torch.no_grad():
                    guess = target.predict(image).argmax(dim=1).cpu()
                scores.append(miou_scores(confusions(guess, known, len(classes)), classes)["miou"])
                made.append(Answer(_caption(scores[-1]), list(_regions(guess[0].numpy(), known[0].numpy(), classes))))
            old, new = (1.0 if score is None else score for score in scores)
            ranked.append((new - old, Change(row, f"image {row}", *made)))
        shown = sorted((pair for pair in ranked if abs(pair[0]) >= _LEAST_CHANGE), key=lambda pair: -abs(pair[0]))
        better = sum(change > 0 for change, _ in shown)
        return Answers(
            [change for _, change in shown[:_MOST_SHOWN]],
            f"Of {len(rows)} images, the mean IoU of the classes rose in {better} and fell in {len(shown) - better} "
            f"by {_LEAST_CHANGE:g} or more. Shown are the images that changed most. A class is found where its IoU in the "
            f"image is at least {_RIGHT:g}.",
        )


def _count(
    target: Judges, images: RealImages, device: torch.device | str
) -> tuple[Int64[np.ndarray, "b true guessed"], Truth]:
    """The confusion of each image, and what is true, without masks.

    Raises:
        ShapeError: the target answers in another shape.
        DataError: the images have no masks.
    """
    import numpy as np

    from terse.compositing.truth import class_maps
    from terse.evaluation.miou import confusions
    from terse.evaluation.predictions import predictions
    from terse.types import Truth

    found, truths = [], []
    for predicted, truth in predictions(target, images, batch_size=_BATCH, device=device):
        _check(predicted, truth)
        known = class_maps(truth, (predicted.shape[-2], predicted.shape[-1]))
        found.append(confusions(predicted.argmax(dim=1), known, predicted.shape[1] - 1))
        truths.append(truth.with_only())
    counts = np.concatenate(found) if found else np.zeros((0, 1, 1), dtype=np.int64)
    return counts, Truth.join(truths) if truths else Truth.empty(0)


def without_masks(task: str) -> DataError:
    """What a task that measures masks says of images that have none."""
    return DataError(
        f"images: expected a mask of each object to measure {task}, got boxes alone; give the annotations masks "
        "(`terse masks` makes them of boxes)"
    )


def _check(predicted: Any, truth: Any) -> None:
    from torch import Tensor

    from terse.errors import ShapeError

    if truth.masks is None:
        raise without_masks("segmentation")
    wanted = (truth.batch_size, *truth.masks.shape[1:])
    if not isinstance(predicted, Tensor) or predicted.ndim != 4 or (len(predicted), *predicted.shape[2:]) != wanted:
        got = tuple(predicted.shape) if isinstance(predicted, Tensor) else type(predicted).__name__
        raise ShapeError(
            f"target: expected probabilities of the shape ({wanted[0]}, 1 + classes, {wanted[1]}, {wanted[2]}) from "
            f"predict, got {got}"
        )


def _regions(
    guess: Int64[np.ndarray, "h w"], known: Int64[np.ndarray, "h w"], classes: tuple[str, ...]
) -> Iterator[Box]:
    """What is taken for each class, by how well it fits, and what is missed."""
    from terse.compositing.truth import NEITHER

    counts = known != NEITHER
    for label, name in enumerate(classes, 1):
        mine, its = (guess == label) & counts, known == label
        shared, either = int((mine & its).sum()), int((mine | its).sum())
        if mine.any():
            yield box_of_mask(mine, name, shared / either, "correct" if shared >= _RIGHT * either else "false")
        if its.any() and shared < _RIGHT * either:
            yield box_of_mask(its, name, None, "missed")


def _caption(score: float | None) -> str:
    return "nothing there, nothing seen" if score is None else f"mean IoU {score:.2f}"
