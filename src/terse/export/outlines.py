"""Masks as polygons along their pixels' edges: rasterised again, they give the same mask."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Int64

from terse.compositing.raster import Drawn

__all__ = ["one_outline", "outlines"]

_Ring = Int64[np.ndarray, "points 2"]


def outlines(region: Drawn) -> list[_Ring]:
    """One closed ring a connected part, in pixel edges of the image (x, y); holes are joined to it by a slit.

    A ring through pixel centres, as `findContours` gives it, loses half a pixel on every side.
    """
    if not region.mask.size:
        return []
    # Doubled, each pixel has an even and an odd coordinate: the one is its left edge, the other its right.
    doubled = cv2.resize(region.mask, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    found, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tree is None:
        return []
    rings = [_edges(np.asarray(contour)[:, 0], region) for contour in found]
    parents = tree[0][:, 3]
    joined = []
    for i, ring in enumerate(rings):
        if parents[i] < 0:
            holes = [rings[k] for k in np.flatnonzero(parents == i)]
            joined.append(_with_slits(ring, holes) if holes else ring)
    return joined


def one_outline(rings: Sequence[_Ring]) -> _Ring:
    """Several rings as one, joined by slits of no width: what YOLO's text can say of an object in parts."""
    return _with_slits(rings[0], list(rings[1:]))


def _edges(contour: np.ndarray, region: Drawn) -> _Ring:
    points = (contour.astype(np.int64) + 1) // 2 + (region.left, region.top)
    if len(points) < 3:
        return points
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    points = points[(points != after).any(axis=1)]
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    (ax, ay), (bx, by) = (points - before).T, (after - points).T
    corners: _Ring = points[(ax * by != ay * bx) | (ax * bx + ay * by < 0)]
    return corners


def _with_slits(ring: _Ring, others: list[_Ring]) -> _Ring:
    for other in others:
        distance = np.abs(ring[:, None] - other[None]).sum(axis=2)
        i, k = np.unravel_index(int(distance.argmin()), distance.shape)
        there = np.concatenate([other[k:], other[: k + 1]])
        ring = np.concatenate([ring[: i + 1], there, ring[i:]])
    return ring
