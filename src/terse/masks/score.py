"""How far a mask that nobody has drawn can be trusted: five measures, and from them the IoU to expect."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from terse.boxes import iou
from terse.sources.cleanup import solidity
from terse.sources.masks import box_of

__all__ = ["SHIFT", "Scores", "expected_iou", "grown", "measure", "shifted"]

Box = tuple[float, float, float, float]

GROWTH = 0.1
"""The box is grown by this share of its sides: what a mask touches there goes on outside the object."""
SHIFT = 0.05
"""The second run's box is shifted by this share of its sides, to the right and down."""
_RING = 0.04  # of the box's longer side: how wide the two rings are whose colours are compared
_COLOUR_SCALE = 25.0  # a difference in CIE L*a*b* that counts as half of a clear edge


@dataclass(frozen=True, slots=True)
class Scores:
    """The measures of one mask, each from 0 to 1, more is better.

    Attributes:
        solidity: share of its convex hull that the mask covers.
        coverage: IoU of the mask's own box with the annotated one.
        border: share of the grown border that the mask does not touch.
        contrast: difference in colour between the two sides of its outline.
        agreement: IoU with the mask of a second run from a shifted box.
    """

    solidity: float
    coverage: float
    border: float
    contrast: float
    agreement: float

    def to_json(self) -> dict[str, float]:
        """By name."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


_INTERCEPT = -0.28
_WEIGHTS = {"solidity": 0.0, "coverage": 0.49, "contrast": 0.31, "agreement": 0.35}
"""Least squares on the IoU of GrabCut's masks with the true ones of COCO objects of 80 classes, none below 0; see docs/masks.md."""


def expected_iou(scores: Scores) -> float:
    """The score of a mask: the IoU with the true one that masks of these measures have on average.

    It falls with the contact with the grown border. GrabCut's masks have none, so no weight could be fitted for it.
    """
    value = _INTERCEPT + sum(weight * float(getattr(scores, name)) for name, weight in _WEIGHTS.items())
    return min(max(value, 0.0), 1.0) * float(scores.border)


def shifted(box_px: Box) -> Box:
    """The box of the second run."""
    x0, y0, x1, y1 = box_px
    right, down = SHIFT * (x1 - x0), SHIFT * (y1 - y0)
    return x0 + right, y0 + down, x1 + right, y1 + down


def grown(box_px: Box, share: float = GROWTH) -> Box:
    """The box with this share of its sides more on every side."""
    x0, y0, x1, y1 = box_px
    wide, high = share * (x1 - x0), share * (y1 - y0)
    return x0 - wide, y0 - high, x1 + wide, y1 + high


def measure(
    image: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"], second: Bool[np.ndarray, "h w"], box_px: Box
) -> Scores:
    """The measures of a mask; all 0 where it is empty.

    Args:
        image: the whole photograph, RGB.
        mask: in it.
        second: the mask of a second run from the shifted box.
        box_px: the annotated box.
    """
    tight = box_of(mask.view(np.uint8))
    if tight is None:
        return Scores(0.0, 0.0, 0.0, 0.0, 0.0)
    own = np.array([tight], dtype=np.float64)
    union = np.count_nonzero(mask | second)
    return Scores(
        solidity=solidity(mask[tight[1] : tight[3], tight[0] : tight[2]].astype(np.uint8)),
        coverage=float(iou(own, np.array([box_px], dtype=np.float64))[0, 0]),
        border=1.0 - _contact(mask, box_px),
        contrast=_contrast(image, mask, box_px),
        agreement=np.count_nonzero(mask & second) / union,
    )


def _contact(mask: Bool[np.ndarray, "h w"], box_px: Box) -> float:
    """The share of the grown border inside the image on which the mask lies, the most of its four sides."""
    height, width = mask.shape
    x0, y0, x1, y1 = (round(edge) for edge in grown(box_px))
    left, top = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)  # of a sliver at the border: its last pixel
    right, bottom = max(min(x1, width), left + 1), max(min(y1, height), top + 1)
    sides = []
    if x0 >= 0:
        sides.append(mask[top:bottom, left])
    if y0 >= 0:
        sides.append(mask[top, left:right])
    if x1 <= width:
        sides.append(mask[top:bottom, right - 1])
    if y1 <= height:
        sides.append(mask[bottom - 1, left:right])
    return max((float(side.mean()) for side in sides if side.size), default=0.0)


def _contrast(image: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"], box_px: Box) -> float:
    """Mean difference between the colours around each point of the outline, inside and outside the mask."""
    height, width = mask.shape
    x0, y0, x1, y1 = box_px
    ring = max(2, round(_RING * max(x1 - x0, y1 - y0)))
    around = box_of(mask.view(np.uint8))
    assert around is not None  # by the caller
    left, top = max(around[0] - ring, 0), max(around[1] - ring, 0)
    part = slice(top, min(around[3] + ring, height)), slice(left, min(around[2] + ring, width))
    colours = cv2.cvtColor(np.ascontiguousarray(image[part]), cv2.COLOR_RGB2LAB).astype(np.float32)
    inside = mask[part].astype(np.float32)
    size = (2 * ring + 1, 2 * ring + 1)
    share = cv2.blur(inside, size)
    outline = (share > 0.25) & (share < 0.75)
    if not outline.any():
        return 0.0
    within = cv2.blur(colours * inside[..., None], size)[outline] / share[outline, None]
    without = cv2.blur(colours * (1 - inside)[..., None], size)[outline] / (1 - share[outline, None])
    distance = float(np.linalg.norm(within - without, axis=1).mean())
    return distance / (distance + _COLOUR_SCALE)
