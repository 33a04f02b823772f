"""Which instance of a VOC mask belongs to which box: the recovery of paper A.2."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, UInt8

from terse.boxes import iou

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
        for i, (name, overlap) in enumerate(zip(names, iou(own[None], boxes_px)[0].tolist(), strict=True)):
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
