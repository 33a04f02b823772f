"""YOLO folders: a text file of fractions beside each image; boxes, or outlines (Ultralytics' layout)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from terse.config import InputPath, read_yaml
from terse.errors import DataError
from terse.registry import register
from terse.sources.selection import SourceConfig

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations
    from terse.sources.indexing import Index

__all__ = ["YoloConfig", "read_yolo"]


@register("source", "yolo")
class YoloConfig(SourceConfig):
    """A YOLO data set: its data.yaml, the folder that holds it."""

    kind: Literal["yolo"] = "yolo"
    yolo: InputPath
    """The data.yaml, or its folder."""
    split: str = "train"
    """A key of data.yaml: train, val or test."""
    root: InputPath | None = None
    """The data set's folder, where that is not the data.yaml's: its `path` is then passed over."""

    def _read(self) -> Annotations:
        return read_yolo(self.yolo, self.split, self.root)


def read_yolo(file: Path, split: str = "train", root: Path | None = None) -> Annotations:
    """The index of one split of a YOLO data set. An image without a label file holds no object.

    Raises:
        DataError: no data.yaml, no such split, or a path outside the data set's folder.
    """
    from terse.sources.indexing import ImageEntry, Index
    from terse.sources.paths import existing_file, existing_folder

    file = existing_file("yolo", file / "data.yaml" if file.is_dir() else file)
    settings = read_yaml(file.read_text("utf-8"), file.name)
    base = existing_folder("root", root) if root is not None else file.parent
    names = _names(file, settings)
    index = Index(f"{base.name}/{split}", base, tuple(dict.fromkeys(names.values())))
    start = _start(base, settings, file) if root is None else "."
    entries: list[ImageEntry] = []
    owners: dict[str, str] = {}
    for image in _images(base, start, settings, split, file):
        label = _label_of(image)
        if label in owners:
            index.skip(image, f"expected labels of its own, got {label}, which {owners[label]} has too; rename one")
            continue
        owners[label] = image
        entries.append(ImageEntry(image, f"{file.name}: {split}"))
    for number, label in zip(index.add_images(entries), owners, strict=True):
        if number is not None and (base / label).is_file():
            _read_labels(index, number, base, label, names)
    return index.finish()


def _names(file: Path, settings: Mapping[str, Any]) -> dict[int, str]:
    names = settings.get("names")
    if isinstance(names, list):
        return {i: str(name) for i, name in enumerate(names)}
    if isinstance(names, dict) and all(isinstance(key, int) for key in names):
        return {key: str(name) for key, name in names.items()}
    raise DataError(f"{file.name}: names: expected a list of classes, got {names!r}; for example names: [person, dog]")


def _start(base: Path, settings: Mapping[str, Any], file: Path) -> str:
    """Where the splits start: data.yaml's `path`, which may lead anywhere on its author's machine."""
    from terse.sources.paths import inside

    try:
        return inside(base, str(settings.get("path") or "."), f"{file.name}: path")
    except DataError as error:
        raise DataError(f"{str(error).rsplit('; ', 1)[0]}; name the data set's folder by root") from None


def _images(base: Path, start: str, settings: Mapping[str, Any], split: str, file: Path) -> Iterator[str]:
    """The split's images, relative to base, without repeats."""
    from terse.sources.paths import image_files, inside

    places = settings.get(split)
    if not places:
        known = ", ".join(key for key in ("train", "val", "test") if settings.get(key)) or "none"
        raise DataError(f"split: expected a split of {file.name}, got {split!r}; there are {known}")
    seen: set[str] = set()
    for place in places if isinstance(places, list) else [places]:
        name = _inside_or_stripped(base, start, str(place), f"{file.name}: {split}")
        if (base / name).is_dir():
            found: Iterator[str] | list[str] = image_files(base, name)
        elif (base / name).is_file():
            found = [
                inside(base, f"{start}/{line.strip()}", f"{name}, line {i}")
                for i, line in enumerate((base / name).read_text("utf-8").splitlines(), 1)
                if line.strip()
            ]
        else:
            raise DataError(
                f"{file.name}: {split}: expected a folder of images or a list of them, got nothing at {base / name}; "
                "correct it"
            )
        for image in found:
            if image not in seen:
                seen.add(image)
                yield image


def _inside_or_stripped(base: Path, start: str, place: str, where: str) -> str:
    """Roboflow writes `../train/images` for what lies beside its data.yaml; so does Ultralytics read it."""
    from terse.sources.paths import inside

    stripped = place.removeprefix("../")
    if stripped != place and not (base / start / place).exists() and (base / start / stripped).exists():
        place = stripped
    return inside(base, f"{start}/{place}" if not place.startswith(("/", "\\")) else place, where)


def _label_of(image: str) -> str:
    """`images` becomes `labels` in the path, the last time it occurs; else the file stands beside the image."""
    head, found, tail = f"/{image}".rpartition("/images/")
    path = f"{head}/labels/{tail}"[1:] if found else image
    return Path(path).with_suffix(".txt").as_posix()


def _read_labels(index: Index, image: int, base: Path, label: str, names: Mapping[int, str]) -> None:
    import numpy as np

    from terse.sources.annotations import Cause
    from terse.sources.masks import Polygons
    from terse.sources.paths import inside

    inside(base, label, label)
    width, height = index.size_px(image)
    try:
        lines = (base / label).read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        index.skip(label, "expected text, got other bytes; its objects are left out")
        return
    for i, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        here = f"{label}, line {i + 1}"
        values = _fractions(words[1:])
        category = names.get(int(words[0])) if words[0].isdecimal() else None
        if category is None:
            reason = f"expected a class number 0 to {max(names, default=0)}, got {words[0]!r}; it is left out"
            index.skip(here, reason, Cause.CLASS)
        elif values is None or not (len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)):
            got = " ".join(words[1:])[:60]
            index.skip(here, f"expected x y w h or the x y of three points, got {got!r}; it is left out", Cause.BOX)
        elif len(values) == 4:
            x, y, w, h = values
            box = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
            index.add_object(image, category, box, here, str(i), field="box")
        else:
            points = np.array(values, dtype=np.float32).reshape(-1, 2) * np.array([width, height], dtype=np.float32)
            box = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
            index.add_object(image, category, box, here, str(i), mask=Polygons((points,)), field="outline")


def _fractions(words: Sequence[str]) -> list[float] | None:
    try:
        values = [float(word) for word in words]
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None
