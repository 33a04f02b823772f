"""CVAT's own XML, "CVAT for images 1.1": one file of boxes, polygons, ellipses and masks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, Literal
from xml.etree.ElementTree import Element

import numpy as np

from terse.boxes import around_turned
from terse.config import SourcePath
from terse.errors import DataError
from terse.registry import register
from terse.sources.annotations import Annotations, Cause
from terse.sources.documents import head_of, load_xml
from terse.sources.finder import existing_file, existing_folder, folder_of_photographs
from terse.sources.indexing import ImageEntry, Index
from terse.sources.masks import Mask, Polygons, ellipse, pack
from terse.sources.selection import SourceConfig

__all__ = ["CvatConfig", "is_cvat", "read_cvat"]

_PEEKED = 1 << 12
_BROKEN = {
    "polygon": "expected at least three finite points, got others",
    "mask": "expected runs that fill the mask's box, got others",
}
_SHAPES = ("box", "polygon", "ellipse", "mask", "polyline", "points", "cuboid", "skeleton")


@register("source", "cvat")
class CvatConfig(SourceConfig):
    """CVAT's annotations.xml and the folder of its images."""

    keeps: ClassVar[bool] = True
    kind: Literal["cvat"] = "cvat"
    cvat: SourcePath
    """The XML file."""
    images: SourcePath | None = None
    """The folder that an image's `name` starts at; null looks for it beside the file and above."""

    def _read(self) -> Annotations:
        return read_cvat(self.cvat, self.images)


def is_cvat(file: Path) -> bool:
    """Whether an XML file seems to be CVAT's, by a look at its beginning."""
    return b"<annotations>" in head_of(file, _PEEKED)


def read_cvat(file: Path, images: Path | None = None) -> Annotations:
    """The index of a file of CVAT's. Polygons, ellipses and masks are masks, boxes are boxes.

    A turned box is the upright box around it, and said.

    Raises:
        DataError: not CVAT's XML for images, or no folder of images.
    """
    top = load_xml(existing_file("cvat", file), file.name)
    if top.find("track") is not None:
        raise DataError(f"{file.name}: expected CVAT for images, got CVAT for video (tracks); export it for images")
    pages = top.findall("image")
    if not pages:
        raise DataError(f"{file.name}: expected CVAT's images, got none; export it as CVAT for images 1.1")
    names = [page.get("name", "") for page in pages]
    root = existing_folder("images", folder_of_photographs(file, names) if images is None else images)
    classes = sorted({shape.get("label", "") for page in pages for shape in page if shape.tag in _SHAPES})
    index = Index(file.stem, root, classes)
    named = [(page, f"{file.name}: image {page.get('id', i)}") for i, page in enumerate(pages)]
    turned = 0
    for (page, where), number in index.add_pages(
        named, lambda one: ImageEntry(one[0].get("name", ""), one[1], _size(one[0]))
    ):
        for i, shape in enumerate(page):
            if shape.tag in _SHAPES:
                turned += _add(index, number, shape, f"{where}, {shape.tag} {i}", str(i))
    index.say_turned(turned)
    return index.finish()


def _size(page: Element) -> tuple[int, int] | None:
    width, height = page.get("width", ""), page.get("height", "")
    return (
        (int(width), int(height)) if width.isdecimal() and height.isdecimal() and int(width) and int(height) else None
    )


def _add(index: Index, image: int, shape: Element, here: str, name: str) -> bool:
    """Add a shape; whether it is a turned box."""
    category = shape.get("label", "")
    if not category:
        index.skip(here, "expected a label, got nothing; it is left out", Cause.CLASS)
        return False
    try:
        if shape.tag == "box":
            box, turned = _box(shape)
            return index.add_object(image, category, box, here, name, field="box") and turned
        mask = _mask(shape, index.size_px(image))
    except (KeyError, ValueError):
        index.skip(here, "expected whole numbers and points, got others; it is left out", Cause.OUTLINE)
        return False
    if mask is None:
        wrong = _BROKEN.get(shape.tag, f"expected a box, polygon, ellipse or mask, got {shape.tag}")
        index.skip(here, f"{wrong}; it is left out", Cause.OUTLINE)
    else:
        index.add_object(image, category, [], here, name, mask=mask, field=shape.tag)
    return False


def _box(shape: Element) -> tuple[list[float], bool]:
    """The corners of a box, of a turned one those of the upright box around it."""
    x0, y0, x1, y1 = (float(shape.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    turned_rad = math.radians(float(shape.get("rotation", 0)) % 180)
    if not turned_rad:
        return [x0, y0, x1, y1], False
    return list(around_turned((x0, y0, x1, y1), turned_rad)), True


def _mask(shape: Element, size_px: tuple[int, int]) -> Mask | None:
    if shape.tag == "polygon":
        points = np.array([pair.split(",") for pair in shape.attrib["points"].split(";")], dtype=np.float32)
        return Polygons((points,)) if len(points) >= 3 and np.isfinite(points).all() else None
    if shape.tag == "ellipse":
        x, y, rx, ry = (float(shape.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
        return Polygons((ellipse((x, y), (rx, ry), math.radians(float(shape.get("rotation", 0)))),))
    if shape.tag == "mask":  # runs along the rows of the mask's own box, the first of nothing
        left, top, width, height = (int(shape.attrib[key]) for key in ("left", "top", "width", "height"))
        runs = np.array([int(run) for run in shape.attrib["rle"].split(",")])
        if runs.min() < 0 or runs.sum() != width * height:
            return None
        drawn = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        return pack(drawn, (left, top), size_px)
    return None
