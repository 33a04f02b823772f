"""COCO JSON: boxes, polygons, run lengths, crowd regions (Lin et al. 2014)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from terse.config import InputPath
from terse.errors import DataError
from terse.registry import register
from terse.sources.selection import SourceConfig

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations
    from terse.sources.indexing import Index
    from terse.sources.masks import Mask

__all__ = ["CocoConfig", "category_ids", "read_coco"]


@register("source", "coco")
class CocoConfig(SourceConfig):
    """A COCO JSON file and the folder of its images."""

    kind: Literal["coco"] = "coco"
    coco: InputPath
    """The JSON file."""
    images: InputPath
    """The folder that `file_name` starts at."""
    where: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Only images whose own fields in the JSON have these values, as `{split: val2017}`."""

    def _read(self) -> Annotations:
        return read_coco(self.coco, self.images, self.where)


def read_coco(file: Path, images: Path, where: Mapping[str, object] | None = None) -> Annotations:
    """The index of a COCO file.

    Raises:
        DataError: not COCO JSON, a path outside the image folder, or two images of one name or id.
    """
    from terse.sources.annotations import Cause
    from terse.sources.indexing import ImageEntry, Index
    from terse.sources.paths import existing_file, existing_folder

    data = _load(existing_file("coco", file))
    categories = _unique(file, data, "categories")
    licences = _licences(data)
    listed = _unique(file, data, "images")
    wanted = {
        number: (i, item)
        for number, (i, item) in listed.items()
        if all(item.get(field) == value for field, value in (where or {}).items())
    }
    names = {number: str(item.get("name", number)) for number, (_, item) in categories.items()}
    index = Index(file.stem, existing_folder("images", images), tuple(dict.fromkeys(names.values())))
    entries = [
        ImageEntry(
            _file_name(item, f"{file.name}: images[{i}]"),
            f"{file.name}: images[{i}].file_name",
            _declared(item),
            licences.get(_id(item, "license"), ""),
        )
        for i, item in wanted.values()
    ]
    numbers = dict(zip(wanted, index.add_images(entries), strict=True))
    for i, item in enumerate(_list(file, data, "annotations")):
        here = f"{file.name}: annotations[{i}]"
        if not isinstance(item, dict):
            index.skip(here, f"expected a mapping, got {type(item).__name__}; it is left out")
        elif _id(item, "image_id") not in listed:
            got = repr(item.get("image_id"))
            index.skip(f"{here}.image_id", f"expected the id of an image, got {got}; it is left out", Cause.IMAGE)
        elif _id(item, "category_id") not in names:
            got = repr(item.get("category_id"))
            index.skip(f"{here}.category_id", f"expected the id of a category, got {got}; it is left out", Cause.CLASS)
        else:
            image = numbers.get(item["image_id"])
            if image is not None:
                _add(index, image, names[item["category_id"]], item, i, here)
    return index.finish()


def category_ids(file: Path) -> dict[str, int]:
    """The ids of a COCO file's categories; empty where it is no COCO file."""
    try:
        listed = json.loads(file.read_bytes()).get("categories", [])
        return {str(item.get("name")): item["id"] for item in listed if isinstance(item.get("id"), int)}
    except (ValueError, AttributeError, TypeError, OSError):
        return {}


def _add(index: Index, image: int, category: str, item: Mapping[str, Any], i: int, here: str) -> None:
    box: Any = item.get("bbox")
    corners = [box[0], box[1], box[0] + box[2], box[1] + box[3]] if _four_numbers(box) else box
    mask = _mask(index, item.get("segmentation"), index.size_px(image), f"{here}.segmentation")
    index.add_object(
        image,
        category,
        corners if isinstance(corners, list) else [],
        here,
        str(item.get("id", f"#{i}")),
        mask=mask,
        crowd=bool(item.get("iscrowd", 0)),
        ignore=bool(item.get("ignore", 0)),
    )


def _mask(index: Index, segmentation: Any, size_px: tuple[int, int], where: str) -> Mask | None:
    """The mask of an annotation, None where there is none that can be used."""
    import numpy as np

    from terse.sources.annotations import Cause
    from terse.sources.masks import Polygons

    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return _rle(index, segmentation, size_px, where)
    parts = []
    for k, outline in enumerate(segmentation if isinstance(segmentation, list) else [segmentation]):
        sound = isinstance(outline, list) and len(outline) >= 6 and len(outline) % 2 == 0
        points = np.array(outline, dtype=np.float32).reshape(-1, 2) if sound and _numbers(outline) else None
        if points is None or not np.isfinite(points).all():
            got = (
                f"{len(outline) // 2} points" if isinstance(outline, list) and _numbers(outline) else repr(outline)[:60]
            )
            reason = f"expected x, y of at least three points, got {got}; this part is left out"
            index.skip(f"{where}[{k}]", reason, Cause.OUTLINE)
        else:
            parts.append(points)
    return Polygons(tuple(parts)) if parts else None


def _rle(index: Index, runs: Mapping[str, Any], size_px: tuple[int, int], where: str) -> Mask | None:
    from faster_coco_eval.core import mask as rle

    from terse.sources.annotations import Cause
    from terse.sources.masks import Rle

    counts, size = runs.get("counts"), runs.get("size")
    height, width = size_px[1], size_px[0]
    if size != [height, width]:
        reason = f"expected the image's [{height}, {width}], got {size}; the mask is left out"
        index.skip(f"{where}.size", reason, Cause.MASK)
        return None
    try:
        if isinstance(counts, list):
            packed = rle.frPyObjects({"size": size, "counts": counts}, height, width)["counts"]
        else:
            packed = counts.encode("ascii") if isinstance(counts, str) else bytes(counts)  # type: ignore[arg-type]
        rle.decode({"size": size, "counts": packed})
    except (ValueError, RuntimeError, TypeError, OverflowError):
        reason = f"expected runs that fill {width}x{height} px, got others; the mask is left out"
        index.skip(f"{where}.counts", reason, Cause.MASK)
        return None
    return Rle(packed)


def _load(file: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file.name}, line {error.lineno} column {error.colno}: expected whole JSON, got: {error.msg}; "
            "the file may end early: copy it again"
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise DataError(f"{file.name}: expected COCO JSON in UTF-8, got something else; copy it again") from None
    if not isinstance(data, dict):
        raise DataError(
            f"{file.name}: expected a mapping with images and annotations, got {type(data).__name__}; use COCO's instances format"
        )
    return data


def _list(file: Path, data: Mapping[str, Any], field: str) -> list[Any]:
    items = data.get(field)
    if not isinstance(items, list):
        got = "nothing" if items is None else type(items).__name__
        raise DataError(f"{file.name}: {field}: expected a list, got {got}; use COCO's instances format")
    return items


def _unique(file: Path, data: Mapping[str, Any], field: str) -> dict[Any, tuple[int, dict[str, Any]]]:
    """Items by id, with their place in the list."""
    found: dict[Any, tuple[int, dict[str, Any]]] = {}
    for i, item in enumerate(_list(file, data, field)):
        number = _id(item, "id") if isinstance(item, dict) else None
        if number is None:
            raise DataError(f"{file.name}: {field}[{i}].id: expected a number, got {number!r}; give each its own")
        if number in found:
            raise DataError(
                f"{file.name}: {field}[{i}].id: expected an id of its own, got {number!r} as {field}[{found[number][0]}]; "
                "give each its own"
            )
        found[number] = (i, item)
    return found


def _id(item: Mapping[str, Any], field: str) -> int | str | None:
    """What can name something; None for anything else."""
    value = item.get(field)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _licences(data: Mapping[str, Any]) -> dict[int | str | None, str]:
    items = data.get("licenses")
    known = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return {_id(item, "id"): str(item.get("name", "")) for item in known if _id(item, "id") is not None}


def _file_name(item: Mapping[str, Any], here: str) -> str:
    name = item.get("file_name")
    if not isinstance(name, str):
        raise DataError(f"{here}.file_name: expected a file name, got {name!r}; correct it")
    return name


def _declared(item: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = item.get("width"), item.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width and height else None


def _numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _four_numbers(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and _numbers(box)
