"""Builds an index: every file and annotation a reader names is checked here, alike for all formats."""

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from terse.errors import DataError
from terse.sources.annotations import Annotations, Cause, Skipped
from terse.sources.decode import SizeError, probe
from terse.sources.masks import Mask, Polygons
from terse.sources.paths import inside

__all__ = ["ImageEntry", "Index"]

_PROBERS = 4


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """An image as a reader found it."""

    name: str  # relative to the root
    where: str  # file and field that name it
    declared_px: tuple[int, int] | None = None
    licence: str = ""


class Index:
    """Collects images, then their objects; what cannot be used is skipped, counted and named.

    Attributes:
        skipped: what was left out so far.
    """

    def __init__(self, name: str, root: Path, classes: Sequence[str]) -> None:
        self.name = name
        self.root = root
        self.classes = tuple(classes)
        self.skipped: list[Skipped] = []
        self._images: list[tuple[str, tuple[int, int], str]] = []
        self._labels = {word: i for i, word in enumerate(self.classes)}
        self._objects: list[tuple[int, int, tuple[float, float, float, float], bool, bool, Mask | None, str]] = []

    def skip(self, where: str, reason: str, cause: Cause = Cause.LABELS) -> None:
        """Leave something out and say why."""
        self.skipped.append(Skipped(where, reason, cause))

    def skip_sentence(self, sentence: str, cause: Cause = Cause.MASK) -> None:
        """As `skip`, with the message of a `DataError`."""
        where, _, reason = sentence.partition(": expected ")
        self.skip(where, f"expected {reason}", cause)

    def size_px(self, image: int) -> tuple[int, int]:
        """Width and height of an image that was added."""
        return self._images[image][1]

    def path(self, image: int) -> str:
        """An image's path, relative to the root."""
        return self._images[image][0]

    def add_images(self, entries: Iterable[ImageEntry]) -> list[int | None]:
        """The number of each image, None for those that were skipped. Headers are read by threads.

        Raises:
            DataError: a path outside the root, or a name that occurs twice.
        """
        entries = list(entries)
        names = [inside(self.root, entry.name, entry.where) for entry in entries]
        seen: dict[str, str] = {}
        for name, entry in zip(names, entries, strict=True):
            if name in seen:
                raise DataError(f"{entry.where}: expected a name of its own, got {name!r} as {seen[name]}; rename one")
            seen[name] = entry.where
        with ThreadPoolExecutor(_PROBERS) as pool:
            sizes = list(pool.map(self._probe, names, entries))
        numbers: list[int | None] = []
        for name, entry, size in zip(names, entries, sizes, strict=True):
            if isinstance(size, DataError):
                self.skip_sentence(str(size), Cause.SIZE if isinstance(size, SizeError) else Cause.FILE)
                numbers.append(None)
            else:
                numbers.append(len(self._images))
                self._images.append((name, size, entry.licence))
        return numbers

    def add_object(
        self,
        image: int,
        category: str,
        box_px: Sequence[Any],
        where: str,
        name: str,
        *,
        mask: Mask | None = None,
        crowd: bool = False,
        ignore: bool = False,
        field: str = "bbox",
    ) -> bool:
        """Add an object; False where its box cannot be used. A box that sticks out is cut at the image's border."""
        width, height = self.size_px(image)
        if len(box_px) != 4 or not all(_is_number(value) and math.isfinite(value) for value in box_px):
            reason = f"expected four finite numbers, got {list(box_px)}; its box is left out"
            self.skip(f"{where}.{field}", reason, Cause.BOX)
            return False
        x0, y0, x1, y1 = (float(value) for value in box_px)
        if x1 <= x0 or y1 <= y0:
            reason = f"expected a box with an area, got {x1 - x0:g}x{y1 - y0:g}; it is left out"
            self.skip(f"{where}.{field}", reason, Cause.BOX)
            return False
        cut = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        if cut[2] <= cut[0] or cut[3] <= cut[1]:
            reason = f"expected a box inside the {width}x{height} image, got {[x0, y0, x1, y1]}; it is left out"
            self.skip(f"{where}.{field}", reason, Cause.BOX)
            return False
        if isinstance(mask, Polygons):
            limits = np.array([width, height], dtype=np.float32)
            mask = Polygons(tuple(np.clip(part, 0, limits) for part in mask.parts))
        self._objects.append((image, self._labels[category], cut, crowd, ignore, mask, name))
        return True

    def finish(self, *, cut_outs: bool = False) -> Annotations:
        """The index, its objects in the order of their images."""
        rows = sorted(self._objects, key=lambda row: row[0])
        sizes = [size for _, size, _ in self._images]
        return Annotations(
            name=self.name,
            root=self.root,
            paths=tuple(name for name, _, _ in self._images),
            sizes_px=np.array(sizes, dtype=np.int64).reshape(-1, 2),
            licences=tuple(licence for _, _, licence in self._images),
            classes=self.classes,
            image_index=np.array([row[0] for row in rows], dtype=np.int64),
            labels=np.array([row[1] for row in rows], dtype=np.int64),
            boxes_px=np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 4),
            crowd=np.array([row[3] for row in rows], dtype=np.bool_),
            ignore=np.array([row[4] for row in rows], dtype=np.bool_),
            masks=tuple(row[5] for row in rows),
            object_names=tuple(row[6] for row in rows),
            skipped=tuple(self.skipped),
            cut_outs=cut_outs,
        )

    def _probe(self, name: str, entry: ImageEntry) -> tuple[int, int] | DataError:
        try:
            return probe(self.root / name, name, entry.declared_px)
        except DataError as error:
            return error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
