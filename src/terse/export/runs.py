"""Masks as COCO's run lengths, made from the region that holds them: no canvas is filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from terse.compositing.raster import Drawn

__all__ = ["run_lengths", "runs_of_box", "runs_of_region"]


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
