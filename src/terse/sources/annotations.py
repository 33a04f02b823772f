"""What every source becomes: one index of images and objects in columns, without a pixel in memory.

All formats meet here, so that banks, cleanup, checks and exporters know one shape. Boxes are half-open xyxy in
pixels of the upright image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from terse.sources.columns import MaskColumn, TextColumn, is_distinct, taken
from terse.sources.masks import Mask

__all__ = ["Annotations", "Cause", "Remark", "RemarkKind", "Skeleton", "Skipped", "common_skeleton", "unique"]

_SIDES = (
    re.compile(r"left|right", re.IGNORECASE),
    re.compile(r"(?<![^\W_])[lr](?![^\W_])", re.IGNORECASE),  # l_eye, eye.R
    re.compile(r"^[lr](?=[^\W_])", re.IGNORECASE),  # LEye, as OpenPose has it, and lsho
)
_OPPOSITE = {"left": "right", "right": "left", "l": "r", "r": "l"}


class Cause(StrEnum):
    """Why a source leaves something out, for counting; the value is what a user reads."""

    FILE = "files that cannot be read"
    SIZE = "files of another size than annotated"
    IMAGE = "annotations of no image"
    CLASS = "annotations of no class"
    BOX = "boxes that cannot be used"
    OUTLINE = "outlines that cannot be used"
    MASK = "masks that cannot be used"
    LABELS = "label files or lines that cannot be read"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or an annotation that was left out, and why."""

    where: str  # file, and the field in it
    reason: str
    cause: Cause = Cause.LABELS

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}".encode("utf-8", "backslashreplace").decode()  # a name need not be UTF-8


class RemarkKind(StrEnum):
    """What a remark asks of the user."""

    READ_AS = "read_as"  # nothing: files said one thing and were read as another, safely
    DOUBT = "doubt"  # a look: the files leave open what they mean
    UNLABELLED = "unlabelled"  # a correction: nothing that was annotated could be had


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence on how a whole source was read."""

    kind: RemarkKind
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """Images and the objects in them.

    Objects stand in the order of their images. `crowd` marks a region that covers several objects, `ignore`
    one that counts neither as right nor as wrong (difficult, or outside the source's area limits); `truncated` and
    `occluded` are what the source says of it, None where it marks nothing. `cut_outs`
    says that the images are pictures of one object each, not photographs of a scene. Keypoints are x and y in pixels
    and how visible (0 not annotated, 1 hidden, 2 seen); of objects without any, all are 0. Of a large source, texts and
    masks are columns (see `columns.py`).
    """

    name: str
    root: Path
    paths: Sequence[str]  # relative to root
    sizes_px: Int64[np.ndarray, "images 2"]  # width and height
    licences: Sequence[str]  # empty where the source names none
    classes: tuple[str, ...]
    image_index: Int64[np.ndarray, " objects"]
    labels: Int64[np.ndarray, " objects"]  # index in classes
    boxes_px: Float64[np.ndarray, "objects 4"]
    crowd: Bool[np.ndarray, " objects"]
    ignore: Bool[np.ndarray, " objects"]
    masks: Sequence[Mask | None]
    object_names: Sequence[str]  # the source's own name of each object, unique in its image
    skipped: tuple[Skipped, ...] = ()
    cut_outs: bool = False
    remarks: tuple[Remark, ...] = ()
    truncated: Bool[np.ndarray, " objects"] | None = None  # beyond the image's border
    occluded: Bool[np.ndarray, " objects"] | None = None  # behind something else
    keypoints: Float32[np.ndarray, "objects k 3"] | None = None  # None where the source has none
    keypoint_names: tuple[str, ...] = ()  # empty where the source names none
    keypoint_lines: tuple[tuple[int, int], ...] = ()  # pairs of points that are joined, counted from 1
    image_fields: Sequence[
        Mapping[str, str | float]
    ] = ()  # what else the source says of each image, numbers as such; empty where it says nothing

    def __len__(self) -> int:
        """The number of images."""
        return len(self.paths)

    @property
    def image_keys(self) -> Sequence[str]:
        """A stable name of each image: `<source>:<image>`; of a file that is listed again, `#2` and so on follow."""
        if isinstance(self.paths, TextColumn) and is_distinct(self.paths):
            return TextColumn.row_by_row(f"{self.name}:", self.paths)
        return tuple(f"{self.name}:{path}" for path in unique(self.paths))

    @property
    def object_keys(self) -> Sequence[str]:
        """A stable name of each object: `<source>:<image>:<annotation>`."""
        if isinstance(self.paths, TextColumn) and isinstance(self.object_names, TextColumn):
            return TextColumn.row_by_row(f"{self.name}:", self.paths.take(self.image_index), ":", self.object_names)
        return tuple(
            f"{self.name}:{self.paths[i]}:{name}" for i, name in zip(self.image_index, self.object_names, strict=True)
        )

    @property
    def skeleton(self) -> Skeleton | None:
        """The keypoints that its objects have; None where they have none."""
        if self.keypoints is None:
            return None
        count = self.keypoints.shape[1]
        named = len(self.keypoint_names) == count
        return Skeleton(count, self.keypoint_names, self.keypoint_lines) if named else Skeleton(count)

    @property
    def files(self) -> Sequence[str]:
        """Each image's full path: equal for two sources that read the same file."""
        if isinstance(self.paths, TextColumn):
            return TextColumn.row_by_row(f"{self.root}".rstrip("/") + "/", self.paths)
        return tuple(str(self.root / path) for path in self.paths)

    @property
    def masked(self) -> Bool[np.ndarray, " objects"]:
        """Which objects have a mask."""
        if isinstance(self.masks, MaskColumn):
            return self.masks.present
        return np.array([mask is not None for mask in self.masks], dtype=np.bool_)

    @property
    def usable(self) -> Bool[np.ndarray, " objects"]:
        """Which objects can be cut out: with a mask, no crowd, not ignored."""
        usable: Bool[np.ndarray, " objects"] = self.masked & ~self.crowd & ~self.ignore
        return usable

    def field(self, name: str) -> tuple[str | None, ...]:
        """What the source's own field of this name says of each image; None where it says nothing."""
        said = tuple(of.get(name) for of in self.image_fields)
        return tuple(None if value is None else str(value) for value in said) or (None,) * len(self)

    def count_classes(self) -> dict[str, int]:
        """Objects of each class, in the order of the classes."""
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    def objects_of(self, image: int) -> Int64[np.ndarray, " n"]:
        """The objects of one image."""
        first, last = np.searchsorted(self.image_index, [image, image + 1])
        return np.arange(first, last)

    def keep_objects(self, keep: Bool[np.ndarray, " objects"]) -> Annotations:
        """All images, and only the objects marked."""
        if bool(keep.all()):
            return self
        rows = np.flatnonzero(keep)
        return replace(
            self,
            image_index=self.image_index[rows],
            labels=self.labels[rows],
            boxes_px=self.boxes_px[rows],
            crowd=self.crowd[rows],
            ignore=self.ignore[rows],
            masks=taken(self.masks, rows),
            object_names=taken(self.object_names, rows),
            truncated=None if self.truncated is None else self.truncated[rows],
            occluded=None if self.occluded is None else self.occluded[rows],
            keypoints=None if self.keypoints is None else self.keypoints[rows],
        )

    def keep_images(self, keep: Bool[np.ndarray, " images"]) -> Annotations:
        """Only the images marked, with their objects."""
        if bool(keep.all()):
            return self
        images = np.flatnonzero(keep)
        place = np.cumsum(keep) - 1
        kept = self.keep_objects(keep[self.image_index])
        return replace(
            kept,
            paths=taken(self.paths, images),
            sizes_px=self.sizes_px[images],
            licences=taken(self.licences, images),
            image_fields=taken(self.image_fields, images) if len(self.image_fields) else (),
            image_index=place[kept.image_index],
        )

    def with_ignored(self, ignore: Bool[np.ndarray, " objects"]) -> Annotations:
        """With more objects that count neither as right nor as wrong."""
        return replace(self, ignore=self.ignore | ignore)

    def renamed(self, names: Mapping[str, str]) -> Annotations:
        """With other names of classes; those of one name are one class."""
        renamed = [names.get(name, name) for name in self.classes]
        classes = tuple(dict.fromkeys(renamed))
        number = {name: i for i, name in enumerate(classes)}
        place = np.array([number[name] for name in renamed], dtype=np.int64)
        return replace(self, classes=classes, labels=place[self.labels] if len(place) else self.labels)

    def split(self, fraction: float, seed: int) -> tuple[Annotations, Annotations]:
        """The images held out at random, and the others; one photograph that is listed twice stays on one side."""
        place = {file: i for i, file in enumerate(dict.fromkeys(self.files))}
        count = min(max(round(fraction * len(place)), 1), len(place))
        chosen = np.zeros(len(place), dtype=np.bool_)
        chosen[np.random.default_rng(seed).permutation(len(place))[:count]] = True
        held = chosen[[place[file] for file in self.files]]
        return self.keep_images(held), self.keep_images(~held)

    def without_images_of(self, *others: Annotations) -> Annotations:
        """Without the images that another index holds too: what keeps foregrounds of val out of training."""
        taken = {file for other in others for file in other.files}
        return self.keep_images(np.array([file not in taken for file in self.files], dtype=np.bool_))

    def without_images_with(self, classes: Sequence[str]) -> Annotations:
        """Without the images that hold an object, crowd or difficult ones included, of one of the classes."""
        unwanted = np.isin(self.labels, [i for i, name in enumerate(self.classes) if name in classes])
        keep = np.ones(len(self), dtype=np.bool_)
        keep[self.image_index[unwanted]] = False
        return self.keep_images(keep)

    def with_classes(self, classes: Sequence[str]) -> Annotations:
        """Labels as indices in these classes; objects of other classes are dropped."""
        place = {name: i for i, name in enumerate(classes)}
        table = np.array([place.get(name, -1) for name in self.classes], dtype=np.int64)
        labels = table[self.labels] if len(table) else self.labels
        kept = replace(self, labels=labels, classes=tuple(classes))
        return kept if bool((labels >= 0).all()) else kept.keep_objects(labels >= 0)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The keypoints of an object, the same for all of a source.

    Attributes:
        count: how many.
        names: of each, empty where the source names none.
        lines: pairs of points that are joined, counted from 1 as COCO does.
    """

    count: int
    names: tuple[str, ...] = ()
    lines: tuple[tuple[int, int], ...] = ()

    def mirrored(self) -> tuple[int, ...] | None:
        """For each point the one it becomes in a mirror, by what names say of sides; None without names."""
        if not self.names:
            return None
        place = {name: i for i, name in enumerate(self.names)}
        return tuple(
            next((place[other] for other in _other_sides(name) if other in place), i)
            for i, name in enumerate(self.names)
        )


def _other_sides(name: str) -> Iterator[str]:
    """What the name would be on the other side, for each way of naming sides that it may have."""
    for sides in _SIDES:
        if (other := sides.sub(_swapped, name)) != name:
            yield other


def _swapped(side: re.Match[str]) -> str:
    word = _OPPOSITE[side[0].lower()]
    return word.upper() if side[0].isupper() else word.capitalize() if side[0][0].isupper() else word


def common_skeleton(skeletons: Iterable[Skeleton | None]) -> tuple[Skeleton | None, str]:
    """The skeleton that several sources share, the first that has names, and a sentence where they share none."""
    found = [one for one in skeletons if one is not None]
    counts = sorted({one.count for one in found})
    if len(counts) > 1:
        return None, f"keypoints: left out, because the sources' objects have {' and '.join(map(str, counts))} of them"
    return next((one for one in found if one.names), found[0] if found else None), ""


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names, of which the second of a kind ends in `#2`, the third in `#3`: no key means two things."""
    if is_distinct(names):
        return tuple(names)
    seen: dict[str, int] = {}
    taken, found = set(names), []
    for name in names:
        number = seen[name] = seen.get(name, 0) + 1
        own = name if number == 1 else f"{name}#{number}"
        while number > 1 and own in taken:
            number = seen[name] = number + 1
            own = f"{name}#{number}"
        taken.add(own)
        found.append(own)
    return tuple(found)
