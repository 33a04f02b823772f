"""The areas of boxes and what they share. Boxes are half-open xyxy, in one unit."""

import math

import numpy as np
from jaxtyping import Float

__all__ = ["areas", "around_turned", "covered_share", "iou", "shared_areas"]

Boxes = Float[np.ndarray, "_ 4"]


def areas(boxes: Boxes) -> Float[np.ndarray, " n"]:
    """The area of each box."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def around_turned(box: tuple[float, float, float, float], turn_rad: float) -> tuple[float, float, float, float]:
    """The upright box around one that is turned about its middle, to either side."""
    x0, y0, x1, y1 = box
    cos, sin = abs(math.cos(turn_rad)), abs(math.sin(turn_rad))
    half_w, half_h = ((x1 - x0) * cos + (y1 - y0) * sin) / 2, ((x1 - x0) * sin + (y1 - y0) * cos) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half_w, y - half_h, x + half_w, y + half_h


def shared_areas(boxes: Boxes, others: Boxes) -> Float[np.ndarray, "n k"]:
    """The area that each box shares with each of the others."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray((high - low).clip(min=0).prod(axis=2))


def iou(boxes: Boxes, others: Boxes) -> Float[np.ndarray, "n k"]:
    """The shared area over that of both together; 0 where a box is empty or not finite."""
    shared = shared_areas(boxes, others)
    with np.errstate(invalid="ignore"):
        union = areas(boxes)[:, None] + areas(others)[None] - shared
    known = np.isfinite(shared) & (union > 0)
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=known))


def covered_share(boxes: Boxes, others: Boxes) -> Float[np.ndarray, " n"]:
    """The largest share of any of the others that each box covers."""
    if not len(others):
        return np.zeros(len(boxes))
    return np.asarray((shared_areas(boxes, others) / areas(others).clip(min=1e-9)).max(axis=1))
