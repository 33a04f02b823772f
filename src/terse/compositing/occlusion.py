"""What is seen of each region once later ones lie over it: the labels of the raster path."""

from collections.abc import Sequence

import cv2
import numpy as np

from terse.compositing.raster import Drawn

__all__ = ["covered", "visible_regions"]


def visible_regions(regions: Sequence[Drawn]) -> list[Drawn]:
    """The modal masks of regions in z-order (first is lowest), tight again; an empty one has shape (0, 0).

    Source: ours.
    """
    return [covered(region, regions[above + 1 :]) for above, region in enumerate(regions)]


def covered(region: Drawn, above: Sequence[Drawn]) -> Drawn:
    """The region without the pixels of those above it; itself where nothing covers it.

    Source: ours.
    """
    height, width = region.mask.shape
    seen = None
    for other in above:
        h, w = other.mask.shape
        x0, x1 = max(region.left, other.left), min(region.left + width, other.left + w)
        y0, y1 = max(region.top, other.top), min(region.top + height, other.top + h)
        if x0 >= x1 or y0 >= y1:
            continue
        if seen is None:
            seen = region.mask.copy()
        part = seen[y0 - region.top : y1 - region.top, x0 - region.left : x1 - region.left]
        part[other.mask[y0 - other.top : y1 - other.top, x0 - other.left : x1 - other.left] > 0] = 0
    if seen is None:
        return region
    x, y, w, h = cv2.boundingRect(seen)
    tight = np.ascontiguousarray(seen[y : y + h, x : x + w])
    return Drawn(region.left + x, region.top + y, tight, region.whole_px)
