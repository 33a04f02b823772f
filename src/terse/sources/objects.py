"""The objects of an index while it is built: rows of a small source, columns of a large one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from terse.sources.columns import MaskColumn, TextColumn, taken
from terse.sources.masks import Mask

__all__ = ["ObjectColumns", "ObjectRow"]


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """An object that was looked at: its box lies inside its image, its outline too."""

    image: int
    label: int
    box_px: tuple[float, float, float, float]
    crowd: bool
    ignore: bool
    truncated: bool
    occluded: bool
    mask: Mask | None
    name: str
    keypoints: Float32[np.ndarray, "k 3"] | None


@dataclass(frozen=True, slots=True, eq=False)
class ObjectColumns:
    """Objects in columns; masks and names are Arrow's, or Python's where the source is small."""

    images: Int64[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]
    boxes_px: Float64[np.ndarray, "n 4"]
    marks: Bool[np.ndarray, "n 4"]  # crowd, ignore, truncated, occluded
    masks: Sequence[Mask | None]
    names: Sequence[str]
    keypoints: Float32[np.ndarray, "n k 3"] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def of(cls, rows: Sequence[ObjectRow]) -> ObjectColumns:
        """These rows."""
        return cls(
            np.array([row.image for row in rows], dtype=np.int64),
            np.array([row.label for row in rows], dtype=np.int64),
            np.array([row.box_px for row in rows], dtype=np.float64).reshape(-1, 4),
            np.array([(row.crowd, row.ignore, row.truncated, row.occluded) for row in rows], dtype=np.bool_).reshape(
                -1, 4
            ),
            tuple(row.mask for row in rows),
            tuple(row.name for row in rows),
            _stack([row.keypoints for row in rows]),
        )

    def packed(self) -> ObjectColumns:
        """The same with masks and names in Arrow's memory."""
        return replace(self, masks=MaskColumn.of(self.masks), names=TextColumn.of(self.names))

    @classmethod
    def joined(cls, parts: list[ObjectColumns]) -> ObjectColumns:
        """Parts one after another, in Arrow's memory. The list is empty after it, so that little stands there twice."""
        most = max((part.keypoints.shape[1] for part in parts if part.keypoints is not None), default=0)
        keypoints = np.concatenate([_filled(part, most) for part in parts]) if most else None
        images, labels = [part.images for part in parts], [part.labels for part in parts]
        boxes, marks = [part.boxes_px for part in parts], [part.marks for part in parts]
        masks, names = [part.masks for part in parts], [part.names for part in parts]
        parts.clear()
        joined_masks = MaskColumn.joined(masks)
        masks.clear()
        return cls(
            np.concatenate(images),
            np.concatenate(labels),
            np.concatenate(boxes),
            np.concatenate(marks),
            joined_masks,
            TextColumn.joined(names),
            keypoints,
        )

    def where(self, wanted: Bool[np.ndarray, " n"]) -> ObjectColumns:
        """Only these."""
        return self if bool(wanted.all()) else self._rows(np.flatnonzero(wanted))

    def in_order(self) -> ObjectColumns:
        """In the order of their images; those of one image as they were added."""
        if bool((np.diff(self.images) >= 0).all()):
            return self
        return self._rows(np.argsort(self.images, kind="stable"))

    def _rows(self, rows: Int64[np.ndarray, " m"]) -> ObjectColumns:
        return ObjectColumns(
            self.images[rows],
            self.labels[rows],
            self.boxes_px[rows],
            self.marks[rows],
            taken(self.masks, rows),
            taken(self.names, rows),
            None if self.keypoints is None else self.keypoints[rows],
        )


def _filled(part: ObjectColumns, most: int) -> Float32[np.ndarray, "n k 3"]:
    """The keypoints of a part, with points not annotated up to so many."""
    filled = np.zeros((len(part), most, 3), dtype=np.float32)
    if part.keypoints is not None:
        filled[:, : part.keypoints.shape[1]] = part.keypoints
    return filled


def _stack(points: Sequence[Float32[np.ndarray, "_ 3"] | None]) -> Float32[np.ndarray, "n k 3"] | None:
    """The keypoints of all objects in one array; skeletons of fewer points are filled up with points not annotated."""
    most = max((len(item) for item in points if item is not None), default=0)
    if not most:
        return None
    filled = np.zeros((len(points), most, 3), dtype=np.float32)
    for row, item in zip(filled, points, strict=True):
        if item is not None:
            row[: len(item)] = item
    return filled
