"""VIA (VGG Image Annotator): one JSON file of regions, from version 1 or 2."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from terse.config import SourcePath
from terse.errors import DataError
from terse.registry import nearest, register
from terse.sources.annotations import Annotations, Cause, RemarkKind
from terse.sources.documents import head_of, load_json
from terse.sources.finder import existing_file, existing_folder, folder_of_photographs
from terse.sources.indexing import ImageEntry, Index
from terse.sources.masks import Mask, Polygons, ellipse
from terse.sources.selection import SourceConfig

__all__ = ["ViaConfig", "is_via", "read_via"]

_PEEKED = 1 << 16
_USUAL = ("class", "label", "name", "type", "category", "object")
_UNNAMED = "object"


@register("source", "via")
class ViaConfig(SourceConfig):
    """A VIA project or its exported JSON, and the folder of its images."""

    keeps: ClassVar[bool] = True
    kind: Literal["via"] = "via"
    via: SourcePath
    """The JSON file."""
    images: SourcePath | None = None
    """The folder that `filename` starts at; null looks for it beside the file and above."""
    attribute: str | None = None
    """The region attribute that names the class; null takes the one that is there, or the usual one of several."""

    def _read(self) -> Annotations:
        return read_via(self.via, self.images, self.attribute)


def is_via(file: Path) -> bool:
    """Whether a JSON file seems to be VIA's, by a look at its beginning."""
    text = head_of(file, _PEEKED)
    return b'"_via_' in text or (b'"filename"' in text and b'"regions"' in text)


def read_via(file: Path, images: Path | None = None, attribute: str | None = None) -> Annotations:
    """The index of a VIA file. Polygons, circles and ellipses are masks, rectangles are boxes.

    Raises:
        DataError: not VIA's JSON, no folder of images, or no such attribute.
    """
    data = load_json(existing_file("via", file), "VIA")
    listed = data.get("_via_img_metadata", data)
    pages = {key: page for key, page in listed.items() if isinstance(page, dict) and "filename" in page}
    if not pages:
        raise DataError(f"{file.name}: expected VIA's images with filename and regions, got none; export it as JSON")
    names = [str(page["filename"]) for page in pages.values()]
    root = existing_folder("images", folder_of_photographs(file, names) if images is None else images)
    regions = [region for page in pages.values() for _, region in _regions(page)]
    chosen = _attribute(file, regions, attribute)
    classes = {_class(region, chosen) for region in regions}
    index = Index(file.stem, root, sorted(classes))
    if regions and chosen is None:
        index.remark(RemarkKind.READ_AS, f"{file.name} gives its regions no class: each is called {_UNNAMED!r}")
    named = [(key, name, page) for (key, page), name in zip(pages.items(), names, strict=True)]
    for (key, _, page), number in index.add_pages(named, lambda one: ImageEntry(one[1], f"{file.name}: {one[0]}")):
        for i, region in _regions(page):
            _add(index, number, region, chosen, f"{file.name}: {key}.regions[{i}]", str(i))
    return index.finish()


def _regions(page: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A page's regions by number; version 1 has a mapping of them."""
    found = page.get("regions") or {}
    items = found.items() if isinstance(found, dict) else enumerate(found)
    for i, region in items:
        if isinstance(region, dict):
            yield str(i), region


def _attribute(file: Path, regions: list[Mapping[str, Any]], wanted: str | None) -> str | None:
    """The attribute that names classes, None where no region has one."""
    counts = Counter(key for region in regions for key in _attributes(region))
    if wanted is not None:
        if wanted not in counts:
            known = nearest(wanted, counts) or f"; there are {', '.join(counts) or 'none'}"
            raise DataError(f"attribute: expected a region attribute of {file.name}, got {wanted!r}{known}")
        return wanted
    usual = [key for key in counts if key.casefold() in _USUAL]
    if len(counts) > 1 and len(usual) != 1:
        raise DataError(
            f"attribute: expected the region attribute that names the class, got {', '.join(counts)}; name one in a "
            f"recipe: {{via: {file.name}, attribute: {next(iter(usual or counts))}}}"
        )
    return next(iter(usual or counts), None)


def _attributes(region: Mapping[str, Any]) -> Mapping[str, Any]:
    found = region.get("region_attributes")
    return found if isinstance(found, dict) else {}


def _class(region: Mapping[str, Any], attribute: str | None) -> str:
    if attribute is None:
        return _UNNAMED
    value = _attributes(region).get(attribute, "")
    if isinstance(value, dict):  # a checkbox
        value = next((name for name, checked in value.items() if checked), "")
    return str(value).strip()


def _add(index: Index, image: int, region: Mapping[str, Any], attribute: str | None, here: str, name: str) -> None:
    category = _class(region, attribute)
    if not category:
        index.skip(f"{here}.region_attributes", "expected a class, got nothing; it is left out", Cause.CLASS)
        return
    shape = region.get("shape_attributes")
    shape = shape if isinstance(shape, dict) else {}
    try:
        read = _shape(shape)
    except (KeyError, TypeError, ValueError):
        read = None
    if read is None:
        got = f"a {shape.get('name', 'shape without a name')}"
        reason = f"expected a whole polygon, rect, circle or ellipse, got {got}; it is left out"
        index.skip(f"{here}.shape_attributes", reason, Cause.OUTLINE)
    elif isinstance(read, list):
        index.add_object(image, category, read, here, name, field="shape_attributes")
    else:
        index.add_object(image, category, [], here, name, mask=read, field="shape_attributes")


def _shape(shape: Mapping[str, Any]) -> Mask | list[float] | None:
    """A region's mask, or the corners of a rectangle."""
    kind = shape.get("name")
    if kind == "rect":
        x, y, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
        return [x, y, x + width, y + height]
    if kind in ("polygon", "polyline"):
        points = np.array([shape["all_points_x"], shape["all_points_y"]], dtype=np.float32).T
        closed = kind == "polygon" or (len(points) > 3 and (points[0] == points[-1]).all())
        return Polygons((points,)) if closed and len(points) >= 3 and np.isfinite(points).all() else None
    if kind == "circle":
        return Polygons((ellipse((shape["cx"], shape["cy"]), (shape["r"], shape["r"])),))
    if kind == "ellipse":
        theta = float(shape.get("theta", 0))
        return Polygons(
            (ellipse((shape["cx"], shape["cy"]), (shape["rx"], shape["ry"]), math.remainder(theta, 2 * math.pi)),)
        )
    return None
