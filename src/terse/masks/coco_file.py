"""The masks as a COCO file that every source reads, and the list of those that are dropped."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from terse.errors import DataError, RunError
from terse.export.mask_formats import runs_of_region
from terse.folders import write_json
from terse.masks.make import Made, Masks, region_of
from terse.masks.source_file import Told
from terse.sources.annotations import Annotations
from terse.sources.masks import Polygons, Rle, draw_mask

__all__ = ["dropped_rows", "read_drop_list", "read_masks", "write_masks"]


def read_drop_list(file: Path) -> tuple[str, ...]:
    """The keys of the masks to drop: the list that the page saves, or a plain JSON list.

    Raises:
        DataError: no such list.
    """
    if not file.is_file():
        got = "a folder" if file.is_dir() else "nothing"
        raise DataError(f"--drop: expected the list that the page of the masks saves, got {got} at {file}")
    try:
        value = json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(f"--drop: expected JSON, got {file}, which is none: {error}") from None
    keys = value.get("drop") if isinstance(value, dict) else value
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise DataError(
            f"--drop: expected a list of keys of objects, got another thing in {file}; save it from the page"
        )
    return tuple(keys)


def dropped_rows(masks: Masks, keys: Collection[str], min_score: float = 0.0) -> frozenset[int]:
    """The objects whose masks are dropped: those named, and those scored lower.

    Raises:
        DataError: keys that no made mask has.
    """
    rows = {key: row for row, key in enumerate(masks.annotations.object_keys) if row in masks.made}
    unknown = [key for key in keys if key not in rows]
    if unknown:
        raise DataError(
            f"--drop: expected keys of masks that were made, got {len(unknown):,} others, the first being {unknown[0]!r}; "
            "save the list from the page of these masks"
        )
    low = {row for row, made in masks.made.items() if made.score is not None and made.score < min_score}
    return frozenset({rows[key] for key in keys} | low)


def write_masks(
    masks: Masks,
    dropped: Collection[int],
    out: Path,
    request: Mapping[str, Any],
    told: Told | None = None,
) -> None:
    """Write images, boxes, keypoints and masks; an object whose mask is dropped, or that has none, keeps its box.

    A dropped mask stands beside its object as `dropped`, so that another list can bring it back. A made mask has its own
    area; any other object has the one that its source tells, else its own mask's, else its box's.

    Args:
        masks: what was made.
        dropped: the objects whose masks are left out.
        out: the file.
        request: what the masks are a function of.
        told: what a COCO file tells of categories and areas; of other sources categories are numbered from 1.

    Raises:
        RunError: the file cannot be written.
    """
    annotations = masks.annotations
    said = annotations.image_fields or ({},) * len(annotations)
    told = told or Told()
    licences = {name: i for i, name in enumerate(sorted({*annotations.licences} - {""}), 1)}
    categories = _categories(annotations, told)
    ids = [category["id"] for category in categories]
    value = {
        "info": {"description": "masks made by terse from boxes", "request": dict(request)},
        "licenses": [{"id": i, "name": name, "url": ""} for name, i in licences.items()],
        "categories": categories,
        "images": [
            {**fields, "id": i, "file_name": path, "width": width, "height": height}
            | ({"license": licences[licence]} if licence else {})
            for i, (path, (width, height), licence, fields) in enumerate(
                zip(annotations.paths, annotations.sizes_px.tolist(), annotations.licences, said, strict=True), 1
            )
        ],
        "annotations": [
            {**_annotation(masks, row, dropped, ids, told), "key": key}
            for row, key in enumerate(annotations.object_keys)
        ],
    }
    write_json(out, value, indent=None)


def read_masks(file: Path, annotations: Annotations, request: Mapping[str, Any], segmentation: Path | None) -> Masks:
    """The masks in a file that `write_masks` wrote for the same request, the dropped ones among them.

    Raises:
        RunError: another file, or one that was changed since.
    """
    try:
        value = json.loads(file.read_bytes())
        written = value["info"]["request"]
    except (ValueError, KeyError, TypeError, OSError):
        written = None
    if written != request:
        got = "one of other data or another engine" if written else "one that terse masks did not write"
        raise RunError(f"--out: expected a new file, got {file}, {got}; name another or remove it")
    made, failed = {}, {}
    try:
        lines = value["annotations"]
        same = [line["key"] for line in lines] == list(annotations.object_keys)
        for row, line in enumerate(lines):
            if "dropped" in line:
                made[row] = Made.from_json(line["dropped"])
            elif "source" in line:
                made[row] = Made.from_json(line)
            elif "failed" in line:
                failed[row] = str(line["failed"])
    except (ValueError, KeyError, TypeError, AttributeError):
        same = False
    if not same:
        raise RunError(
            f"--out: expected the masks as they were written, got {file}, whose annotations were changed since; name another "
            "or remove it"
        )
    return Masks(annotations, made, failed, segmentation)


def _categories(annotations: Annotations, told: Told) -> list[dict[str, Any]]:
    """The classes; names and lines of the keypoints stand with those whose objects have some, or as the source has them."""
    points, names = annotations.keypoints, annotations.keypoint_names
    pointed = set() if points is None else set(annotations.labels[points.any(axis=(1, 2))].tolist())
    described = {"keypoints": list(names), "skeleton": [list(pair) for pair in annotations.keypoint_lines]}
    return [
        {**(described if names and label in pointed else {}), **category}
        for label, category in enumerate(told.categories_of(annotations.classes))
    ]


def _annotation(masks: Masks, row: int, dropped: Collection[int], ids: Sequence[int], told: Told) -> dict[str, Any]:
    annotations = masks.annotations
    x0, y0, x1, y1 = annotations.boxes_px[row].tolist()
    crowd, ignore = bool(annotations.crowd[row]), bool(annotations.ignore[row])
    area = told.areas.get(annotations.object_names[row])
    line: dict[str, Any] = {
        "id": row + 1,
        "image_id": int(annotations.image_index[row]) + 1,
        "category_id": ids[int(annotations.labels[row])],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": int(crowd),
    }
    if ignore:
        line["ignore"] = 1
    if annotations.keypoints is not None and (points := annotations.keypoints[row]).any():
        line["keypoints"] = [_short(value) for value in points.ravel()]
        line["num_keypoints"] = int((points[:, 2] > 0).sum())
    if row in masks.failed:
        line["failed"] = masks.failed[row]
    elif row in masks.made:
        made = masks.made[row].to_json()
        line |= {"dropped": made} if row in dropped else made
    elif annotations.masks[row] is not None:
        line |= _own(annotations, row, area)
    return line if area is None or "source" in line else {**line, "area": area}


def _short(value: np.float32) -> float:
    """The shortest number that is read as the same one: as the source had it, most likely."""
    number = float(str(value))
    return int(number) if number.is_integer() else number


def _own(annotations: Annotations, row: int, area: float | None) -> dict[str, Any]:
    """The mask that the data have themselves, and its area where the source tells none; only then are outlines drawn."""
    mask = annotations.masks[row]
    assert mask is not None  # by the caller
    width, height = annotations.sizes_px[int(annotations.image_index[row])].tolist()
    told: dict[str, Any] = {}
    if isinstance(mask, Polygons):
        told["segmentation"] = [np.asarray(part, dtype=np.float64).ravel().tolist() for part in mask.parts]
    elif isinstance(mask, Rle):
        told["segmentation"] = {"size": [height, width], "counts": mask.counts.decode("ascii")}
    if told and area is not None:
        return told
    try:
        region = region_of(draw_mask(mask, annotations.root, (width, height)) > 127)
    except DataError as error:
        return {"failed": str(error)}
    if region is None:
        return told
    told = told or {"segmentation": runs_of_region(region, (width, height))}
    return {**told, "area": region.seen_px}
