"""Instances from a class segmentation, wherever boxes do not share pixels: the recovery of paper A.2 and its Fig. 10."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from jaxtyping import Bool, UInt8

from terse.errors import DataError
from terse.sources.annotations import Annotations
from terse.sources.decode import read_values
from terse.sources.patches import window_of

__all__ = [
    "Segmentation",
    "class_numbers",
    "find_segmentation",
    "instance",
    "is_own",
    "read_segmentation",
    "segmentation_files",
]

_BACKGROUND, _VOID = 0, 255
_LEAST_SHARE = 0.05  # of its box; fewer pixels are another object's rim
_MOST_READ = 500  # images; the numbers of the classes do not need them all


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The files of a class segmentation."""

    files: Mapping[int, Path]  # by the image's number
    shared: tuple[int, ...]  # images whose name others have too, so that a file of this name tells nothing


def find_segmentation(annotations: Annotations) -> Path | None:
    """The folder SegmentationClass of VOC data."""
    return next(iter(_own_folders(annotations).values()), None)


def is_own(annotations: Annotations, folder: Path) -> bool:
    """Whether a folder is a SegmentationClass of these VOC data."""
    return folder.resolve() in {own.resolve() for own in _own_folders(annotations).values()}


def segmentation_files(annotations: Annotations, folder: Path) -> Segmentation:
    """The file of each image that has one in the folder.

    It lies under the image's path, or under the end of it that no other image has: for `train/a/0.jpg` it is
    `train/a/0.png`, `a/0.png` or `0.png`. Of several years of a VOCdevkit each has a folder of its own.
    """
    own = _own_folders(annotations) if is_own(annotations, folder) else {}
    uses = Counter(end for path in set(annotations.paths) for end in _ends(path))
    files: dict[int, Path] = {}
    shared = []
    for image, path in enumerate(annotations.paths):
        year = own.get(Path(path).parent)
        for end in _ends(path) if year is None else (Path(path).stem,):
            file = (year or folder) / f"{end.lstrip('/')}.png"
            if file.is_file():
                if year is not None or uses[end] == 1:
                    files[image] = file
                else:
                    shared.append(image)
                break
    return Segmentation(files, tuple(shared))


def read_segmentation(
    annotations: Annotations, image: int, segmentation: Segmentation
) -> UInt8[np.ndarray, "h w"] | None:
    """The class of each pixel: 0 is background, 255 void. None where the image has no file, or one of another size."""
    file = segmentation.files.get(image)
    if file is None:
        return None
    try:
        values = read_values(file, file.name)
    except DataError:
        return None
    width, height = annotations.sizes_px[image].tolist()
    return values if values.shape == (height, width) else None


def class_numbers(annotations: Annotations, read: Callable[[int], UInt8[np.ndarray, "h w"] | None]) -> dict[int, int]:
    """The number of each class in the segmentation, by label: what most of the pixels in its boxes have.

    Data sets number their classes in their own way, and their boxes tell which. A number is one class's; a class whose
    boxes hold no number of its own is left out.

    Args:
        annotations: boxes and their labels.
        read: the segmentation of an image.
    """
    seen: defaultdict[int, Counter[int]] = defaultdict(Counter)
    images = np.unique(annotations.image_index)
    for image in images[:: -(-len(images) // _MOST_READ) or 1].tolist():
        values = read(image)
        if values is None:
            continue
        for row in annotations.objects_of(image).tolist():
            part = _inside(annotations, row, values)
            counts = np.bincount(part.ravel(), minlength=256)
            found = [k for k in np.flatnonzero(counts).tolist() if k not in (_BACKGROUND, _VOID)]
            if found:  # a box counts once, whatever its size
                seen[int(annotations.labels[row])][max(found, key=lambda k: int(counts[k]))] += 1
    votes = sorted((-count, label, number) for label, counted in seen.items() for number, count in counted.items())
    chosen: dict[int, int] = {}
    for _, label, number in votes:
        if label not in chosen and number not in chosen.values():
            chosen[label] = number
    return chosen


def instance(
    annotations: Annotations, row: int, values: UInt8[np.ndarray, "h w"], numbers: dict[int, int]
) -> Bool[np.ndarray, "h w"] | None:
    """The object's mask: the pixels of its class in its box, where none of them lies in another box of the class.

    None where boxes of the class share pixels of it, or hardly any pixel of the class is in the box.

    Source: paper A.2.
    """
    label = int(annotations.labels[row])
    if label not in numbers:
        return None
    mask = np.zeros(values.shape, dtype=np.bool_)
    x0, y0, x1, y1 = _window(annotations, row, values)
    mask[y0:y1, x0:x1] = values[y0:y1, x0:x1] == numbers[label]
    if mask.sum() < _LEAST_SHARE * (x1 - x0) * (y1 - y0):
        return None
    for other in annotations.objects_of(int(annotations.image_index[row])).tolist():
        if other != row and int(annotations.labels[other]) == label:
            left, top, right, bottom = _window(annotations, other, values)
            if mask[top:bottom, left:right].any():
                return None
    return mask


def _own_folders(annotations: Annotations) -> dict[Path, Path]:
    """VOC's SegmentationClass beside each JPEGImages that the images lie in."""
    parents = dict.fromkeys(Path(path).parent for path in annotations.paths)
    beside = {one: annotations.root / one.parent / "SegmentationClass" for one in parents if one.name == "JPEGImages"}
    return {one: folder for one, folder in beside.items() if folder.is_dir()}


def _ends(path: str) -> list[str]:
    """For `a/0.jpg` it is `/a/0`, which no longer path ends in, `a/0` and `0`."""
    parts = PurePath(path).with_suffix("").parts
    return ["/" + "/".join(parts), *("/".join(parts[first:]) for first in range(len(parts)))]


def _window(annotations: Annotations, row: int, values: np.ndarray) -> tuple[int, int, int, int]:
    return window_of(annotations.boxes_px[row].tolist(), (values.shape[1], values.shape[0]))


def _inside(annotations: Annotations, row: int, values: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = _window(annotations, row, values)
    return values[y0:y1, x0:x1]
