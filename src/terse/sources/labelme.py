"""labelme: a JSON file of shapes beside each photograph."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from terse.config import SourcePath
from terse.errors import DataError
from terse.registry import register
from terse.sources.annotations import Annotations, Cause
from terse.sources.decode import UNREADABLE
from terse.sources.documents import load_json
from terse.sources.finder import Finder, existing_folder, files_of_kind, is_file, slashed
from terse.sources.indexing import ImageEntry, Index, is_number
from terse.sources.masks import Polygons, Rle, ellipse, joined, mask_box, pack
from terse.sources.selection import SourceConfig

__all__ = ["LabelmeConfig", "is_labelme", "read_labelme"]

_READERS = 4
_PEEKED = 1 << 16
_READ = ("shapes", "imagePath", "imageWidth", "imageHeight")


@register("source", "labelme")
class LabelmeConfig(SourceConfig):
    """A folder of photographs with labelme's JSON files."""

    keeps: ClassVar[bool] = True
    kind: Literal["labelme"] = "labelme"
    labelme: SourcePath
    """The folder; the folders in it are read too."""

    def _read(self) -> Annotations:
        return read_labelme(self.labelme)


@dataclass(frozen=True, slots=True)
class _LabelmeFile:
    json: str  # relative to the root
    data: Mapping[str, Any]


def is_labelme(file: Path) -> bool:
    """Whether a JSON file seems to be labelme's, by a look at its beginning and its end."""
    try:
        with file.open("rb") as stream:
            text = stream.read(_PEEKED)
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _PEEKED))
            text += stream.read()
    except PermissionError:  # its reader says so
        return False
    return b'"shapes"' in text and b'"imagePath"' in text


def read_labelme(folder: Path) -> Annotations:
    """The index of a folder of labelme's files. Polygons, circles and masks are masks, rectangles are boxes.

    Shapes of one label and one `group_id` are parts of one object, as labelme's own converters have it; its box holds all.

    Raises:
        DataError: no such folder, or no file of labelme's in it.
    """
    root = existing_folder("labelme", folder)
    files = [name for name in files_of_kind(root, ".", (".json",)) if is_file(root / name)]
    with ThreadPoolExecutor(_READERS) as pool:
        read = list(pool.map(lambda name: _page(root, name), files))
    pages = [page for page in read if isinstance(page, _LabelmeFile)]
    if not pages:
        raise DataError(f"labelme: expected labelme's JSON files in {root}, got {len(files)} others; give their folder")
    names = {_label(shape) for page in pages for shape in _shapes(page)}
    index = Index(root.name, root, sorted(names))
    for sentence in read:
        if isinstance(sentence, str):
            index.skip_sentence(sentence, Cause.LABELS)
    finder = Finder(root)
    for page, number in index.add_pages(pages, lambda page: _entry(finder, page)):
        _add(index, number, page)
    return index.finish()


def _page(root: Path, name: str) -> _LabelmeFile | str | None:
    """A file of labelme's; a sentence where it is broken, None where it is another tool's."""
    try:
        data = load_json(root / name, "labelme")
    except DataError as error:
        return str(error)
    if not isinstance(data.get("shapes"), list):
        return None
    # All files' are in memory at once, and most hold their photograph a second time, in `imageData`.
    return _LabelmeFile(name, {key: data.get(key) for key in _READ})


def _entry(finder: Finder, page: _LabelmeFile) -> ImageEntry:
    """The photograph, by `imagePath` or by the file's own name: sets are renamed and moved."""
    where, folder = f"{page.json}: imagePath", PurePosixPath(page.json).parent
    given = page.data.get("imagePath")
    name = PurePosixPath(slashed(given)).name if isinstance(given, str) else ""
    if name and is_file(finder.root / folder / name):
        found: str | None = (folder / name).as_posix()
    else:
        found = finder.image_of_stem(folder.as_posix(), PurePosixPath(page.json).stem, where)
    found = found or finder.find((folder / slashed(str(given))).as_posix(), where)
    return ImageEntry(found, where, _size(page.data))


def _size(data: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = data.get("imageWidth"), data.get("imageHeight")
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width and height else None


def _shapes(page: _LabelmeFile) -> list[Mapping[str, Any]]:
    return [shape for shape in page.data["shapes"] if isinstance(shape, dict)]


def _label(shape: Mapping[str, Any]) -> str:
    label = shape.get("label")
    return label.strip() if isinstance(label, str) else ""


def _add(index: Index, image: int, page: _LabelmeFile) -> None:
    groups: dict[object, list[tuple[int, Mapping[str, Any]]]] = {}
    for i, shape in enumerate(_shapes(page)):
        group = shape.get("group_id")
        groups.setdefault(i if group is None else (_label(shape), str(group)), []).append((i, shape))
    for members in groups.values():
        first = members[0][0]
        here = f"{page.json}: shapes[{first}]"
        label = _label(members[0][1])
        if not label:
            index.skip(f"{here}.label", "expected a class, got nothing; it is left out", Cause.CLASS)
            continue
        read = [_mask(index, image, shape, f"{page.json}: shapes[{i}]") for i, shape in members]
        mask = joined([part for part in read if isinstance(part, Polygons | Rle)], index.size_px(image))
        boxes = [part for part in read if isinstance(part, tuple)]
        if boxes and mask is not None:
            boxes += filter(None, [mask_box(mask, index.size_px(image))])
        if boxes or mask is not None:
            box = [pick(edges) for pick, edges in zip((min, min, max, max), zip(*boxes, strict=True), strict=False)]
            index.add_object(image, label, box, here, str(first), mask=mask, field="points")


def _mask(
    index: Index, image: int, shape: Mapping[str, Any], here: str
) -> Polygons | Rle | tuple[float, float, float, float] | None:
    """A shape's mask, the box of a rectangle; None, and said, where it is neither."""
    kind = shape.get("shape_type") or "polygon"
    points = list(_points(shape))
    if kind == "rectangle" and len(points) in (2, 4):
        across, down = zip(*points, strict=True)
        return min(across), min(down), max(across), max(down)
    if kind == "polygon" and len(points) >= 3:
        return Polygons((np.array(points, dtype=np.float32),))
    if kind == "circle" and len(points) == 2:
        radius = math.dist(*points)
        return Polygons((ellipse(points[0], (radius, radius)),))
    if kind == "mask" and len(points) == 2:
        return _png(index, image, shape, points, here)
    reason = f"expected a polygon, rectangle, circle or mask, got a {kind} of {len(points)} points; it is left out"
    index.skip(f"{here}.shape_type", reason, Cause.OUTLINE)
    return None


def _png(
    index: Index, image: int, shape: Mapping[str, Any], points: list[tuple[float, float]], here: str
) -> Rle | None:
    """Labelme's mask: a PNG of the box between two points, in base64."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(str(shape.get("mask")))), formats=["PNG"]) as png:
            drawn = np.array(png.convert("L")) > 0
    except UNREADABLE:  # what is no base64 is a ValueError
        index.skip(f"{here}.mask", "expected a PNG in base64, got something else; it is left out", Cause.MASK)
        return None
    return pack(drawn, (round(points[0][0]), round(points[0][1])), index.size_px(image))


def _points(shape: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    for point in shape.get("points") or []:
        pair = point if isinstance(point, list) and len(point) == 2 else ()
        if pair and all(is_number(value) and math.isfinite(value) for value in pair):
            yield float(pair[0]), float(pair[1])
