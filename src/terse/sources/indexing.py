"""Builds an index: every file and annotation a reader names is checked here, alike for all formats."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Int64

from terse.errors import DataError
from terse.sources.annotations import Annotations, Cause, Remark, RemarkKind, Skipped, unique
from terse.sources.columns import is_distinct
from terse.sources.decode import SizeError, probe_with_turn
from terse.sources.finder import Finder, leads_out, slashed
from terse.sources.masks import Mask, Polygons, cut_outline, mask_box
from terse.sources.objects import ObjectColumns, ObjectRow

__all__ = ["ImageEntry", "Index", "is_number"]

_HUGE = 1 << 62
_SHOWN = 8  # names in a sentence
_SURE, _VISIBLE = 0.5, 2
_ROWS = 50_000  # objects that are kept as Python objects; more are packed into columns
_PROBERS, _PROBED = 4, 64  # threads, and the images that each takes at once
_Page = TypeVar("_Page")


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """An image as a reader found it."""

    name: str  # as the file gives it, relative to the root or absolute
    where: str  # file and field that name it
    declared_px: tuple[int, int] | None = None
    licence: str = ""
    fields: Mapping[str, str | float] = field(default_factory=dict)  # what else the file says of it


class Index:
    """Collects images, then their objects; what cannot be used is skipped, counted and named.

    Args:
        name: of the data set.
        root: the folder that paths are relative to.
        classes: their names, as the source counts them; those of one name are one class, and said.

    Attributes:
        skipped: what was left out so far.
        turned: the images whose pixels EXIF turns.

    Raises:
        DataError: a class's name of several lines, which no list of classes holds.
    """

    def __init__(self, name: str, root: Path, classes: Sequence[str]) -> None:
        for word in classes:
            if word and word.splitlines() != [word]:
                raise DataError(f"{name}: expected names of classes without line breaks, got {word!r}; correct it")
        self.name = name
        self.root = root
        self.classes = tuple(dict.fromkeys(filter(None, classes)))
        self.skipped: list[Skipped] = []
        self.turned: set[int] = set()
        self._images: list[tuple[str, tuple[int, int], ImageEntry]] = []
        self._labels = {word: i for i, word in enumerate(self.classes)}
        self._rows: list[ObjectRow] = []  # since the last part
        self._parts: list[ObjectColumns] = []
        self._remarks: dict[Remark, None] = {}
        twice = [word for word, count in Counter(filter(None, classes)).items() if count > 1]
        if twice:
            text = f"several classes have one name ({', '.join(twice[:_SHOWN])}): they are read as one class; if they are not, give each its own"
            self.remark(RemarkKind.DOUBT, text)

    def skip(self, where: str, reason: str, cause: Cause = Cause.LABELS) -> None:
        """Leave something out and say why."""
        self.skipped.append(Skipped(where, reason, cause))

    def skip_sentence(self, sentence: str, cause: Cause = Cause.MASK) -> None:
        """As `skip`, with the message of a `DataError`."""
        where, _, reason = sentence.partition(": expected ")
        self.skip(where, f"expected {reason}", cause)

    def remark(self, kind: RemarkKind, text: str) -> None:
        """Say something about the whole source, once."""
        self._remarks[Remark(kind, text)] = None

    def say_turned(self, count: int) -> None:
        """Say of how many turned boxes the upright box around them was taken, where there are any."""
        if count:
            text = f"{count:,} boxes are turned: the upright box around each is read, which holds more than the object"
            self.remark(RemarkKind.DOUBT, text)

    def size_px(self, image: int) -> tuple[int, int]:
        """Width and height of an image that was added."""
        return self._images[image][1]

    @property
    def sizes_px(self) -> Int64[np.ndarray, "images 2"]:
        """Width and height of each image."""
        return np.array([size for _, size, _ in self._images], dtype=np.int64).reshape(-1, 2)

    def path(self, image: int) -> str:
        """An image's path, relative to the root."""
        return self._images[image][0]

    def add_images(self, entries: Iterable[ImageEntry]) -> list[int | None]:
        """The number of each image, None for those that were skipped. Headers are read by threads.

        One file under two entries is two images, and said: several people annotated it, or its format asks for that.
        """
        entries = list(entries)
        names = self._locate(entries)
        known = [(name, entry) for name, entry in zip(names, entries, strict=True) if name is not None]
        with ThreadPoolExecutor(_PROBERS) as pool:
            found = pool.map(self._probe, (known[k : k + _PROBED] for k in range(0, len(known), _PROBED)))
            sizes = iter([size for sizes in found for size in sizes])
        numbers: list[int | None] = []
        added: dict[str, int] = {}
        for name, entry in zip(names, entries, strict=True):
            size = None if name is None else next(sizes)
            if name is None or size is None:
                numbers.append(None)
            elif isinstance(size, DataError):
                self.skip_sentence(str(size), Cause.SIZE if isinstance(size, SizeError) else Cause.FILE)
                numbers.append(None)
            else:
                number = len(self._images)
                numbers.append(number)
                self._images.append((name, size[0], entry))
                if size[1]:
                    self.turned.add(number)
                added[name] = added.get(name, 0) + 1
        self._say_of_files(added)
        return numbers

    def add_pages(self, pages: Iterable[_Page], entry: Callable[[_Page], ImageEntry]) -> list[tuple[_Page, int]]:
        """The pages of annotations whose image is there, each with its number; `entry` finds it, or raises `DataError`."""
        placed: list[tuple[_Page, ImageEntry]] = []
        for page in pages:
            try:
                placed.append((page, entry(page)))
            except DataError as error:
                self.skip_sentence(str(error), Cause.FILE)
        numbers = self.add_images(found for _, found in placed)
        return [(page, number) for (page, _), number in zip(placed, numbers, strict=True) if number is not None]

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
        truncated: bool = False,
        occluded: bool = False,
        keypoints: Float32[np.ndarray, "k 3"] | None = None,
        field: str = "bbox",
    ) -> bool:
        """Add an object; False where its box cannot be used.

        A box that sticks out is cut at the image's border; one that is missing or empty is had from the outline.
        Keypoints have COCO's visibility; a model's confidence in its place counts as seen from a half on.
        """
        width, height = self.size_px(image)
        if mask is not None and _is_empty(box_px):
            box_px = mask_box(mask, (width, height)) or box_px
        if len(box_px) != 4 or not all(is_number(value) and math.isfinite(value) for value in box_px):
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
            mask = Polygons(tuple(cut_outline(part, (width, height)) for part in mask.parts))
        if keypoints is not None and (keypoints[:, 2] % 1).any():
            seen = np.where(keypoints[:, 2:] >= _SURE, np.float32(_VISIBLE), np.float32(0))
            keypoints = np.concatenate([keypoints[:, :2], seen], axis=1)
        marks = (crowd, ignore, truncated, occluded)
        self._rows.append(ObjectRow(image, self._labels[category], cut, *marks, mask, name, keypoints))
        if len(self._rows) >= _ROWS:
            self._pack()
        return True

    def add_columns(self, columns: ObjectColumns) -> None:
        """Add packed objects that need no more looking at: boxes and outlines lie inside their images."""
        self._pack()
        self._parts.append(columns)

    def _pack(self) -> None:
        if self._rows:
            self._parts.append(ObjectColumns.of(self._rows).packed())
            self._rows = []

    def finish(self, *, cut_outs: bool = False) -> Annotations:
        """The index, its objects in the order of their images."""
        if self._parts:
            self._pack()
            objects = ObjectColumns.joined(self._parts).in_order()
        else:
            objects = ObjectColumns.of(self._rows).in_order()
        paths = tuple(name for name, _, _ in self._images)
        names, again = _names_in_their_file(paths, objects.images, objects.names)
        crowd, ignore, truncated, occluded = objects.marks.T.copy()
        if again:
            text = f"{again:,} annotations have the id of another of their image; they are told apart by their order"
            self.remark(RemarkKind.DOUBT, text)
        return Annotations(
            name=self.name,
            root=self.root,
            paths=paths,
            sizes_px=self.sizes_px,
            licences=tuple(entry.licence for _, _, entry in self._images),
            image_fields=tuple(entry.fields for _, _, entry in self._images),
            classes=self.classes,
            image_index=objects.images,
            labels=objects.labels,
            boxes_px=objects.boxes_px,
            crowd=crowd,
            ignore=ignore,
            masks=objects.masks,
            object_names=names,
            truncated=_marked(truncated),
            occluded=_marked(occluded),
            skipped=tuple(self.skipped),
            cut_outs=cut_outs,
            remarks=tuple(self._remarks),
            keypoints=objects.keypoints,
        )

    def _locate(self, entries: Sequence[ImageEntry]) -> list[str | None]:
        """Where each entry's file is, None where that cannot be said or is outside the root."""
        finder = Finder(self.root, [entry.name for entry in entries])
        names: list[str | None] = []
        owners: dict[str, tuple[str, str]] = {}
        for entry in entries:
            try:
                name = finder.find(entry.name, entry.where)
            except DataError as error:
                self.skip_sentence(str(error), Cause.FILE)
                names.append(None)
                continue
            own = os.path.normpath(slashed(entry.name))
            given, where = owners.setdefault(name, (own, entry.where))
            if given != own:
                reason = f"expected a file of its own, got {name}, which {where} names as {given!r}; restore its own"
                self.skip(entry.where, reason, Cause.FILE)
            names.append(name if given == own else None)
        return names

    def _say_of_files(self, added: Mapping[str, int]) -> None:
        folders = {folder: leads_out(self.root, folder) for folder in {os.path.dirname(name) for name in added}}
        outside = sum(
            folders[os.path.dirname(name)]
            or (os.path.islink(os.path.join(self.root, name)) and leads_out(self.root, name))
            for name in added
        )
        if outside:
            text = f"{outside:,} of {len(added):,} images are links that lead out of {self.root}; they are followed"
            self.remark(RemarkKind.READ_AS, text)
        twice = [name for name, count in added.items() if count > 1]
        if twice:
            text = f"{len(twice):,} photographs are listed more than once, the first being {twice[0]}; each is an image of its own"
            self.remark(RemarkKind.DOUBT, text)

    def _probe(self, known: Sequence[tuple[str, ImageEntry]]) -> list[tuple[tuple[int, int], bool] | DataError]:
        """Size and turn of each, or why it cannot be read."""
        sizes: list[tuple[tuple[int, int], bool] | DataError] = []
        for name, entry in known:
            try:
                sizes.append(probe_with_turn(self.root / name, name, entry.declared_px))
            except DataError as error:
                sizes.append(error)
        return sizes


def _names_in_their_file(
    paths: Sequence[str], images: Int64[np.ndarray, " n"], names: Sequence[str]
) -> tuple[Sequence[str], int]:
    """The names of objects, no two alike in one file, which may be listed twice; and how many had to be changed."""
    if is_distinct(names):
        return names, 0
    own = unique([f"{paths[image]}\0{name}" for image, name in zip(images.tolist(), names, strict=True)])
    told_apart = tuple(key.partition("\0")[2] for key in own)
    return told_apart, sum(name != given for name, given in zip(told_apart, names, strict=True))


def _marked(marks: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"] | None:
    return marks if bool(marks.any()) else None


def _is_empty(box_px: Sequence[Any]) -> bool:
    """Whether a box says nothing: not there, or without width or height."""
    if len(box_px) != 4 or not all(map(is_number, box_px)) or not all(map(math.isfinite, box_px)):
        return not len(box_px)
    return bool(box_px[2] == box_px[0] or box_px[3] == box_px[1])


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of JSON is a number that arithmetic can hold: not one of hundreds of digits."""
    return isinstance(value, float) or (type(value) is int and abs(value) < _HUGE)
