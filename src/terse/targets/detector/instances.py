"""Mask R-CNN as a target: a detector whose objects have masks as well."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import roi_align

from terse.errors import DataError
from terse.targets.detector.heads import Matched
from terse.targets.detector.target import DetectorTarget
from terse.types import Truth

__all__ = ["InstanceTarget"]

_INSIDE = 0.5
_CONFIDENCE_IOU = 0.5


class InstanceTarget(DetectorTarget):
    """A torchvision Mask R-CNN, or a subclass.

    Source: He et al. 2017; as a target ours.
    """

    masks = True

    @torch.no_grad()
    def confidence(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Float[Tensor, " n_pasted"]:
        """Of each pasted object, the highest score of its class among predictions whose mask has IoU >= 0.5 with its own.

        0 where there is none.

        Raises:
            DataError: the truth has no masks.

        Source: ours.
        """
        truth = truth.to(images.device)
        masks = _masks(truth)[truth.pasted]
        labels, index = truth.labels[truth.pasted], truth.image_index[truth.pasted]
        best = images.new_zeros(len(masks), dtype=torch.float32)
        for number, one in enumerate(self.predict(images)):
            mine = (index == number).nonzero().flatten()
            found, own = one["masks"].flatten(1).float(), masks[mine].flatten(1).float()
            shared = own @ found.T
            iou = shared / (own.sum(1)[:, None] + found.sum(1)[None] - shared).clamp(min=1)
            hits = (iou >= _CONFIDENCE_IOU) & (labels[mine][:, None] == one["labels"][None])
            scores = torch.where(hits, one["scores"][None].float(), 0.0)
            best[mine] = scores.amax(dim=1) if scores.shape[1] else 0.0
        return best

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "b 3 h w"]) -> list[dict[str, Tensor]]:
        """As a detector's, with `masks`, where the mask's probability is at least one half."""
        return [one | {"masks": one["masks"][:, 0] >= _INSIDE} for one in super().predict(images)]

    def _box_error(self, matched: Matched, truth: Truth, attacked: Int64[Tensor, " n"]) -> Float[Tensor, " m"]:
        """With the mean cross-entropy of the mask inside each place."""
        assert matched.masks is not None
        assert matched.places_px is not None
        side = matched.masks.shape[-1]
        rows = attacked[matched.box].to(matched.places_px)
        wanted = roi_align(
            _masks(truth)[:, None].to(matched.places_px), torch.cat([rows[:, None], matched.places_px], dim=1), side
        )[:, 0]
        shape = binary_cross_entropy_with_logits(matched.masks, wanted, reduction="none").mean(dim=(1, 2))
        return super()._box_error(matched, truth, attacked) + shape

    def _more(self, truth: Truth, kept: Bool[Tensor, " n"], counts: list[int]) -> list[dict[str, Tensor]]:
        return [{"masks": part.to(torch.uint8)} for part in torch.split(_masks(truth)[kept], counts)]


def _masks(truth: Truth) -> Bool[Tensor, "n h w"]:
    if truth.masks is None:
        raise DataError(
            "truth.masks: expected a mask of each object for Mask R-CNN, got none; give the images' annotations masks "
            "(`terse masks` makes them of boxes), or take a detector of boxes"
        )
    return truth.masks
