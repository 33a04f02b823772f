"""Cut-outs of photographs as the synthesizer sees them: indexed once, cut out of their photograph when asked.

Memory does not grow with the number of cut-outs: an index of outlines and file names, and the latest patches up to a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from terse.errors import DataError
from terse.poses.hull import hull_of
from terse.sources.annotations import Annotations
from terse.sources.banks import floats_of
from terse.sources.cache import Cache
from terse.sources.columns import taken
from terse.sources.cropping import crop, stretch_of, tight_box
from terse.sources.masks import box_of
from terse.sources.patches import cut_patch, points_in_patch

if TYPE_CHECKING:
    from terse.types import Foregrounds

__all__ = ["PhotoForegrounds"]

_KEEP_BYTES = 1 << 29


@dataclass(frozen=True, slots=True)
class _CutOut:
    """What is kept of a foreground: the object's rows and columns of its patch."""

    rgba: UInt8[np.ndarray, "h w 4"]
    corner: tuple[int, int]  # top, left in the patch
    hull: Float32[np.ndarray, "points 2"]
    keypoints: Float32[np.ndarray, "k 3"] | None = None  # in [-1, 1] of the patch


class PhotoForegrounds:
    """The masked objects of an index, each on a square patch that its longer side fills (see `patches.py`).

    Crowds, ignored objects and objects without a mask are left out.

    Args:
        annotations: where they come from.
        classes: the task's; None takes the annotations' own.
        patch_px: side of a patch; the canvas's side is a good choice.
        squash: give an object the shape it has when its photograph is squashed to a square, as SSD's are; cut-outs
            that come without a scene keep their own.
        workers: threads that decode.
        keep_bytes: limit of the patches kept in memory.
        every_class: refuse a class without a foreground.

    Attributes:
        objects: each foreground's number in the annotations.
        image_of: each foreground's image there: foregrounds of one image have one number.
        files: each foreground's file.

    Raises:
        DataError: no masks at all, or a class without any.
    """

    def __init__(
        self,
        annotations: Annotations,
        classes: Sequence[str] | None = None,
        *,
        patch_px: int,
        squash: bool = True,
        workers: int = 0,
        keep_bytes: int = _KEEP_BYTES,
        every_class: bool = True,
    ) -> None:
        self.classes = tuple(annotations.classes if classes is None else classes)
        wanted = [name for name in annotations.classes if name in self.classes] if every_class else []
        self.annotations = annotations = annotations.with_classes(self.classes)
        usable = annotations.usable
        self.objects = np.flatnonzero(usable)
        self.labels: Int64[np.ndarray, " n"] = annotations.labels[self.objects]
        _check_foregrounds(annotations, usable, [self.classes.index(name) for name in wanted])
        self.image_of: Int64[np.ndarray, " n"] = annotations.image_index[self.objects]
        keys, files = annotations.object_keys, annotations.files
        self.keys: Sequence[str] = taken(keys, self.objects)
        self.files: Sequence[str] = taken(files, self.image_of)
        self.patch_px = patch_px
        self.squash = squash
        self._cache = Cache(self._load, _size_of_cut_out, keep_bytes, workers)

    def __len__(self) -> int:
        return len(self.objects)

    def prefetch(self, indices: Int64[np.ndarray, " b"]) -> None:
        """Start decoding these in the background."""
        self._cache.prefetch(indices.tolist())

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Foregrounds:
        """The cut-outs of these numbers, in this order.

        Raises:
            DataError: a file was changed or broken since it was indexed.
        """
        import torch

        from terse.types import Foregrounds

        patches = np.zeros((len(indices), self.patch_px, self.patch_px, 4), dtype=np.uint8)
        items = self._cache.fetch(indices.tolist())
        for patch, item in zip(patches, items, strict=True):
            (top, left), (height, width) = item.corner, item.rgba.shape[:2]
            patch[top : top + height, left : left + width] = item.rgba
        rgba = floats_of(patches)
        hull = np.stack([item.hull for item in items]) if items else np.zeros((0, 1, 2), dtype=np.float32)
        points = [item.keypoints for item in items if item.keypoints is not None]
        return Foregrounds(
            rgba[:, :3],
            rgba[:, 3:],
            torch.from_numpy(self.labels[indices]),
            torch.from_numpy(hull),
            torch.from_numpy(np.stack(points)) if points else None,
        )

    def hulls(self, indices: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b points 2"]:
        """The outermost points of these foregrounds' masks.

        Raises:
            DataError: as `fetch`.
        """
        return np.stack([item.hull for item in self._cache.fetch(indices.tolist())])

    def _load(self, index: int) -> _CutOut:
        image, number = int(self.image_of[index]), int(self.objects[index])
        colours, alpha = crop(self.annotations, number, image, self.keys[index])
        stretch = stretch_of(self.annotations, image, squash=self.squash)
        points = None
        if self.annotations.keypoints is not None:
            tight = tight_box(self.annotations, number, image, self.keys[index])
            points = points_in_patch(self.annotations.keypoints[number], tight, self.patch_px, stretch)
        patch = cut_patch(colours, alpha, self.patch_px, stretch)
        hull = hull_of(patch[None, ..., 3] > 0)[0]
        box = box_of(patch[..., 3])
        assert box is not None  # cut_patch keeps at least one pixel
        return _CutOut(patch[box[1] : box[3], box[0] : box[2]].copy(), (box[1], box[0]), hull, points)


def _size_of_cut_out(item: _CutOut) -> int:
    return item.rgba.nbytes + 512


def _check_foregrounds(annotations: Annotations, usable: Bool[np.ndarray, " n"], wanted: Sequence[int]) -> None:
    name = annotations.name
    if not usable.any():
        raise DataError(
            f"foregrounds: expected objects with masks in {name}, got {len(annotations.labels)} objects, none with a "
            "mask that can be cut out; make masks of the boxes by `terse masks`, or use annotations with polygons, run "
            "lengths or mask files"
        )
    counts = np.bincount(annotations.labels[usable], minlength=len(annotations.classes))
    missing = [annotations.classes[label] for label in wanted if not counts[label]]
    if missing:
        raise DataError(
            f"foregrounds: expected an object with a mask of each class in {name}, got none of "
            f"{', '.join(missing)}; name the classes to paste in foregrounds.classes"
        )
