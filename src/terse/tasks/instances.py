"""Masks of objects: average precision by the IoU of masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from terse.registry import register
from terse.tasks.detection import Detection
from terse.tasks.segmentation import without_masks
from terse.tasks.task import Metric

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool

    from terse.types import Truth

__all__ = ["Instances"]

_MASK_AP50 = Metric("mask_ap50", "Mask AP at IoU 0.5", "mask AP50")


@register("task", "instances")
class Instances(Detection):
    """Images with any number of objects; `predict` gives boxes, labels, scores and masks `(n, h, w)` of each.

    Source: Lin et al. 2014 (COCO); the paper has boxes alone.
    """

    metrics = (_MASK_AP50, Metric("mask_ap", "Mask AP, 0.5 to 0.95", "mask AP"), *Detection.metrics)
    primary = _MASK_AP50
    progress = ("mask_ap50", "ap50")
    needs = ("masks",)

    def _scores(self, found: Sequence[Any], truth: Truth, classes: Sequence[str]) -> dict[str, Any]:
        """Those of boxes, with those of masks that `mask_scores` names."""
        from terse.evaluation.ap import mask_scores

        of_boxes = super()._scores(found, truth, classes)
        of_masks, by_class = mask_scores(found, _with_masks(found, truth), classes)
        of_boxes["by_class"] = {name: {**by_class[name], **one} for name, one in of_boxes["by_class"].items()}
        return {**of_masks, **of_boxes}

    def _primary_of(self, found: Sequence[Any], truth: Truth) -> Callable[[Bool[np.ndarray, " images"]], float]:
        return super()._primary_of(found, _with_masks(found, truth))


def _with_masks(found: Sequence[Any], truth: Truth) -> Truth:
    """Images without an object have no masks, and yet a size.

    Raises:
        DataError: there are objects, and none has a mask.
    """
    import torch

    if truth.masks is not None:
        return truth
    if len(truth.labels):
        raise without_masks("instances")
    height, width = next((one["masks"].shape[-2:] for one in found if len(one["masks"])), (1, 1))
    return replace(truth, masks=torch.zeros(0, height, width, dtype=torch.bool))
