"""Do most boxes of a set contradict their own masks, and which of the two looks wrong?"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from terse.boxes import iou
from terse.errors import DataError
from terse.sources.annotations import Annotations
from terse.sources.cleanup import Flaw, MaskVerdict
from terse.sources.masks import Rle, draw_mask

__all__ = ["Contradiction", "contradiction"]

_LEAST = 3  # objects; fewer show nothing of a whole set
_SMALL_APART = 0.5  # IoU of a small object's box and its mask's own, which differ by a pixel or two
_TOGETHER = 0.7
_MOST = 0.5
_DECODED = 50


class Contradiction(StrEnum):
    """How most boxes of a set contradict their masks; the value says which of the two looks wrong."""

    CORNERS = "the boxes look like two corners x0 y0 x1 y1, where x y width height is expected: correct the boxes"
    CENTRES = "the boxes look like centre x y width height, where the upper left corner is expected: correct the boxes"
    SWAPPED = "the outlines look like y x, where x y is expected: correct the outlines"
    BY_ROWS = "the masks' run lengths look counted by rows, where COCO counts by columns: correct the masks"
    UNKNOWN = "nothing tells which of the two is wrong: look at some, and correct the boxes or the outlines"


def contradiction(annotations: Annotations, verdicts: Sequence[MaskVerdict]) -> Contradiction | None:
    """How most boxes contradict their own masks; None where they do not.

    Args:
        annotations: boxes and masks.
        verdicts: on its objects, good ones included.
    """
    known = [verdict for verdict in verdicts if any(verdict.mask_box_px)]
    apart = [
        verdict
        for verdict in known
        if Flaw.BOX in verdict.flaws and (Flaw.SMALL not in verdict.flaws or verdict.box_iou < _SMALL_APART)
    ]
    if len(known) < _LEAST or len(apart) <= _MOST * len(known):
        return None
    rows = [verdict.object for verdict in apart]
    boxes, sizes = annotations.boxes_px[rows], annotations.sizes_px[annotations.image_index[rows]]
    x0, y0, x1, y1 = np.array([verdict.mask_box_px for verdict in apart], dtype=np.float64).T
    meant = {
        Contradiction.CORNERS: (x0, y0, x0 + x1, y0 + y1),
        Contradiction.CENTRES: ((x0 + x1) / 2, (y0 + y1) / 2, (x0 + x1) / 2 + x1 - x0, (y0 + y1) / 2 + y1 - y0),
        Contradiction.SWAPPED: (y0, x0, y1, x1),
    }
    for guess, expected in meant.items():
        # A box that sticks out was cut at the image's border.
        seen = np.clip(np.stack(expected, axis=1), 0, np.tile(sizes, 2))
        if _mostly(np.diagonal(iou(seen, boxes))):
            return guess
    return Contradiction.BY_ROWS if _mostly(_read_by_rows(annotations, rows)) else Contradiction.UNKNOWN


def _mostly(overlaps: np.ndarray) -> bool:
    return len(overlaps) > 0 and float((overlaps >= _TOGETHER).mean()) > _MOST


def _read_by_rows(annotations: Annotations, rows: Sequence[int]) -> np.ndarray:
    """Overlaps of boxes with what their run lengths would mean if they counted by rows."""
    overlaps = []
    for row in [row for row in rows if isinstance(annotations.masks[row], Rle)][:_DECODED]:
        mask = annotations.masks[row]
        width, height = annotations.sizes_px[int(annotations.image_index[row])].tolist()
        assert mask is not None  # by the choice above
        try:
            drawn = draw_mask(mask, annotations.root, (width, height)) > 0
        except DataError:
            continue
        turned = drawn.ravel(order="F").reshape(height, width)
        columns, lines = np.flatnonzero(turned.any(axis=0)), np.flatnonzero(turned.any(axis=1))
        if len(columns):
            own = np.array([[columns[0], lines[0], columns[-1] + 1, lines[-1] + 1]], dtype=np.float64)
            overlaps.append(float(iou(own, annotations.boxes_px[[row]])[0, 0]))
    return np.array(overlaps)
