"""Banks as bytes at their own size: what the raster path draws with.

Colours are in OpenCV's order, BGR, from file to file: turning them round costs as much as a small paste. Photographs are
read from their files. Banks that know no files (digits, drawn scenes, your own) have their float images made bytes; hashes
are those of the bytes then.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float32, Int64, UInt8

from terse.compositing.raster import Drawn
from terse.errors import DataError
from terse.poses.hull import hull_of
from terse.protocols import BackgroundBank, ForegroundBank
from terse.sources.annotations import Annotations, Skeleton
from terse.sources.banks import PhotoBackgrounds
from terse.sources.cropping import crop, size_of, stretch_of, tight_box
from terse.sources.masks import Mask, box_of, draw_mask, extent
from terse.sources.patches import cut_patch, points_in_patch, resize, touched, window_of
from terse.sources.photo_foregrounds import PhotoForegrounds
from terse.sources.quick_decode import read_bgr

if TYPE_CHECKING:
    from torch import Tensor

    from terse.types import ViewSphere

__all__ = ["ByteBackgrounds", "ByteForegrounds", "OwnObject", "bytes_of_backgrounds", "bytes_of_foregrounds"]


@dataclass(frozen=True, slots=True)
class OwnObject:
    """An object that a background holds already, in pixels of the canvas."""

    label: int
    box_px: tuple[float, float, float, float]
    region: Drawn  # a filled box where there is no mask
    masked: bool
    crowd: bool
    ignore: bool
    key: str
    keypoints: Float32[np.ndarray, "k 3"] | None = None


class _Numbered(ABC):
    """What a placement knows of a bank: stable keys, where each image comes from, and its contents' hash.

    Attributes:
        skipped: what the source left out, in sentences.
        skeleton: the objects' keypoints.
        grey: whether the pixels, of three channels here, are one channel in training.
    """

    unit: str  # what is counted

    def __init__(
        self, keys: Sequence[str], annotations: Annotations | None, image_of: Int64[np.ndarray, " n"] | None = None
    ) -> None:
        self.keys = keys
        self._annotations, self._image_of = annotations, image_of
        self.skeleton = None if annotations is None else annotations.skeleton
        self.grey = False
        self.skipped = () if annotations is None else tuple(map(str, annotations.skipped))
        self._numbers: dict[str, int] | None = None
        self._sha256: dict[int, str] = {}

    def __getstate__(self) -> dict[str, object]:
        """Another process finds the numbers again by itself."""
        return {**self.__dict__, "_numbers": None}

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def folder(self) -> Path | None:
        """Of its files; None where there are none."""
        return None if self._annotations is None else self._annotations.root

    @abstractmethod
    def _pixels(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        """What is hashed where there is no file."""

    def _image(self, index: int) -> int:
        """The number of its image in the annotations."""
        return index if self._image_of is None else int(self._image_of[index])

    def licence(self, index: int) -> str:
        """As the source names it; empty where it names none."""
        return "" if self._annotations is None else self._annotations.licences[self._image(index)]

    def sha256(self, index: int) -> str:
        """Of its file, or of its pixels where there is no file."""
        if self._annotations is None:
            return hashlib.sha256(self._pixels(index).tobytes()).hexdigest()
        image = self._image(index)
        if image not in self._sha256:
            path = self._annotations.root / self._annotations.paths[image]
            try:
                self._sha256[image] = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise DataError(
                    f"{path}: expected a file that can be read, got: {error.strerror}; restore it"
                ) from None
        return self._sha256[image]

    def describe(self) -> dict[str, object]:
        """Name, counts and licences (`unknown` where the source names none), for the manifest."""
        if self._annotations is None:
            return {self.unit: len(self)}
        licences = self._annotations.licences
        used = licences if self._image_of is None else [licences[i] for i in sorted(set(self._image_of.tolist()))]
        counts = Counter(name or "unknown" for name in used)
        return {"name": self._annotations.name, self.unit: len(self), "licences": dict(sorted(counts.items()))}

    def index(self, key: str, sha256: str | None, where: str) -> int:
        """The number of a key that a placement holds.

        Raises:
            DataError: the source is gone, or has other contents.
        """
        if self._numbers is None:
            self._numbers = {name: i for i, name in enumerate(self.keys)}
        index, from_files = self._numbers.get(key), self._annotations is not None
        if index is None:
            content = f" (sha256 {sha256})" if sha256 else ""
            advice = "restore the file or drop these rows" if from_files else "make it again with the same settings"
            raise DataError(
                f"{where}: expected the source {key}{content} as when the placements were made, got none of that name; "
                f"{advice}"
            )
        if sha256 and from_files and self.sha256(index) != sha256:
            raise DataError(
                f"{where}: expected the source {key} with sha256 {sha256} as when the placements were made, "
                f"got {self.sha256(index)}; restore the file, or empty the column to draw it as it is now"
            )
        return index


class ByteForegrounds(_Numbered):
    """Cut-outs as BGRA patches, and where they come from."""

    unit = "objects"

    def __init__(self, bank: ForegroundBank) -> None:
        photographs = bank if isinstance(bank, PhotoForegrounds) else None
        super().__init__(bank.keys, *((photographs.annotations, photographs.image_of) if photographs else (None,)))
        self.classes, self.labels = bank.classes, bank.labels
        self._bank = bank
        if not hasattr(bank, "annotations") and len(bank):
            first = bank.fetch(np.array([0]))
            self.skeleton, self.grey = _skeleton_of(first.keypoints), first.images.shape[1] == 1

    def class_of(self, index: int) -> str:
        """The class's name."""
        return self.classes[int(self.labels[index])]

    def patch(self, index: int) -> UInt8[np.ndarray, "h w 4"]:
        """One cut-out."""
        cut = self._bank.fetch(np.array([index]))
        alpha = cut.alpha[0]
        colour = cut.images[0].expand(-1, alpha.shape[-2], alpha.shape[-1])
        opacity = (alpha[0] * 255).round().byte().numpy()
        return np.ascontiguousarray(np.dstack([_bytes(colour), opacity]))

    def keypoints(self, index: int) -> Float32[np.ndarray, "k 3"] | None:
        """Its keypoints, x and y in [-1, 1] of the patch, and how visible; None where the source has none."""
        points = self._bank.fetch(np.array([index])).keypoints
        return None if points is None else np.asarray(points[0].numpy())

    def views(self, index: int) -> ViewSphere | None:
        """The other sides of a 3-D model; None where there are none."""
        views = self._bank.fetch(np.array([index])).views
        return None if views is None else views[0]

    def hull(self, index: int, patch: UInt8[np.ndarray, "h w 4"]) -> Float32[np.ndarray, "points 2"]:
        """The outermost points of its mask, which poses need."""
        return np.asarray(self._bank.fetch(np.array([index])).hull[0].numpy())

    def _pixels(self, index: int) -> UInt8[np.ndarray, "h w 4"]:
        return self.patch(index)


class ByteBackgrounds(_Numbered):
    """Images to paste on as BGR, their objects, and where they come from."""

    unit = "images"

    def __init__(self, bank: BackgroundBank) -> None:
        super().__init__(bank.keys, bank.annotations if isinstance(bank, PhotoBackgrounds) else None)
        self._bank = bank
        if not hasattr(bank, "annotations") and len(bank):
            first = bank.fetch(np.array([0]))
            self.skeleton, self.grey = _skeleton_of(first.truth.keypoints), first.images.shape[1] == 1
        self._sizes: dict[int, tuple[int, int]] = {}

    def size_px(self, index: int) -> tuple[int, int]:
        """Width and height of the image's own pixels."""
        if index not in self._sizes:
            shape = self._bank.fetch(np.array([index])).images.shape
            self._sizes[index] = (shape[-1], shape[-2])
        return self._sizes[index]

    def image(self, index: int, size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
        """Its pixels, resampled where another size is wanted."""
        return np.ascontiguousarray(resize(_bytes(self._bank.fetch(np.array([index])).images[0]), size_px))

    def objects(self, index: int, size_px: tuple[int, int]) -> Sequence[OwnObject]:
        """The objects that it holds already, on a canvas of this size."""
        truth = self._bank.fetch(np.array([index])).truth
        width, height = self.size_px(index)
        scale = np.array([size_px[0] / width, size_px[1] / height])
        found = []
        for number, label in enumerate(truth.labels.tolist()):
            x0, y0, x1, y1 = (truth.boxes_px[number].double().numpy().reshape(2, 2) * scale).ravel().tolist()
            if truth.masks is None:
                region = _filled((x0, y0, x1, y1), size_px)
            else:
                mask = truth.masks[number].numpy().astype(np.uint8) * np.uint8(255)
                region = _resampled(mask, resize(mask, size_px))
                x0, y0, x1, y1 = region.box_px
            if region.mask.size:
                key = f"{self._bank.keys[index]}:{number}"
                ignore, masked = bool(truth.ignore[number]), truth.masks is not None
                points = None
                if truth.keypoints is not None:
                    points = _scaled(truth.keypoints[number].numpy(), (size_px[0] / width, size_px[1] / height))
                found.append(OwnObject(label, (x0, y0, x1, y1), region, masked, False, ignore, key, points))
        return found

    def holds_objects(self, index: int) -> bool:
        """Whether it has objects of its own."""
        return bool(len(self._bank.fetch(np.array([index])).truth.labels))

    def _pixels(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        return self.image(index, self.size_px(index))


def bytes_of_foregrounds(bank: ForegroundBank | ByteForegrounds, *, square: bool) -> ByteForegrounds:
    """The bank's cut-outs; `square` squashes photographs' objects as their images are squashed to a square canvas."""
    if isinstance(bank, ByteForegrounds):
        return bank
    return _PhotoForegrounds(bank, square=square) if isinstance(bank, PhotoForegrounds) else ByteForegrounds(bank)


def bytes_of_backgrounds(bank: BackgroundBank) -> ByteBackgrounds:
    """The bank's images."""
    return _PhotoBackgrounds(bank) if isinstance(bank, PhotoBackgrounds) else ByteBackgrounds(bank)


class _PhotoForegrounds(ByteForegrounds):
    def __init__(self, bank: PhotoForegrounds, *, square: bool) -> None:
        super().__init__(bank)
        self._photographs, self._square = bank, square

    def views(self, index: int) -> ViewSphere | None:
        return None

    def patch(self, index: int) -> UInt8[np.ndarray, "side side 4"]:
        bank, image = self._photographs, self._image(index)
        colours, alpha = crop(bank.annotations, int(bank.objects[index]), image, bank.keys[index])
        stretch = stretch_of(bank.annotations, image, squash=self._square)
        return cut_patch(colours[..., ::-1], alpha, max(alpha.shape), stretch)

    def keypoints(self, index: int) -> Float32[np.ndarray, "k 3"] | None:
        bank, number = self._photographs, int(self._photographs.objects[index])
        if bank.annotations.keypoints is None:
            return None
        image = self._image(index)
        box = tight_box(bank.annotations, number, image, bank.keys[index])
        side_px = max(box[2] - box[0], box[3] - box[1])
        stretch = stretch_of(bank.annotations, image, squash=self._square)
        return points_in_patch(bank.annotations.keypoints[number], box, side_px, stretch)

    def hull(self, index: int, patch: UInt8[np.ndarray, "h w 4"]) -> Float32[np.ndarray, "points 2"]:
        hull: Float32[np.ndarray, "points 2"] = hull_of(patch[None, ..., 3] > 0)[0]
        return hull


class _PhotoBackgrounds(ByteBackgrounds):
    def __init__(self, bank: PhotoBackgrounds) -> None:
        super().__init__(bank)
        self._photographs = bank.annotations

    def size_px(self, index: int) -> tuple[int, int]:
        return size_of(self._photographs, index)

    def image(self, index: int, size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
        own_px, name = self.size_px(index), self._photographs.paths[index]
        pixels = read_bgr(self._photographs.root / name, name, own_px)
        if size_px != own_px:
            shrinks = size_px[0] < own_px[0]
            pixels = cv2.resize(pixels, size_px, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return np.asarray(pixels)

    def objects(self, index: int, size_px: tuple[int, int]) -> Sequence[OwnObject]:
        annotations, own_px = self._photographs, self.size_px(index)
        if not len(annotations.labels):
            return ()
        scale = size_px[0] / own_px[0], size_px[1] / own_px[1]
        found: list[OwnObject] = []
        for number in annotations.objects_of(index).tolist():
            box = tuple(float(edge) * scale[k % 2] for k, edge in enumerate(annotations.boxes_px[number]))
            mask = annotations.masks[number]
            region = None if mask is None else _own_mask(mask, annotations.root, own_px, size_px)
            masked = region is not None and region.mask.size > 0
            if region is None or not masked:  # a mask without a pixel is none
                region = _filled(box, size_px)
            if region.mask.size:
                found.append(
                    OwnObject(
                        int(annotations.labels[number]),
                        region.box_px if masked else (box[0], box[1], box[2], box[3]),
                        region,
                        masked,
                        bool(annotations.crowd[number]),
                        bool(annotations.ignore[number]),
                        f"{annotations.name}:{annotations.paths[index]}:{annotations.object_names[number]}",
                        None if annotations.keypoints is None else _scaled(annotations.keypoints[number], scale),
                    )
                )
        return found

    def holds_objects(self, index: int) -> bool:
        return bool(len(self._photographs.labels)) and bool(len(self._photographs.objects_of(index)))


def _skeleton_of(keypoints: Tensor | None) -> Skeleton | None:
    """Of a bank that knows no files: how many there are, without names."""
    return None if keypoints is None else Skeleton(keypoints.shape[1])


def _scaled(points: Float32[np.ndarray, "k 3"], scale: tuple[float, float]) -> Float32[np.ndarray, "k 3"]:
    return points * np.array([*scale, 1], dtype=np.float32)


def _own_mask(mask: Mask, root: Path, own_px: tuple[int, int], size_px: tuple[int, int]) -> Drawn:
    if size_px == own_px:
        window = extent(mask, own_px)
        return _region(draw_mask(mask, root, own_px, window), window[0], window[1])
    whole = draw_mask(mask, root, own_px, (0, 0, *own_px))
    return _resampled(whole, np.asarray(cv2.resize(whole, size_px, interpolation=cv2.INTER_AREA)))


def _resampled(mask: UInt8[np.ndarray, "h w"], smaller: UInt8[np.ndarray, "out_h out_w"]) -> Drawn:
    """A mask at another size; every pixel that it touches where it is nowhere half a pixel, so that none vanishes."""
    region, binary = _region(smaller), mask > 127
    if region.mask.size or not binary.any():
        return region
    height, width = smaller.shape
    return _region(touched(binary, (width, height)).astype(np.uint8) * np.uint8(255))


def _filled(box_px: Sequence[float], size_px: tuple[int, int]) -> Drawn:
    left, top, right, bottom = window_of(box_px, size_px)
    return _region(np.full((max(bottom - top, 0), max(right - left, 0)), 255, np.uint8), left, top)


def _region(mask: UInt8[np.ndarray, "h w"], left: int = 0, top: int = 0) -> Drawn:
    """What is above half of a mask, as tight as it is."""
    binary = (mask > 127).view(np.uint8) * np.uint8(255)
    x0, y0, x1, y1 = box_of(binary) or (0, 0, 0, 0)
    tight = np.ascontiguousarray(binary[y0:y1, x0:x1])
    return Drawn(left + x0, top + y0, tight, cv2.countNonZero(tight) if tight.size else 0)


def _bytes(image: Tensor) -> UInt8[np.ndarray, "h w 3"]:
    """Grey or RGB floats to BGR bytes."""
    colour = image.expand(3, -1, -1) if image.shape[0] == 1 else image
    return np.ascontiguousarray((colour.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1])
