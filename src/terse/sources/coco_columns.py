"""COCO annotations of a large file, many at once: those that need no second look become columns, without objects between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from terse.sources.columns import MaskColumn, TextColumn
from terse.sources.masks import cut_outline
from terse.sources.objects import ObjectColumns

__all__ = ["PlainAnnotations", "is_marked"]

_NUMBERS = frozenset((int, float))
_EXACT = float(1 << 52)  # whole numbers below it are the same in floating point


@dataclass(frozen=True, slots=True)
class PlainAnnotations:
    """Makes columns of annotations that a reader would take as they stand.

    Plain is a box of four numbers with an area inside its image, with outlines of numbers or without a mask, without
    keypoints, of an image and a category whose ids are whole numbers. All else is left to `Index.add_object`, which
    mends it or says what is wrong.
    """

    images: Mapping[Any, int | None]  # number of each image by its id; None leaves its annotations out
    labels: Mapping[Any, int]  # by the category's id
    sizes_px: Int64[np.ndarray, "images 2"]
    crowd: bool  # whether `iscrowd` is to be believed

    def columns(self, items: Sequence[Any], first: int) -> ObjectColumns | None:
        """The columns of these annotations, None where not all are plain.

        Args:
            items: as the file has them.
            first: the number of the first in the file's list, which names an object without an id.
        """
        if not _are(items, {dict}) or any(item.get("keypoints") for item in items):
            return None
        ids, categories = [item.get("image_id") for item in items], [item.get("category_id") for item in items]
        boxes: list[Any] = [item.get("bbox") for item in items]
        masks = [item.get("segmentation") or [] for item in items]
        outlines: list[Any] = list(chain.from_iterable(masks)) if _are(masks, {list}) else [None]
        if not (_are(ids, {int}) and _are(categories, {int}) and _are(boxes, {list}) and _are(outlines, {list})):
            return None
        if not (self.images.keys() >= set(ids) and self.labels.keys() >= set(categories)):
            return None
        corners, points = _pairs(boxes), _pairs(outlines)
        lengths = np.array(list(map(len, outlines)), dtype=np.int64)
        if (
            not len(self.sizes_px)
            or corners is None
            or points is None
            or set(map(len, boxes)) - {4}
            or bool((lengths < 6).any())
        ):
            return None
        counts = np.array(list(map(len, masks)), dtype=np.int64)
        images = np.array([-1 if (image := self.images[one]) is None else image for one in ids], dtype=np.int64)
        limits = self.sizes_px[images]
        wanted = images >= 0
        found = _cut(corners.reshape(-1, 4), limits)
        if not bool((found[1] | ~wanted).all()):
            return None
        marks = np.zeros((len(items), 4), dtype=np.bool_)
        marks[:, 0] = [is_marked(item, "iscrowd") for item in items] if self.crowd else False
        marks[:, 1] = [is_marked(item, "ignore") for item in items]
        outlines_px, lengths = _cut_outlines(points.astype(np.float32), lengths // 2, np.repeat(limits, counts, axis=0))
        return ObjectColumns(
            images,
            np.array([self.labels[one] for one in categories], dtype=np.int64),
            found[0],
            marks,
            MaskColumn.of_outlines(outlines_px, lengths, counts),
            TextColumn.of([str(item.get("id", f"#{first + row}")) for row, item in enumerate(items)]),
        ).where(wanted)


def is_marked(item: Mapping[str, Any], field: str) -> bool:
    """Whether an annotation is marked; some files write their numbers as text, and `"0"` marks nothing."""
    value = item.get(field)
    return bool(value) and value != "0"


def _are(values: Sequence[Any], kinds: set[type] | frozenset[type]) -> bool:
    return kinds >= set(map(type, values))


def _pairs(lists: Sequence[list[Any]]) -> Float64[np.ndarray, "n 2"] | None:
    """The numbers of all lists, two by two; None where something else is among them, or one number too many."""
    values = list(chain.from_iterable(lists))
    if not _are(values, _NUMBERS) or any(len(one) % 2 for one in lists):
        return None
    try:
        pairs = np.array(values, dtype=np.float64).reshape(-1, 2)
    except OverflowError:  # a number of hundreds of digits
        return None
    return pairs if bool((np.abs(pairs) < _EXACT).all()) else None  # neither NaN nor infinite


def _cut_outlines(
    points: Float32[np.ndarray, "points 2"], lengths: Int64[np.ndarray, " n"], limits: Int64[np.ndarray, "n 2"]
) -> tuple[Float32[np.ndarray, "cut 2"], Int64[np.ndarray, " n"]]:
    """The points of all outlines and how many each has, those that reach over their image's border cut."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    out = ((points < 0) | (points > limits[owner])).any(axis=1)
    if not bool(out.any()):
        return points, lengths
    parts = np.split(points, np.cumsum(lengths)[:-1])
    for i in np.unique(owner[out]).tolist():
        width, height = limits[i].tolist()
        parts[i] = cut_outline(parts[i], (width, height))
    return np.concatenate(parts), np.array(list(map(len, parts)), dtype=np.int64)


def _cut(
    boxes: Float64[np.ndarray, "n 4"], limits: Int64[np.ndarray, "n 2"]
) -> tuple[Float64[np.ndarray, "n 4"], Bool[np.ndarray, " n"]]:
    """x, y, width and height as corners inside the images, and where that leaves an area."""
    near, far = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    there = (far > near).all(axis=1)
    near, far = np.maximum(near, 0.0), np.minimum(far, limits)
    return np.concatenate([near, far], axis=1), there & (far > near).all(axis=1)
