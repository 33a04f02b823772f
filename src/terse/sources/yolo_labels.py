"""What a line of a YOLO label file means: a box, an outline, a turned box, keypoints; with or without a confidence.

The format does not say which. What one line leaves open is decided from all lines of the set.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from terse.errors import DataError
from terse.sources.annotations import Cause, RemarkKind
from terse.sources.indexing import Index
from terse.sources.masks import Polygons

__all__ = ["read_labels"]

_SEEN = 2.0  # a keypoint's visibility; an outline's fractions never reach it
_NO_FRACTION = 2.0
_RIGHT_ANGLE = 0.05  # how far a rectangle's sides and diagonals may differ, as a share of them
_TURNED = 0.02  # how far a side must lean to be turned, as a share of its length


@dataclass(frozen=True, slots=True)
class _Line:
    image: int
    here: str  # file and line
    name: str
    category: str
    words: tuple[str, ...]  # after the class
    values: tuple[float, ...]


@dataclass(slots=True)
class _Oddities:
    """What was met, for the sentences on the whole set."""

    confidences: int = 0
    tracks: int = 0
    keypoints: int = 0
    turned: int = 0
    commas: list[str] = field(default_factory=list)
    pixels: list[str] = field(default_factory=list)


def read_labels(
    index: Index, files: Sequence[tuple[int, str]], base: Path, names: Mapping[int, str], points: tuple[int, int] | None
) -> None:
    """Add the objects of label files.

    Args:
        index: the images, added already.
        files: image and label file, relative to base.
        base: the data set's folder.
        names: class of each number.
        points: data.yaml's kpt_shape: how many keypoints, and 2 or 3 numbers each.

    Raises:
        DataError: not one line is usable, because all have decimal commas or are in pixels.
    """
    seen = _Oddities()
    lines = [line for image, file in files for line in _lines(index, image, base / file, file, names, seen)]
    if points is None and _all_tracked(lines):
        lines = [_without_track(line, seen) for line in lines]
    turned = points is None and _all_turned_boxes(index, lines)
    added = 0
    for line in lines:
        added += _add(index, line, points, turned=turned, seen=seen)
    if not added and (seen.commas or seen.pixels):
        raise DataError((seen.commas or seen.pixels)[0])
    _say(index, seen)


def _lines(
    index: Index, image: int, path: Path, file: str, names: Mapping[int, str], seen: _Oddities
) -> Iterator[_Line]:
    try:
        text = path.read_text("utf-8-sig").splitlines()
    except PermissionError as error:
        index.skip(file, f"expected labels, got: {error.strerror}; its objects are left out")
        return
    except UnicodeDecodeError:
        index.skip(file, "expected text, got other bytes; its objects are left out")
        return
    for i, line in enumerate(text):
        words = line.split()
        if not words:
            continue
        here = f"{file}, line {i + 1}"
        if "," in line:
            reason = f"expected decimal points and spaces, got commas in {' '.join(words)[:60]!r}; write 0.5, not 0,5"
            seen.commas.append(f"{here}: {reason}")
            index.skip(here, f"{reason}; it is left out")
            continue
        category = names.get(_class_number(words[0]))
        if category is None:
            reason = f"expected a class number 0 to {max(names, default=0)}, got {words[0]!r}; it is left out"
            index.skip(here, reason, Cause.CLASS)
            continue
        values = _finite(words[1:])
        if values is None or len(values) < 4:
            _skip(index, here, words[1:])
        else:
            yield _Line(image, here, str(i), category, tuple(words[1:]), values)


def _skip(index: Index, here: str, words: Sequence[str]) -> None:
    got = " ".join(words)[:60]
    index.skip(here, f"expected x y w h or the x y of three points, got {got!r}; it is left out", Cause.BOX)


def _class_number(word: str) -> int:
    """The number, which some tools write as 0.0; -1 for anything else."""
    return int(word.split(".", maxsplit=1)[0]) if re.fullmatch(r"\d{1,9}(\.0*)?", word, re.ASCII) else -1


def _finite(words: Sequence[str]) -> tuple[float, ...] | None:
    try:
        values = tuple(float(word) for word in words)
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


def _add(index: Index, line: _Line, points: tuple[int, int] | None, *, turned: bool, seen: _Oddities) -> bool:
    """Add a line's object; False where it cannot be used."""
    count = len(line.values)
    shape = points or _unnamed_points(line)
    if max(line.values[:4]) > _NO_FRACTION:
        got = " ".join(line.words)[:60]
        reason = f"expected fractions of the image's size, 0 to 1, got {got!r}; divide by it"
        seen.pixels.append(f"{line.here}: {reason}")
        index.skip(line.here, f"{reason}; it is left out", Cause.BOX)
        return False
    if shape is not None and count in range(4 + shape[0] * shape[1], 7 + shape[0] * shape[1]):
        seen.keypoints += 1
        return _add_box(index, line, _keypoints(index, line, shape))
    if count == 4 or points is not None:
        return _add_box(index, line, None)
    if count == 5:
        seen.confidences += 1
        return _add_box(index, line, None)
    seen.confidences += count % 2
    outline = np.array(line.values[: count - count % 2], dtype=np.float32).reshape(-1, 2)
    outline = outline * np.array(index.size_px(line.image), dtype=np.float32)
    box = [*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist()]
    seen.turned += turned
    mask = None if turned else Polygons((outline,))
    return index.add_object(line.image, line.category, box, line.here, line.name, mask=mask, field="outline")


def _add_box(index: Index, line: _Line, keypoints: Float32[np.ndarray, "k 3"] | None) -> bool:
    width, height = index.size_px(line.image)
    x, y, w, h = line.values[:4]
    box = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
    return index.add_object(line.image, line.category, box, line.here, line.name, keypoints=keypoints, field="box")


def _keypoints(index: Index, line: _Line, shape: tuple[int, int]) -> Float32[np.ndarray, "k 3"]:
    """X and y in pixels and visibility; a point at 0 0 without one is not annotated, as Ultralytics has it."""
    count, numbers = shape
    values = np.array(line.values[4 : 4 + count * numbers], dtype=np.float32).reshape(count, numbers)
    seen = values[:, 2:3] if numbers == 3 else (values.any(axis=1, keepdims=True) * _SEEN).astype(np.float32)
    return np.concatenate([values[:, :2] * np.array(index.size_px(line.image), dtype=np.float32), seen], axis=1)


def _unnamed_points(line: _Line) -> tuple[int, int] | None:
    """Keypoints where data.yaml does not name them: each third number is a visibility, and one is seen."""
    count, rest = divmod(len(line.values) - 4, 3)
    visible = line.values[6::3]
    if count < 2 or rest or _SEEN not in visible or not {*visible} <= {0.0, 1.0, _SEEN}:
        return None
    return count, 3


def _may_be_track(line: _Line) -> bool:
    """An even count of numbers, as a box or an outline with a tracker's confidence and number behind has, or an outline."""
    return len(line.values) >= 6 and len(line.values) % 2 == 0 and _unnamed_points(line) is None


def _all_tracked(lines: Sequence[_Line]) -> bool:
    """Whether all that may be a tracker's ends with a confidence and a whole number.

    A number of 1 or 0 could be a fraction too: of outlines, one has to be larger.
    """
    asked = [line for line in lines if _may_be_track(line)]
    whole = all(
        line.words[-1].isdecimal() and line.values[-2] <= 1 and not all(map(str.isdecimal, line.words[:4]))
        for line in asked
    )
    sure = any(line.values[-1] > 1 for line in asked) or all(len(line.values) <= 6 for line in lines)
    return bool(asked) and whole and sure


def _without_track(line: _Line, seen: _Oddities) -> _Line:
    if not _may_be_track(line):
        return line
    seen.tracks += 1
    return replace(line, words=line.words[:-2], values=line.values[:-2])


def _all_turned_boxes(index: Index, lines: Sequence[_Line]) -> bool:
    """Whether every outline of the set is a rectangle and one is turned: oriented boxes, then, and no outlines."""
    corners = [
        np.array(line.values[:8]).reshape(4, 2) * index.size_px(line.image)
        for line in lines
        if len(line.values) in (8, 9) and not _unnamed_points(line)
    ]
    outlines = sum(len(line.values) >= 6 for line in lines)
    if not corners or len(corners) != outlines:
        return False
    return all(map(_is_rectangle, corners)) and any(map(_is_turned, corners))


def _is_rectangle(corners: np.ndarray) -> bool:
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    diagonals = np.linalg.norm(corners[:2] - corners[2:], axis=1)
    limit = _RIGHT_ANGLE * diagonals.max() + 1
    return bool(abs(sides[:2] - sides[2:]).max() <= limit and abs(diagonals[0] - diagonals[1]) <= limit)


def _is_turned(corners: np.ndarray) -> bool:
    side = abs(corners[1] - corners[0])
    return bool(side.min() > _TURNED * side.max() + 1)


def _say(index: Index, seen: _Oddities) -> None:
    say: Callable[[RemarkKind, str], None] = index.remark
    if seen.keypoints:
        say(
            RemarkKind.DOUBT,
            f"{seen.keypoints:,} labels are boxes with keypoints: the box is the first four numbers, the keypoints are "
            "kept, and no mask is made of them",
        )
    if seen.turned:
        say(
            RemarkKind.DOUBT,
            f"all {seen.turned:,} outlines are turned boxes (four corners of a rectangle): the upright box around each is "
            "read, and no mask is made of them",
        )
    if seen.confidences:
        say(RemarkKind.READ_AS, f"{seen.confidences:,} labels end with a confidence, which is passed over")
    if seen.tracks:
        text = f"{seen.tracks:,} labels end with a tracker's confidence and number, which are passed over"
        say(RemarkKind.READ_AS, text)
