"""Masks as formats want them: COCO's run lengths, polygons along pixels' edges, or one PNG of numbers an image.

Run lengths are made from the region that holds a mask, so no canvas is filled. Polygons rasterised again give the same
mask. Of the numbers 0 is the background and 255 what counts neither as right nor as wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

if TYPE_CHECKING:
    from terse.compositing.raster import Drawn
    from terse.export.sample import Sample

__all__ = [
    "MOST_NUMBERS",
    "one_outline",
    "outlines",
    "paint",
    "run_lengths",
    "runs_of_box",
    "runs_of_region",
    "write_indices",
]

_Ring = Int64[np.ndarray, "points 2"]
MOST_NUMBERS = 254
"""The largest number that is neither the background's nor the border's."""
_BORDER = 255
_COMPARED = 1 << 20  # pairs of points at once; outlines of a large photograph have tens of millions


def runs_of_region(region: Drawn, size_px: tuple[int, int]) -> dict[str, object]:
    """`{"size": [height, width], "counts": str}` of a mask somewhere in an image of this width and height."""
    width, height = size_px
    return _packed(run_lengths(region, size_px), width, height)


def runs_of_box(box_px: tuple[float, float, float, float], size_px: tuple[int, int]) -> dict[str, object]:
    """The runs of a filled box: what COCO wants of a crowd region whose mask is not known."""
    width, height = size_px
    x0, y0 = int(box_px[0]), int(box_px[1])
    x1, y1 = max(round(box_px[2]), x0 + 1), max(round(box_px[3]), y0 + 1)
    starts = np.arange(x0, x1) * height + y0
    return _packed(_joined(starts, starts + y1 - y0, width * height), width, height)


def run_lengths(region: Drawn, size_px: tuple[int, int]) -> list[int]:
    """Lengths of background and object runs in turn, column by column, the background first."""
    width, height = size_px
    rows = len(region.mask)
    if not rows:
        return [width * height]
    import cv2

    # Column by column, a background pixel behind each, so that every run ends in its column.
    fenced = np.asarray(cv2.transpose(cv2.copyMakeBorder(region.mask, 0, 1, 0, 0, cv2.BORDER_CONSTANT))).reshape(-1)
    edges = np.flatnonzero(fenced[1:] != fenced[:-1]) + 1
    if fenced[0]:
        edges = np.concatenate([[0], edges])
    column = edges // (rows + 1)
    flat = edges + column * (height - rows - 1) + (region.left * height + region.top)
    return _joined(flat[::2], flat[1::2], width * height)


def _joined(starts: np.ndarray, ends: np.ndarray, total: int) -> list[int]:
    """Counts of runs, those that go on from one column's end to the next one's start made one."""
    apart = starts[1:] != ends[:-1]
    if not apart.all():
        starts, ends = (
            starts[np.concatenate([[True], apart])],
            ends[np.concatenate([apart, [True]])],
        )
    edges = np.empty(2 * len(starts) + 2, np.int64)
    edges[0], edges[-1] = 0, total
    edges[1:-1:2], edges[2:-1:2] = starts, ends
    counts: list[int] = (edges[1:] - edges[:-1]).tolist()
    return counts if counts[-1] else counts[:-1]


def _packed(counts: list[int], width: int, height: int) -> dict[str, object]:
    from faster_coco_eval.core import mask as rle  # type: ignore[import-untyped,unused-ignore]

    size = [height, width]
    packed = rle.frPyObjects({"size": size, "counts": counts}, height, width)["counts"]
    return {
        "size": size,
        "counts": packed.decode("ascii") if isinstance(packed, bytes) else packed,
    }


def outlines(region: Drawn) -> list[_Ring]:
    """One closed ring a connected part, in pixel edges of the image (x, y); holes are joined to it by a slit.

    A ring through pixel centres, as `findContours` gives it, loses half a pixel on every side.
    """
    if not region.mask.size:
        return []
    import cv2

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
        i, k = _nearest(ring, other)
        there = np.concatenate([other[k:], other[: k + 1]])
        ring = np.concatenate([ring[: i + 1], there, ring[i:]])
    return ring


def _nearest(ring: _Ring, other: _Ring) -> tuple[int, int]:
    """The places of the two points that lie nearest to each other, the first such pair."""
    found = (0, 0)
    least: int | None = None
    step = max(1, _COMPARED // len(other))
    for first in range(0, len(ring), step):
        x, y = ring[first : first + step].T
        distance = np.abs(x[:, None] - other[:, 0]) + np.abs(y[:, None] - other[:, 1])
        i, k = divmod(int(distance.argmin()), len(other))
        if least is None or distance[i, k] < least:
            found, least = (first + i, k), int(distance[i, k])
    return found


def paint(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Class (label + 1) and instance (place among the objects, from 1) of every pixel.

    Modal masks of pastes do not overlap, so their order does not matter. Objects to ignore are 255, and so are objects
    without a mask, whose pixels are not known; as instances those are, too, that a byte has no number for.
    """
    width, height = sample.size_px
    by_class, by_object = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    for unsure in (True, False):
        for number, item in enumerate(sample.objects, 1):
            lost = item.ignore or item.crowd or item.modal is None
            if lost is unsure:
                item.paint(by_class, _BORDER if lost else item.label + 1)
                item.paint(by_object, _BORDER if lost or number > MOST_NUMBERS else number)
    return by_class, by_object


def write_indices(path: Path, values: np.ndarray, *, coloured: bool) -> None:
    """Write a PNG of numbers, grey or with VOC's palette, as VOC's own: OpenCV reads colours of a palette, no numbers."""
    from PIL import Image

    image = Image.fromarray(values)
    if coloured:
        image.putpalette(_palette())
    image.save(path, compress_level=1)


def _palette() -> list[int]:
    """VOC's colours: the bits of the index, spread over red, green and blue from the highest down."""
    colours = [[0, 0, 0] for _ in range(256)]
    for index, bit, channel in itertools.product(range(256), range(8), range(3)):
        colours[index][channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return list(itertools.chain.from_iterable(colours))
