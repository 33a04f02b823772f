"""Which instance of a VOC mask belongs to which box: the recovery of paper A.2."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, UInt8

__all__ = ["VOC_CLASSES", "match_instances"]

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""In the order of SegmentationClass, whose 0 is background."""
_VOID = 255


def match_instances(
    values: UInt8[np.ndarray, "h w"],
    boxes_px: Float64[np.ndarray, "n 4"],
    names: Sequence[str],
    kinds: UInt8[np.ndarray, "h w"] | None = None,
) -> dict[int, int]:
    """The instance number of each box that has one.

    Boxes and instances are paired by the overlap of the box with the instance's own box, best first, each used
    once. Any overlap is taken: whether the two agree is for `cleanup` to judge.

    Args:
        values: SegmentationObject: 0 is background, 255 void.
        boxes_px: the annotated boxes.
        names: their classes.
        kinds: SegmentationClass; an instance is then paired only with boxes of its class. Other people's data sets
            number classes in their own way: where a class comes out that no box has, it is passed over.
    """
    pairs: list[tuple[float, int, int]] = []
    regions = {value: values == value for value in np.unique(values).tolist() if value not in (0, _VOID)}
    classes = _classes(regions, kinds, names) if kinds is not None and kinds.shape == values.shape else {}
    for value, inside in regions.items():
        columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
        own = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)
        for i, (name, box) in enumerate(zip(names, boxes_px, strict=True)):
            overlap = _iou(own, box)
            if overlap > 0 and classes.get(value, name) == name:
                pairs.append((-overlap, i, value))
    chosen: dict[int, int] = {}
    for _, i, value in sorted(pairs):
        if i not in chosen and value not in chosen.values():
            chosen[i] = value
    return chosen


def _classes(regions: Mapping[int, np.ndarray], kinds: np.ndarray, names: Sequence[str]) -> dict[int, str]:
    """The class that most of each instance's pixels have; empty where the numbers are not VOC's."""
    numbers = {value: int(np.bincount(kinds[inside]).argmax()) for value, inside in regions.items()}
    if not all(0 < number <= len(VOC_CLASSES) for number in numbers.values()):
        return {}
    found = {value: VOC_CLASSES[number - 1] for value, number in numbers.items()}
    return found if set(found.values()) <= set(names) else {}


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    """0 where a box is not finite."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    union = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared
    return shared / union if np.isfinite(shared) and union > 0 else 0.0
