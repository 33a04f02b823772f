"""Photographs as the players see them: backgrounds and real images, indexed once, decoded when asked.

Memory does not grow with the number of images: an index of file names, and the latest pixels up to a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

from terse.errors import DataError
from terse.sources.annotations import Annotations
from terse.sources.cache import Cache
from terse.sources.cropping import size_of
from terse.sources.decode import read_rgb
from terse.sources.masks import draw_mask
from terse.sources.patches import resize, touched, window_of

if TYPE_CHECKING:
    from torch import Tensor

    from terse.types import Backgrounds, Truth

__all__ = [
    "JoinedImages",
    "PhotoBackgrounds",
    "PhotoImages",
    "floats_of",
]

_KEEP_BYTES = 1 << 29


class _Photographs:
    """Whole images on a square canvas, and what is known of them there."""

    def __init__(
        self,
        annotations: Annotations,
        classes: Sequence[str] | None,
        canvas_px: int,
        squash: bool,
        workers: int,
        keep_bytes: int,
        masks: bool,
    ) -> None:
        self.classes = tuple(annotations.classes if classes is None else classes)
        self.annotations = annotations.with_classes(self.classes)
        self._needs_masks = masks
        self.keys: Sequence[str] = annotations.image_keys
        self.files: Sequence[str] = annotations.files
        self.canvas_px = canvas_px
        self.squash = squash
        self._cache = Cache(self._load, _size_of_pixels, keep_bytes, workers)

    def __len__(self) -> int:
        return len(self.annotations)

    def field(self, name: str) -> tuple[str | None, ...]:
        """What the source's own field of this name says of each image; None where it says nothing."""
        return self.annotations.field(name)

    def prefetch(self, indices: Int64[np.ndarray, " b"]) -> None:
        """Start decoding these in the background."""
        self._cache.prefetch(indices.tolist())

    def _images(self, indices: Int64[np.ndarray, " b"]) -> Float[Tensor, "b 3 h w"]:
        items = self._cache.fetch(indices.tolist())
        empty = np.zeros((0, self.canvas_px, self.canvas_px, 3), dtype=np.uint8)
        return floats_of(np.stack(items) if items else empty)

    def _load(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        path, size_px = self.annotations.paths[index], size_of(self.annotations, index)
        width, height = size_px
        side = self.canvas_px
        if self.squash:
            shape = (side, side)
        else:
            scale = side / min(size_px)
            shape = (max(side, round(width * scale)), max(side, round(height * scale)))
        whole = resize(read_rgb(self.annotations.root / path, path, size_px, shape), shape)
        left, top = (shape[0] - side) // 2, (shape[1] - side) // 2
        return np.ascontiguousarray(whole[top : top + side, left : left + side])

    def _map(self, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift of x and y from the image's pixels to the canvas's."""
        size = self.annotations.sizes_px[image].astype(np.float64)
        side = self.canvas_px
        if self.squash:
            return side / size, np.zeros(2)
        shape = np.maximum(side, np.rint(size * (side / size.min())))
        return shape / size, -((shape - side) // 2)

    def _truth(self, indices: Int64[np.ndarray, " b"]) -> tuple[Truth, list[tuple[int, int]]]:
        """The objects of these images on the canvas, and which object of which image each one is."""
        import torch

        from terse.types import Truth

        annotations = self.annotations
        rows: list[tuple[int, int, int]] = []
        boxes: list[np.ndarray] = []
        points: list[np.ndarray] = []
        for k, image in enumerate(indices.tolist()):
            scale, shift = self._map(image)
            for number in annotations.objects_of(image).tolist():
                box = annotations.boxes_px[number].reshape(2, 2) * scale + shift
                box = np.clip(box, 0, self.canvas_px)
                if (box[1] > box[0]).all():
                    rows.append((k, image, number))
                    boxes.append(box.ravel())
                    if annotations.keypoints is not None:
                        x_y, seen = np.split(annotations.keypoints[number], [2], axis=1)
                        points.append(np.concatenate([x_y * scale + shift * (seen > 0), seen], axis=1))
        numbers = np.array([number for _, _, number in rows], dtype=np.int64)
        unsure = annotations.crowd[numbers] | annotations.ignore[numbers]
        if self._needs_masks:
            unsure |= ~annotations.masked[numbers]
        truth = Truth(
            labels=torch.from_numpy(annotations.labels[numbers]),
            boxes_px=torch.from_numpy(np.array(boxes, dtype=np.float32).reshape(-1, 4)),
            image_index=torch.tensor([k for k, _, _ in rows], dtype=torch.int64),
            pasted=torch.zeros(len(rows), dtype=torch.bool),
            ignore=torch.from_numpy(unsure),
            batch_size=len(indices),
            keypoints=torch.from_numpy(np.array(points, dtype=np.float32)) if points else None,
        )
        return truth, [(image, number) for _, image, number in rows]

    def _with_masks(self, truth: Truth, objects: list[tuple[int, int]]) -> Truth:
        """With the objects' masks; the filled box where there is none, or none with a pixel, which a task of masks ignores."""
        import torch

        annotations = self.annotations
        side = self.canvas_px
        masks, empty = np.zeros((len(objects), side, side), dtype=np.bool_), np.zeros(len(objects), dtype=np.bool_)
        boxes = truth.boxes_px.numpy()
        for i, (image, number) in enumerate(objects):
            mask = annotations.masks[number]
            drawn = None if mask is None else draw_mask(mask, annotations.root, size_of(annotations, image))
            empty[i] = drawn is not None and not (drawn > 127).any()
            if drawn is None or empty[i]:
                x0, y0, x1, y1 = window_of(boxes[i].tolist(), (side, side))
                masks[i, y0:y1, x0:x1] = True
                continue
            scale, shift = self._map(image)
            width, height = np.rint(annotations.sizes_px[image] * scale).astype(int).tolist()
            left, top = (-shift).astype(int)
            shrunk = resize(drawn, (width, height)) > 127
            if not shrunk.any():
                shrunk = touched(drawn > 127, (width, height))
            masks[i] = shrunk[top : top + side, left : left + side]
        ignore = truth.ignore | torch.from_numpy(empty) if self._needs_masks else truth.ignore
        return replace(truth, masks=torch.from_numpy(masks), ignore=ignore)


class PhotoBackgrounds(_Photographs):
    """Images to paste on, with their own objects of the task's classes, and these objects' masks where known.

    Args:
        annotations: where they come from.
        classes: the task's; None takes the annotations' own.
        canvas_px: side of the square canvas.
        squash: squash images to the canvas, as SSD does; else their middle square is taken.
        workers: threads that decode.
        keep_bytes: limit of the images kept in memory.
        masks: the task learns from masks: an object without one is to be ignored.
    """

    def __init__(
        self,
        annotations: Annotations,
        classes: Sequence[str] | None = None,
        *,
        canvas_px: int,
        squash: bool = True,
        workers: int = 0,
        keep_bytes: int = _KEEP_BYTES,
        masks: bool = False,
    ) -> None:
        super().__init__(annotations, classes, canvas_px, squash, workers, keep_bytes, masks)
        self._has_masks = bool(self.annotations.masked.any())

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Backgrounds:
        """The backgrounds of these numbers, in this order.

        Raises:
            DataError: a file was changed or broken since it was indexed.
        """
        from terse.types import Backgrounds

        truth, objects = self._truth(indices)
        if self._has_masks:
            truth = self._with_masks(truth, objects)
        return Backgrounds(self._images(indices), truth)

    def boxes(self, index: int) -> Float64[np.ndarray, "k 4"]:
        """Half-open xyxy of this background's objects in fractions of it, crowds and ignored ones left out."""
        annotations, (scale, shift) = self.annotations, self._map(index)
        numbers = annotations.objects_of(index)
        numbers = numbers[~(annotations.crowd[numbers] | annotations.ignore[numbers])]
        corners = annotations.boxes_px[numbers].reshape(-1, 2, 2) * scale + shift
        found: Float64[np.ndarray, "k 4"] = np.clip(corners / self.canvas_px, 0, 1).reshape(-1, 4).astype(np.float64)
        return found


class PhotoImages(_Photographs):
    """Real images squashed to the canvas, with their truth; crowds and difficult objects are marked to be ignored.

    Args:
        annotations: where they come from.
        classes: the task's; None takes the annotations' own.
        canvas_px: side of the square canvas.
        workers: threads that decode.
        keep_bytes: limit of the images kept in memory.
        masks: the truth has masks; an object without one is to be ignored.

    Raises:
        DataError: not one object of the classes, or, where masks are asked for, with a mask: nothing to learn and
            nothing to judge by.
    """

    def __init__(
        self,
        annotations: Annotations,
        classes: Sequence[str] | None = None,
        *,
        canvas_px: int,
        workers: int = 0,
        keep_bytes: int = _KEEP_BYTES,
        masks: bool = False,
    ) -> None:
        super().__init__(annotations, classes, canvas_px, True, workers, keep_bytes, masks)
        if not len(self.annotations.labels):
            raise DataError(
                f"{annotations.name}: expected objects of {', '.join(self.classes) or 'any class'} in its "
                f"{len(annotations):,} images, got none; name the task's classes by classes, or give it labels"
            )
        if masks and not self.annotations.masked.any():
            raise DataError(
                f"{annotations.name}: expected objects with masks, which the task learns from, got "
                f"{len(self.annotations.labels):,} with boxes alone; make masks of the boxes by `terse masks`, or train a "
                "detector (task: detection)"
            )

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> tuple[Float[Tensor, "b c h w"], Truth]:
        """Images and truth of these numbers, in this order.

        Raises:
            DataError: a file was changed or broken since it was indexed.
        """
        truth, objects = self._truth(indices)
        if self._needs_masks:
            truth = self._with_masks(truth, objects)
        return self._images(indices), truth


class JoinedImages:
    """The real images of one set, then those of another."""

    def __init__(self, first: PhotoImages, second: PhotoImages) -> None:
        self._parts = (first, second)
        self.keys: Sequence[str] = (*first.keys, *second.keys)
        self.files: Sequence[str] = (*first.files, *second.files)

    def __len__(self) -> int:
        return len(self.keys)

    def prefetch(self, indices: Int64[np.ndarray, " b"]) -> None:
        """Start decoding these in the background."""
        for part, _, own in self._shares(indices):
            part.prefetch(own)

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> tuple[Float[Tensor, "b c h w"], Truth]:
        """Images and truth of these numbers, in this order.

        Raises:
            DataError: a file was changed or broken since it was indexed.
        """
        import torch

        from terse.types import Truth

        shares = [share for share in self._shares(indices) if len(share[1])] or self._shares(indices)[:1]
        found = [part.fetch(own) for part, _, own in shares]
        order = torch.from_numpy(np.argsort(np.concatenate([of_batch for _, of_batch, _ in shares])))
        return torch.cat([images for images, _ in found])[order], Truth.join([truth for _, truth in found]).take(order)

    def _shares(self, indices: Int64[np.ndarray, " b"]) -> list[tuple[PhotoImages, np.ndarray, np.ndarray]]:
        """Each set, where its images stand in the batch, and their numbers in the set."""
        first, second = self._parts
        is_second = indices >= len(first)
        places = np.flatnonzero(~is_second), np.flatnonzero(is_second)
        return [(first, places[0], indices[~is_second]), (second, places[1], indices[is_second] - len(first))]


def _size_of_pixels(pixels: np.ndarray) -> int:
    return pixels.nbytes


def floats_of(images: UInt8[np.ndarray, "b h w c"]) -> Float[Tensor, "b c h w"]:
    """Bytes as NCHW floats in [0, 1]."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float().div_(255)
