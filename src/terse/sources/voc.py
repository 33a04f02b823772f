"""PASCAL VOC: a folder of XML, JPEGImages, ImageSets and SegmentationObject (Everingham et al. 2010).

Other people's sets call the folders annotations and images, or keep XML and photograph side by side; all are read.

The paper's foregrounds: "ground truth segmentation masks and bounding box annotations" are brought together to
"recover instance segmentation masks" (A.2).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal
from xml.etree.ElementTree import Element

import numpy as np
from jaxtyping import Float64, UInt8

from terse.boxes import around_turned, iou
from terse.config import SourcePath
from terse.errors import DataError
from terse.registry import register
from terse.sources.annotations import Annotations, Cause, RemarkKind
from terse.sources.decode import read_values
from terse.sources.documents import head_of, lines_of, load_xml
from terse.sources.finder import Finder, existing_folder, files_of_kind, inside, is_absolute, is_file, slashed
from terse.sources.indexing import ImageEntry, Index
from terse.sources.masks import FileMask, PixelBox, Polygons, box_of
from terse.sources.selection import SourceConfig

__all__ = ["VOC_CLASSES", "VocConfig", "VocLayout", "match_instances", "read_voc", "voc_layout"]

_READERS = 4
_LOOKED_AT = 20
_PEEKED = 1 << 12
_XML = ("annotations", "annotation", "xmls", "xml", "labels")
_IMAGES = ("jpegimages", "images", "image", "imgs", "img", "photos")
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""In the order of SegmentationClass, whose 0 is background."""
_VOID = 255
_FEWEST_POINTS = 3


@register("source", "voc")
class VocConfig(SourceConfig):
    """A VOC folder, or several years of a VOCdevkit."""

    keeps: ClassVar[bool] = True
    kind: Literal["voc"] = "voc"
    voc: SourcePath
    """The folder that holds Annotations and JPEGImages, or XML beside photographs, or the one that holds the `folders`."""
    folders: tuple[str, ...] = (".",)
    """Folders in `voc`, read one after the other: `[VOC2007, VOC2012]` in a VOCdevkit."""
    split: tuple[str, ...] | None = None
    """Lists in ImageSets/Main, as `[trainval]`; null takes every XML file."""
    whole: bool = False
    """Ignore objects that are marked as truncated or occluded: they are neither pasted nor counted right or wrong."""

    def _read(self) -> Annotations:
        found = read_voc(self.voc, self.folders, self.split)
        for marked in (found.truncated, found.occluded) if self.whole else ():
            found = found if marked is None else found.with_ignored(marked)
        return found


@dataclass(frozen=True, slots=True)
class VocLayout:
    """Where a folder keeps what, relative to the root of the source."""

    xml: str
    images: str
    instances: str
    kinds: str


@dataclass(frozen=True, slots=True)
class _VocObject:
    name: str
    corners: tuple[Any, ...]  # as written: counted from 1, the last pixel inside
    turn_rad: float | None  # of a turned box: the corners are those of the upright one around it
    difficult: bool
    truncated: bool
    occluded: bool
    outline: tuple[float, ...] = ()  # x, y and so on, in pixels; not VOC's own, but of tools that write VOC


@dataclass(frozen=True, slots=True)
class _VocFile:
    """One XML file."""

    layout: VocLayout
    xml: str  # relative to the root
    stem: str  # of the image, from the folder of the images
    filename: str  # as written; "" where it is not
    size_px: tuple[int, int] | None
    objects: tuple[_VocObject, ...]


def read_voc(root: Path, folders: Sequence[str] = (".",), split: Sequence[str] | None = None) -> Annotations:
    """The index of a VOC folder; the XML files are read by threads, entities in them are refused.

    Raises:
        DataError: no such folder or list, or a path outside the folder.
    """
    base = existing_folder("voc", root)
    listed = [item for folder in folders for item in _listed(base, inside(base, folder, "folders"), split)]
    with ThreadPoolExecutor(_READERS) as pool:
        read = list(pool.map(lambda item: _page(base, *item), listed))
    files = [page for page in read if isinstance(page, _VocFile)]
    index = Index(base.name, base, sorted({item.name for page in files for item in page.objects}))
    for page in read:
        if isinstance(page, tuple):
            index.skip(*page)
    finder, renamed = Finder(base), []

    def entry(page: _VocFile) -> ImageEntry:
        name, by_stem = _image(finder, page)
        if by_stem:
            renamed.append(page)
        return ImageEntry(name, f"{page.xml}: filename", page.size_px)

    known = index.add_pages(files, entry)
    if renamed:
        text = (
            f"{len(renamed):,} XML files name another image than their own ({renamed[0].xml}: {renamed[0].filename!r}); "
            "the image with the name of the XML file is taken"
        )
        index.remark(RemarkKind.READ_AS, text)
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda item: _instances(base, item[0], index.size_px(item[1])), known)
        for (page, number), instances in zip(known, found, strict=True):
            _add(index, number, page, instances)
    index.say_turned(sum((item.turn_rad or 0.0) % math.pi > 0 for page, _ in known for item in page.objects))
    return index.finish()


def voc_layout(root: Path, folder: str = ".") -> VocLayout | None:
    """Where a folder keeps XML, photographs and masks; None where it holds no XML of VOC's kind."""
    here = root / folder
    names = {path.name.casefold(): path.name for path in sorted(filter(Path.is_dir, here.iterdir()), reverse=True)}

    def at(name: str) -> str:
        return Path(folder, name).as_posix()

    xml = next((at(names[name]) for name in _XML if name in names and _holds_xml(here / names[name])), None)
    if xml is None and _holds_xml(here):
        xml = Path(folder).as_posix()
    if xml is None:
        return None
    images = next((at(names[name]) for name in _IMAGES if name in names), xml)
    return VocLayout(xml, images, at("SegmentationObject"), at("SegmentationClass"))


def _holds_xml(folder: Path) -> bool:
    """Whether a folder holds XML of VOC's kind; of its own folders one level is looked at, of its files some."""
    files = islice(chain(folder.glob("*.xml"), folder.glob("*/*.xml")), _LOOKED_AT)
    return any(re.search(rb"<annotation[\s/>]", head_of(file, _PEEKED)) for file in files if file.is_file())


def _listed(root: Path, folder: str, split: Sequence[str] | None) -> Iterator[tuple[VocLayout, str]]:
    """The XML files of a folder's lists, relative to the root, without repeats."""
    existing_folder("voc", root / folder)
    layout = voc_layout(root, folder)
    if layout is None:
        raise DataError(
            f"voc: expected Annotations and JPEGImages, or XML beside photographs, got no XML of VOC's kind in "
            f"{root / folder}; give the folder that holds them"
        )
    if split is None:
        yield from ((layout, name) for name in files_of_kind(root, layout.xml, (".xml",)))
        return
    seen: set[str] = set()
    for name in split:
        file = root / folder / "ImageSets" / "Main" / f"{name}.txt"
        if not is_file(file):
            lists = ", ".join(sorted(path.stem for path in file.parent.glob("*.txt") if "_" not in path.stem)) or "none"
            raise DataError(f"split: expected a list in {file.parent}, got {name!r}; there are {lists}")
        for i, line in enumerate(lines_of(file), 1):
            stem, mark = _listed_image(root / layout.xml, line)
            # A list of one class marks the images that do not hold it by -1.
            if stem and stem not in seen and mark != "-1":
                seen.add(stem)
                yield layout, inside(root, f"{layout.xml}/{stem}.xml", f"{file.name}, line {i}")


def _listed_image(xml: Path, line: str) -> tuple[str, str]:
    """The image that a line of a list names, and the mark behind it; a name may have spaces where its XML is there."""
    words = line.split()
    if len(words) < 2 or is_file(xml / f"{line.strip()}.xml"):
        return line.strip(), ""
    stem = line.strip().rsplit(maxsplit=1)[0]
    return stem if is_file(xml / f"{stem}.xml") else words[0], words[-1]


def _image(finder: Finder, page: _VocFile) -> tuple[str, bool]:
    """A page's image, and whether it was found by the XML file's name against `filename`.

    VOC's own tools go by the XML file's name; `filename` is what the annotation tool saw, before anybody renamed.
    """
    where = f"{page.xml}: filename"
    stem = PurePosixPath(page.stem)
    given = PurePosixPath(slashed(page.filename))
    for folder in dict.fromkeys((page.layout.images, PurePosixPath(page.xml).parent.as_posix())):
        own = PurePosixPath(folder) / stem.parent
        if given.stem == stem.name and given.suffix and is_file(finder.root / own / given.name):
            return (own / given.name).as_posix(), len(given.parts) > 1
        for place in dict.fromkeys((own.as_posix(), folder)):
            found = finder.image_of_stem(place, stem.name, where)
            if found is not None:
                return found, bool(page.filename) and (given.stem or given.name) != stem.name
    name = page.filename or f"{stem.name}.jpg"
    if is_absolute(name):
        return f"{page.layout.images}/{given.name}", False
    return finder.find(f"{page.layout.images}/{slashed(name)}", where), False


def _page(root: Path, layout: VocLayout, name: str) -> _VocFile | tuple[str, str]:
    """What an XML file says, or where and why it is skipped."""
    file = root / name
    if not is_file(file):
        return name, "expected the XML file of a listed image, got nothing; its image is left out"
    try:
        top = load_xml(file, name)
    except DataError as error:
        return name, f"{str(error).removeprefix(f'{name}: ')}; its image is left out"
    size = tuple(_whole(top.findtext(f"size/{side}")) for side in ("width", "height"))
    objects = tuple(
        _VocObject(
            (item.findtext("name") or "").strip(),
            *_corners(item),
            difficult=_whole(item.findtext("difficult")) == 1,
            truncated=_whole(item.findtext("truncated")) == 1,
            occluded=_whole(item.findtext("occluded")) == 1,
            outline=_outline(item.find("polygon")),
        )
        for item in top.findall("object")
        if _whole(item.findtext("deleted")) != 1  # LabelMe's mark of what was taken away
    )
    stem = PurePosixPath(name).relative_to(layout.xml).with_suffix("").as_posix()
    filename = (top.findtext("filename") or "").strip()
    return _VocFile(layout, name, stem, filename, size if all(size) else None, objects)  # type: ignore[arg-type]


def _corners(item: Element) -> tuple[tuple[float, ...], float | None]:
    """A box as VOC writes it; of roLabelImg's (middle, sides, an angle in radians) the upright one around it, and the turn."""
    if item.find("robndbox") is None:
        return tuple(_number(item.findtext(f"bndbox/{corner}")) for corner in ("xmin", "ymin", "xmax", "ymax")), None
    x, y, width, height, turn_rad = (
        _number(item.findtext(f"robndbox/{name}")) for name in ("cx", "cy", "w", "h", "angle")
    )
    if not math.isfinite(turn_rad):
        return (math.nan,) * 4, turn_rad
    x0, y0, x1, y1 = around_turned((x - width / 2, y - height / 2, x + width / 2, y + height / 2), turn_rad)
    return (x0 + 1, y0 + 1, x1, y1), turn_rad


def _outline(polygon: Element | None) -> tuple[float, ...]:
    """The points of an object's polygon: LabelMe's `pt` with x and y, or Roboflow's x1, y1, x2 and so on."""
    if polygon is None:
        return ()
    points = [(point.findtext("x"), point.findtext("y")) for point in polygon.findall("pt")]
    count = sum(re.fullmatch(r"x\d+", point.tag) is not None for point in polygon)
    points += [(polygon.findtext(f"x{i}"), polygon.findtext(f"y{i}")) for i in range(1, count + 1)]
    return tuple(_number(text) for point in points for text in point)


def _add(index: Index, image: int, page: _VocFile, instances: Mapping[int, int] | str | None) -> None:
    if isinstance(instances, str):
        index.skip_sentence(instances)
        instances = None
    mask_file = _mask_file(page, page.layout.instances)
    for i, item in enumerate(page.objects):
        here = f"{page.xml}: object[{i}]"
        if not item.name:
            index.skip(f"{here}.name", "expected a class, got nothing; it is left out", Cause.CLASS)
            continue
        value = (instances or {}).get(i)
        mask = _polygon(index, item, here) if value is None else FileMask(mask_file, "value", value)
        box = list(_half_open(item))
        index.add_object(
            image,
            item.name,
            [] if np.isnan(box).all() else box,
            here,
            str(i),
            mask=mask,
            ignore=item.difficult,
            truncated=item.truncated,
            occluded=item.occluded,
            field="bndbox" if item.turn_rad is None else "robndbox",
        )


def _polygon(index: Index, item: _VocObject, here: str) -> Polygons | None:
    points = np.array(item.outline, dtype=np.float32).reshape(-1, 2)
    if len(points) >= _FEWEST_POINTS and np.isfinite(points).all():
        return Polygons((points,))
    if len(points):
        reason = f"expected x, y of at least three points, got {list(item.outline)[:6]}; the outline is left out"
        index.skip(f"{here}.polygon", reason, Cause.OUTLINE)
    return None


def _instances(root: Path, page: _VocFile, size_px: tuple[int, int]) -> dict[int, int] | str | None:
    """The number in SegmentationObject of each object that has one; a sentence where the file is no good."""
    file = _mask_file(page, page.layout.instances)
    if not (root / file).is_file():
        return None
    try:
        values = read_values(root / file, file)
        kinds_file = _mask_file(page, page.layout.kinds)
        kinds = read_values(root / kinds_file, kinds_file) if (root / kinds_file).is_file() else None
    except DataError as error:
        return str(error)
    if values.shape != size_px[::-1]:
        got = f"{values.shape[1]}x{values.shape[0]}"
        return f"{file}: expected its image's size {size_px[0]}x{size_px[1]}, got {got}; its masks are left out"
    boxes = np.array([_half_open(item) for item in page.objects], dtype=np.float64).reshape(-1, 4)
    return match_instances(values, boxes, [item.name for item in page.objects], kinds)


def _half_open(item: _VocObject) -> tuple[Any, Any, Any, Any]:
    """VOC counts pixels from 1 and its last one is inside."""
    x0, y0, x1, y1 = item.corners
    return x0 - 1, y0 - 1, x1, y1


def _mask_file(page: _VocFile, folder: str) -> str:
    return f"{folder}/{page.stem}.png"


def _number(text: str | None) -> float:
    """Not a number where there is none: the index refuses it by name."""
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _whole(text: str | None) -> int:
    number = _number(text)
    return int(number) if number == number and abs(number) < 1e9 else 0  # noqa: PLR0124 - NaN is unlike itself


def match_instances(
    values: UInt8[np.ndarray, "h w"],
    boxes_px: Float64[np.ndarray, "n 4"],
    names: Sequence[str],
    kinds: UInt8[np.ndarray, "h w"] | None = None,
) -> dict[int, int]:
    """The instance number of each box that has one.

    Boxes and instances are paired by the overlap of the box with the instance's own box, best first, each used
    once. Any overlap is taken: whether the two agree is for `cleanup` to judge.

    Args:
        values: SegmentationObject: 0 is background, 255 void.
        boxes_px: the annotated boxes.
        names: their classes.
        kinds: SegmentationClass; an instance is then paired only with boxes of its class. Other people's data sets
            number classes in their own way: where a class comes out that no box has, it is passed over.
    """
    pairs: list[tuple[float, int, int]] = []
    own: dict[int, PixelBox] = {}
    numbers: dict[int, int] = {}
    for value in (value for value in np.unique(values).tolist() if value not in (0, _VOID)):
        region = values == value  # one at a time: each is as large as the image
        box = box_of(region.view(np.uint8))
        assert box is not None  # the number is there
        own[value] = box
        if kinds is not None and kinds.shape == values.shape:
            numbers[value] = int(np.bincount(kinds[region]).argmax())
    classes = _classes(numbers, names)
    for value, box in own.items():
        overlaps = iou(np.array([box], dtype=np.float64), boxes_px)[0].tolist()
        for i, (name, overlap) in enumerate(zip(names, overlaps, strict=True)):
            if overlap > 0 and classes.get(value, name) == name:
                pairs.append((-overlap, i, value))
    chosen: dict[int, int] = {}
    for _, i, value in sorted(pairs):
        if i not in chosen and value not in chosen.values():
            chosen[i] = value
    return chosen


def _classes(numbers: Mapping[int, int], names: Sequence[str]) -> dict[int, str]:
    """The class of each instance by the number that most of its pixels have; empty where the numbers are not VOC's."""
    if not all(0 < number <= len(VOC_CLASSES) for number in numbers.values()):
        return {}
    found = {value: VOC_CLASSES[number - 1] for value, number in numbers.items()}
    return found if set(found.values()) <= set(names) else {}
