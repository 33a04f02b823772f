"""Average precision as PASCAL VOC 2007 counts it: the headline of the paper's tables.

Not COCO's with eleven recall points: VOC compares a detection with the object it overlaps most, taken or not, so
that a second detection of one object is wrong even where it also overlaps a neighbour.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

__all__ = ["voc07_ap"]


def voc07_ap(
    boxes: Sequence[Float64[np.ndarray, "_ 4"]],
    scores: Sequence[Float64[np.ndarray, " _"]],
    truth: Sequence[Float64[np.ndarray, "_ 4"]],
    difficult: Sequence[Bool[np.ndarray, " _"]],
    iou: float = 0.5,
) -> float | None:
    """The 11-point AP of one class over all images; None where there is no object to find.

    Boxes are half-open xyxy. Difficult objects are neither asked for nor punished.

    Source: Everingham et al. 2010, section 4.2; the VOC 2007 development kit.
    """
    objects = sum(int((~hard).sum()) for hard in difficult)
    if objects == 0:
        return None
    verdicts = [_verdicts(*image, iou) for image in zip(boxes, scores, truth, difficult, strict=True)]
    counted = np.concatenate([np.zeros((0, 2)), *verdicts])
    order = np.argsort(-counted[:, 0], kind="stable")
    right = counted[order, 1] > 0
    found = np.cumsum(right)
    recall, precision = found / objects, found / np.arange(1, len(right) + 1)
    # Tenths as the kit's MATLAB has them; a recall that is a tenth on paper must not fall below it in floats.
    best = [precision[recall >= tenth / 10 - 1e-12].max(initial=0.0) for tenth in range(11)]
    return float(np.mean(best))


def _verdicts(
    boxes: Float64[np.ndarray, "d 4"],
    scores: Float64[np.ndarray, " d"],
    truth: Float64[np.ndarray, "n 4"],
    difficult: Bool[np.ndarray, " n"],
    iou: float,
) -> Float64[np.ndarray, "counted 2"]:
    """Score and right (1) or wrong (0) of the detections of one image that count."""
    overlap = _iou(boxes, truth)
    taken: set[int] = set()
    counted = []
    for row in np.argsort(-scores, kind="stable"):
        best = int(overlap[row].argmax()) if len(truth) else -1
        hit = best >= 0 and overlap[row, best] >= iou
        if hit and difficult[best]:
            continue
        counted.append((scores[row], float(hit and best not in taken)))
        if hit:
            taken.add(best)
    return np.array(counted, dtype=np.float64).reshape(-1, 2)


def _iou(boxes: Float64[np.ndarray, "d 4"], truth: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, "d n"]:
    low = np.maximum(boxes[:, None, :2], truth[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], truth[None, :, 2:])
    shared = (high - low).clip(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)[:, None] + (truth[:, 2:] - truth[:, :2]).prod(-1)[None]
    return np.asarray(shared / np.maximum(area - shared, 1e-12))
