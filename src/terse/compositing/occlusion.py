"""What is seen of each region once later ones lie over it: the labels of the raster path."""

from collections.abc import Sequence

import cv2
import numpy as np

from terse.compositing.raster import Drawn

__all__ = ["covered", "shared_px", "visible_regions"]


def visible_regions(regions: Sequence[Drawn]) -> list[Drawn]:
    """The modal masks of regions in z-order (first is lowest), tight again; an empty one has shape (0, 0).

    Source: ours.
    """
    return [covered(region, regions[above + 1 :]) for above, region in enumerate(regions)]


def covered(region: Drawn, above: Sequence[Drawn]) -> Drawn:
    """The region without the pixels of those above it; itself where nothing covers it.

    Source: ours.
    """
    seen = None
    for other in above:
        windows = _shared(region, other)
        if windows is not None:
            seen = region.mask.copy() if seen is None else seen
            seen[windows[0]][other.mask[windows[1]] > 0] = 0
    if seen is None or np.array_equal(seen, region.mask):
        return region
    x, y, w, h = cv2.boundingRect(seen)
    tight = np.ascontiguousarray(seen[y : y + h, x : x + w])
    return Drawn(region.left + x, region.top + y, tight, region.whole_px)


def shared_px(region: Drawn, other: Drawn) -> int:
    """How many pixels two masks have in common.

    Source: ours.
    """
    windows = _shared(region, other)
    return 0 if windows is None else cv2.countNonZero(cv2.bitwise_and(region.mask[windows[0]], other.mask[windows[1]]))


_Window = tuple[slice, slice]


def _shared(region: Drawn, other: Drawn) -> tuple[_Window, _Window] | None:
    """Where the arrays of two masks meet, in the rows and columns of each; None where they do not."""
    (height, width), (h, w) = region.mask.shape, other.mask.shape
    x0, x1 = max(region.left, other.left), min(region.left + width, other.left + w)
    y0, y1 = max(region.top, other.top), min(region.top + height, other.top + h)
    if x0 >= x1 or y0 >= y1:
        return None
    own, others = ((slice(y0 - one.top, y1 - one.top), slice(x0 - one.left, x1 - one.left)) for one in (region, other))
    return own, others
