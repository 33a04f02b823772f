"""Boxes of objects: average precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from terse.registry import register
from terse.tasks.answers import Answer, Answers, Box, Change, outline_of
from terse.tasks.groups import Figures, by_value, fields_of, half_samples
from terse.tasks.task import Details, Metric, Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from jaxtyping import Bool, Int64
    from torch import Tensor

    from terse.protocols import Judges, RealImages
    from terse.recipe_parts import GroupsConfig
    from terse.types import Truth

__all__ = ["Detection", "judged_boxes", "predict_all"]

_AP50 = Metric("ap50", "AP at IoU 0.5", "AP50")
_BATCH = 16
_MOST_LOOKED_AT, _MOST_SHOWN = 24, 8  # a detector takes a tenth of a second for each image
_TOUCHES_PX = 1.0


@register("task", "detection")
class Detection(Task):
    """Images with any number of objects; `predict` gives boxes, labels and scores of each.

    Source: paper 4.2, Tables 2 and 4; the arms are its baselines.
    """

    metrics = (
        Metric("ap", "AP, mean of IoU 0.5 to 0.8", "AP"),
        _AP50,
        Metric("ap60", "AP at IoU 0.6", "AP60"),
        Metric("ap70", "AP at IoU 0.7", "AP70"),
        Metric("ap80", "AP at IoU 0.8", "AP80"),
        Metric("coco_ap", "AP as COCO counts it, 0.5 to 0.95", "COCO's AP"),
        Metric("voc07_ap50", "AP at IoU 0.5, VOC07's 11 points", "VOC07's AP50"),
        *(
            Metric(f"voc07_ap{iou}", f"AP at IoU 0.{iou // 10}, VOC07's 11 points", f"VOC07's AP{iou}")
            for iou in (60, 70, 80)
        ),
        Metric("voc07_ap", "AP, mean of IoU 0.5 to 0.8, VOC07's 11 points", "VOC07's AP"),
    )
    primary = _AP50
    progress = ("ap50", "ap")
    default_arms = ("none", "random", "mined", "cut_paste_learn", "context", "learned")
    predicts_boxes = True
    audits_pastes = True
    counts_groups = True

    def measure(self, target: Judges, images: RealImages, device: torch.device | str) -> dict[str, Any]:
        """The scores that `detection_scores` names; a target without `classes` has them numbered.

        VOC's 11-point AP beyond IoU 0.5 is measured where it is the primary metric.
        """
        found, truth = predict_all(target, images, device)
        classes = getattr(target, "classes", None)
        if classes is None:
            labels = [int(label) for one in found for label in one["labels"]] + truth.labels.tolist()
            classes = [str(label) for label in range(max(labels, default=-1) + 1)]
        return self._scores(found, truth, classes)

    def _scores(self, found: Sequence[Any], truth: Truth, classes: Sequence[str]) -> dict[str, Any]:
        from terse.evaluation.ap import PAPER_IOUS, detection_scores

        is_voc = self.primary.name.startswith("voc07")
        return detection_scores(found, truth, classes, PAPER_IOUS if is_voc else PAPER_IOUS[:1])

    def units(self, target: Judges, images: RealImages, device: torch.device | str) -> list[float]:
        """Pseudo-values of the primary metric, each from leaving a block of images out."""
        from terse.evaluation.pseudo_values import pseudo_values

        return pseudo_values(self._primary_of(*predict_all(target, images, device)), len(images))

    def _primary_of(self, found: Sequence[Any], truth: Truth) -> Callable[[Bool[np.ndarray, " images"]], float]:
        """The primary metric of some of the images; they are matched once."""
        from terse.evaluation.ap import ap_of, ious_of

        name = self.primary.name
        return ap_of(found, truth, ious_of(name), voc=name.startswith("voc07"), masks=name.startswith("mask_"))

    def details(self, target: Judges, images: RealImages, device: torch.device | str, groups: GroupsConfig) -> Details:
        """Pseudo-values and half-samples of the primary metric, and AP by the images' fields and by whether the border cuts objects.

        Raises:
            RecipeError: no image has a field of that name.
        """
        import numpy as np

        from terse.evaluation.pseudo_values import pseudo_values

        fields = fields_of(images, groups)
        found, truth = predict_all(target, images, device)
        metric = self._primary_of(found, truth)

        def figures(rows: np.ndarray) -> Figures:
            return self._aps([found[i] for i in rows], truth.take(rows))

        side = float(images.fetch(np.zeros(1, dtype=np.int64))[0].shape[-1])
        return Details(
            pseudo_values(metric, truth.batch_size),
            half_samples(metric, truth, fields[groups.clusters]) if groups.clusters else [],
            {
                **{name: by_value(fields[name], figures) for name in groups.by},
                "border": self._by_border(found, truth, side),
            },
        )

    def _by_border(self, found: Sequence[Any], truth: Truth, side: float) -> dict[str, Figures]:
        """AP of objects that touch the image's border and of the others; each ignores the other's objects."""
        cut = (truth.boxes_px[:, :2] <= _TOUCHES_PX).any(1) | (truth.boxes_px[:, 2:] >= side - _TOUCHES_PX).any(1)
        parts = {"cut": ~cut, "whole": cut}
        return {name: self._aps(found, replace(truth, ignore=truth.ignore | others)) for name, others in parts.items()}

    def _aps(self, found: Sequence[Any], truth: Truth) -> Figures:
        classes = [str(label) for label in range(int(truth.labels.max()) + 1 if len(truth.labels) else 0)]
        scores = self._scores(found, truth, classes)
        return {name: scores[name] for name in dict.fromkeys((self.primary.name, *self.progress, "objects"))}

    def flaw(self, predicted: Any, images: int, classes: Sequence[str]) -> str:
        """A dictionary of boxes, labels and scores an image."""
        if not isinstance(predicted, list | tuple) or len(predicted) != images:
            got = f"{type(predicted).__name__}" + (f" of {len(predicted)}" if hasattr(predicted, "__len__") else "")
            return f"a list of {images} dictionaries, one an image, got {got}"
        for one in predicted:
            missing = [key for key in ("boxes", "labels", "scores") if not (isinstance(one, dict) and key in one)]
            if missing:
                return (
                    f"dictionaries of boxes, labels and scores, got {type(one).__name__} without {', '.join(missing)}"
                )
            boxes, labels, scores = one["boxes"], one["labels"], one["scores"]
            if boxes.shape != (len(scores), 4) or labels.shape != scores.shape:
                shapes = ", ".join(str(tuple(part.shape)) for part in (boxes, labels, scores))
                return f"boxes (n, 4), labels (n) and scores (n), got {shapes}"
            if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
                found = f"{int(labels.min())} to {int(labels.max())}"
                return f"labels from 0 to {len(classes) - 1} ({', '.join(classes)}), got {found}"
            if not bool(((scores >= 0) & (scores <= 1)).all() and boxes.isfinite().all()):
                return "scores from 0 to 1 and finite boxes, got others"
        return ""

    def image_confidence(self, predicted: Any, labels: Sequence[Int64[Tensor, " _"]]) -> list[float]:
        """The highest score, anywhere in the image, of a class that was pasted; 0 if none.

        Source: paper 4.2.1.
        """
        import torch

        best = []
        for one, wanted in zip(predicted, labels, strict=True):
            scores = one["scores"].cpu()[torch.isin(one["labels"].cpu(), wanted)]
            best.append(float(scores.max()) if len(scores) else 0.0)
        return best

    def said(self, predicted: Any, truth: Truth) -> Int64[np.ndarray, " n"]:
        """That of the object's own sure detection; of a missed object, that of a sure detection in its place."""
        import numpy as np

        from terse.evaluation.matching import said

        each = [said(one, truth.take([number])) for number, one in enumerate(predicted)]
        return np.concatenate([*each, np.zeros(0, dtype=np.int64)])

    def answers(self, before: Judges, after: Judges, images: RealImages, classes: tuple[str, ...]) -> Answers:
        """The images on which most changed, for better or worse.

        Source: paper, Fig. 9.
        """
        import numpy as np
        import torch

        from terse.evaluation.matching import LEAST_SCORE, MATCH_IOU
        from terse.evaluation.predictions import spread

        rows = spread(len(images), _MOST_LOOKED_AT)
        ranked: list[tuple[int, Change]] = []
        total = np.zeros(3, dtype=np.int64)  # found before, found after, objects
        for row in rows.tolist():
            image, truth = images.fetch(np.array([row]))
            objects = int((~truth.ignore).sum())
            with torch.no_grad():
                old, new = (judged_boxes(target.predict(image)[0], truth, classes) for target in (before, after))
            found, wrong = ([_count(boxes, state) for boxes in (old, new)] for state in ("correct", "false"))
            total += (*found, objects)
            answers = (Answer(_caption(f, objects, w), b) for f, w, b in zip(found, wrong, (old, new), strict=True))
            change = 2 * abs(found[1] - found[0]) + abs(wrong[1] - wrong[0])
            ranked.append((change, Change(row, f"image {row}", *answers)))
        shown = sorted((pair for pair in ranked if pair[0]), key=lambda pair: -pair[0])[:_MOST_SHOWN]
        return Answers(
            [change for _, change in shown],
            f"Of {total[2]:,} objects in {len(rows)} images, {total[0]:,} were found at the start and {total[1]:,} "
            f"at the end (score at least {LEAST_SCORE:g}, IoU at least {MATCH_IOU:g}). Shown are the images that "
            "changed most, for better or worse.",
        )


def judged_boxes(predicted: dict[str, Tensor], truth: Truth, classes: tuple[str, ...]) -> list[Box]:
    """The sure detections of one image beside its objects: found ones, then missed objects, then false alarms.

    Matched as COCO's AP does; a detection of an ignored object is left out. Of detections with masks, the masks are
    matched and outlined.
    """
    from terse.evaluation.matching import IGNORED, LEAST_SCORE, mask_overlaps, match

    keep = predicted["scores"] >= LEAST_SCORE
    order = predicted["scores"][keep].argsort(descending=True)
    boxes, scores, labels = (predicted[key][keep][order].cpu() for key in ("boxes", "scores", "labels"))
    masks = predicted["masks"][keep][order].cpu() if "masks" in predicted and truth.masks is not None else None
    partner = match(boxes, labels, truth, overlap=None if masks is None else mask_overlaps(masks, truth))
    shapes: list[str | None] = [None] * len(boxes) if masks is None else [outline_of(mask.numpy()) for mask in masks]
    correct: list[Box] = []
    false: list[Box] = []
    rows = zip(boxes.tolist(), scores.tolist(), labels.tolist(), partner.tolist(), shapes, strict=True)
    for box, score, label, to, shape in rows:
        if to != IGNORED:
            hit = to >= 0
            one = Box(tuple(box), classes[label], score, "correct" if hit else "false", shape)
            (correct if hit else false).append(one)
    left = set(range(len(truth.labels))) - set(partner.tolist())
    missed = [
        Box(
            tuple(truth.boxes_px[k].tolist()),
            classes[int(truth.labels[k])],
            None,
            "missed",
            None if masks is None or truth.masks is None else outline_of(truth.masks[k].numpy()),
        )
        for k in sorted(left)
        if not truth.ignore[k]
    ]
    return [*correct, *missed, *false]


def predict_all(
    target: Judges, images: RealImages, device: torch.device | str
) -> tuple[list[dict[str, Tensor]], Truth]:
    """What the target predicts of all images, and their truth."""
    from terse.evaluation.predictions import predictions
    from terse.types import Truth

    found: list[dict[str, Tensor]] = []
    truths = []
    for predicted, truth in predictions(target, images, batch_size=_BATCH, device=device):
        found += predicted
        truths.append(truth)
    return found, Truth.join(truths)


def _count(boxes: Sequence[Box], state: str) -> int:
    return sum(box.state == state for box in boxes)


def _caption(found: int, objects: int, wrong: int) -> str:
    alarms = f", {wrong} false alarm{'' if wrong == 1 else 's'}" if wrong else ""
    return f"{found} of {objects} found{alarms}"
