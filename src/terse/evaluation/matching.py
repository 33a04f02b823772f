"""Which object each detection finds, by COCO's rules and by VOC's."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from terse.boxes import areas, iou, shared_areas
from terse.types import Truth

__all__ = ["IGNORED", "LEAST_SCORE", "MATCH_IOU", "NOTHING", "WRONG", "false_alarms", "mask_overlaps", "match", "said"]

MATCH_IOU = 0.5
LEAST_SCORE = 0.5
"""Of a detection that counts as an answer, where one answer is looked at instead of AP."""
NOTHING = -1
"""What a model says of an object to which it gives no class."""
WRONG, IGNORED = -1, -2  # of a detection that found no object


def match(
    boxes: Float[Tensor, "d 4"],
    labels: Int64[Tensor, " d"],
    truth: Truth,
    *,
    voc: bool = False,
    match_iou: float = MATCH_IOU,
    overlap: Float64[np.ndarray, "d n"] | None = None,
) -> Int64[np.ndarray, " d"]:
    """The row in one image's truth of the object that each detection finds, else WRONG or IGNORED.

    Detections stand in the order of their scores and find objects of their own class, each object once. COCO gives a
    detection the free object that it overlaps most; what is to be ignored counts as a crowd: a box inside it overlaps
    it wholly, and any number may. VOC compares a detection with the object that it overlaps most, taken or not, so
    that a second detection of one object is wrong even where it also overlaps a neighbour. `overlap` is of masks, where
    these count instead of boxes.

    Source: Lin et al. 2014 (COCO); Everingham et al. 2010, section 4.2 (VOC).
    """
    partner = np.full(len(boxes), WRONG, dtype=np.int64)
    if not len(truth.labels):
        return partner
    ignore: Bool[np.ndarray, " n"] = truth.ignore.cpu().numpy()
    found, objects = boxes.cpu().double().numpy(), truth.boxes_px.cpu().double().numpy()
    of_boxes, overlap = overlap is None, iou(found, objects) if overlap is None else overlap
    if of_boxes and not voc and ignore.any():
        inside = shared_areas(found, objects) / areas(found)[:, None].clip(min=1e-12)
        overlap = np.where(ignore, inside, overlap)
    overlap = np.where(labels.cpu()[:, None] == truth.labels.cpu()[None], overlap, -1.0)
    reached = overlap >= match_iou - 1e-10
    free = ~ignore
    last = len(ignore) - 1
    for row in np.flatnonzero(reached.any(axis=1)):
        if voc:
            best = int(overlap[row].argmax())
            partner[row] = IGNORED if ignore[best] else best if free[best] else WRONG
            free[best] = False
        elif (reached[row] & free).any():
            best = last - int(np.where(free, overlap[row], -1.0)[::-1].argmax())  # COCO takes the last of equal ones
            partner[row] = best
            free[best] = False
        elif (reached[row] & ignore).any():
            partner[row] = IGNORED
    return partner


def mask_overlaps(masks: Bool[Tensor, "d h w"], truth: Truth) -> Float64[np.ndarray, "d n"]:
    """The IoU of each mask with that of each object of one image; of an ignored one, the share of the mask inside it.

    Source: Lin et al. 2014 (COCO).
    """
    assert truth.masks is not None
    found, objects = masks.cpu().flatten(1).double(), truth.masks.cpu().flatten(1).double()
    shared = (found @ objects.T).numpy()
    own, its = found.sum(dim=1).numpy()[:, None], objects.sum(dim=1).numpy()[None]
    whole = np.where(truth.ignore.cpu().numpy()[None], own, own + its - shared)
    overlap: Float64[np.ndarray, "d n"] = shared / whole.clip(min=1)
    return overlap


def said(predicted: Mapping[str, Tensor], truth: Truth) -> Int64[np.ndarray, " n"]:
    """The class that one image's sure detections give to each of its objects, or NOTHING.

    An object that is found has its own class (`match`). One that is missed has that of the surest detection of another
    class that overlaps it by MATCH_IOU. Sure is a score of LEAST_SCORE.

    Source: ours; the threshold is that of paper A.2.
    """
    boxes, labels = _sure(predicted)
    partner = match(boxes, labels, truth)
    own = truth.labels.cpu().numpy()
    answers = np.full(len(own), NOTHING, dtype=np.int64)
    if len(boxes):
        others = iou(boxes.double().numpy(), truth.boxes_px.cpu().double().numpy()) >= MATCH_IOU - 1e-10
        others &= labels.numpy()[:, None] != own[None]
        answers = np.where(others.any(axis=0), labels.numpy()[others.argmax(axis=0)], NOTHING)
    found = partner[partner >= 0]
    answers[found] = own[found]
    return answers


def false_alarms(predicted: Mapping[str, Tensor], truth: Truth) -> Float[Tensor, "k 4"]:
    """The boxes of one image's sure detections that find no object; ignored objects excuse theirs.

    Source: ours; matched as COCO does (Lin et al. 2014).
    """
    boxes, labels = _sure(predicted)
    return boxes[torch.from_numpy(match(boxes, labels, truth) == WRONG)]


def _sure(predicted: Mapping[str, Tensor]) -> tuple[Float[Tensor, "d 4"], Int64[Tensor, " d"]]:
    """Boxes and labels of the sure detections, by score."""
    scores = predicted["scores"].cpu()
    order = torch.argsort(scores, descending=True, stable=True)
    order = order[scores[order] >= LEAST_SCORE]
    return predicted["boxes"].cpu()[order], predicted["labels"].cpu()[order]
