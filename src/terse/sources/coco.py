"""COCO JSON: boxes, polygons, run lengths, crowd regions (Lin et al. 2014)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32
from pydantic import Field

from terse.config import SourcePath
from terse.errors import DataError
from terse.registry import register
from terse.sources.annotations import Annotations, Cause, RemarkKind
from terse.sources.coco_columns import PlainAnnotations, is_marked
from terse.sources.finder import existing_file, existing_folder, folder_of_photographs
from terse.sources.indexing import ImageEntry, Index, is_number
from terse.sources.json_lists import ListOfFile, load_json_with, without_collector
from terse.sources.masks import Mask, Polygons, Rle
from terse.sources.selection import SourceConfig

__all__ = ["CocoConfig", "category_ids", "id_of", "name_in_url", "name_of_category", "read_coco"]

_USUAL = {"id", "file_name", "width", "height", "license", "flickr_url", "coco_url", "date_captured"}
_SHOWN = 8  # values in a sentence
_FEW = 1 << 6  # annotations of a large file that are looked at together at least


@register("source", "coco")
class CocoConfig(SourceConfig):
    """A COCO JSON file and the folder of its images."""

    keeps: ClassVar[bool] = True
    kind: Literal["coco"] = "coco"
    coco: SourcePath
    """The JSON file."""
    images: SourcePath | None = None
    """The folder that `file_name` starts at; null looks for it beside the file and above."""
    where: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Only images whose own fields in the JSON have these values, as `{split: val2017}`."""

    def _read(self) -> Annotations:
        return read_coco(self.coco, self.images, self.where)


def read_coco(file: Path, images: Path | None = None, where: Mapping[str, object] | None = None) -> Annotations:
    """The index of a COCO file; its photographs are looked for where no folder is given.

    Raises:
        DataError: not COCO JSON, no folder of images, two images of one id, or categories without names.
    """
    data = load_json_with(existing_file("coco", file), "annotations", before=("images", "categories"))
    categories = _by_id(file, data, "categories", "name")
    listed = _by_id(file, data, "images", "file_name")
    wanted = {
        number: (i, item)
        for number, (i, item) in listed.items()
        if all(item.get(field) == value for field, value in (where or {}).items())
    }
    if where and listed and not wanted:
        raise DataError(_none_of(file, [item for _, item in listed.values()], where))
    if images is None:
        images = folder_of_photographs(file, [str(_name(item) or "") for _, item in wanted.values()])
    root = existing_folder("images", images)
    names = {number: name_of_category(item, number) for number, (_, item) in categories.items()}
    index = Index(file.stem, root, tuple(names.values()))
    if any(not item.get("name") for _, item in categories.values()):
        text = f"{file.name} has categories without a name: they are called by their ids"
        index.remark(RemarkKind.READ_AS, text)
    entries = [_entry(item, f"{file.name}: images[{i}]") for i, item in wanted.values()]
    numbers = dict(zip(wanted, index.add_images(entries), strict=True))
    with without_collector():
        _add_annotations(file, index, _list(file, data, "annotations"), listed.keys(), numbers, names)
    points, lines = _skeleton(item for _, item in categories.values())
    known = _licences(data)  # which may stand behind the annotations
    licences = [known.get(id_of(wanted[number][1], "license"), "") for number, i in numbers.items() if i is not None]
    return replace(index.finish(), keypoint_names=points, keypoint_lines=lines, licences=tuple(licences))


def _none_of(file: Path, items: Sequence[Mapping[str, Any]], where: Mapping[str, object]) -> str:
    """The sentence where no image has the fields that are asked for: what the images say instead."""
    asked = ", ".join(f"{field}: {value!r}" for field, value in where.items())
    field = next((one for one, value in where.items() if all(item.get(one) != value for item in items)), None)
    if field is None:
        return f"where: expected images of {file.name} with {asked}, got none with all of them; leave one out"
    said = sorted({repr(item[field]) for item in items if field in item})
    more = f" and {len(said) - _SHOWN:,} more" if len(said) > _SHOWN else ""
    got = f"{', '.join(said[:_SHOWN])}{more}" if said else f"none with a field {field!r}"
    return f"where: expected images of {file.name} with {asked}, got {got}; correct {field}"


def _name(item: Mapping[str, Any]) -> Any:
    """An image's file name; LVIS has none and gives COCO's URL, whose end it is: `val2017/000000000139.jpg`."""
    url = item.get("coco_url")
    return name_in_url(url) if "file_name" not in item and isinstance(url, str) else item.get("file_name")


def name_in_url(url: str) -> str:
    """The folder and the file that a URL ends with."""
    return "/".join(url.split("/")[-2:])


def _entry(item: Mapping[str, Any], here: str) -> ImageEntry:
    name = _name(item)
    if not isinstance(name, str):
        raise DataError(f"{here}.file_name: expected a file name, got {name!r}; correct it")
    others = {key: value for key, value in item.items() if key not in _USUAL and isinstance(value, str | int | float)}
    return ImageEntry(name, f"{here}.file_name", _declared(item), fields=others)


def _add_annotations(
    file: Path,
    index: Index,
    annotations: Iterable[Any],
    listed: Collection[int | str],
    numbers: Mapping[int | str, int | None],
    names: Mapping[int | str, str],
) -> None:
    """Add all that can be used; of a large file, many at once.

    Args:
        file: for the sentences.
        index: the images are there already.
        annotations: as the file has them.
        listed: the ids of all images.
        numbers: of the images wanted, None for those that cannot be had, by their ids.
        names: of categories, by their ids.
    """
    every_run_is_crowd = _every_run_is_crowd(index, annotations)
    places = {name: i for i, name in enumerate(index.classes)}
    labels = {number: places[name] for number, name in names.items()}
    images = {number: numbers.get(number) for number in listed}
    plain = PlainAnnotations(images, labels, index.sizes_px, crowd=not every_run_is_crowd)

    def add(i: int, item: Any) -> None:
        here = f"{file.name}: annotations[{i}]"
        if not isinstance(item, dict):
            index.skip(here, f"expected a mapping, got {type(item).__name__}; it is left out")
        elif (owner := _known(item, "image_id", listed)) is None:
            got = repr(item.get("image_id"))
            index.skip(f"{here}.image_id", f"expected the id of an image, got {got}; it is left out", Cause.IMAGE)
        elif (category := _known(item, "category_id", names)) is None:
            got = repr(item.get("category_id"))
            index.skip(f"{here}.category_id", f"expected the id of a category, got {got}; it is left out", Cause.CLASS)
        elif (image := numbers.get(owner)) is not None:
            _add(index, image, names[category], item, i, here, crowd=not every_run_is_crowd)

    turned = first = 0
    for block in annotations.parts() if isinstance(annotations, ListOfFile) else ([item] for item in annotations):
        turned += sum(_is_turned(item) for item in block if isinstance(item, dict) and "attributes" in item)
        _add_block(index, plain, first, block, add)
        first += len(block)
    _say_of_turned(index, turned)


def _add_block(
    index: Index, plain: PlainAnnotations, first: int, block: Sequence[Any], add: Callable[[int, Any], None]
) -> None:
    """Add annotations as columns where they are plain, halves of a block where not all of it is; few one by one."""
    columns = plain.columns(block, first) if len(block) >= _FEW else None
    if columns is not None:
        index.add_columns(columns)
    elif len(block) < 2 * _FEW:
        for i, item in enumerate(block, first):
            add(i, item)
    else:
        middle = len(block) // 2
        _add_block(index, plain, first, block[:middle], add)
        _add_block(index, plain, first + middle, block[middle:], add)


def category_ids(file: Path) -> dict[str, int]:
    """The ids of a COCO file's categories; empty where it is no COCO file."""
    try:
        listed = load_json_with(file, "annotations", before=("categories",)).get("categories", [])
        ids = [(item, id_of(item, "id")) for item in listed]
        return {name_of_category(item, number): number for item, number in ids if isinstance(number, int)}
    except (DataError, AttributeError, TypeError, OSError):
        return {}


def _add(index: Index, image: int, category: str, item: Mapping[str, Any], i: int, here: str, *, crowd: bool) -> None:
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
        crowd=crowd and is_marked(item, "iscrowd"),
        ignore=is_marked(item, "ignore"),
        keypoints=_keypoints(item.get("keypoints")),
    )


def _skeleton(categories: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Names and lines of the keypoints, of the category that has the most."""
    most = max((item for item in categories if isinstance(item.get("keypoints"), list)), key=_points_of, default={})
    lines = most.get("skeleton")
    pairs = [pair for pair in lines if isinstance(pair, list) and len(pair) == 2] if isinstance(lines, list) else []
    joined = tuple((_side(a), _side(b)) for a, b in pairs if _side(a) and _side(b))
    return tuple(map(str, most.get("keypoints", ()))), joined


def _points_of(category: Mapping[str, Any]) -> int:
    return len(category["keypoints"])


def _keypoints(values: Any) -> Float32[np.ndarray, "k 3"] | None:
    if not isinstance(values, list) or not values or len(values) % 3 or not _numbers(values):
        return None
    return np.array(values, dtype=np.float32).reshape(-1, 3)


def _every_run_is_crowd(index: Index, annotations: Iterable[Any]) -> bool:
    """Whether the file marks all it has as crowds of run lengths, as some exporters do: objects are meant then."""
    every = bool(annotations) and all(
        isinstance(item, dict) and isinstance(item.get("segmentation"), dict) and is_marked(item, "iscrowd")
        for item in annotations
    )
    if every:
        index.remark(
            RemarkKind.READ_AS, "every annotation is a crowd (iscrowd: 1) of run lengths; each is taken as one object"
        )
    return every


def _is_turned(item: Mapping[str, Any]) -> bool:
    """Whether a box is one of CVAT's turned rectangles, written as the upright box of before the turn."""
    attributes = None if item.get("segmentation") else item["attributes"]
    angle = attributes.get("rotation") if isinstance(attributes, dict) else None
    return is_number(angle) and bool(angle % 360)


def _say_of_turned(index: Index, turned: int) -> None:
    if turned:
        text = (
            f"{turned:,} boxes are turned (attributes.rotation), and bbox is the box before the turn: "
            "the upright box read here does not hold the object; export polygons or masks"
        )
        index.remark(RemarkKind.DOUBT, text)


def _mask(index: Index, segmentation: Any, size_px: tuple[int, int], where: str) -> Mask | None:
    """The mask of an annotation, None where there is none that can be used."""
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return _rle(index, segmentation, size_px, where)
    parts = []
    outlines = segmentation if isinstance(segmentation, list) else [segmentation]
    if not any(outlines) and all(isinstance(outline, list) for outline in outlines):
        return None  # `[[]]`, as some tools write a box without an outline
    if _numbers(outlines):
        outlines = [outlines]  # one outline without the list around it
    elif len(outlines) >= 3 and all(isinstance(pair, list) and len(pair) == 2 and _numbers(pair) for pair in outlines):
        outlines = [[value for pair in outlines for value in pair]]  # one outline as a list of points
    for k, outline in enumerate(outlines):
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

    counts, size = runs.get("counts"), runs.get("size")
    height, width = size_px[1], size_px[0]
    if size != [height, width]:
        turned = "; it reads as width by height" if size == [width, height] else ""
        reason = f"expected the image's [{height}, {width}], got {size}{turned}; the mask is left out"
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


def _list(file: Path, data: Mapping[str, Any], field: str) -> list[Any] | ListOfFile:
    items = data.get(field)
    if not isinstance(items, list | ListOfFile):
        got = "nothing" if items is None else type(items).__name__
        raise DataError(f"{file.name}: {field}: expected a list, got {got}; use COCO's instances format")
    return items


def _by_id(
    file: Path, data: Mapping[str, Any], field: str, told_by: str
) -> dict[int | str, tuple[int, dict[str, Any]]]:
    """Items by id, with their place in the list. `1`, `1.0` and `"1"` are one id."""
    if field == "categories" and not data.get("categories") and data.get("annotations"):
        raise DataError(
            f"{file.name}: categories: expected the names of category_id, got {data.get(field, 'nothing')!r}; "
            'add "categories": [{"id": 1, "name": "person"}]'
        )
    found: dict[int | str, tuple[int, dict[str, Any]]] = {}
    for i, item in enumerate(_list(file, data, field)):
        number = id_of(item, "id") if isinstance(item, dict) else None
        if number is None:
            raise DataError(f"{file.name}: {field}[{i}].id: expected a number, got {number!r}; give each its own")
        if number in found:
            first, other = found[number]
            raise DataError(
                f"{file.name}: {field}[{i}].id: expected an id of its own, got {number!r} of {item.get(told_by)!r} as "
                f"{field}[{first}], {other.get(told_by)!r}; give each its own"
            )
        found[number] = (i, item)
    return found


def _known(item: Mapping[str, Any], field: str, known: Collection[int | str]) -> int | str | None:
    number = id_of(item, field)
    return number if number in known else None


def id_of(item: Mapping[str, Any], field: str) -> int | str | None:
    """What can name something, whole numbers as such however they are written; None for anything else."""
    value = item.get(field)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and str(int(value)) == value:
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def name_of_category(item: Mapping[str, Any], number: int | str) -> str:
    """The name of a category, or its id where it has none."""
    return str(item.get("name") or number)


def _licences(data: Mapping[str, Any]) -> dict[int | str | None, str]:
    items = data.get("licenses")
    known = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return {id_of(item, "id"): str(item.get("name", "")) for item in known if id_of(item, "id") is not None}


def _declared(item: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = _side(item.get("width")), _side(item.get("height"))
    return (width, height) if width and height else None


def _side(value: Any) -> int:
    """A width or height as some files write it: 160, 160.0 or "160"; 0 where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return int(number) if number.is_integer() and number > 0 and not isinstance(value, bool) else 0


def _numbers(values: list[Any]) -> bool:
    if {*map(type, values)} <= {float}:  # outlines, mostly: asked for each of a million
        return True
    return all(map(is_number, values))


def _four_numbers(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and _numbers(box)
