"""Masks of objects: average precision by the IoU of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from terse.registry import register
from terse.tasks.detection import Detection, predict_all
from terse.tasks.task import Details, Metric

if TYPE_CHECKING:
    import torch

    from terse.protocols import Judges, RealImages
    from terse.recipe_parts import GroupsConfig

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

    def measure(self, target: Judges, images: RealImages, device: torch.device | str) -> dict[str, Any]:
        """The scores of boxes that `detection_scores` names, with those of masks that `mask_scores` names."""
        from terse.evaluation.ap import detection_scores, mask_scores

        found, truth = predict_all(target, images, device)
        classes = getattr(target, "classes", None) or [str(k) for k in range(int(truth.labels.max()) + 1)]
        of_boxes = detection_scores(found, truth, classes)
        of_masks, by_class = mask_scores(found, truth, classes)
        of_boxes["by_class"] = {name: {**by_class[name], **one} for name, one in of_boxes["by_class"].items()}
        return {**of_masks, **of_boxes}

    def units(self, target: Judges, images: RealImages, device: torch.device | str) -> list[float]:
        """Pseudo-values of the primary metric, of masks or boxes, each from leaving a block of images out."""
        from terse.evaluation.ap import ap_pseudo_values, ious_of

        name = self.primary.name
        if not name.startswith("mask_"):
            return super().units(target, images, device)
        return ap_pseudo_values(*predict_all(target, images, device), ious_of(name), masks=True)

    def details(self, target: Judges, images: RealImages, device: torch.device | str, groups: GroupsConfig) -> Details:
        """Pseudo-values of the primary metric alone; figures by field are of boxes."""
        return Details(self.units(target, images, device))
